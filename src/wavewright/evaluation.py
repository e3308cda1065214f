"""A run against a corpus: bits per sample over a whole split, and primed continuations against the truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from wavewright import metrics
from wavewright.corpus import Corpus, Track
from wavewright.errors import ConfigError
from wavewright.generate import one_thread, stream
from wavewright.quantize import decode, encode_table
from wavewright.runs import Run
from wavewright.settings import SplitName

LAG_SECONDS = 0.05  # within which the cross-correlation is sought


@dataclass(frozen=True)
class Continuations:
    """Means over primed continuations: |difference|, and greatest normalised cross-correlation within 50 ms."""

    count: int
    prime_seconds: float
    seconds: float
    mean_absolute_difference: float
    cross_correlation: float


@dataclass(frozen=True)
class Evaluation:
    """Bits and nats per sample over every sample of a split, and of each of its tracks."""

    run: str
    step: int
    split: str
    samples: int
    bits_per_sample: float
    nats_per_sample: float
    zero_order_entropy: float
    tracks: dict[str, float]
    continuations: Continuations | None


def evaluate(
    run: Run, corpus: Corpus, split: SplitName = "test", *, continuations: int = 4, seconds: float = 0.5
) -> Evaluation:
    """Score every sample of a split, with true state carried through each section, and compare continuations.

    Args:
        run: what to score.
        corpus: of the run's sample rate.
        split: of the corpus.
        continuations: how many sections to continue from their middle, spread over the split; 0 for none.
        seconds: how long each continuation is.

    Raises:
        ConfigError: the corpus has another rate than the run's, the split is empty, or a number is out of range.
    """
    if corpus.rate != run.rate:
        raise ConfigError(f"{corpus.path}: {corpus.rate} Hz, but {run.folder} was trained at {run.rate} Hz")
    if continuations < 0:
        raise ConfigError(f"--continuations {continuations}: give 0 or more")
    samples, sections = corpus.samples(split), corpus.sections(split)
    if not len(sections):
        raise ConfigError(f"--split {split}: empty in {corpus.path}; choose another, or prepare with another --split")
    nats = metrics.score(run.model, samples, sections, run.config.encoding)
    per_sample = float(nats.sum() / len(samples))
    return Evaluation(
        run=str(run.folder),
        step=run.step,
        split=split,
        samples=len(samples),
        bits_per_sample=metrics.bits(per_sample),
        nats_per_sample=per_sample,
        zero_order_entropy=metrics.zero_order_entropy(samples, run.config.model.q_levels, run.config.encoding),
        tracks={track.name: _bits_of(track, sections, nats) for track in corpus.tracks_of(split)},
        continuations=_continue(run, corpus, split, continuations, round(seconds * run.rate)),
    )


def _bits_of(track: Track, sections: Any, nats: Any) -> float:
    own = (sections[:, 0] >= track.start) & (sections[:, 0] < track.start + track.frames)
    return metrics.bits(float(nats[own].sum() / track.frames))


def _continue(run: Run, corpus: Corpus, split: SplitName, count: int, length: int) -> Continuations | None:
    """Continue sections from their middle, all in one pass."""
    sections = corpus.sections(split)
    half = corpus.section // 2
    length = min(length, corpus.section - half)
    whole = sections[sections[:, 1] - sections[:, 0] == corpus.section]
    if not count or not length or not len(whole):
        return None
    chosen = whole[np.unique(np.linspace(0, len(whole) - 1, count).round().astype(int)), 0]
    table = encode_table(run.config.model.q_levels, run.config.encoding)
    samples = corpus.samples(split)
    heard = np.stack([table[samples[start : start + half].view(np.uint16)] for start in chosen])
    truth = np.stack([samples[start + half : start + half + length] for start in chosen]) / np.float32(32767)
    with one_thread():
        codes = np.concatenate(list(stream(run.model, samples=length, streams=len(chosen), prime=[heard])), 1)
    made = decode(codes, run.config.model.q_levels, run.config.encoding)
    lag = round(LAG_SECONDS * run.rate)
    return Continuations(
        count=len(chosen),
        prime_seconds=half / run.rate,
        seconds=length / run.rate,
        mean_absolute_difference=metrics.mean_absolute_difference(made, truth),
        cross_correlation=float(
            np.mean([metrics.cross_correlation(a, b, lag)[0] for a, b in zip(made, truth, strict=True)])
        ),
    )
