"""Bits and loudness, in numpy alone."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.quantize import Quantizer, Samples16


def bits(nats: float) -> float:
    """Return nats as bits."""
    return nats / math.log(2)


def zero_order_entropy(samples: Samples16, quantizer: Quantizer) -> float:
    """Return the bits per sample of a model that knows only how often each code occurs: what any model must beat."""
    counts, block = np.zeros(quantizer.levels, np.int64), 1 << 20
    for start in range(0, len(samples), block):
        counts += np.bincount(quantizer.encode_part(samples, start, start + block), minlength=quantizer.levels)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def decibel(power: Any) -> Any:
    """Return powers in dB, at least -120."""
    return 10 * np.log10(np.maximum(power, 1e-12))


def loudness(amplitude: NDArray[np.floating]) -> tuple[float, float]:
    """Return the RMS in dB below full scale (never less than -120) and the mean of amplitudes of any shape."""
    rms = float(np.sqrt(np.mean(np.square(amplitude, dtype=np.float64))))
    return 20 * math.log10(max(rms, 1e-6)), float(np.mean(amplitude))


@dataclass
class Meter:
    """Measures a sound block by block. Blocks are (n,), or (n, channels) whose channels are measured apart.

    Attributes:
        frames: samples of each channel so far.
        low, high: least and greatest amplitude.
        total: sum of the amplitudes.
        squares: sum of their squares, over all channels.
    """

    frames: int = 0
    low: Any = np.inf
    high: Any = -np.inf
    total: Any = 0.0
    squares: float = 0.0

    def add(self, block: NDArray[np.floating]) -> None:
        """Measure the next block."""
        if len(block):
            self.frames += len(block)
            self.low, self.high = np.minimum(self.low, block.min(0)), np.maximum(self.high, block.max(0))
            self.total = self.total + block.sum(0, dtype=np.float64)
            self.squares += float(np.square(block, dtype=np.float64).sum())

    @property
    def mean(self) -> Any:
        """The mean amplitude; 0 of nothing."""
        return self.total / max(1, self.frames)


def evenly(items: NDArray[Any], count: int) -> NDArray[Any]:
    """Return up to `count` of items (N, ...), evenly spread, the first and the last among them."""
    return items[np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]
