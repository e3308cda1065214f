"""Bits per sample against a slow count, and the measures of continuations against brute force."""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from support.controlled import HOP, NOTES, VOICE, make_controlled
from support.kinds import build
from support.model_files import TRAINING
from support.oracles import ORACLES, weights_of
from support.tiny import RATE, make_corpus, start, tiny
from wavewright import metrics, models
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.errors import AudioError, ConfigError, WavewrightError
from wavewright.measuring import as_papers, similarity
from wavewright.measuring.context import context_curve
from wavewright.measuring.evaluation import evaluate
from wavewright.models.condition import Condition
from wavewright.playing import opening, scoring
from wavewright.playing.stream import stream
from wavewright.playing.torch_model import TorchModel
from wavewright.quantize import Quantizer
from wavewright.training.loop import Budget
from wavewright.training.run import train


def slow_nats(model: Any, codes: list[int]) -> float:
    """Of one section: -ln p of each sample given those before it, by the oracle; the first is given silence."""
    q = model.config.q_levels
    logits = ORACLES[model.name](model.config, weights_of(model), [q // 2, *codes[:-1]])
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -sum(float(log_p[t, code]) for t, code in enumerate(codes))


@pytest.mark.parametrize("kind", ["naive embedded", "thesis tiers", "tiers 6 3", "plain", "gated"])
def test_the_score_of_every_section(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through several windows and groups of lanes, with sections of several lengths."""
    monkeypatch.setattr(scoring, "SCORE_LENGTH", 13)
    monkeypatch.setattr(scoring, "SCORE_LANES", 4)
    samples = np.random.default_rng(0).integers(-32768, 32768, 300).astype(np.int16)
    edges = [0, 40, 80, 81, 120, 133, 160, 200, 240, 279, 300]
    sections = np.stack([edges[:-1], edges[1:]], 1)
    model = build(kind)
    found = scoring.score(model, samples, sections, Quantizer(model.config.q_levels, "linear"))
    codes = Quantizer(model.config.q_levels, "linear").encode(samples / 32767)
    expected = [slow_nats(model, codes[start:stop].tolist()) for start, stop in sections]
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # logits as float32


@pytest.fixture(scope="module")
def run(trained: Path) -> TorchModel:
    return opening.open_run(trained, "last")


def test_bits_of_a_split_and_of_its_tracks(run: TorchModel, corpus: Corpus) -> None:
    result = evaluate(run, corpus, "test", continuations=0)
    tracks = {}
    for track in corpus.tracks_of("test"):
        sound = corpus.samples("test")[track.start : track.start + track.frames] / np.float32(32767)
        codes = Quantizer(64, "mu-law").encode(sound).tolist()
        tracks[track.name] = [slow_nats(run.model, codes[i : i + 500]) for i in range(0, len(codes), 500)]
    lengths = {"d.wav": 2800, "e.wav": 1200}
    assert result.tracks == {
        name: pytest.approx(sum(nats) / lengths[name] / math.log(2), rel=1e-4) for name, nats in tracks.items()
    }
    total = sum(sum(nats) for nats in tracks.values()) / 4000
    assert result.samples == 4000
    assert result.nats_per_sample == pytest.approx(total, rel=1e-4)
    assert result.bits_per_sample == pytest.approx(total / math.log(2), rel=1e-4)
    assert (result.step, result.split, result.continuations) == (60, "test", None)
    assert result.bits_per_sample < 6


@pytest.mark.parametrize("name", models.CONFIGS)
def test_a_model_that_knows_nothing_scores_exactly_log2_q(name: str, run: TorchModel, corpus: Corpus) -> None:
    model = tiny(name).model.build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    result = evaluate(replace(run, model=model), corpus, "valid", continuations=0)
    assert result.bits_per_sample == pytest.approx(6.0, abs=1e-6)


@given(st.integers(1, 60), st.integers(1, 5000), st.integers(1, 200_000))
def test_a_validation_hears_many_places(count: int, length: int, samples: int) -> None:
    starts = 10_000 * np.arange(count)
    sections = np.stack([starts, starts + length], 1)
    heard = scoring.excerpts(sections, samples)
    places = [int(np.flatnonzero(starts == start)[0]) for start in heard[:, 0]]
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (0, count - 1)
    assert len(places) >= min(count, 8)
    assert (heard[:, 1] <= heard[:, 0] + length).all()
    total = int((heard[:, 1] - heard[:, 0]).sum())
    if samples >= count * length:
        assert total == count * length
    else:
        assert 0.93 * samples <= total <= samples + len(places)


def test_the_score_is_that_of_validation(trained: Path, corpus: Corpus) -> None:
    """`evaluate` on the best checkpoint gives what training said of it."""
    best = opening.open_run(trained)
    said = [
        record["bits"]
        for record in map(json.loads, (trained / "metrics.jsonl").read_text().splitlines())
        if record.get("event") == "validation" and record["step"] == best.step
    ]
    sections = corpus.sections("valid")
    chosen = sections[np.linspace(0, len(sections) - 1, min(8, len(sections))).round().astype(int)]
    chosen[:, 1] = chosen[:, 0] + math.ceil(0.3 * corpus.rate / len(chosen))  # of 0.125 s in each
    nats = scoring.score(best.model, corpus.samples("valid"), chosen, best.quantizer)
    assert said == [pytest.approx(nats.sum() / (chosen[:, 1] - chosen[:, 0]).sum() / math.log(2), rel=1e-5)]


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_bits_with_the_state_reset_are_those_of_a_slow_count(engine: str, run: TorchModel, corpus: Corpus) -> None:
    """Every piece of every section by the oracle, from silence. Sections last an eighth of a second."""
    model = run if engine == "torch" else opening.to_native(run)
    found = evaluate(model, corpus, "test", continuations=0, context=True)
    codes = Quantizer(64, "mu-law").encode(corpus.samples("test") / np.float32(32767)).tolist()
    expected = []
    for reset in (280, 500):
        pieces = [
            codes[start : min(start + reset, stop)]
            for first, stop in corpus.sections("test").tolist()
            for start in range(first, stop, reset)
        ]
        expected.append(sum(slow_nats(run.model, piece) for piece in pieces) / 4000 / math.log(2))
    assert [one.seconds for one in found.context] == [0.07, 0.125]
    assert [one.bits for one in found.context] == pytest.approx(expected, rel=1e-4)
    assert expected[1] == pytest.approx(found.bits_per_sample, rel=1e-4)
    assert abs(expected[0] - expected[1]) > 1e-3


def test_a_reset_under_controls_gives_each_piece_its_own(tmp_path: Path) -> None:
    sounds = make_controlled(tmp_path)
    condition = Condition((VOICE, NOTES), hop=HOP, width=8)
    torch.manual_seed(2)
    model = tiny("naive-rnn", {"condition": condition}).model.build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) / 4)  # the controls' matrices are zero in a fresh model
    facts = ("mu-law", RATE, sounds.levelling(), TRAINING)
    played = TorchModel(model.config, *facts, Path("x"), model)
    conditions = Conditions(sounds, "test", condition)
    found = context_curve(played, sounds.samples("test"), sounds.sections("test"), conditions)
    codes = Quantizer(64, "mu-law").encode_int16(sounds.samples("test"))
    total, count = 0.0, 0
    for first, stop in sounds.sections("test").tolist():
        for place in range(first, stop, 280):
            own = torch.from_numpy(codes[place : min(place + 280, stop)]).long()
            frames = torch.from_numpy(conditions.frames(place, 0, len(own)))[None]
            logits, _ = model(torch.cat((torch.tensor([32]), own[:-1]))[None], None, frames)
            total += float(torch.nn.functional.cross_entropy(logits[0], own, reduction="sum").detach())
            count += len(own)
    assert found[0].bits == pytest.approx(total / count / math.log(2), rel=1e-5)
    without = context_curve(played, sounds.samples("test"), sounds.sections("test"))
    assert without[0].bits != pytest.approx(found[0].bits, rel=1e-3)


def test_an_excerpt_of_long_sections_is_reset_at_every_distance() -> None:
    """A model that pays one nat for every beginning, over sections of 32 s."""

    class Forgetful:
        rate = 100

        def score(self, samples: Any, pieces: Any, *, conditions: Any) -> Any:
            scored.append((len(pieces), int(pieces[:, 0].min()), int(pieces[:, 1].max())))
            return np.ones(len(pieces))

    scored: list[tuple[int, int, int]] = []
    sections = 3200 * np.stack([np.arange(20), np.arange(1, 21)], 1)
    found = context_curve(Forgetful(), np.zeros(64_000, np.int16), sections)  # type: ignore[arg-type]
    assert [one.seconds for one in found] == [0.07, 0.5, 2, 8, 30]
    counts = [4 * math.ceil(3200 / reset) for reset in (7, 50, 200, 800, 3000)]
    assert scored == [(count, 0, 64_000) for count in counts]  # four sections, spread over all
    assert [one.bits for one in found] == pytest.approx([n / 4 / 3200 / math.log(2) for n in counts])


def test_continuations_are_those_of_the_streams(run: TorchModel, corpus: Corpus) -> None:
    """The middle of a section primes; what comes is compared with its second half."""
    result = evaluate(run, corpus, "test", continuations=1, seconds=0.05).continuations
    assert result is not None
    assert (result.count, result.prime_seconds, result.seconds) == (1, 250 / RATE, 200 / RATE)
    section = corpus.samples("test")[:500] / np.float32(32767)
    heard = Quantizer(64, "mu-law").encode(section[:250])
    made = Quantizer(64, "mu-law").decode(np.concatenate(list(stream(run.player(), 200, prime=[heard])), 1)[0])
    truth = section[250:450]
    assert result.mean_absolute_difference == pytest.approx(np.mean(np.abs(made - truth)), rel=1e-5)
    assert result.cross_correlation == pytest.approx(brute_correlation(made, truth, 200)[0], rel=1e-4)
    many = evaluate(run, corpus, "test", continuations=50, seconds=9).continuations
    assert many is not None
    assert (many.count, many.seconds) == (5 + 2, 250 / RATE)  # whole sections only, to their end


def brute_correlation(a: Any, b: Any, max_lag: int) -> tuple[float, int]:
    a, b = np.asarray(a, float) - np.mean(a, dtype=float), np.asarray(b, float) - np.mean(b, dtype=float)
    scale = math.sqrt(sum(a * a) * sum(b * b))
    best, best_lag = -math.inf, 0
    for lag in range(-min(max_lag, len(b) - 1), min(max_lag, len(a) - 1) + 1):
        total = sum(a[i] * b[i - lag] for i in range(len(a)) if 0 <= i - lag < len(b))
        if total / scale > best:
            best, best_lag = total / scale, lag
    return best, best_lag


@given(arrays(np.float64, st.integers(2, 30), elements=st.floats(-1, 1)), st.integers(0, 40), st.randoms())
@settings(max_examples=60, deadline=None)
def test_measures_against_brute_force(a: Any, lag: int, random: Any) -> None:
    b = np.array([random.uniform(-1, 1) for _ in a])
    assert similarity.mean_absolute_difference(a, b) == pytest.approx(sum(map(abs, a - b)) / len(a))
    if np.ptp(a) < 1e-6 or np.ptp(b) < 1e-6:
        return
    found, where = similarity.cross_correlation(a, b, lag)
    best, _ = brute_correlation(a, b, lag)
    assert found == pytest.approx(best, abs=1e-9)
    assert abs(where) <= lag
    assert -1 - 1e-9 <= found <= 1 + 1e-9


def test_a_late_copy_correlates_wholly_at_its_lag() -> None:
    burst = np.zeros(200)
    burst[50:70] = np.sin(np.arange(20))
    value, lag = similarity.cross_correlation(np.roll(burst, 7), burst, 10)
    assert (value, lag) == (pytest.approx(1.0), 7)
    assert similarity.cross_correlation(np.roll(burst, 7), burst, 3)[0] < 0.9
    assert similarity.cross_correlation(np.zeros(9), np.arange(9.0), 3) == (0.0, 0)


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=200), st.sampled_from([2, 16, 256]))
@settings(max_examples=40, deadline=None)
def test_zero_order_entropy_is_that_of_the_histogram(values: list[int], levels: int) -> None:
    codes = [min(levels - 1, math.floor((max(-1, value / 32767) + 1) * levels / 2)) for value in values]
    shares = [codes.count(code) / len(codes) for code in set(codes)]
    expected = -sum(share * math.log2(share) for share in shares)
    found = metrics.zero_order_entropy(np.array(values, np.int16), Quantizer(levels, "linear"))
    assert found == pytest.approx(expected, abs=1e-9)


def test_level_in_decibels() -> None:
    tone = np.sin(np.arange(4410) / 44100 * 2 * np.pi * 1000)
    assert metrics.loudness(tone) == (pytest.approx(-3.0103, abs=1e-3), pytest.approx(0, abs=1e-9))
    assert metrics.loudness(np.full(9, -0.5)) == (pytest.approx(-6.0206, abs=1e-3), -0.5)
    assert metrics.loudness(np.zeros(9)) == (-120, 0)


@pytest.mark.slow
def test_a_corpus_cut_short_meanwhile_is_one_line(
    run: TorchModel, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map of the file would end the process with SIGBUS."""
    copy = Corpus.open(shutil.copytree(corpus.path, tmp_path / "corpus"))
    scored = TorchModel.score

    def cut(*arguments: Any, **options: Any) -> Any:
        os.truncate(copy.path / "valid.i16", 4096)
        return scored(*arguments, **options)

    monkeypatch.setattr(TorchModel, "score", cut)
    with pytest.raises(WavewrightError, match=r"valid\.i16: cannot be read: cut short since it was opened"):
        evaluate(run, copy, "valid", continuations=0)


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_each_part_tells_how_far_it_is(engine: Any, tmp_path: Path) -> None:
    sounds = make_controlled(tmp_path / "sounds")
    settings = tiny("naive-rnn", {"condition": {"controls": (VOICE, NOTES), "hop": HOP, "width": 8}})
    train(settings, sounds, tmp_path / "run", Budget(steps=1), device="cpu")
    told: list[list[Any]] = []

    @contextlib.contextmanager
    def show(text: str, total: float | None) -> Iterator[Callable[..., None]]:
        told.append([text, total, 0])

        def advance(amount: float = 1, text: str | None = None) -> None:
            told[-1][2] += amount

        yield advance

    model = opening.open_model(tmp_path / "run", "last", engine=engine)
    evaluate(model, sounds, "valid", continuations=1, progress=show)
    assert told[:2] == [
        ["scoring valid", len(sounds.samples("valid")), len(sounds.samples("valid"))],
        ["scoring with other controls", 2 * len(sounds.samples("valid")), 2 * len(sounds.samples("valid"))],
    ]
    assert all(done == total for _, total, done in told)
    assert told[-1][0] == "measuring continuations"


def test_the_command_line_reports_it(trained: Path, corpus: Corpus, tmp_path: Path) -> None:
    command = start(tmp_path / "log", "evaluate", trained, corpus.path, "--json", "--continuations", 2)
    assert command.wait() == 0, command.output
    found = json.loads(command.output)
    result = evaluate(opening.open_run(trained), corpus, "test", continuations=2)
    assert found["bits_per_sample"] == pytest.approx(result.bits_per_sample, rel=1e-6)
    assert found["tracks"].keys() == {"d.wav", "e.wav"}
    assert found["continuations"]["count"] == 2
    assert len(found["generated"]["rms_dbfs"]) == 10
    assert found["generated"]["chroma"].keys() == {"generated", "corpus", "distance", "baseline"}
    command = start(
        tmp_path / "log", "evaluate", trained, corpus.path, "--split", "valid", "--generate", 1, "--context"
    )
    assert command.wait() == 0
    assert "bits" in command.output
    assert "c.wav" in command.output
    assert "1 s generated from silence: each second -" in command.output
    assert "nearest in training" in command.output
    assert "seconds between resets\tbits per sample\n0.07\t" in command.output
    shown = [line for line in command.output.splitlines() if line.startswith(("scoring ", "measuring ", "generating"))]
    assert shown == [
        "scoring valid",
        "measuring recognised classes",
        "measuring what memory buys",
        "measuring continuations",
        "generating",
        "measuring the nearest in the training split",
    ]
    command = start(tmp_path / "log", "evaluate", trained, corpus.path, "--json", "--generate", 0)
    assert command.wait() == 0
    assert json.loads(command.output)["generated"] is None


@pytest.fixture
def paper_run(run: TorchModel, monkeypatch: pytest.MonkeyPatch) -> TorchModel:
    """A model of 16 kHz and 256 levels, for examples of 20 ms instead of 8 s."""
    monkeypatch.setattr(as_papers, "PAPER", as_papers.PAPER.model_copy(update={"section_seconds": 0.02}))
    model = tiny("naive-rnn", {"q_levels": 256}).model.build().eval()
    return replace(run, model=model, config=model.config, rate=16000)


@pytest.mark.parametrize("encoding", ["linear", "mu-law"])
def test_bits_as_the_papers_count_them(encoding: Any, paper_run: TorchModel, tmp_path: Path) -> None:
    """By hand: whole examples, each from its least sample at -1 to its greatest at 1; the shorter rest is dropped."""
    run = replace(paper_run, encoding=encoding)
    random = np.random.default_rng(0)
    sounds = {"a.wav": random.normal(0.1, 0.05, 1000), "b.wav": np.linspace(-0.01, 0.03, 330), "c.wav": np.zeros(319)}
    sounds["a.wav"][320:640] = 0.25  # silence but for DC
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "notes.txt").write_text("not audio")
    for name, sound in sounds.items():
        soundfile.write(tmp_path / "recordings" / name, sound, 16000, "FLOAT")
    bits = {}
    for name, sound in sounds.items():
        examples = [sound[i : i + 320].astype(np.float32) for i in range(0, len(sound) - 319, 320)]
        nats = 0.0
        for example in examples:
            low, high = float(example.min()), float(example.max())
            scaled = 2 * (example.astype(float) - low) / (high - low) - 1 if high > low else np.zeros(320)
            nats += slow_nats(run.model, Quantizer(256, encoding).encode(np.rint(scaled * 32767) / 32767).tolist())
        if examples:
            bits[name] = nats / math.log(2) / 320 / len(examples)
    found = as_papers.evaluate_as_papers(run, tmp_path / "recordings")
    assert found.tracks == pytest.approx(bits, rel=1e-4)
    assert found.bits_per_sample == pytest.approx((3 * bits["a.wav"] + bits["b.wav"]) / 4, rel=1e-4)
    assert (found.samples, found.paper_compatible, found.continuations) == (4 * 320, True, None)


def test_a_corpus_scored_as_the_papers_do(paper_run: TorchModel, tmp_path: Path) -> None:
    """Whatever gain its tracks have, its examples are those of the recordings, but for rounding."""
    corpus = make_corpus(tmp_path, rate=16000, levels="none", remove_dc=False)
    found = as_papers.evaluate_as_papers(paper_run, corpus.path, "valid")
    (track,) = corpus.tracks_of("valid")
    sound = corpus.samples("valid")[: track.frames // 320 * 320].reshape(-1, 320).astype(float)
    low, high = sound.min(1, keepdims=True), sound.max(1, keepdims=True)
    scaled = 2 * (sound - low) / (high - low) - 1
    codes = Quantizer(256, "mu-law").encode(np.rint(scaled * 32767) / 32767).tolist()
    expected = np.mean([slow_nats(paper_run.model, example) / 320 / math.log(2) for example in codes])
    assert found.tracks == {"c.wav": pytest.approx(expected, rel=1e-4)}
    slow = make_corpus(tmp_path / "slow")
    with pytest.raises(ConfigError, match="4000 Hz, but --paper-compatible needs 16000 Hz"):
        as_papers.evaluate_as_papers(paper_run, slow.path)


@pytest.mark.slow
def test_what_the_papers_do_not_compare(trained: Path, paper_run: TorchModel, corpus: Corpus, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(319), 16000)
    with pytest.raises(ConfigError, match=r"no recording is as long as an example of 0\.02 s"):
        as_papers.evaluate_as_papers(paper_run, tmp_path / "short.wav")
    with pytest.raises(WavewrightError, match="no such file"):
        as_papers.evaluate_as_papers(paper_run, tmp_path / "none")
    (tmp_path / "broken.flac").write_bytes(b"fLaC, or so it says")
    with pytest.raises(AudioError, match=r"broken\.flac"):
        as_papers.evaluate_as_papers(paper_run, tmp_path)
    command = start(tmp_path / "log", "evaluate", trained, corpus.path, "--paper-compatible")
    assert "needs a model of 16000 Hz and 256 levels, but" in command.refusal()


def test_what_cannot_be_compared_is_refused(trained: Path, run: TorchModel, corpus: Corpus, tmp_path: Path) -> None:
    other = make_corpus(tmp_path / "other", rate=8000)
    command = start(tmp_path / "log", "evaluate", trained, other.path)
    assert "8000 Hz, but" in command.refusal()
    unsplit = make_corpus(tmp_path / "unsplit", splits=None, split=(1, 0, 0))
    with pytest.raises(ConfigError, match=r"--split test: empty in .*unsplit"):
        evaluate(run, unsplit)
    with pytest.raises(ConfigError, match=r"--continuations -1: give 0 or more"):
        evaluate(run, corpus, continuations=-1)
    assert "not a corpus" in start(tmp_path / "log", "evaluate", trained, tmp_path).refusal()
    assert "not a run" in start(tmp_path / "log", "evaluate", corpus.path, corpus.path).refusal()
