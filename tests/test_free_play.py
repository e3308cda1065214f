"""Free play: figures of long sounds against closed forms, verdicts on planted faults, and a model's own play."""

import json
import math
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

from support.kinds import codes_of
from support.model_files import run_of
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError, WavewrightError
from wavewright.measuring import free_play, perceptual
from wavewright.measuring.evaluation import evaluate
from wavewright.measuring.free_play import FreePlay, judge
from wavewright.measuring.hiss import hiss
from wavewright.measuring.long_sound import Figures, LongSound
from wavewright.models.output import Softmax, Split
from wavewright.playing import opening
from wavewright.playing.stream import play
from wavewright.playing.torch_model import TorchModel

RATE = 14700
SIZE = 2048  # samples of a frame at this rate
BIN = RATE / SIZE

Amplitudes = NDArray[np.float64]


def noise(seconds: float, rms: float, seed: int = 0) -> Amplitudes:
    return np.random.default_rng(seed).normal(0, rms, round(seconds * RATE))


def partials(seconds: float, amplitude: float) -> Amplitudes:
    """A sine in the middle of each band of 400 Hz from 100 to 4100 Hz, each in the middle of a bin."""
    bins = np.round((300 + 400 * np.arange(10)) / BIN)
    time = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(amplitude * np.sin(2 * np.pi * BIN * bins[:, None] * time + np.arange(10)[:, None]).sum(0))


def strikes(seconds: float, hiss: float = 1e-4) -> Amplitudes:
    """A note with overtones, struck twice a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 12)]
    return np.asarray(0.2 * np.sum(tones, axis=0) * np.exp(-3 * (time % 0.5)) + noise(seconds, hiss))


def measured(sound: Amplitudes, block: int = 4099) -> LongSound:
    found = LongSound(RATE)
    for start in range(0, len(sound), block):
        found.add(sound[start : start + block])
    found.end()
    return found


def figures(sound: Amplitudes) -> Figures:
    found = measured(sound)
    return found.figures(found.limits())


def broken(sound: Amplitudes) -> tuple[str, ...]:
    (stream,) = judge(measured(strikes(20)), [("silence", measured(sound))]).streams
    return stream.broken


# Figures


def test_peaks_stand_over_a_floor_of_noise_as_far_as_they_must() -> None:
    """A Hann window sums to N / 2, and its squares to 3 N / 8. A bin of noise has an exponential distribution."""
    amplitude, rms = 0.05, 0.0005
    peak = (amplitude / 2 * SIZE / 2) ** 2
    floor = -math.log(0.95) * rms**2 * SIZE * 3 / 8
    found = figures(partials(10, amplitude) + noise(10, rms))
    assert found.peak_over_floor_db == pytest.approx(10 * math.log10(peak / floor), abs=1)


def test_white_noise_has_the_figures_of_a_periodogram() -> None:
    """Its bins have an exponential distribution, whose geometric mean is e^-0.577 of its mean."""
    found = figures(noise(20, 0.05))
    assert found.flatness == pytest.approx(math.exp(-np.euler_gamma), rel=0.02)
    bins = 400 / BIN
    expected = np.log(bins) + np.euler_gamma  # mean of the greatest of so many
    assert found.peak_over_floor_db == pytest.approx(10 * np.log10(expected / -math.log(0.95)), abs=1.5)
    assert found.level_dbfs == pytest.approx(20 * math.log10(0.05), abs=0.05)
    assert found.treble_db == pytest.approx(10 * math.log10(1 - 5000 / (RATE / 2)), abs=0.1)
    assert found.pauses_dbfs == pytest.approx(found.level_dbfs, abs=1)
    assert (found.seconds_outside, found.bursts) == (0, 0)


def test_onsets_are_those_of_ten_seconds_at_a_time() -> None:
    sound = strikes(25)
    expected = [perceptual.onset_strength(stretch, RATE) for stretch in np.split(sound, [10 * RATE, 20 * RATE])]
    assert figures(sound).onset_strength_db == pytest.approx(np.concatenate(expected).mean(), rel=1e-5)


def test_pauses_are_the_quietest_tenth() -> None:
    sound = noise(20, 0.1)
    sound[: 3 * RATE] *= 0.01
    found = figures(sound)
    assert found.pauses_dbfs == pytest.approx(-60, abs=0.3)
    assert found.level_dbfs == pytest.approx(-20 + 10 * math.log10(17 / 20), abs=0.1)


def test_a_gain_moves_levels_alone() -> None:
    one, half = figures(strikes(20)), figures(0.5 * strikes(20))
    for name in ("flatness", "peak_over_floor_db", "onset_strength_db", "treble_db"):
        assert getattr(half, name) == pytest.approx(getattr(one, name), rel=0.01), name
    for name in ("level_dbfs", "pauses_dbfs"):
        assert getattr(half, name) == pytest.approx(getattr(one, name) - 6.02, abs=0.01), name


@pytest.mark.parametrize("block", [1, 1000, 10 * RATE, 10**6])
def test_blocks_may_have_any_length(block: int) -> None:
    sound = strikes(1.5 if block == 1 else 23)
    found = measured(sound, block)
    assert found.figures(found.limits()) == figures(sound)


def test_silence_has_no_spectrum() -> None:
    found = figures(np.zeros(12 * RATE))
    assert (found.flatness, found.peak_over_floor_db, found.treble_db) == (None, None, None)
    assert (found.level_dbfs, found.pauses_dbfs) == (-120, -120)
    assert found.onset_strength_db == 0


def test_memory_does_not_grow_with_the_sound() -> None:
    sound, block = LongSound(RATE), strikes(10)
    for _ in range(2):
        sound.add(block)
    tracemalloc.start()
    for _ in range(18):
        sound.add(block)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 18 * len(block) * 8 / 50  # a fiftieth of the sound itself


# Verdicts


def test_the_corpus_passes_and_so_does_its_like() -> None:
    real = measured(strikes(60))
    judged = judge(real, [("silence", measured(strikes(30))), ("music", measured(strikes(47.5)))])
    assert [stream.broken for stream in judged.streams] == [(), ()]
    assert all(bound.passed and bound.within == 2 for bound in judged.bounds)
    assert (judged.corpus.seconds_outside, judged.corpus.bursts) == (0, 0)
    assert [stream.start for stream in judged.streams] == ["silence", "music"]


def test_a_planted_burst_is_found_where_it_is() -> None:
    sound = strikes(30)
    for start in (17.25, 22.0):
        sound[round(start * RATE) : round((start + 0.15) * RATE)] += noise(0.15, 0.4)
    (stream,) = judge(measured(strikes(20)), [("music", measured(sound))]).streams
    assert stream.figures.bursts == 2
    assert stream.first_burst == pytest.approx(17.25, abs=0.15)
    assert "bursts" in stream.broken
    assert "bursts" not in broken(strikes(30))


def test_a_fading_stream_is_out_of_range_from_a_second_on() -> None:
    """It loses 2 dB a second, so the sixth second is the first that is 9.54 dB below the corpus's."""
    sound = strikes(30, 0) * 10 ** (-2 * np.arange(30 * RATE) / RATE / 20)
    (stream,) = judge(measured(strikes(20, 0)), [("silence", measured(sound))]).streams
    assert stream.first_outside == 5
    assert stream.figures.seconds_outside == 25
    assert {"seconds_outside", "level_dbfs"} <= set(stream.broken)


def test_each_fault_breaks_its_own_bound() -> None:
    sound = strikes(20)
    hissing = sound + noise(20, 0.01)
    steady = 0.06 * np.sign(np.sin(2 * np.pi * 220 * np.arange(20 * RATE) / RATE)) + noise(20, 1e-4)
    silence = np.zeros(20 * RATE)
    assert broken(sound) == ()
    assert {"flatness", "peak_over_floor_db"} <= set(broken(hissing))
    assert "onset_strength_db" in broken(steady)
    assert not {"seconds_outside", "level_dbfs", "bursts"} & set(broken(steady))
    everything = {"seconds_outside", "level_dbfs", "flatness", "peak_over_floor_db", "onset_strength_db"}
    assert set(broken(silence)) == everything
    assert "seconds_outside" in broken(4 * sound)
    assert broken(2 * sound) == ()


def test_a_peak_over_floor_of_35_db_is_asked_of_corpora_that_have_more() -> None:
    def bound(hiss: float) -> Any:
        judged = judge(measured(strikes(20, hiss)), [("music", measured(strikes(20, hiss)))])
        return next(bound for bound in judged.bounds if bound.name == "peak_over_floor_db")

    clear, dim = bound(1e-5), bound(0.01)
    assert clear.corpus > 42
    assert clear.low == 35
    assert dim.low == pytest.approx(dim.corpus - 7)
    assert dim.low < 35
    assert (clear.text, dim.passed) == ("35 or more", True)


# Hiss


def test_the_variance_is_that_of_the_distribution() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (4, 5, 16)).astype(np.float32)
    values = np.sort(np.random.default_rng(1).normal(0, 1, 16))
    p = np.exp(logits.astype(float))
    p /= p.sum(-1, keepdims=True)
    expected = (p * values**2).sum(-1) - (p * values).sum(-1) ** 2
    np.testing.assert_allclose(Softmax(16).variance(logits, np.zeros((4, 5), int), values), expected, rtol=1e-9)
    assert Softmax(2).variance(np.array([0.0, 0.0]), np.array(0), np.array([-1.0, 1.0])) == 1


def test_a_split_variance_averages_to_that_of_whole_codes() -> None:
    """Values are even, and the fine part does not know the coarse one. The variance is then exact for any code."""
    split, random = Split(4, 4), np.random.default_rng(2)
    coarse, fine = random.normal(0, 1, 4), np.array([0.5, -1.0, -1.0, 0.5])  # symmetric: the middle is the mean
    joint = np.exp(coarse)[:, None] * np.exp(fine)[None]
    joint = (joint / joint.sum()).ravel()
    values = np.linspace(-1, 1, 16)
    expected = (joint * values**2).sum() - (joint @ values) ** 2
    logits = np.concatenate([coarse, fine])[None]
    assert split.variance(logits, np.array([5]), values)[0] == pytest.approx(expected)


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_a_model_that_knows_nothing_spreads_over_all_codes(engine: str) -> None:
    run = run_of("gated")
    for parameter in run.model.parameters():
        parameter.data.zero_()
    model = run if engine == "torch" else opening.to_native(run)
    values = model.quantizer.centres(np.arange(model.quantizer.levels))
    codes = codes_of(2, 30).numpy()
    np.testing.assert_allclose(model.variance(codes), np.full((2, 30), values.var()), rtol=1e-5)
    sound = (3000 * np.sin(np.arange(20 * model.rate) / 5)).astype(np.int16)
    sound[: 10 * model.rate] //= 30
    found = hiss(model, sound)
    assert found.spread_dbfs == pytest.approx(10 * math.log10(values.var()), abs=1e-3)
    assert [part.low_dbfs for part in found.by_level] == sorted(part.low_dbfs for part in found.by_level)
    assert sum(part.share for part in found.by_level) == pytest.approx(1)
    for part in found.by_level:
        assert part.low_dbfs <= part.spread_dbfs + part.below_sound_db <= part.high_dbfs


# A model


@pytest.fixture(scope="module")
def run(trained: Path) -> TorchModel:
    return opening.to_native(opening.open_run(trained, "last"))


@pytest.fixture(scope="module")
def played(run: TorchModel, corpus: Corpus) -> FreePlay:
    found = evaluate(run, corpus, "test", continuations=0, free_play=1.5).free_play
    assert found is not None
    return found


def test_free_play_is_that_of_unguarded_streams(run: TorchModel, corpus: Corpus, played: FreePlay) -> None:
    codes = np.concatenate(list(play(run, 6000, count=8, guard=False)), 1)
    for stream, sound in zip(played.streams, run.quantizer.decode(codes), strict=False):
        own = LongSound(run.rate)
        own.add(sound)
        own.end()
        assert stream.start == "silence"
        assert stream.figures == own.figures(played.limits)
    assert [stream.start for stream in played.streams] == ["silence"] * 8 + ["music"] * 8
    assert len({stream.figures.level_dbfs for stream in played.streams}) == 16
    assert (played.seconds, played.temperature, played.top_p) == (1.5, 1, None)
    assert {bound.name for bound in played.bounds} <= set(free_play.TITLES)


def test_primes_are_music_of_every_recording(run: TorchModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The split has recordings of 6,400 and 3,600 samples, and a prime 2,000. Four of each are evenly spread."""
    monkeypatch.setattr(free_play, "PRIME_SECONDS", 0.5)
    codes = run.quantizer.encode_int16(corpus.samples("train"))
    starts = [880, 1760, 2640, 3520, 6400 + 320, 6400 + 640, 6400 + 960, 6400 + 1280]
    tracks = [(track.start, track.frames) for track in corpus.tracks_of("train")]
    assert tracks == [(0, 6400), (6400, 3600)]
    expected = np.stack([codes[start : start + 2000] for start in starts])
    assert np.array_equal(free_play._primes(run, corpus, "train"), expected)


def test_recordings_shorter_than_a_prime_are_passed_over(run: TorchModel, corpus: Corpus) -> None:
    codes = run.quantizer.encode_int16(corpus.samples("test"))
    assert np.array_equal(free_play._primes(run, corpus, "test"), np.tile(codes[:2800], (8, 1)))


def test_a_models_own_draw_is_taken(run: TorchModel, corpus: Corpus) -> None:
    from wavewright.formats.model_file import About

    found = free_play.free_play(replace(run, about=About(temperature=0.5, top_p=0.8)), corpus, "test", 1)
    assert (found.temperature, found.top_p) == (0.5, 0.8)


def test_results_are_json_and_come_back(played: FreePlay) -> None:
    text = json.dumps(asdict(played), allow_nan=False)
    assert TypeAdapter(FreePlay).validate_python(json.loads(text)) == played


def test_what_cannot_be_measured_is_refused(run: TorchModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in (0.5, -1, math.nan, math.inf):
        with pytest.raises(ConfigError, match=r"--free-play .*: give 1 second or more, or 0 for none"):
            evaluate(run, corpus, "test", free_play=seconds)
    with pytest.raises(ConfigError, match="--split valid: 2400 samples, too few to compare with; give --free-play 0"):
        evaluate(run, corpus, "valid", free_play=1)
    monkeypatch.setattr(perceptual, "PACKAGES", ("no_such_package",))
    with pytest.raises(WavewrightError, match="needs no_such_package"):
        evaluate(run, corpus, "test", free_play=1)
