"""Compare sounds sample by sample, in numpy alone. See docs/evaluation.md."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.quantize import FULL_SCALE, Samples16

SILENT = 1e-4  # RMS, -80 dBFS: what is below is like any silence, so nothing is said of it
NEAREST_BLOCK = 1 << 16  # samples transformed at once: about the fastest of the powers of two


def mean_absolute_difference(generated: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Return the mean of |generated - truth|, in units of amplitude (the thesis's wish, 5.1)."""
    return float(np.abs(generated - truth).mean())


def cross_correlation(generated: NDArray[np.floating], truth: NDArray[np.floating], max_lag: int) -> tuple[float, int]:
    """Return the greatest normalised cross-correlation within `max_lag` samples, in [-1, 1], and its lag.

    Both sounds have the same length. A positive lag means that `generated` is late. Silence has 0 at lag 0.
    """
    a, b = (sound - sound.mean(dtype=np.float64) for sound in (generated, truth))
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    if not scale:
        return 0.0, 0
    values = np.correlate(np.pad(a, max_lag), b, "valid") / scale  # of lags -max_lag to max_lag
    best = int(np.argmax(values))
    return float(values[best]), best - max_lag


def pieces(values: NDArray[np.floating], size: int) -> list[NDArray[np.floating]]:
    """Cut values (T,) every `size`; the last may be shorter."""
    return np.split(values, range(size, len(values), size))


def spread(sound: Samples16 | NDArray[Any], length: int, most: int) -> NDArray[Any]:
    """Return up to `most` stretches (K, length) of a sound (N,), evenly spread, none overlapping another."""
    count = min(most, len(sound) // length)
    starts = np.linspace(0, len(sound) - length, count).astype(int)
    return np.array([sound[start : start + length] for start in starts]).reshape(count, length)


def nearest(stretches: NDArray[np.floating], sound: Samples16) -> NDArray[np.float64]:
    """Return the greatest normalised cross-correlation (K,) of each stretch (K, n) with any part of `sound` (N,).

    It is in [-1, 1].

    1 is a copy at any gain and offset. Silence correlates with nothing. `sound` is read in
    blocks, so that memory does not grow with it: one transform a block, shared by all stretches.
    Where it is shorter than n there is nothing to find: -1.
    """
    if not len(stretches):
        return np.empty(0)
    n = stretches.shape[1]
    size = 1 << (max(NEAREST_BLOCK, 4 * n) - 1).bit_length()
    centred = stretches - stretches.mean(1, keepdims=True)
    lengths = np.sqrt(np.square(centred).sum(1, keepdims=True))
    wanted = np.fft.rfft((centred / np.maximum(lengths, 1e-12)).astype(np.float32), size).conj()
    best = np.full(len(stretches), -1.0)
    for start in range(0, len(sound) - n + 1, size - n + 1):
        block = sound[start : start + size] / FULL_SCALE
        block -= block.mean()  # keeps rounding small where there is DC
        products = np.fft.irfft(np.fft.rfft(block.astype(np.float32), size) * wanted, size)
        scale = _inverse_lengths(block, n)
        best = np.maximum(best, (products[:, : len(scale)] * scale).max(1))
    return np.minimum(best, 1.0)  # which rounding may exceed


def _inverse_lengths(block: NDArray[np.float64], n: int) -> NDArray[np.float32]:
    """1 / |window - its mean| for each window of n samples, (N - n + 1,); 0 for silence."""
    sums, squares = (np.concatenate([[0.0], np.cumsum(values)]) for values in (block, np.square(block)))
    energy = squares[n:] - squares[:-n] - np.square(sums[n:] - sums[:-n]) / n
    return np.where(energy > n * SILENT**2, 1 / np.sqrt(np.maximum(energy, 1e-12)), 0.0).astype(np.float32)
