"""Bits and levels, in numpy alone."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.quantize import Quantizer


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / math.log(2)


def zero_order_entropy(samples: NDArray[np.int16], quantizer: Quantizer) -> float:
    """The bits per sample of a model that knows only how often each code occurs: what any model must beat."""
    counts, block = np.zeros(quantizer.levels, np.int64), 1 << 20
    for start in range(0, len(samples), block):
        counts += np.bincount(quantizer.encode_int16(samples[start : start + block]), minlength=quantizer.levels)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def level(amplitude: NDArray[np.floating]) -> tuple[float, float]:
    """RMS in dB below full scale (never less than -120) and mean, of amplitudes of any shape."""
    rms = float(np.sqrt(np.mean(np.square(amplitude, dtype=np.float64))))
    return 20 * math.log10(max(rms, 1e-6)), float(np.mean(amplitude))


def evenly(items: NDArray[Any], count: int) -> NDArray[Any]:
    """Up to `count` of items (N, ...), evenly spread, the first and the last among them."""
    return items[np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]
