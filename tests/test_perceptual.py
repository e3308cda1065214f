"""Measures of sound against closed forms, scipy and brute force."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from support.kinds import KINDS, build, codes_of
from support.oracles import ORACLES, weights_of
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError, WavewrightError
from wavewright.measuring import evaluation, perceptual, similarity
from wavewright.measuring.evaluation import evaluate
from wavewright.models.output import Softmax
from wavewright.playing import native_model, opening, scoring
from wavewright.playing.stream import stream
from wavewright.playing.torch_model import TorchModel
from wavewright.quantize import Quantizer

RATE = 16000


@pytest.fixture(scope="module")
def run(trained: Path) -> TorchModel:
    return opening.open_run(trained, "last")


def tones(*pitches: float, seconds: float = 2.0) -> Any:
    """Sines (K, N) of these pitches in Hz."""
    return 0.5 * np.sin(2 * np.pi * np.array(pitches)[:, None] * np.arange(round(seconds * RATE)) / RATE)


# Entropy


def test_entropy_is_that_of_the_distribution() -> None:
    logits = np.random.default_rng(0).normal(0, 5, (3, 7, 50)).astype(np.float32)
    p = np.exp(logits.astype(float))
    expected = scipy.stats.entropy(p / p.sum(-1, keepdims=True), base=2, axis=-1)
    np.testing.assert_allclose(Softmax(256).entropy(logits), expected, rtol=1e-9)
    assert Softmax(256).entropy(np.full(256, 1e6)) == 8
    assert Softmax(256).entropy(np.array([0.0, 0, -1e9])) == 1
    assert Softmax(256).entropy(np.array([1e4, 0, 0])) == 0


@pytest.mark.parametrize("kind", ["naive embedded", "tiers 8 4 2", "gated"])
def test_entropy_of_what_a_model_expected(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several blocks and streams: the first sample is expected after silence, each other after those before."""
    monkeypatch.setattr(scoring, "SCORE_LENGTH", 7)
    model, codes = build(kind), codes_of(2, 30).numpy()
    found = np.concatenate([model.config.output.entropy(block) for block in scoring.logits(model, codes)], 1)
    for own, stream_codes in zip(found, codes, strict=True):
        heard = [model.config.q_levels // 2, *stream_codes[:-1].tolist()]
        p = np.exp(ORACLES[KINDS[kind][0]](model.config, weights_of(model), heard))
        np.testing.assert_allclose(own, scipy.stats.entropy(p, base=2, axis=1), rtol=1e-5)


def test_the_engine_and_torch_find_the_same_entropy(run: TorchModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_model, "SCORE_LENGTH", 11)
    codes = np.random.default_rng(1).integers(0, 64, (3, 50))
    np.testing.assert_allclose(opening.to_native(run).entropy(codes), run.entropy(codes), rtol=1e-4)


# The nearest stretch


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(40, 90), st.sampled_from([16, 64]))
@settings(max_examples=40, deadline=None)
def test_nearest_against_brute_force(seed: int, n: int, length: int, block: int) -> None:
    """Through blocks of several lengths, with silent windows."""
    random = np.random.default_rng(seed)
    sound = random.integers(-20000, 20000, length).astype(np.int16)
    sound[length // 2 : length // 2 + 15] = 321
    stretches = random.normal(size=(3, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "NEAREST_BLOCK", block)
        found = similarity.nearest(stretches, sound)
    windows = np.lib.stride_tricks.sliding_window_view(sound, n)
    expected = [max(np.corrcoef(q, w)[0, 1] if np.ptp(w) else 0.0 for w in windows) for q in stretches]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("at", [0, 4321, 7000, 96_000 - 500])
def test_a_planted_copy_is_found_at_any_gain(at: int) -> None:
    sound = np.random.default_rng(2).integers(-9000, 9000, 96_000).astype(np.int16)
    copy = sound[at : at + 500] / 32767
    strangers = np.random.default_rng(3).normal(size=(1, 500))
    found = similarity.nearest(np.stack([copy, 0.01 * copy + 0.2, strangers[0]]), sound)
    assert found[:2] == pytest.approx([1, 1], abs=1e-5)
    assert found[2] < 0.3
    assert similarity.nearest(np.zeros((1, 500)), sound) == 0


def test_stretches_are_spread_from_start_to_end() -> None:
    sound = np.arange(100)
    assert similarity.spread(sound, 10, 4)[:, 0].tolist() == [0, 30, 60, 90]
    assert similarity.spread(sound, 30, 99).tolist() == [sound[i : i + 30].tolist() for i in (0, 35, 70)]
    assert similarity.spread(sound, 101, 4).shape == (0, 101)


# Spectra, pitch and onsets


def test_spectra_of_a_sound_at_half_its_level() -> None:
    """Its magnitudes differ by half, their logarithms by ln 2; silence differs from it by all there is."""
    noise = np.random.default_rng(4).normal(0, 0.1, (2, 8000))
    distance, convergence = perceptual.spectral_distances(0.5 * noise, noise)
    assert (distance, convergence) == (pytest.approx(0.5 + np.log(2), rel=1e-4), pytest.approx(0.5, rel=1e-4))
    assert perceptual.spectral_distances(noise, noise) == (0, 0)
    assert perceptual.spectral_distances(0 * noise, noise)[1] == pytest.approx(1, abs=1e-3)
    louder = noise * np.array([[1], [100]])  # each pair counts alike
    assert perceptual.spectral_distances(louder * [[0.5], [1]], louder)[1] == pytest.approx(0.25, rel=1e-4)


def test_the_pitch_class_of_a_tone() -> None:
    a, c = tones(440)[0], tones(261.63, 523.25)
    found = perceptual.chroma(a, c, RATE)
    assert np.argmax(found.generated) == 9
    assert np.argmax(found.corpus) == 0
    assert sum(found.generated) == pytest.approx(1)
    assert found.distance > 0.9
    assert found.baseline is not None
    assert found.baseline < 0.1
    odd = perceptual.chroma(a, np.stack([a, a, a, c[0]]), RATE)
    assert odd.baseline == pytest.approx(odd.distance * 4 / 3)  # of the As, each beside two others and the C
    assert perceptual.chroma(a, a[None], RATE).distance == 0
    assert perceptual.chroma(a, a[None], RATE).baseline is None


def test_the_onsets_of_a_click_train() -> None:
    """Four bursts a second for five seconds, against one a second."""
    burst = np.random.default_rng(5).normal(0, 0.3, 800) * np.exp(-np.arange(800) / 100)

    def clicks(rate: int) -> Any:
        sound = np.zeros(5 * RATE)
        for start in range(RATE // 8, len(sound) - 800, RATE // rate):
            sound[start : start + 800] += burst
        return sound

    found = perceptual.onsets(clicks(4), clicks(1)[None], RATE)
    assert found.generated_per_second == pytest.approx(4, abs=0.3)
    assert found.corpus_per_second == pytest.approx(1, abs=0.3)
    assert found.generated_strength > 2 * found.corpus_strength


def test_log_mel_is_in_decibels_whatever_the_level() -> None:
    """Noise ten times as strong is 20 dB more where the tone is not; silence is at the floor."""
    tone, noise = tones(1000)[0], np.random.default_rng(8).normal(0, 0.004, 2 * RATE)
    found = perceptual.log_mel(tone + noise, RATE)
    assert found.shape[0] == perceptual.BANDS
    assert perceptual.log_mel(0.1 * (tone + noise) + 0.3, RATE) == pytest.approx(found, abs=1e-3)
    louder = perceptual.log_mel(tone + 10 * noise, RATE) - found
    assert np.median(louder[-5:]) == pytest.approx(20, abs=0.1)
    assert np.ptp(louder[np.argmax(found.mean(1))]) < 0.2
    assert perceptual.log_mel(np.zeros(RATE), RATE) == pytest.approx(-50)


def exact(random: Any, mean: Any, covariance: Any, count: int) -> Any:
    """Features (count, D) of exactly that mean and covariance."""
    raw = random.normal(size=(count, len(mean)))
    raw -= raw.mean(0)
    raw = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
    return mean + raw @ np.linalg.cholesky(covariance).T


def test_frechet_distance_of_two_gaussians() -> None:
    """Along axes it is |means|^2 + sum (deviation - deviation)^2; else as scipy's square root of a matrix has it."""
    random = np.random.default_rng(6)
    a = exact(random, np.array([1.0, 2, 3]), np.diag([4.0, 9, 1]), 50)
    b = exact(random, np.array([1.0, 0, 0]), np.diag([1.0, 16, 1]), 80)
    assert perceptual.frechet(a, b) == pytest.approx(4 + 9 + 1 + 1 + 0, abs=1e-6)
    assert perceptual.frechet(a, a) == pytest.approx(0, abs=1e-6)
    s, t = (m @ m.T + np.eye(4) for m in random.normal(size=(2, 4, 4)))
    expected = 1 + np.trace(s + t - 2 * scipy.linalg.sqrtm(s @ t)).real
    found = perceptual.frechet(exact(random, np.zeros(4), s, 30), exact(random, np.array([0, 1.0, 0, 0]), t, 30))
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_of_like_sounds_is_that_of_chance() -> None:
    noise = np.random.default_rng(7).normal(0, 0.1, (5, RATE))
    distance, baseline = perceptual.log_mel_frechet(noise[0], noise[1:], RATE)
    assert baseline == pytest.approx(distance, rel=0.5)
    assert perceptual.log_mel_frechet(tones(440)[0, :RATE], noise, RATE)[0] > 100 * distance


# All of it, of a model


@pytest.mark.slow
def test_generated_sound_is_that_of_the_stream(run: TorchModel, corpus: Corpus) -> None:
    found = evaluate(run, corpus, "valid", continuations=0, generate=1.5).generated
    assert found is not None
    codes = np.concatenate(list(stream(run.player(), 6000)), 1)
    sound = Quantizer(64, "mu-law").decode(codes[0]).astype(float)
    seconds = [sound[:4000], sound[4000:]]
    assert (found.seconds, found.seed, found.entropy_seconds) == (1.5, 0, 0.1)
    assert found.rms_dbfs == pytest.approx([10 * np.log10(np.mean(s**2)) for s in seconds], abs=1e-3)
    assert found.dc == pytest.approx([s.mean() for s in seconds], abs=1e-6)
    assert found.entropy == pytest.approx(run.entropy(codes).reshape(15, 400).mean(1).tolist())
    assert found.nearest.mean is not None
    assert found.nearest.held_out_mean is not None
    assert found.nearest.mean < found.nearest.greatest <= 1


def test_a_model_that_plays_by_heart_is_found_out(run: TorchModel, corpus: Corpus) -> None:
    """The training split in place of what it makes: nearer to it than what was held out."""
    heart = corpus.samples("train")[2000:8000].astype(np.float32) / 32767
    found = evaluation._nearest(run, corpus, "test", heart)
    assert found.mean == pytest.approx(1, abs=1e-3)
    assert found.held_out_mean is not None
    assert found.held_out_mean < 0.99
    silent = evaluation._nearest(run, corpus, "test", np.zeros(6000, np.float32))
    assert (silent.mean, silent.greatest) == (None, None)
    assert silent.held_out_mean == found.held_out_mean


def test_continuations_have_spectra_where_they_are_long_enough(
    run: TorchModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual, "STFT_SAMPLES", 100)
    monkeypatch.setattr(perceptual, "spectral_distances", lambda made, truth: (made.shape[0], truth.shape[1]))
    found = evaluate(run, corpus, "test", continuations=3, seconds=0.025).continuations
    assert found is not None
    assert (found.multi_resolution_stft, found.spectral_convergence) == (3, 100)
    short = evaluate(run, corpus, "test", continuations=3, seconds=0.02).continuations
    assert short is not None
    assert short.multi_resolution_stft is None


def test_without_its_packages_the_core_still_works(
    run: TorchModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual, "PACKAGES", ("no_such_package", "numpy"))
    assert evaluate(run, corpus, "test").bits_per_sample < 6
    expected = r"needs no_such_package, not installed: run pip install '\.\[experiments\]' in the folder"
    with pytest.raises(WavewrightError, match=expected):
        evaluate(run, corpus, "test", generate=1)
    for seconds in (0.5, -1, np.nan, np.inf):
        with pytest.raises(ConfigError, match=r"--generate .*: give 1 second or more, or 0 for none"):
            evaluate(run, corpus, "test", generate=seconds)


def test_a_split_of_a_moment_is_refused(run: TorchModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "LEAST_SECONDS", 1.001)
    with pytest.raises(ConfigError, match="--split test: 4000 samples, too few to compare with; give --generate 0"):
        evaluate(run, corpus, "test", generate=1)


COMPILED = """
import fcntl, importlib, os, sys
from pathlib import Path

import numpy as np

from wavewright import errors

cache, load = Path(os.environ["NUMBA_CACHE_DIR"]), importlib.import_module


def watched(name, package=None):
    if name.startswith("librosa."):
        folder = os.open(sys.modules["librosa"].__path__[0], os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("unlocked", name)
        except BlockingIOError:
            pass
        finally:
            os.close(folder)
    return load(name, package)


importlib.import_module = watched
errors.need_librosa()
importlib.import_module = load
before = set(cache.rglob("guf-*"))

from wavewright.conditioning.describe import pitch
from wavewright.measuring.perceptual import _onsets, _pitch_classes

sound = np.sin(np.arange(8000) * 0.3)
pitch(sound, 8000), _onsets(sound, 8000), _pitch_classes(sound, 8000)
print(len(before) > 0, set(cache.rglob("guf-*")) - before)
"""


@pytest.mark.slow
def test_librosa_compiles_while_no_other_process_does(tmp_path: Path) -> None:
    """What it compiles for NumPy breaks where two processes write Numba's cache: none may be left for later."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILED], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"
