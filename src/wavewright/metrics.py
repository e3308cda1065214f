"""What a model is worth: bits per sample, and how far a continuation is from the truth."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from wavewright import processes
from wavewright.batches import IGNORED, Batches
from wavewright.models import Model
from wavewright.quantize import Encoding, encode_table

SCORE_LENGTH = 4096  # samples of a lane at a time; any length gives the same result
SCORE_LANES = 16


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / math.log(2)


@torch.no_grad()
def score(
    model: Model[Any],
    samples: NDArray[np.int16],
    sections: NDArray[np.int64],
    encoding: Encoding,
    *,
    rank: int = 0,
    world: int = 1,
) -> NDArray[np.float64]:
    """The nats of each section, (S,), summed over its samples, with true state carried through it.

    With several processes each scores its lanes, and all return the whole.
    """
    batches = Batches(
        samples,
        sections,
        batch_size=SCORE_LANES,
        length=SCORE_LENGTH,
        levels=model.config.q_levels,
        encoding=encoding,
        seed=None,
        rank=rank,
        world=world,
    )
    nats = torch.zeros(len(sections) + batches.lanes, dtype=torch.float64)
    state = None
    while batches.position.epoch == 0:
        first = batches.position.group * batches.lanes + batches.own_lanes.start
        batch = next(batches)
        inputs = torch.from_numpy(batch.inputs).to(model.device)
        targets = torch.from_numpy(batch.targets).to(model.device)
        logits, state = model(inputs, None if batch.reset else state)
        loss = functional.cross_entropy(logits.float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
        nats[first : first + len(loss)] += loss.double().sum(1).cpu()
    processes.sum_([nats])
    return nats[: len(sections)].numpy()


def zero_order_entropy(samples: NDArray[np.int16], levels: int, encoding: Encoding) -> float:
    """The bits per sample of a model that knows only how often each code occurs: what any model must beat."""
    table, counts, block = encode_table(levels, encoding), np.zeros(levels, np.int64), 1 << 20
    for start in range(0, len(samples), block):
        counts += np.bincount(table[samples[start : start + block].view(np.uint16)], minlength=levels)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def mean_absolute_difference(generated: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean |generated - truth|, in units of amplitude (the thesis's wish, 5.1)."""
    return float(np.abs(generated - truth).mean())


def cross_correlation(generated: NDArray[np.floating], truth: NDArray[np.floating], max_lag: int) -> tuple[float, int]:
    """The greatest normalised cross-correlation within `max_lag` samples, in [-1, 1], and its lag.

    A positive lag means that `generated` is late. Silence correlates with nothing: 0 at lag 0.
    """
    from scipy.signal import correlate, correlation_lags

    a, b = generated - generated.mean(), truth - truth.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    if not scale:
        return 0.0, 0
    lags = correlation_lags(len(a), len(b))
    near = np.abs(lags) <= max_lag
    values = correlate(a, b)[near] / scale
    best = int(np.argmax(values))
    return float(values[best]), int(lags[near][best])


def level(amplitude: NDArray[np.floating]) -> tuple[float, float]:
    """RMS in dB below full scale (never less than -120) and mean, of amplitudes of any shape."""
    rms = float(np.sqrt(np.mean(np.square(amplitude, dtype=np.float64))))
    return 20 * math.log10(max(rms, 1e-6)), float(np.mean(amplitude))
