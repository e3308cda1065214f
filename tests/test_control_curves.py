"""Curves that are measured in the sounds of a corpus."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import melody
from support.scores import ONE, RATE, Record
from wavewright.conditioning.describe import MEASURES
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.models.condition import Condition, Number, Time
from wavewright.quantize import to_amplitude

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_curves_are_the_same_however_many_processes_measure_them(record: Record, tmp_path: Path) -> None:
    pytest.importorskip("librosa")
    for i in range(4):
        record(f"in/{i}.wav", melody(0.7 + 0.2 * i, RATE, 200 + 50 * i), RATE)
    settings = PrepareSettings(rate=RATE, section_seconds=0.5, split=(0.6, 0.2, 0.2), describe=("pitch", "brightness"))
    one, three = (prepare([tmp_path / "in"], tmp_path / f"{n}", settings, workers=n) for n in (1, 3))
    assert one.contents == three.contents
    for file in one.path.iterdir():
        assert file.read_bytes() == (three.path / file.name).read_bytes()
    for split in ("train", "valid", "test"):
        curves = one.curve(split, "pitch")
        assert curves is not None
        for track, curve in zip(one.tracks_of(split), curves, strict=True):
            samples = to_amplitude(one.samples(split)[track.start : track.start + track.frames])
            np.testing.assert_array_equal(curve, MEASURES["pitch"](samples, RATE))
            assert np.isfinite(curve).any()


def test_curves_are_those_of_each_track(record: Record, tmp_path: Path) -> None:
    for i in range(4):
        quiet = np.zeros(RATE // 2)
        record(f"in/{i}.wav", np.concatenate((melody(1.0 + 0.3 * i, RATE, 300), quiet, melody(0.5, RATE, 900))), RATE)
    describe = ("loudness", "brightness")
    settings = PrepareSettings(rate=RATE, section_seconds=1, split=(0.6, 0.2, 0.2), describe=describe)
    corpus = prepare([tmp_path / "in"], tmp_path / "out", settings)
    by_curve: dict[str, list[NDArray[np.float32]]] = {name: [] for name in describe}
    for split in ("train", "valid", "test"):
        for name in describe:
            curves = corpus.curve(split, name)
            assert curves is not None
            for track, curve in zip(corpus.tracks_of(split), curves, strict=True):
                samples = to_amplitude(corpus.samples(split)[track.start : track.start + track.frames])
                np.testing.assert_array_equal(curve, MEASURES[name](samples, RATE))
                by_curve[name] += [curve] * (split == "train")
    bright = np.concatenate(by_curve["brightness"])
    low, high = np.nanpercentile(bright, (1, 99))
    assert [control.name for control in corpus.controls] == ["loudness", "brightness"]
    assert corpus.controls[0] == Number("loudness", -80, 0)
    found_range = corpus.controls[1]
    assert isinstance(found_range, Number)
    assert (found_range.low, found_range.high) == pytest.approx((low, high), abs=1e-4)
    found = Conditions(corpus, "train", Condition(corpus.controls, 256)).frames(0, 0, corpus.tracks[0].frames)
    first = by_curve["brightness"][0]
    np.testing.assert_array_equal(found[:, 3], np.isnan(first))
    expected = np.clip((first - low) / (high - low) * 2 - 1, -1, 1)
    np.testing.assert_allclose(found[:, 1], np.where(np.isnan(first), 0, expected), atol=1e-5)


def test_a_time_is_as_long_as_the_longest_sound(record: Record, tmp_path: Path, wavewright: Command) -> None:
    for i in range(3):
        record(f"in/{i}.wav", melody(0.5 + 0.2 * i, RATE, 300), RATE)
    ran = wavewright(
        "prepare", tmp_path / "in", "--out", tmp_path / "out", "--preset", "one-shots", "--rate", RATE, "--trim", 0,
        "--describe", "time",
    )  # fmt: skip
    corpus = Corpus.open(tmp_path / "out")
    assert (ran.returncode, corpus.controls) == (0, (Time(0.9),))
    assert "controls: time (0 to 0.9 s)" in ran.stdout
    frames = Conditions(corpus, "train", Condition(corpus.controls)).frames(0, 0, corpus.tracks[0].frames)
    expected = Time(0.9).features(np.arange(len(frames)) * 16 / RATE)
    assert np.array_equal(frames, np.pad(expected, ((0, 0), (0, 1))))


def test_silence_has_a_range_too(record: Record, tmp_path: Path) -> None:
    record("in/a.wav", np.zeros(2 * RATE), RATE)
    corpus = prepare([tmp_path / "in"], tmp_path / "out", ONE.model_copy(update={"describe": ("brightness",)}))
    frames = Conditions(corpus, "train", Condition(corpus.controls)).frames(0, 0, RATE)
    assert frames.tolist() == [[0, 1]] * len(frames)
