"""Impulse responses of a model and of noise: how they are steadied, measured, compared, and what is refused."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from conftest import refusal
from support.impulses import BANDS, RATE, decaying, noise, room
from support.tiny import tiny
from wavewright.corpus import impulse
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import prepare_settings
from wavewright.measuring.rooms import curve_distance, decay_curve, measure
from wavewright.report import report
from wavewright.training.loop import Budget
from wavewright.training.run import train

Command = Callable[..., subprocess.CompletedProcess[str]]
Signal = NDArray[np.float64]


def level(sound: Signal, band: tuple[int, int], parts: int) -> Signal:
    """The level in dB of each part of a band, in from its edges, which the bands of the filter bank share."""
    low, high = 1.3 * max(band[0], 60), min(0.77 * band[1], 18000)
    filtered = sosfiltfilt(butter(4, (low, high), "bandpass", fs=RATE, output="sos"), sound)
    return np.array([10 * np.log10(np.square(part).mean()) for part in np.array_split(filtered, parts)])


# What is done to a model's sound


def test_a_sound_that_wanders_is_steadied_in_every_band() -> None:
    time = np.arange(2 * RATE) / RATE
    swells = 10 ** (6 * np.sin(2 * np.pi * 0.7 * time) / 20)
    wandering = noise(2, 1, *BANDS[1]) * swells + noise(2, 2, *BANDS[2]) / swells + noise(2, 3, *BANDS[3]) * 3**-time
    steadied = impulse.steady(wandering, RATE)
    for band in BANDS[1:]:
        assert np.ptp(level(wandering, band, 10)[1:]) > 5
        assert np.ptp(level(steadied, band, 10)[1:]) < 2
    early = 6 * 128  # the first 20 ms without a frame, which overlaps the next
    np.testing.assert_allclose(steadied[:early], wandering[:early], atol=1e-9)


def test_what_is_steady_or_short_or_silent_stays() -> None:
    steady = noise(1, 1)
    assert np.abs(level(impulse.steady(steady, RATE), BANDS[2], 8) - level(steady, BANDS[2], 8)).max() < 1
    for sound in (steady[:500], np.zeros(RATE)):
        np.testing.assert_allclose(impulse.steady(sound, RATE), sound, atol=1e-12)


def test_rumble_is_taken_out_and_sound_is_not() -> None:
    time = np.arange(RATE) / RATE
    music = np.sin(2 * np.pi * 100 * time) * np.hanning(RATE)
    rumbling = music + 0.3 + 0.2 * np.sin(2 * np.pi * 3 * time)
    clean = impulse.without_rumble(rumbling, RATE)
    np.testing.assert_allclose(clean[RATE // 8 : -RATE // 8], music[RATE // 8 : -RATE // 8], atol=0.05)
    assert abs(clean.mean()) < 1e-2
    assert abs(impulse.without_rumble(room() + 0.01 * decaying(1.0, 1.8), RATE).mean()) < 1e-4


def test_noise_goes_on_as_loud_as_the_room_in_every_band() -> None:
    sound, _ = impulse.without_decay(room(seed=3), RATE)
    made = impulse.shaped_noise(sound, RATE, 2 * RATE, np.random.default_rng(0))
    assert len(made) == 2 * RATE
    early = round(0.02 * RATE)
    np.testing.assert_allclose(made[: early - 128], sound[: early - 128], atol=1e-12)
    for band in BANDS[1:]:
        due = level(sound[RATE // 10 : RATE], band, 1)[0]
        assert level(made[RATE // 10 :], band, 1)[0] == pytest.approx(due, abs=1)


# What is measured


@pytest.mark.parametrize("t60", [0.5, 1.5])
def test_the_decay_time_of_every_octave(t60: float) -> None:
    """The median over six noises, which are never quite as their mean."""
    found = [measure(noise(1.2 * t60, seed) * decaying(t60, 1.2 * t60), RATE).decay for seed in range(6)]
    for hertz in (250, 500, 1000, 2000, 4000, 8000):
        assert np.median([one[hertz] for one in found]) == pytest.approx(t60, rel=0.08)


def test_the_measures_by_their_definitions() -> None:
    t60 = 1.0
    smooth = decaying(t60, 2.0)
    energy = 10 ** (-6 * 0.08 / t60)  # that is left after 80 ms of an exponential
    found = measure(smooth, RATE)
    assert found.clarity_db == pytest.approx(10 * np.log10((1 - energy) / energy), abs=0.01)
    assert found.mean == pytest.approx(smooth.mean())
    curve = decay_curve(smooth, RATE)
    np.testing.assert_allclose(curve, -60 * 0.01 * np.arange(len(curve)) / t60, atol=0.02)
    assert len(curve) == pytest.approx(40 / 60 * 100, abs=1)
    double = decaying(2 * t60, 4.0)
    points = 0.01 * np.arange(len(curve)) * (60 - 30)
    assert curve_distance(smooth, double, RATE) == pytest.approx(np.sqrt(np.square(points).mean()), rel=0.01)


def test_single_echoes_are_less_dense_than_noise() -> None:
    tail = noise(1.0) * decaying(1.0, 1.0)
    assert measure(tail, RATE).echo_density == pytest.approx(1, abs=0.05)
    sparse = np.zeros(RATE)
    sparse[:: RATE // 200] = 1.0  # 200 echoes a second
    assert measure(sparse * decaying(1.0, 1.0), RATE).echo_density < 0.1


def test_a_tone_that_stays_rings() -> None:
    tail = noise(2.0) * decaying(1.0, 2.0)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE) * decaying(3.0, 2.0)
    assert measure(tail + tone, RATE).ringing_db > measure(tail, RATE).ringing_db + 15


# Commands


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rooms and a tiny run on them at 32 kHz."""
    folder = tmp_path_factory.mktemp("rooms")
    for i in range(4):
        (folder / f"in/hall/{i}.wav").parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"in/hall/{i}.wav", room((0.5 + 0.1 * i,) * 3 + (0.3,), i, 3e-5), RATE)
    corpus = prepare([folder / "in"], folder / "corpus", prepare_settings("impulse-responses", rate=32000))
    config = tiny("naive-rnn", {"condition": {"controls": [asdict(control) for control in corpus.controls]}})
    train(config, corpus, folder / "run", Budget(steps=2), device="cpu")
    return folder


@pytest.mark.slow
def test_noise_in_the_model_s_place(rooms: Path, wavewright: Command, tmp_path: Path) -> None:
    asked = ("generate", rooms / "run", "--control", "t60=0.7", "--null", rooms / "in/hall/1.wav", "--count", 2)
    for name in ("a", "b"):
        result = wavewright(*asked, "--out", tmp_path / f"{name}.wav")
        assert result.returncode == 0, result.stderr
    takes = [soundfile.read(tmp_path / f"a-{number}.wav")[0] for number in (1, 2)]
    again = soundfile.read(tmp_path / "b-2.wav")[0]
    assert np.array_equal(takes[1], again)
    assert not np.array_equal(takes[0], takes[1])
    for take in takes:
        assert len(take) == 0.7 * 32000
        assert np.abs(take).max() == pytest.approx(1, abs=1e-3)
        assert measure(take, 32000).decay[1000] == pytest.approx(0.7, rel=0.15)
        assert abs(take.mean()) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "null", "line"),
    [
        ("piano", "in/hall/1.wav", "the model makes no impulse responses; leave it out"),
        ("run", "nothing.wav", "no such file"),
        ("run", "tone.wav", "no impulse response, since"),
    ],
)
def test_noise_that_cannot_be_made(rooms: Path, wavewright: Command, model: str, null: str, line: str) -> None:
    soundfile.write(rooms / "tone.wav", 0.5 * np.sin(np.arange(RATE) / 10), RATE)
    named = model if model == "piano" else rooms / model
    more = ["--free"] if model == "piano" else ["--control", "t60=0.7"]
    assert line in refusal(wavewright("generate", named, "--out", rooms / "x.wav", "--null", rooms / null, *more))
    assert not (rooms / "x.wav").exists()


@pytest.mark.slow
def test_no_noise_is_asked_for(rooms: Path, wavewright: Command) -> None:
    asked = ("--control", "t60=0.7", "--null", rooms / "in/hall/1.wav", "--count", 0)
    refused = refusal(wavewright("generate", rooms / "run", "--out", rooms / "x.wav", *asked))
    assert "--count 0: give 1 or more" in refused


@pytest.mark.slow
def test_the_experiment_compares_a_model_with_noise_and_rooms(rooms: Path, wavewright: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--out", out, "--only", "sample-rnn", "--minutes", 0.02, "--data")
    result = wavewright("experiment", "rooms", *options, rooms / "corpus")
    assert result.returncode == 0, result.stderr
    measures = json.loads((out / "trials/sample-rnn/result.json").read_text())["measures"]
    assert measures["decay_within_10_percent_of_the_rooms"] > 0.5
    assert measures["clarity_db_from_the_room_of_the_rooms"] == 0
    assert measures["echo_density_of_noise"] == pytest.approx(1, abs=0.1)
    assert measures["mean"] < 1e-3
    room_, model = (soundfile.read(out / f"trials/sample-rnn/takes/{name}.wav")[0] for name in ("room", "model"))
    assert len(room_) == len(model)
    assert report([out], tmp_path / "page.html")["unfinished"] == []
    page = (tmp_path / "page.html").read_text()
    assert "A star: the model is nearer than noise" in page
    assert "piano in the model" in page
    refused = refusal(wavewright("experiment", "rooms", "--out", tmp_path / "none"))
    assert "--data: name impulse responses" in refused
