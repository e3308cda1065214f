"""What a model is worth, in numpy alone: bits, levels, and how like two sounds are. See docs/evaluation.md."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.quantize import Encoding, encode_table

SILENT = 1e-4  # RMS, -80 dBFS: what is below is like any silence, so nothing is said of it
NEAREST_BLOCK = 1 << 16  # samples transformed at once: about the fastest of the powers of two


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / math.log(2)


def zero_order_entropy(samples: NDArray[np.int16], levels: int, encoding: Encoding) -> float:
    """The bits per sample of a model that knows only how often each code occurs: what any model must beat."""
    table, counts, block = encode_table(levels, encoding), np.zeros(levels, np.int64), 1 << 20
    for start in range(0, len(samples), block):
        counts += np.bincount(table[samples[start : start + block].view(np.uint16)], minlength=levels)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def entropy(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """The entropy in bits (...), in [0, log2 Q], of the distributions with logits (..., Q)."""
    shifted = logits - logits.max(-1, keepdims=True).astype(np.float64)
    weights = np.exp(shifted)
    total = weights.sum(-1)
    nats: NDArray[np.float64] = np.log(total) - (weights * shifted).sum(-1) / total
    return nats / math.log(2)


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


def pieces(values: NDArray[np.floating], size: int) -> list[NDArray[np.floating]]:
    """Values (T,) cut every `size`; the last may be shorter."""
    return np.split(values, range(size, len(values), size))


def evenly(items: NDArray[Any], count: int) -> NDArray[Any]:
    """Up to `count` of items (N, ...), evenly spread, the first and the last among them."""
    return items[np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]


def spread(sound: NDArray[Any], length: int, most: int) -> NDArray[Any]:
    """Up to `most` stretches (K, length) of a sound (N,), evenly spread, none overlapping another."""
    count = min(most, len(sound) // length)
    starts = np.linspace(0, len(sound) - length, count).astype(int)
    return np.asarray(sound[starts[:, None] + np.arange(length)])


def nearest(stretches: NDArray[np.floating], sound: NDArray[np.int16]) -> NDArray[np.float64]:
    """The greatest normalised cross-correlation (K,), in [-1, 1], of each stretch (K, n) with any of `sound` (N,).

    1 is a copy at any gain and offset. Silence correlates with nothing. `sound` is read in
    blocks, so that memory does not grow with it: one transform a block, shared by all stretches.
    Where it is shorter than n there is nothing to find: -1.
    """
    from scipy import fft

    if not len(stretches):
        return np.empty(0)
    n = stretches.shape[1]
    size = fft.next_fast_len(max(NEAREST_BLOCK, 4 * n), real=True)
    centred = stretches - stretches.mean(1, keepdims=True)
    lengths = np.sqrt(np.square(centred).sum(1, keepdims=True))
    wanted = fft.rfft((centred / np.maximum(lengths, 1e-12)).astype(np.float32), size).conj()
    best = np.full(len(stretches), -1.0)
    for start in range(0, len(sound) - n + 1, size - n + 1):
        block = sound[start : start + size] / 32767
        block -= block.mean()  # keeps rounding small where there is DC
        products = fft.irfft(fft.rfft(block.astype(np.float32), size) * wanted, size)
        scale = _inverse_lengths(block, n)
        best = np.maximum(best, (products[:, : len(scale)] * scale).max(1))
    return np.minimum(best, 1.0)  # which rounding may exceed


def _inverse_lengths(block: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """1 / |window - its mean| for each window of n samples, (N - n + 1,); 0 for silence."""
    sums, squares = (np.concatenate([[0.0], np.cumsum(values)]) for values in (block, np.square(block)))
    energy = squares[n:] - squares[:-n] - np.square(sums[n:] - sums[:-n]) / n
    return np.where(energy > n * SILENT**2, 1 / np.sqrt(np.maximum(energy, 1e-12)), 0.0).astype(np.float32)
