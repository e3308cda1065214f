"""Decoding to the true end, resampling, measuring, levelling."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import melody
from wavewright.corpus.audio import Recording, mono, resample
from wavewright.corpus.levelling import SectionMeter, apply_gain, gains, limit, offsets, peaks
from wavewright.errors import AudioError

Record = Callable[..., Path]


def read(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    with Recording(path) as recording:
        return np.concatenate(list(recording.blocks())), recording.notes


def cut(signal: NDArray[np.floating], sizes: Sequence[int]) -> list[NDArray[np.floating]]:
    """The signal in blocks of these sizes, over and over."""
    edges = np.cumsum(np.resize(sizes, len(signal)))
    return np.split(signal, edges[edges < len(signal)])


# Decoding


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.caf", "a.w64"])
def test_formats_are_read_to_the_last_frame(record: Record, name: str) -> None:
    rate = 48000
    x = np.stack([melody(7, rate), melody(7, rate, 330)], axis=1)
    samples, notes = read(record(name, x, rate))
    assert samples.shape == x.shape
    assert notes == []
    assert np.abs(samples - x).max() < 0.15


def test_mp3_behind_a_long_tag_and_without_a_length_is_whole(data: Path, tmp_path: Path) -> None:
    source = data / "hostile/audio/ours__vbr_no_xing.mp3"
    assert len(read(source)[0]) == 17280  # libsndfile's own count: 8802
    picture = 700_000
    size = bytes(picture >> shift & 0x7F for shift in (21, 14, 7, 0))
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(b"ID3\x03\0\0" + size + bytes(picture) + source.read_bytes())
    assert np.array_equal(read(tagged)[0], read(source)[0])


def test_chained_ogg_is_refused_and_junk_after_the_end_is_not(record: Record, tmp_path: Path) -> None:
    links = [record(f"{i}.ogg", melody(1, 16000, 200 + i), 16000).read_bytes() for i in range(3)]
    chained = tmp_path / "chained.ogg"
    chained.write_bytes(links[0] + b"junk between" + links[1] + links[2])
    with pytest.raises(AudioError, match="3 Ogg streams joined"):
        read(chained)
    chained.write_bytes(links[0] + b"OggS" + bytes(40))
    assert len(read(chained)[0]) == 16000


def test_truncation_is_noted_or_refused(record: Record, tmp_path: Path) -> None:
    for name in ("a.wav", "a.aiff", "a.flac", "a.ogg"):
        whole = record(name, melody(20, 16000), 16000)
        short = tmp_path / f"short-{name}"
        short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        try:
            samples, notes = read(short)
        except AudioError:
            continue
        assert 0 < len(samples) < 20 * 16000
        assert notes
        assert notes[0].startswith("truncated: ")


def test_what_is_no_audio_is_refused_in_one_line(record: Record, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "text.wav").write_text("RIFF is not enough")
    (tmp_path / "headerless.raw").write_bytes(bytes(1000))
    (tmp_path / "odd\nname.flac").write_bytes(b"fLaC")
    record("nan.wav", np.array([0.0, np.nan, 1.0]), subtype="FLOAT")
    record("none.wav", np.zeros(0))
    for path in [tmp_path, tmp_path / "absent.wav", *tmp_path.iterdir()]:
        with pytest.raises(AudioError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) not in caught.value.reason


def test_channels() -> None:
    block = np.array([[0.5, -0.5], [1.0, 0.0]], np.float32)
    assert mono(block, "mix").tolist() == [0.0, 0.5]
    assert mono(block, "left").tolist() == [0.5, 1.0]
    assert mono(block, "right").tolist() == [-0.5, 0.0]
    assert mono(block[:, :1], "right").tolist() == [0.5, 1.0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=4), st.sampled_from([8000, 44100, 48000, 96000]))
def test_resampling_blocks_equals_resampling_the_whole(sizes: list[int], rate: int) -> None:
    x = np.random.default_rng(0).standard_normal(20011).astype(np.float32)
    blocks = np.concatenate(list(resample(cut(x, sizes), rate, 14700)))
    assert np.array_equal(blocks, soxr.resample(x, rate, 14700, "VHQ"))


# Levels


@given(st.lists(st.integers(1, 90), min_size=1, max_size=5), st.integers(1, 300), st.integers(1, 700))
def test_meter_measures_each_stretch(sizes: list[int], size: int, length: int) -> None:
    x = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    meter = SectionMeter(size)
    for block in cut(x, sizes):
        meter.add(block)
    stretches = np.split(x, range(size, length, size))
    assert meter.lows().tolist() == [s.min() for s in stretches]
    assert meter.highs().tolist() == [s.max() for s in stretches]
    np.testing.assert_allclose(meter.means(), [s.mean(dtype=float) for s in stretches], atol=1e-12)
    assert meter.whole().means()[0] == pytest.approx(x.mean(dtype=float))


@pytest.mark.parametrize("remove_dc", [True, False])
@pytest.mark.parametrize("levels", ["section", "track"])
def test_levels_reach_full_scale_and_leave_silence_alone(levels: str, remove_dc: bool) -> None:
    x = np.concatenate([melody(1, 1000, peak=0.2), np.zeros(1000), melody(0.4, 1000, peak=0.01)])
    meter = SectionMeter(1000)
    meter.add(x.astype(np.float32))
    offset = offsets(meter, levels, remove_dc)
    gain = gains(peaks(meter, levels, offset))
    (y,) = apply_gain([x.astype(np.float32)], gain, offset, 1000)
    parts = np.split(y, [1000, 2000]) if levels == "section" else [y]
    for part in parts:
        assert np.abs(part).max() == pytest.approx(1) or not part.any()
        if remove_dc:
            assert part.mean() == pytest.approx(0, abs=1e-9)
    if levels == "section":
        assert not parts[1].any()


def test_a_constant_is_not_raised_to_a_roar() -> None:
    meter = SectionMeter(1000)
    meter.add(np.full(999, 0.1, np.float32))
    meter.add(np.full(1, np.nextafter(np.float32(0.1), 1), np.float32))
    offset = offsets(meter, "track", True)
    assert gains(peaks(meter, "track", offset)).tolist() == [1.0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=4), st.integers(0, 5000))
def test_limiter_in_blocks_equals_the_whole_to_the_bit(sizes: list[int], length: int) -> None:
    x = np.random.default_rng(1).standard_normal(length) * 0.3
    whole = np.concatenate([np.zeros(0), *limit([x], 14700, -6)])
    blocks = np.concatenate([np.zeros(0), *limit(cut(x, sizes), 14700, -6)])
    assert np.array_equal(whole, blocks)
    assert len(whole) == length


def test_limiter_holds_peaks_and_raises_the_rest() -> None:
    x = 0.1 * np.sin(np.arange(30000) / 10)
    x[15000] = 1.0
    y = np.concatenate(list(limit([x], 14700, -6)))
    assert np.abs(y).max() <= 1 + 1e-12
    np.testing.assert_allclose(y[:14000], x[:14000] * 10 ** (6 / 20))
    assert y[15000] == pytest.approx(1)
    assert np.abs(np.diff(y / np.where(x == 0, 1, x))[14000:16000]).max() < 0.01  # a smooth gain


@pytest.mark.slow
def test_long_files_take_no_more_memory(tmp_path: Path) -> None:
    """An hour of audio through `prepare`, against a minute: peak memory of parent and decoder alike."""
    script = """if True:
        import sys
        from pathlib import Path
        from wavewright.corpus.prepare import prepare
        from wavewright.corpus.settings import PrepareSettings
        prepare([Path(sys.argv[1])], Path(sys.argv[2]), PrepareSettings())
        from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
        own = getrusage(RUSAGE_SELF).ru_maxrss
        if sys.platform == "linux":  # where that is not below what the process that started this one had
            (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
            own = line.split()[1]
        print(own, getrusage(RUSAGE_CHILDREN).ru_maxrss)
    """
    peaks_ = []
    for minutes in (1, 60):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", 8000, 1) as file:
            for i in range(minutes):
                file.write(melody(60, 8000, 100 + i))
        command = [sys.executable, "-c", script, str(path), str(tmp_path / f"corpus-{minutes}")]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks_.append(np.array(output.split(), float))
    unit = 1024 if sys.platform == "linux" else 1
    assert ((peaks_[1] - peaks_[0]) * unit < 40e6).all()
    assert (peaks_[1] * unit < 512e6).all()
