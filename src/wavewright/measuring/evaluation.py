"""Evaluate a model on a corpus: bits per sample over a split, continuations, and sound generated from silence.

docs/evaluation.md says what each figure means, and when to trust it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wavewright import metrics
from wavewright.corpus.batches import LEAD_SECONDS, ControlSource
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.settings import SplitName
from wavewright.errors import ConfigError, WavewrightError, missing, need
from wavewright.measuring import free_play as freely
from wavewright.measuring import labels, perceptual, similarity, transcription
from wavewright.measuring.conditioned import Conditioned, compare_conditions
from wavewright.measuring.context import Context, context_curve
from wavewright.measuring.free_play import FreePlay
from wavewright.measuring.keyboard import SingleNotes, Transcribed, has_scores, single_notes, transcribed
from wavewright.measuring.labels import Between, Recognised
from wavewright.playing.playable import TrainedModel
from wavewright.playing.stream import perform, stream
from wavewright.progress import Progress, silent
from wavewright.quantize import Samples16, to_amplitude

LAG_SECONDS = 0.05  # greatest lag of a cross-correlation
SEED = 0  # of the sound generated from silence
REAL_STRETCHES = 12  # of real sound to compare with, two minutes for 10 s of generated sound
ENTROPY_SECONDS = 0.1
NEAREST_SECONDS = 0.25  # length of the stretches sought in the training split
NEAREST_STRETCHES = 16  # generated, and as many held out; the search takes ten seconds for 40 minutes of training sound

T = TypeVar("T")
Tracks = dict[str, tuple[int, int]]  # start and stop by the track's name


@dataclass(frozen=True)
class Continuations:
    """Means over primed continuations of |difference| and the greatest normalised cross-correlation within 50 ms.

    The two spectral distances are None where the continuations are shorter than the longest window, or where packages
    are not installed.
    """

    count: int
    prime_seconds: float
    seconds: float
    mean_absolute_difference: float
    cross_correlation: float
    multi_resolution_stft: float | None
    spectral_convergence: float | None


@dataclass(frozen=True)
class Nearest:
    """The greatest normalised cross-correlation of 0.25 s of sound with any of the training split, where 1 is a copy.

    `mean` and `greatest` are over evenly spread stretches of the generated sound. `held_out_` is over as many
    stretches of audio that was not trained on. Silent stretches are left out. A figure is None if no stretch is left.
    """

    mean: float | None
    greatest: float | None
    held_out_mean: float | None
    held_out_greatest: float | None


@dataclass(frozen=True)
class Generated:
    """Measures of sound generated from silence at temperature 1, compared with equally quantised sound of the split.

    `rms_dbfs` and `dc` (mean amplitude) have a value for each second. `entropy` of the model's distribution, in bits,
    has a value for each 0.1 s. A baseline is the median of a figure over stretches of the split, each against the
    others.
    """

    seconds: float
    seed: int
    rms_dbfs: list[float]
    dc: list[float]
    entropy_seconds: float
    entropy: list[float]
    chroma: perceptual.Chroma
    onsets: perceptual.Onsets
    log_mel_frechet_distance: float
    log_mel_frechet_baseline: float | None
    nearest: Nearest


@dataclass(frozen=True)
class Evaluation:
    """Bits and nats per sample over every sample of a split, and bits of each track.

    For a model with a condition, they are those with the section's own condition, and `conditioned` has others beside.
    It is None where the corpus has no controls. Every control is then absent.
    """

    run: str
    step: int
    split: str
    samples: int
    bits_per_sample: float
    nats_per_sample: float
    zero_order_entropy: float
    tracks: dict[str, float]
    continuations: Continuations | None = None
    generated: Generated | None = None
    paper_compatible: bool = False
    conditioned: Conditioned | None = None
    single_notes: SingleNotes | None = None
    transcribed: Transcribed | None = None
    recognised: tuple[Recognised, ...] = ()
    between: Between | None = None
    context: tuple[Context, ...] = ()
    free_play: FreePlay | None = None


def evaluate(
    run: TrainedModel,
    corpus: Corpus,
    split: SplitName = "test",
    *,
    continuations: int = 4,
    seconds: float = 0.5,
    generate: float = 0.0,
    transcribe: float = 0.0,
    mixture: tuple[str, str, str] | None = None,
    context: bool = False,
    free_play: float = 0.0,
    progress: Progress = silent,
) -> Evaluation:
    """Score every sample of a split, with the true state carried through each section, and measure generated sound.

    Args:
        run: model to score.
        corpus: corpus at the model's sample rate.
        split: split of the corpus.
        continuations: number of sections, spread over the split, to continue from their middle. 0 turns this off.
        seconds: length of each continuation.
        generate: seconds of sound to generate from silence and measure, 1 or more. 0 turns this off.
        transcribe: seconds of the split's scores to play and to transcribe. 0 turns this off.
        mixture: a category and two of its classes, whose mixtures are measured.
        context: whether to score an excerpt with the state reset every so often (context.context_curve).
        free_play: seconds to play freely from each of several seeds and hold against the split. 0 turns this off.
        progress: shows each part of the evaluation, and the samples that it has scored or made.

    Raises:
        ConfigError: the corpus has another rate than the run, the split is empty, a number is out of range, or
            there is nothing to transcribe or to mix.
        WavewrightError: `generate`, `transcribe`, `mixture` or `free_play` needs packages that are not installed.
    """
    if corpus.rate != run.rate:
        raise ConfigError(f"{corpus.path}: {corpus.rate} Hz, but {run.path} was trained at {run.rate} Hz")
    if continuations < 0:
        raise ConfigError(f"--continuations {continuations}: give 0 or more")
    if generate and not 1 <= generate < np.inf:
        raise ConfigError(f"--generate {generate:g}: give 1 second or more, or 0 for none")
    if generate:
        need("experiments", *perceptual.PACKAGES)
    _check_transcribe(run, corpus, split, transcribe)
    if free_play:
        freely.check(free_play, corpus, split)
    if mixture:
        need("experiments", *labels.PACKAGES)
    sections = corpus.sections(split)
    if not len(sections):
        raise ConfigError(f"--split {split}: empty in {corpus.path}; choose another, or prepare with another --split")
    tracks = {track.name: (track.start, track.start + track.frames) for track in corpus.tracks_of(split)}
    samples, condition = corpus.reader(split), run.config.condition
    leads = corpus.leads(split, sections, LEAD_SECONDS if condition else 0.0)
    conditions = Conditions(corpus, split, condition) if condition and corpus.controls else None
    scored = score(run, samples, sections, tracks, split, leads=leads, conditions=conditions, progress=progress)
    conditioned = None
    if conditions is not None:
        with progress("scoring with other controls", 2 * len(samples)) as advance:
            bits = scored.bits_per_sample
            conditioned = compare_conditions(run, samples, sections, leads, conditions, own=bits, advance=advance)

    part = functools.partial(_part, progress)
    struck = condition and condition.notes and has_scores(corpus, split) and not perceptual.missing()
    return replace(
        scored,
        conditioned=conditioned,
        single_notes=part("single notes", single_notes, run, corpus, split) if struck else None,
        transcribed=transcribed(run, corpus, split, transcribe, progress) if transcribe else None,
        recognised=()
        if missing("experiments", *labels.PACKAGES)
        else tuple(part("recognised classes", labels.recognised, run, corpus, split)),
        between=part("mixtures of classes", labels.between, run, corpus, *mixture) if mixture else None,
        context=part("what memory buys", context_curve, run, samples, sections, conditions) if context else (),
        continuations=part(
            "continuations",
            _continue,
            run,
            corpus,
            split,
            continuations,
            round(seconds * run.rate),
            conditions=conditions,
        )
        if continuations
        else None,
        generated=_generate(run, corpus, split, round(generate * run.rate), progress) if generate else None,
        free_play=freely.free_play(run, corpus, split, free_play, progress) if free_play else None,
    )


def _part(progress: Progress, name: str, measure: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Show that a part of an evaluation is being measured, and return what it measures."""
    with progress(f"measuring {name}", 1) as advance:
        found = measure(*arguments, **options)
        advance(1)
    return found


def _check_transcribe(run: TrainedModel, corpus: Corpus, split: SplitName, seconds: float) -> None:
    if not 0 <= seconds < np.inf:
        raise ConfigError(f"--transcribe {seconds:g}: give seconds from 0 up")
    if not seconds:
        return
    if reason := transcription.missing():
        raise WavewrightError(f"--transcribe needs {reason}")
    if run.config.condition is None or run.config.condition.notes is None:
        raise ConfigError(f"--transcribe {seconds:g}: {run.path} has no keyboard; leave it out")
    if not has_scores(corpus, split):
        raise ConfigError(f"--transcribe {seconds:g}: {split} of {corpus.path} has no scores; choose another --split")


def score(
    run: TrainedModel,
    samples: Samples16,
    sections: NDArray[np.int64],
    tracks: Tracks,
    split: str,
    *,
    leads: NDArray[np.int64] | None = None,
    conditions: ControlSource | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Return bits per sample of all sections, and of each track that holds one."""
    with progress(f"scoring {split}", len(samples)) as advance:
        nats = run.score(samples, sections, leads=leads, conditions=conditions, advance=advance)
    per_sample = float(nats.sum() / len(samples))
    bits = {}
    for name, (start, stop) in tracks.items():
        own = (sections[:, 0] >= start) & (sections[:, 0] < stop)
        if own.any():
            bits[name] = metrics.bits(float(nats[own].sum() / (stop - start)))
    return Evaluation(
        run=str(run.path),
        step=run.step,
        split=split,
        samples=len(samples),
        bits_per_sample=metrics.bits(per_sample),
        nats_per_sample=per_sample,
        zero_order_entropy=metrics.zero_order_entropy(samples, run.quantizer),
        tracks=bits,
    )


def _continue(
    run: TrainedModel, corpus: Corpus, split: SplitName, count: int, length: int, *, conditions: Conditions | None
) -> Continuations | None:
    """Continue sections from their middle in one pass, and compare the continuations with the recordings."""
    sections = corpus.sections(split)
    half = corpus.section // 2
    length = min(length, corpus.section - half)
    whole = sections[sections[:, 1] - sections[:, 0] == corpus.section]
    if not count or not length or not len(whole):
        return None
    chosen = metrics.evenly(whole, count)[:, 0]
    samples = corpus.reader(split)
    primes = np.stack([run.quantizer.encode_part(samples, start, start + half) for start in chosen])
    truth = to_amplitude(np.stack([samples[start + half : start + half + length] for start in chosen]))
    player = run.player(len(chosen))
    if conditions is None:
        blocks = stream(player, length, prime=[primes])
    else:
        excerpts = [conditions.excerpt(int(start), half + length) for start in chosen]
        blocks = perform(player, excerpts, length, primes)
    made = run.quantizer.decode(np.concatenate([primes, *blocks], 1))[:, half:]
    lag = round(LAG_SECONDS * run.rate)
    spectral = length >= perceptual.STFT_SAMPLES and not perceptual.missing()
    stft, convergence = perceptual.spectral_distances(made, truth) if spectral else (None, None)
    return Continuations(
        count=len(chosen),
        prime_seconds=half / run.rate,
        seconds=length / run.rate,
        mean_absolute_difference=similarity.mean_absolute_difference(made, truth),
        cross_correlation=float(
            np.mean([similarity.cross_correlation(a, b, lag)[0] for a, b in zip(made, truth, strict=True)])
        ),
        multi_resolution_stft=stft,
        spectral_convergence=convergence,
    )


def _generate(run: TrainedModel, corpus: Corpus, split: SplitName, length: int, progress: Progress) -> Generated:
    """Generate `length` samples from silence and measure them."""
    samples = corpus.reader(split)
    if len(samples) < perceptual.LEAST_SECONDS * run.rate:
        raise ConfigError(f"--split {split}: {len(samples)} samples, too few to compare with; give --generate 0")
    blocks = []
    with progress("generating", length) as advance:
        for block in stream(run.player(1, SEED), length):
            blocks.append(block)
            advance(block.shape[1])
    codes = np.concatenate(blocks, 1)
    made = run.quantizer.decode(codes[0])
    real = _requantised(run, similarity.spread(samples, min(length, len(samples)), REAL_STRETCHES))
    levels = [metrics.loudness(second) for second in similarity.pieces(made, run.rate)]
    entropy = similarity.pieces(run.entropy(codes)[0], round(ENTROPY_SECONDS * run.rate))
    frechet, frechet_baseline = perceptual.log_mel_frechet(made, real, run.rate)
    return Generated(
        seconds=length / run.rate,
        seed=SEED,
        rms_dbfs=[rms for rms, _ in levels],
        dc=[mean for _, mean in levels],
        entropy_seconds=ENTROPY_SECONDS,
        entropy=[float(piece.mean()) for piece in entropy],
        chroma=perceptual.chroma(made, real, run.rate),
        onsets=perceptual.onsets(made, real, run.rate),
        log_mel_frechet_distance=frechet,
        log_mel_frechet_baseline=frechet_baseline,
        nearest=_part(progress, "the nearest in the training split", _nearest, run, corpus, split, made),
    )


def _requantised(run: TrainedModel, samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Quantise 16-bit samples like the model's output, so that quantisation noise is the same on both sides."""
    return run.quantizer.decode(run.quantizer.encode_int16(samples))


def _nearest(run: TrainedModel, corpus: Corpus, split: SplitName, made: NDArray[np.float32]) -> Nearest:
    """Measure whether the model copies its training split, compared with the chance level of held-out audio."""
    size = round(NEAREST_SECONDS * run.rate)
    others: tuple[SplitName, ...] = (split, "valid", "test")
    held_out = next((name for name in others if name != "train" and corpus.tracks_of(name)), None)
    held_out_samples = corpus.reader(held_out) if held_out else np.empty(0, np.int16)
    sounding = [
        stretches[stretches.std(1) > similarity.SILENT]
        for stretches in (
            similarity.spread(made, size, NEAREST_STRETCHES),
            _requantised(run, similarity.spread(held_out_samples, size, NEAREST_STRETCHES)),
        )
    ]
    likeness = similarity.nearest(np.concatenate(sounding), corpus.reader("train"))
    own, chance = np.split(likeness, [len(sounding[0])])
    return Nearest(*_mean_and_greatest(own), *_mean_and_greatest(chance))


def _mean_and_greatest(values: NDArray[np.float64]) -> tuple[float, float] | tuple[None, None]:
    return (float(values.mean()), float(values.max())) if len(values) else (None, None)
