"""From codes to sound: both ends fade, other sample rates and bit depths, FLAC; and a stream is the file."""

import contextlib
import io
import json
import signal
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.model_files import run_of
from support.tiny import RATE, start
from wavewright.corpus.levelling import limit
from wavewright.errors import ConfigError
from wavewright.playing import opening, takes
from wavewright.playing.live import play_aloud, stream_wav
from wavewright.playing.sound import sounds
from wavewright.playing.stream import BLOCK, stream
from wavewright.playing.torch_model import TorchModel
from wavewright.quantize import Quantizer

pytestmark = pytest.mark.slow

FADED = round(0.01 * RATE)


@pytest.fixture(scope="module")
def run(trained: Path) -> TorchModel:
    return opening.open_run(trained)


def made(run: TorchModel, codes: NDArray[np.integer], parts: Sequence[int], rate: int, frames: float) -> Any:
    """The sound of codes (streams, n) that come in blocks of those lengths."""
    blocks = np.split(codes, np.cumsum(parts), 1)
    found = sounds(run, blocks, count=len(codes), rate=rate, frames=frames)
    return np.concatenate(list(found), 1)


def codes_of(streams: int, length: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 64, (streams, length))


def steepest(sound: NDArray[np.floating], rate: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The steepest steps of sounds (N, n) that follow silence: in their first 10 ms, and later."""
    steps = np.abs(np.diff(sound, axis=1, prepend=0.0))
    first = round(0.01 * rate)
    return steps[:, :first].max(1), steps[:, first:].max(1)


def test_takes_that_are_loud_at_once_begin_and_end_without_a_click(tmp_path: Path) -> None:
    """Two thirds of the streams of a model that has learned nothing begin beyond 0.3 of full scale."""
    model = opening.to_native(run_of("tiers 6 3", q_levels=64))
    paths = [take.path for take in takes.record(model, tmp_path / "take.wav", seconds=1, count=32)]
    sound = np.stack([soundfile.read(path)[0] for path in paths])
    raw = model.quantizer.decode(model.player(32).generate(model.rate))
    assert (np.abs(raw[:, 0]) > 0.3).sum() > 5
    for one in (sound, sound[:, ::-1]):
        first, later = steepest(one, model.rate)
        assert (first <= later).all()
        assert np.abs(one[:, 0]).max() < 0.001
    streamed = next(model.stream(model.rate))
    assert np.abs(streamed[:10] - sound[0, :10]).max() < 1e-4


def test_all_but_the_ends_is_what_the_codes_say(run: TorchModel) -> None:
    codes = codes_of(2, 1000)
    found, whole = made(run, codes, [], RATE, 1000), Quantizer(64, "mu-law").decode(codes)
    assert np.array_equal(found[:, FADED:-FADED], whole[:, FADED:-FADED])
    weight = np.sin(np.pi / 2 * (np.arange(FADED) + 0.5) / FADED) ** 2
    np.testing.assert_allclose(found[:, :FADED], whole[:, :FADED] * weight, atol=1e-6)
    np.testing.assert_allclose(found[:, -FADED:], whole[:, -FADED:] * weight[::-1], atol=1e-6)


@given(st.lists(st.integers(0, 500), max_size=6), st.sampled_from([RATE, 44100, 8000, 3999]), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_a_sound_is_the_same_in_any_blocks_and_beside_others(
    run: TorchModel, parts: list[int], rate: int, streams: int
) -> None:
    codes = codes_of(streams, sum(parts) + 17)
    whole = made(run, codes, [], rate, np.inf)
    assert np.array_equal(made(run, codes, parts, rate, np.inf), whole)
    assert np.array_equal(made(run, codes[:1], parts, rate, np.inf), whole[:1])


@pytest.mark.parametrize("rate", [44100, 48000, 1000])
def test_a_take_at_another_rate_is_the_take_resampled(run: TorchModel, tmp_path: Path, rate: int) -> None:
    options: dict[str, Any] = {"seconds": 1.0, "seed": 3, "bits": 24}
    (own,) = takes.record(run, tmp_path / "own.wav", **options)
    (other,) = takes.record(run, tmp_path / "other.wav", rate=rate, **options)
    sound, found_rate = soundfile.read(other.path)
    assert found_rate == rate
    expected = soxr.resample(soundfile.read(own.path)[0], RATE, rate, quality="VHQ")
    assert len(sound) == len(expected) == rate
    expected = np.concatenate(list(limit([expected], rate, 0.0)))
    np.testing.assert_allclose(sound, expected, atol=1e-5)
    assert other.rms_dbfs == pytest.approx(20 * np.log10(sound.std()), abs=0.1)


@given(st.floats(0.001, 3), st.integers(1000, 192_000))
@settings(max_examples=60, deadline=None)
def test_lengths_are_exact(run: TorchModel, seconds: float, rate: int) -> None:
    """`seconds` times the rate, rounded, for any length and rate."""
    frames = round(seconds * rate)
    codes = np.full((1, takes.samples_for(seconds, RATE)), 32)
    assert made(run, codes, [], rate, frames).shape == (1, frames)


def test_nothing_clips_after_resampling(run: TorchModel) -> None:
    """A square wave at full scale overshoots by a tenth between its samples."""
    codes = np.tile(np.repeat([0, 63], 9), 300)[None]
    quiet = np.concatenate((np.tile(np.repeat([8, 55], 9), 300)[None], codes), 1)
    unlimited = soxr.resample(run.quantizer.decode(codes)[0], RATE, 48000, quality="VHQ")
    assert np.abs(unlimited).max() > 1.05
    loud = made(run, codes, [], 48000, np.inf)
    assert np.abs(loud).max() <= 1
    both = made(run, quiet, [], 48000, np.inf)[0]
    alone = made(run, quiet[:, :5400], [], 48000, np.inf)[0]
    assert np.abs(both[:50_000] - alone[:50_000]).max() < 1e-6  # what is not too loud stays as it is


@pytest.mark.parametrize(
    ("name", "bits"), [("a.wav", 16), ("a.wav", 24), ("a.wav", 32), ("a.flac", 16), ("a.FLAC", 24)]
)
def test_kinds_of_files(run: TorchModel, tmp_path: Path, name: str, bits: int) -> None:
    takes.record(run, tmp_path / name, seconds=0.5, bits=bits)
    with soundfile.SoundFile(tmp_path / name) as file:
        assert file.subtype == f"PCM_{bits}"
        assert file.format == name.split(".")[1].upper()
        assert json.loads(file.comment)["take"] == 1
        assert file.software.startswith("wavewright ")
        found = file.read()
    takes.record(run, tmp_path / "finest.wav", seconds=0.5, bits=32)
    np.testing.assert_allclose(found, soundfile.read(tmp_path / "finest.wav")[0], atol=0.51 * 2.0 ** -(bits - 1))


def test_a_take_is_the_same_bytes_again_in_any_kind(run: TorchModel, tmp_path: Path) -> None:
    for name, bits in (("a.wav", 32), ("a.flac", 24)):
        found = [
            takes.record(run, tmp_path / name, seconds=0.2, rate=44100, bits=bits)[0].path.read_bytes() for _ in "12"
        ]
        assert found[0] == found[1]


@pytest.mark.parametrize(("rate", "bits"), [(None, 16), (48000, 24), (None, 32)])
def test_a_stream_has_the_samples_of_the_file(
    trained: Path, run: TorchModel, tmp_path: Path, rate: int | None, bits: int
) -> None:
    out = io.BytesIO()
    stream_wav(run, out, seconds=0.7, seed=2, rate=rate, bits=bits)
    out.seek(0)
    assert soundfile.info(out).subtype == f"PCM_{bits}"
    out.seek(0)
    streamed, found = soundfile.read(out, dtype="int32")
    takes.record(run, tmp_path / "take.wav", seconds=0.7, seed=2, rate=rate, bits=bits)
    assert found == (rate or RATE)
    assert np.array_equal(streamed, soundfile.read(tmp_path / "take.wav", dtype="int32")[0])


class Interrupted(io.BytesIO):
    """A place for a stream that is interrupted in the midst of its second write."""

    writes = 0

    def write(self, data: Any) -> int:
        self.writes += 1
        if self.writes == 2:
            signal.raise_signal(signal.SIGINT)
        return super().write(data)


def test_an_interrupted_stream_loses_nothing_and_fades_out(run: TorchModel) -> None:
    out = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        stream_wav(run, out, seconds=np.inf, seed=2)
    found = np.frombuffer(out.getvalue()[44:], "<i2") / 32768
    codes = np.concatenate(list(stream(run.player(1, 2), 2 * BLOCK)), 1)
    whole = run.quantizer.decode(codes)[0]
    assert len(found) == 2 * BLOCK
    np.testing.assert_allclose(found[FADED:-FADED], whole[FADED:-FADED], atol=1 / 32767)
    assert abs(found[-1]) < 0.001


def test_an_interrupted_sound_card_plays_what_was_made_and_fades_out(
    run: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[NDArray[np.float32]] = []

    class Card(contextlib.nullcontext[Any]):
        def __init__(self, rate: int, channels: int, dtype: str) -> None:
            super().__init__(self)

        def write(self, block: NDArray[np.float32]) -> None:
            heard.append(block[:, 0])
            if len(heard) == 2:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setitem(
        sys.modules, "sounddevice", types.SimpleNamespace(OutputStream=Card, PortAudioError=ZeroDivisionError)
    )
    with pytest.raises(KeyboardInterrupt):
        play_aloud(run, seed=2)
    sound = np.concatenate(heard)
    assert len(sound) == 2 * BLOCK
    assert np.abs(sound[[0, -1]]).max() < 0.001


def test_an_amplitude_becomes_the_nearest_integer(run: TorchModel, tmp_path: Path) -> None:
    """libsndfile alone would round towards minus infinity, and shift every sound by half a step."""
    takes.record(run, tmp_path / "take.wav", seconds=1)
    takes.record(run, tmp_path / "fine.wav", seconds=1, bits=32)
    coarse, fine = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("take", "fine"))
    assert abs((coarse - fine).mean()) < 0.1 / 32768


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"rate": 999}, "--rate 999: give 1000 to 192000 Hz"),
        ({"rate": 192_001}, "--rate 192001: give 1000 to 192000 Hz"),
        ({"bits": 8}, "--bits 8: give 16, 24 or 32"),
        ({"out": "a.flac", "bits": 32}, "--bits 32: a FLAC file has 16 or 24"),
        ({"out": "a.ogg"}, "a.ogg: name a .wav or .flac file"),
        ({"out": "a"}, "a: name a .wav or .flac file"),
        ({"seconds": 1e9}, "a WAV file holds 4 GB at most"),
        ({"seconds": 1e-5, "rate": 1000}, "--seconds 1e-05: give more than 0"),
        ({"count": 4097}, "--count 4097: "),
    ],
)
def test_what_is_refused(run: TorchModel, tmp_path: Path, options: dict[str, Any], line: str) -> None:
    given_options = {"seconds": 0.1, **options}
    out = tmp_path / given_options.pop("out", "a.wav")
    with pytest.raises(ConfigError) as refused:
        takes.record(run, out, **given_options)
    assert line in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_the_command_line_takes_rate_and_bits(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.flac"
    command = start(
        tmp_path / "log", "generate", trained, "--out", out, "--seconds", 0.3, "--rate", 44100, "--bits", 24
    )
    assert command.wait() == 0, command.output
    found = soundfile.info(out)
    assert (found.format, found.subtype, found.samplerate, found.frames) == ("FLAC", "PCM_24", 44100, 13230)
