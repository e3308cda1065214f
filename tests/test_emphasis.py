"""A model of emphasised sound, from training to playing: its codes stand for differences, and it plays the sound."""

import io
import json
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from numpy.typing import NDArray

from conftest import melody
from support.kinds import CONDITIONED
from support.model_files import make, parts, run_of
from support.tiny import RATE, start, tiny
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.rendering import audio_like_corpus
from wavewright.errors import ConfigError, WavewrightError
from wavewright.formats.config import resolve
from wavewright.measuring import evaluation
from wavewright.measuring.as_papers import evaluate_as_papers
from wavewright.measuring.evaluation import evaluate
from wavewright.metrics import zero_order_entropy
from wavewright.playing import opening, takes
from wavewright.playing import prime as primes
from wavewright.playing.export import export
from wavewright.playing.live import stream_wav
from wavewright.playing.prime import Prime
from wavewright.playing.sound import sounds
from wavewright.playing.stream import stream
from wavewright.training.loop import Budget
from wavewright.training.run import train

pytestmark = pytest.mark.slow

EMPHASIS = 0.85
SETTINGS = tiny("naive-rnn", emphasis=EMPHASIS)
FADED = round(0.01 * RATE)


@pytest.fixture(scope="module")
def emphasised(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    run = tmp_path_factory.mktemp("emphasised") / "run"
    train(SETTINGS, corpus, run, Budget(steps=14), device="cpu")
    return run


@pytest.fixture(scope="module")
def file(emphasised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "m.safetensors"
    export(opening.open_run(emphasised), path)
    return path


def sound_of(codes: NDArray[np.integer]) -> Any:
    """De-emphasis of codes of 64 mu-law levels by scipy."""
    scalar = (2 * codes + 1) / 64 - 1
    centres = np.sign(scalar) * (64.0 ** np.abs(scalar) - 1) / 63
    return np.clip(scipy.signal.lfilter([1], [1, -EMPHASIS], centres), -1, 1)


def codes_of(x: NDArray[np.floating], before: float = 0.0) -> NDArray[np.int64]:
    """The codes of 64 mu-law levels of sound (n,) and of the sample before it."""
    y = x - EMPHASIS * np.concatenate(([before], x[:-1]))
    return np.floor((np.sign(y) * np.log1p(63 * np.abs(y)) / np.log(64) + 1) * 32).astype(int)


def test_a_file_has_its_emphasis_and_a_format_of_its_own(file: Path, emphasised: Path, tmp_path: Path) -> None:
    facts = parts(file)[0]
    assert (facts["format"], facts["emphasis"]) == (3, EMPHASIS)
    for model in (opening.load(file), opening.open_run(file), opening.open_run(emphasised)):
        assert model.emphasis == model.quantizer.emphasis == EMPHASIS
    make(tmp_path / "plain.safetensors")
    assert "emphasis" not in parts(tmp_path / "plain.safetensors")[0]


def test_from_training_to_a_take_by_commands(corpus: Corpus, tmp_path: Path) -> None:
    run, path = tmp_path / "run", tmp_path / "m.safetensors"
    options = ["--model", "naive-rnn", "--preset", "tiny", "--set", "emphasis=0.85", "--steps", 3, "--device", "cpu"]
    for command in (
        ["train", corpus.path, *options, "--out", run],
        ["export", run, "--out", path],
        ["generate", run, "--engine", "torch", "--seconds", 0.3, "--seed", 5, "--out", tmp_path / "torch.wav"],
        ["generate", path, "--seconds", 0.3, "--seed", 5, "--out", tmp_path / "native.wav"],
    ):
        done = start(tmp_path / "log", *command)
        assert done.wait() == 0, done.output
    assert json.loads((run / "config.json").read_text(encoding="utf-8"))["emphasis"] == 0.85
    model = opening.load(path)
    expected = model.quantizer.decode(model.player(seed=5).generate(round(0.3 * RATE))[0])[FADED:-FADED]
    assert np.abs(expected).max() > 0.01
    for name in ("torch.wav", "native.wav"):
        sound, _ = soundfile.read(tmp_path / name)
        np.testing.assert_allclose(sound[FADED:-FADED], expected, atol=1 / 32767)


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_a_take_continues_the_sound_of_its_prime(
    engine: Any, file: Path, tmp_path: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prime's codes know the sample before it, and a take goes on from the prime's last amplitude, in any blocks."""
    model = opening.open_model(file, engine=engine)
    path = record("prime.wav", melody(0.9, RATE, 180), RATE)
    prime = Prime(path, start=0.2, seconds=0.3)
    levelled = np.concatenate(list(audio_like_corpus(path, model.levelling)))
    cuts = [0, 1, 799, 800, 801, 1500, 1999, 2001]
    monkeypatch.setattr(primes, "audio_like_corpus", lambda *_, **__: np.split(levelled, cuts))
    heard = np.concatenate(list(prime.codes(model)))
    assert heard.tolist() == codes_of(levelled[800:2000], levelled[799]).tolist()
    (take,) = takes.record(model, tmp_path / "take.wav", seconds=0.2, prime=prime, seed=2)
    codes = np.concatenate(list(stream(model.player(seed=2), 800, prime=[heard])), 1)[0]
    expected = sound_of(np.concatenate((heard, codes)))[1200:]
    sound, _ = soundfile.read(take.path)
    np.testing.assert_allclose(sound[:-FADED], expected[:-FADED], atol=1 / 32767)
    streamed = io.BytesIO()
    stream_wav(model, streamed, seconds=0.2, prime=prime, seed=2)
    assert np.array_equal(np.frombuffer(streamed.getvalue()[44:], "<i2"), soundfile.read(take.path, dtype="int16")[0])


def test_takes_side_by_side_are_those_made_alone(file: Path, tmp_path: Path) -> None:
    model = opening.load(file)
    first, second = takes.record(model, tmp_path / "take.wav", seconds=0.7, count=2, seed=4)
    codes = model.player(2, seed=4).generate(2800)
    for take, row in zip((first, second), codes, strict=True):
        np.testing.assert_allclose(
            soundfile.read(take.path)[0][FADED:-FADED], sound_of(row)[FADED:-FADED], atol=1 / 32767
        )
    whole = model.quantizer.decode(codes[0])
    blocks = list(islice(model.stream(97, seed=4), 20))
    assert np.array_equal(np.concatenate(blocks)[FADED:], whole[FADED : 97 * 20])


def test_a_sound_is_the_same_in_any_blocks(emphasised: Path) -> None:
    run = opening.open_run(emphasised)
    codes = np.random.default_rng(0).integers(0, 64, (2, 900))
    for rate in (RATE, 11025):
        found = [
            np.concatenate(list(sounds(run, np.split(codes, cuts, 1), count=2, rate=rate, frames=np.inf)), 1)
            for cuts in ([], [1, 1, 18, 500, 899])
        ]
        assert np.array_equal(*found)


def test_an_instrument_continues_its_prime() -> None:
    model = replace(run_of(next(iter(CONDITIONED))), emphasis=EMPHASIS)
    instrument, prime = model.instrument(3), np.arange(60) % 12
    for part in np.split(prime, [7, 8]):
        instrument.prime(part)
    sound = np.concatenate([instrument.generate(samples) for samples in (1, 16, 33)])
    other = model.instrument(3)
    other.prime(prime)
    codes = np.concatenate((prime, other.codes(50)))
    assert np.array_equal(sound, model.quantizer.decode(codes)[60:])


def test_bits_are_those_of_the_differences(emphasised: Path, file: Path, corpus: Corpus) -> None:
    """A section continues its recording. A recording begins after silence, even where another lies before it."""
    run, native = opening.open_run(emphasised), opening.load(file)
    samples, sections = corpus.samples("test") / 32767, corpus.sections("test")
    starts = [track.start for track in corpus.tracks_of("test")]
    assert len(starts) == 2
    assert samples[starts[1] - 1]
    codes = np.concatenate([codes_of(part) for part in np.split(samples, starts[1:])])
    expected = []
    for begin, end in sections:
        heard = torch.tensor([32, *codes[begin : end - 1]])[None]
        with torch.inference_mode():
            logits = torch.log_softmax(run.model(heard)[0][0], 1).numpy()
        expected.append(-logits[np.arange(end - begin), codes[begin:end]].sum())
    for model in (run, native):
        np.testing.assert_allclose(model.score(corpus.reader("test"), sections), expected, rtol=1e-4)
    shares = np.bincount(codes, minlength=64)[np.bincount(codes, minlength=64) > 0] / len(codes)
    entropy = -(shares * np.log2(shares)).sum()
    assert zero_order_entropy(corpus.reader("test"), run.quantizer) == pytest.approx(entropy)


def test_a_continuation_goes_on_from_its_recording(
    emphasised: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, primed = opening.open_run(emphasised), []

    def spied(*arguments: Any, prime: Any) -> Any:
        primed.extend(prime)
        return stream(*arguments, prime=prime)

    monkeypatch.setattr(evaluation, "stream", spied)
    found = evaluate(run, corpus, "valid", continuations=2, seconds=0.05).continuations
    assert found is not None
    assert found.count == 2
    samples = corpus.samples("valid") / 32767
    whole = corpus.sections("valid")
    whole = whole[whole[:, 1] - whole[:, 0] == 500][[0, -1], 0]
    heard = np.stack([codes_of(samples)[start : start + 250] for start in whole])
    assert primed[0].tolist() == heard.tolist()
    made = np.concatenate([heard, *stream(run.player(2), 200, prime=[heard])], 1)
    truth = np.stack([samples[start + 250 : start + 450] for start in whole])
    off = np.abs(np.stack([sound_of(row)[250:] for row in made]) - truth).mean()
    assert found.mean_absolute_difference == pytest.approx(off, rel=1e-4)


def test_bits_are_not_those_of_the_papers(emphasised: Path, tmp_path: Path) -> None:
    run = opening.open_run(emphasised)
    run = replace(run, rate=16000, config=resolve("naive-rnn", "tiny").model)
    with pytest.raises(ConfigError, match=r"needs a model without emphasis, but .* has 0\.85"):
        evaluate_as_papers(run, tmp_path)


def test_another_emphasis_is_refused(emphasised: Path, corpus: Corpus, tmp_path: Path) -> None:
    other = replace(SETTINGS, emphasis=0.5)
    with pytest.raises(WavewrightError, match=re.escape("config.json: emphasis: 0.85 before, 0.5 now; resume with")):
        train(other, corpus, emphasised, Budget(steps=15), resume=True, device="cpu")
    with pytest.raises(ConfigError, match=re.escape(f"--from {emphasised}: emphasis: 0.85 before, 0.5 now; start")):
        train(other, corpus, tmp_path / "run", Budget(steps=1), start=emphasised, device="cpu")


def test_a_run_of_an_earlier_version_has_none(run: Path, corpus: Corpus) -> None:
    path = run / "config.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    assert facts.pop("emphasis") == 0
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert opening.open_run(run).emphasis == 0
    train(tiny("naive-rnn"), corpus, run, Budget(steps=17), resume=True, device="cpu")
