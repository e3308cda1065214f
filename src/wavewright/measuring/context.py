"""Measure what memory buys: bits per sample where the state is reset every so often."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright import metrics
from wavewright.corpus.batches import ControlSource
from wavewright.playing.playable import TrainedModel
from wavewright.quantize import Samples16

RESETS = (0.07, 0.5, 2.0, 8.0, 30.0)  # seconds between two resets
EXCERPT_SECONDS = 60.0  # of whole sections, spread over the split
LEAST_SECTIONS = 4


@dataclass(frozen=True)
class Context:
    """Bits per sample where the model forgets everything every `seconds`."""

    seconds: float
    bits: float


def context_curve(
    run: TrainedModel, samples: Samples16, sections: NDArray[np.int64], conditions: ControlSource | None = None
) -> tuple[Context, ...]:
    """Score an excerpt several times, with the state reset ever less often.

    The excerpt consists of whole sections. Each of them is cut into pieces of `seconds`, which start from the initial
    state without a lead, and the bits are those of all samples. Where the sections are shorter than the longest
    distance between resets, the last score is that of whole sections.

    Args:
        run: model to score.
        samples: samples (N,) of a split.
        sections: starts and ends (S, 2) of its sections, one at least.
        conditions: what the model is given. Without any, every control is absent.
    """
    lengths = sections[:, 1] - sections[:, 0]
    count = max(LEAST_SECTIONS, round(EXCERPT_SECONDS * run.rate / lengths.mean()))
    chosen = metrics.evenly(sections, min(len(sections), count))
    longest = int((chosen[:, 1] - chosen[:, 0]).max())
    resets = [reset for seconds in RESETS if (reset := round(seconds * run.rate)) < longest]
    if len(resets) < len(RESETS):
        resets.append(longest)
    curve = []
    for reset in resets:
        pieces = _cut(chosen, reset)
        nats = run.score(samples, pieces, conditions=conditions)
        bits = metrics.bits(float(nats.sum() / (pieces[:, 1] - pieces[:, 0]).sum()))
        curve.append(Context(reset / run.rate, bits))
    return tuple(curve)


def _cut(sections: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return the pieces (n, 2) of `length` samples of sections (S, 2). A section's last piece may be shorter."""
    return np.array(
        [
            (start, min(start + length, stop))
            for first, stop in sections.tolist()
            for start in range(first, stop, length)
        ]
    )
