"""Reverberation against scipy and closed forms: the convolution and files. Live sound is in test_live.py."""

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from conftest import melody, refusal
from wavewright.playing.convolution import Convolution
from wavewright.playing.reverb import reverberate

Array = NDArray[np.floating]
Record = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def decay(seconds: float, rate: int, fall: float, seed: int = 1) -> Array:
    """Noise that falls by so many dB a second, behind a direct sound."""
    t = np.arange(round(seconds * rate)) / rate
    taps = 0.05 * noise(len(t), seed=seed).clip(-3, 3) * 10 ** (-fall * t / 20)
    taps[0] = 0.9
    return taps


def whole(sound: Array, taps: Array) -> Array:
    """The convolution of (n, channels) by scipy, where one channel meets all."""
    channels = max(sound.shape[1], taps.shape[1])
    wide = (np.broadcast_to(one, (len(one), channels)) for one in (sound, taps))
    return oaconvolve(*wide, axes=0)


def heard(path: Path) -> Array:
    sound, _ = soundfile.read(path, always_2d=True)
    return sound


def leveled(taps: Array) -> Array:
    """Taps (n, channels) of unit energy."""
    return taps / math.sqrt(np.square(taps).sum() / taps.shape[1])


class TestConvolution:
    @pytest.mark.parametrize("size", [1, 17, 512])
    def test_blocks_of_one_size(self, size: int) -> None:
        sound, taps = noise(3000, 1), noise(2000, 1, seed=1)
        convolve = Convolution(taps, 1)
        found = [convolve(sound[start : start + size]) for start in range(0, len(sound), size)]
        assert [len(block) for block in found[:-1]] == [size] * (len(found) - 1)
        np.testing.assert_allclose(np.concatenate(found), whole(sound, taps)[:3000], atol=1e-6)

    @settings(max_examples=60, deadline=None)
    @given(
        sizes=st.lists(st.integers(0, 700), max_size=12),
        taps=st.integers(1, 900),
        channels=st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2)]),
        partition=st.sampled_from([1, 16, 100, 512]),
        seed=st.integers(0, 99),
    )
    def test_mixed_blocks(
        self, sizes: list[int], taps: int, channels: tuple[int, int], partition: int, seed: int
    ) -> None:
        sound, response = noise(sum(sizes), channels[0], seed=seed), noise(taps, channels[1], seed=seed + 1)
        convolve = Convolution(response, channels[0], partition)
        blocks = [convolve(block) for block in np.split(sound, np.cumsum(sizes))]
        assert [len(block) for block in blocks] == [*sizes, 0]
        expected = whole(sound, response)[: len(sound)] if len(sound) else np.zeros((0, max(channels)))
        np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-6)


class TestFile:
    @pytest.mark.parametrize("channels", [(1, 1), (1, 2), (2, 1), (2, 2), (4, 4)])
    @pytest.mark.parametrize("suffix", [".wav", ".flac"])
    def test_a_mixture_is_that_of_scipy(
        self, suffix: str, channels: tuple[int, int], record: Record, tmp_path: Path
    ) -> None:
        """The recording is longer than a block of the reader. The direct sound comes 20 samples after the onset."""
        sound = 0.1 * noise(300_000 // channels[0], channels[0]).clip(-4, 4)
        taps = np.stack([decay(0.3, 44100, 100, seed) for seed in range(channels[1])], axis=1)
        taps[0], taps[20] = 0.3, 0.9
        recording = record(f"in{suffix}", sound, subtype="PCM_24")
        impulse = record("ir.wav", np.pad(taps, ((700, 0), (0, 0))), subtype="FLOAT")
        out = tmp_path / f"out{suffix}"
        reverberate(recording, impulse, out, wet=0.4)
        expected = 0.4 * whole(heard(recording), leveled(heard(impulse)[700:]))[20:]
        expected[: len(sound)] += 0.6 * heard(recording)
        found = heard(out)
        assert found.shape == (len(sound) + len(taps) - 21, max(channels))
        np.testing.assert_allclose(found, expected, atol=2**-23)
        assert (soundfile.info(out).samplerate, soundfile.info(out).subtype) == (44100, "PCM_24")

    @pytest.mark.parametrize(
        ("subtype", "out", "kept"),
        [
            ("PCM_U8", "out.wav", "PCM_16"),
            ("PCM_16", "out.wav", "PCM_16"),
            ("PCM_16", "out.flac", "PCM_16"),
            ("PCM_24", "out.wav", "PCM_24"),
            ("PCM_24", "out.flac", "PCM_24"),
            ("PCM_32", "out.wav", "PCM_32"),
            ("FLOAT", "out.wav", "FLOAT"),
            ("DOUBLE", "out.wav", "DOUBLE"),
        ],
    )
    def test_without_wet_sound_the_samples_stay(
        self, subtype: str, out: str, kept: str, record: Record, tmp_path: Path
    ) -> None:
        sound = noise(5000).clip(-1, 1)
        sound[:2] = -1, 1
        recording = record("in.wav", sound, subtype=subtype)
        impulse = record("ir.wav", np.stack([decay(0.1, 48000, 200)] * 2, axis=1), 48000)
        reverberate(recording, impulse, tmp_path / out, wet=0)
        before, after = (soundfile.read(path, dtype="float64")[0] for path in (recording, tmp_path / out))
        assert np.array_equal(before, after)
        assert soundfile.info(tmp_path / out).subtype == kept

    def test_broadband_sound_keeps_its_loudness(self, record: Record, tmp_path: Path) -> None:
        recording = record("in.wav", 0.05 * noise(441_000), subtype="FLOAT")
        impulse = record("ir.wav", 0.01 * decay(0.5, 44100, 80))
        reverberate(recording, impulse, tmp_path / "out.wav", wet=1)
        middle = slice(50_000, 400_000)
        dry, wet = (np.square(heard(path)[middle]).mean() for path in (recording, tmp_path / "out.wav"))
        assert 10 * math.log10(wet / dry) == pytest.approx(0, abs=0.3)

    @pytest.mark.parametrize("rise", [0, 20])
    def test_the_direct_sound_falls_on_the_sound(self, rise: int, record: Record, tmp_path: Path) -> None:
        """The direct sound rises during `rise` samples, far behind the file's beginning and before a louder echo."""
        taps = np.zeros(3000)
        taps[1000 - rise : 1001] = 0.4 * np.linspace(0.3, 1, rise + 1) if rise else 0.4
        taps[1500] = 0.8
        click = np.zeros(2000)
        click[500] = 0.5
        recording, impulse = record("in.wav", click, subtype="FLOAT"), record("ir.wav", taps, subtype="FLOAT")
        reverberate(recording, impulse, tmp_path / "out.wav", wet=0.5)
        found = heard(tmp_path / "out.wav")[:, 0]
        found[500] -= 0.25
        unit = 0.25 / math.sqrt(np.square(taps).sum())
        np.testing.assert_allclose(found[500 - rise : 501], unit * taps[1000 - rise : 1001], atol=1e-6)
        assert found[1000] == pytest.approx(0.8 * unit, abs=1e-6)

    def test_the_ears_of_a_stereo_response_keep_their_distance(self, record: Record, tmp_path: Path) -> None:
        taps = np.zeros((500, 2))
        taps[100, 0], taps[130, 1] = 0.8, 0.6
        recording = record("in.wav", np.eye(1, 300)[0] * 0.5, subtype="FLOAT")
        reverberate(recording, record("ir.wav", taps), tmp_path / "out.wav", wet=1)
        left, right = np.abs(heard(tmp_path / "out.wav")).T
        assert (int(left.argmax()), int(right.argmax())) == (0, 30)
        assert left.max() / right.max() == pytest.approx(0.8 / 0.6, abs=1e-3)

    @pytest.mark.parametrize("rate", [16000, 44100, 96000])
    def test_a_response_of_another_rate_is_resampled(self, rate: int, record: Record, tmp_path: Path) -> None:
        """A decaying cosine is known at every rate."""

        def cosine(rate: int) -> Array:
            t = np.arange(round(0.5 * rate)) / rate
            return 0.5 * np.cos(2 * np.pi * 300 * t) * np.exp(-t / 0.05)

        click = np.eye(1, rate // 10)[0] * 0.5
        recording, impulse = record("in.wav", click, rate, "FLOAT"), record("ir.wav", cosine(48000), 48000, "FLOAT")
        reverberate(recording, impulse, tmp_path / "out.wav", wet=1)
        found, expected = heard(tmp_path / "out.wav")[:, 0], leveled(cosine(rate)[:, None])[:, 0]
        frequencies = np.arange(100, 1000, 20)
        spectra = (np.abs(np.fft.rfft(signal, 5 * rate)[5 * frequencies]) for signal in (found, 0.5 * expected))
        np.testing.assert_allclose(*spectra, rtol=0.02)

    @pytest.mark.parametrize(
        ("floor", "seconds"),
        [(0.0, 0.6), (0.003, 0.1), (1e-6, 0.6)],
        ids=["digital silence", "noise 30 dB down", "noise below hearing"],
    )
    def test_a_tail_ends_at_60_db_or_in_the_noise(
        self, floor: float, seconds: float, record: Record, tmp_path: Path
    ) -> None:
        """The decay falls by 100 dB a second."""
        t = np.arange(2 * 44100) / 44100
        taps = 0.1 * noise(len(t), seed=1) * 10 ** (-100 * t / 20) + floor * noise(len(t), seed=2)
        taps[0] = 0.1
        recording = record("in.wav", melody(0.2))
        reverberate(recording, record("ir.wav", taps, subtype="FLOAT"), tmp_path / "out.wav")
        tail = len(heard(tmp_path / "out.wav")) / 44100 - 0.2
        assert tail == pytest.approx(seconds, abs=0.03) if floor != 0.003 else 0.2 < tail < 0.35

    def test_a_tail_is_bounded_and_fades(self, record: Record, tmp_path: Path) -> None:
        impulse = record("ir.wav", np.full(4000, 0.1), subtype="FLOAT")
        recording = record("in.wav", np.eye(1, 100)[0] * 0.5, subtype="FLOAT")
        reverberate(recording, impulse, tmp_path / "out.wav", wet=1, tail=0.05)
        found = heard(tmp_path / "out.wav")[:, 0]
        assert len(found) == 100 + 2205
        taps = found[:2206] / found[0]
        np.testing.assert_allclose(taps[:1765], 1, atol=1e-6)
        np.testing.assert_allclose(taps[-441:], np.cos(np.pi / 2 * (np.arange(441) + 0.5) / 441) ** 2, atol=1e-6)

    @pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
    def test_a_loud_mixture_is_turned_down_as_a_whole(
        self, subtype: str, record: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        tone = 0.9 * np.sin(2 * np.pi * 441 * np.arange(22050) / 44100)
        taps = np.sin(2 * np.pi * (441 * np.arange(2000) / 44100 + 0.25))
        recording, impulse = record("in.wav", tone, subtype=subtype), record("ir.wav", 0.9 * taps, subtype="FLOAT")
        reverberate(recording, impulse, tmp_path / "out.wav", wet=1)
        found, expected = heard(tmp_path / "out.wav"), whole(heard(recording), heard(impulse))
        peak = np.abs(whole(heard(recording), leveled(heard(impulse)))).max()
        assert np.abs(found).max() == pytest.approx(1, abs=2**-14)
        np.testing.assert_allclose(found, expected / np.abs(expected).max(), atol=2**-14)
        assert caplog.messages == [
            f"{tmp_path}/out.wav: turned down by {20 * math.log10(peak):.1f} dB, to stay within full scale"
        ]

    @pytest.mark.parametrize("name", ["emt140_plate", "guitar_cab_adventurekid", "kemar_hrir", "openair"])
    def test_real_responses(self, name: str, data: Path, tmp_path: Path, record: Record) -> None:
        """A click comes back where it was, and with its energy."""
        impulses = sorted((data / "irs" / name).rglob("*.flac"))
        if not impulses:
            pytest.skip(f"no impulse responses in {data / 'irs' / name}")
        click = np.eye(1, 2000, 1000)[0] * 0.1
        for impulse in impulses[:3]:
            reverberate(record("in.wav", click, subtype="FLOAT"), impulse, tmp_path / "out.wav", wet=1)
            found = np.abs(heard(tmp_path / "out.wav")).max(1)
            assert found[980:1021].max() >= 0.1 * found.max() > found[:950].max()
            assert np.square(heard(tmp_path / "out.wav")).sum(0).mean() == pytest.approx(0.01, rel=0.001)


class TestCommand:
    def test_it_writes_a_file(self, wavewright: Run, record: Record, tmp_path: Path) -> None:
        recording, impulse = record("in.flac", melody(0.5)), record("ir.wav", decay(0.2, 48000, 150), 48000)
        for name in ("--wet", "--mix"):
            out = tmp_path / f"{name}.flac"
            options = ("--impulse", impulse, "--out", out, name, 0.5, "--tail", 0.1)
            result = wavewright("reverb", recording, *options)
            assert (result.returncode, result.stdout) == (0, ""), result.stderr
            assert soundfile.info(out).frames == round(0.6 * 44100)

    def test_what_is_refused(self, wavewright: Run, record: Record, tmp_path: Path) -> None:
        good, impulse = record("in.wav", melody(0.2)), record("ir.wav", decay(0.1, 44100, 200))
        out = record("out.wav", melody(0.1))
        text, empty = tmp_path / "text.wav", tmp_path / "empty.wav"
        text.write_text("no sound")
        empty.touch()
        silent, short = record("silent.wav", np.zeros(1000)), record("short.wav", np.zeros(0))
        bad = record("nan.wav", np.array([0.1, math.nan]), subtype="FLOAT")
        long, four = record("long.wav", np.ones(61 * 1000), 1000), record("four.wav", 0.1 * np.ones((9, 4)))
        two = record("two.wav", 0.1 * np.ones((9, 2)))
        before = out.read_bytes()

        def line(recording: Path, impulse: Path, out: Path = out, *options: object) -> str:
            found = refusal(wavewright("reverb", recording, "--impulse", impulse, "--out", out, *options))
            assert (tmp_path / "out.wav").read_bytes() == before
            assert not list(tmp_path.glob(".*"))
            return found.removeprefix("wavewright: ")

        for path, reason in (
            (text, "not readable"),
            (empty, "an empty file"),
            (short, "holds no samples"),
            (bad, "NaN or infinite samples, the first at 0.000 s"),
            (tmp_path / "none.wav", "no such file"),
        ):
            assert line(path, impulse).startswith(f"{path}: {reason}")
            assert line(good, path).startswith(f"{path}: {reason}")
        assert line(good, silent) == f"{silent}: a silent impulse response; name another one"
        assert line(good, long) == f"{long}: longer than 60 s; name an impulse response"
        assert line(two, four) == f"{four}: 4 channels for a sound of 2; give an impulse response of 1"
        for path in (good, impulse):
            assert line(good, impulse, path) == f"--out {path}: the same file as {path}; name another one"
        assert line(good, impulse, tmp_path / "a.mp3").endswith("a.mp3: name a .wav or .flac file")
        for value in ("-0.1", "1.01", "nan"):
            assert line(good, impulse, out, f"--wet={value}") == f"--wet {value}: give 0 to 1"
        for value in ("0", "-1", "inf", "nan"):
            assert line(good, impulse, out, f"--tail={value}").startswith(f"--tail {value}: give more than 0 seconds")

    def test_ctrl_c_leaves_the_file_as_it_was(self, record: Record, tmp_path: Path) -> None:
        sound = np.zeros((30 * 44100, 2), np.float32)
        sound[0] = 0.5
        recording, impulse = record("in.wav", sound), record("ir.wav", decay(2, 44100, 25))
        out = record("out.wav", melody(0.1))
        before = out.read_bytes()
        command = [sys.executable, "-m", "wavewright", "reverb", recording, "--impulse", impulse, "--out", out]
        with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
            while not any(path.stat().st_size > 100_000 for path in tmp_path.glob(".out.wav.*.tmp")):
                assert process.poll() is None
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (130, "")
        assert out.read_bytes() == before
        assert not list(tmp_path.glob(".*"))

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_memory_does_not_grow_with_the_recording(self, record: Record, tmp_path: Path) -> None:
        impulse, most = record("ir.wav", decay(0.5, 44100, 60)), []
        for minutes in (1, 10):
            sound = np.zeros(minutes * 60 * 44100, np.int16)
            command = ["reverb", record("in.wav", sound), "--impulse", impulse, "--out", tmp_path / "out.wav"]
            code = f"from wavewright.cli import main\ntry: main({list(map(str, command))})\n"
            code += "except SystemExit as end: assert not end.code\n"
            code += "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
            result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            most.append(int(result.stdout))
        assert most[1] < 1.1 * most[0]  # the longer recording is 110 MB longer
