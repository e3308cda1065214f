"""Quantise amplitudes in [-1, 1] to integer codes in [0, Q) and back, linear or mu-law, with any number Q of levels.

Both encodings divide [-1, 1] into Q bins of equal width, mu-law after companding. Companding follows ITU-T G.711 with
mu = Q - 1, as in WaveNet (arXiv:1609.03499, section 2.2). A code stands for the centre of its bin, so rounding adds no
offset.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["linear", "mu-law"]

FULL_SCALE = 32767  # the 16-bit integer of amplitude 1


class Samples16(Protocol):
    """16-bit samples (N,): an array, or a file of which each slice is read when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.int16]: ...


@dataclass(frozen=True)
class Quantizer:
    """Turns amplitudes into codes and back.

    Attributes:
        levels: Q, the number of codes.
        encoding: how the bins are spaced.
    """

    levels: int
    encoding: Encoding

    def encode(self, amplitude: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the codes in [0, Q) of amplitudes of any shape, which are clipped to [-1, 1]."""
        x = np.clip(np.asarray(amplitude, np.float64), -1.0, 1.0)
        if self.encoding == "mu-law":
            mu = self.levels - 1
            x = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
        return np.minimum(np.floor((x + 1.0) * (self.levels / 2)), self.levels - 1).astype(np.int64)

    def decode(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the amplitudes in (-1, 1) at the centres of the bins of `codes`, of any shape."""
        x = (2.0 * np.asarray(codes, np.float64) + 1.0) / self.levels - 1.0
        if self.encoding == "mu-law":
            mu = self.levels - 1
            x = np.sign(x) * np.expm1(np.abs(x) * np.log1p(mu)) / mu
        return x.astype(np.float32)

    def encode_int16(self, samples: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the codes in [0, Q) of 16-bit samples of any shape, such as those of a corpus."""
        return self._table[samples.view(np.uint16)]

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        """Codes of all 16-bit samples (65536,), indexed by the sample as an unsigned integer."""
        samples = np.arange(65536, dtype=np.uint16).view(np.int16)
        return self.encode(samples / np.float64(FULL_SCALE))


def silence(levels: int) -> int:
    """Return the code of amplitude 0, in either encoding."""
    return levels // 2


def to_amplitude(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return 16-bit samples of any shape as amplitudes in [-1, 1]."""
    return np.asarray(samples / np.float32(FULL_SCALE), np.float32)


def to_int16(amplitude: NDArray[np.floating]) -> NDArray[np.int16]:
    """Return amplitudes in [-1, 1] of any shape as the nearest 16-bit samples, little-endian."""
    return np.rint(amplitude * FULL_SCALE).astype("<i2")
