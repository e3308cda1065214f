"""Amplitudes in [-1, 1] to integer codes in [0, Q) and back: linear or mu-law, any number of levels.

Both divide [-1, 1] into Q bins of equal width, mu-law after companding (ITU-T G.711 with mu = Q - 1, as in WaveNet,
arXiv:1609.03499, section 2.2). A code stands for the centre of its bin, so rounding adds no offset.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["linear", "mu-law"]


def encode(amplitude: NDArray[np.floating], levels: int, encoding: Encoding) -> NDArray[np.int64]:
    """Codes in [0, levels) of amplitudes, which are clipped to [-1, 1]; any shape."""
    x = np.clip(np.asarray(amplitude, np.float64), -1.0, 1.0)
    if encoding == "mu-law":
        mu = levels - 1
        x = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    return np.minimum(np.floor((x + 1.0) * (levels / 2)), levels - 1).astype(np.int64)


def decode(codes: NDArray[np.integer], levels: int, encoding: Encoding) -> NDArray[np.float32]:
    """Amplitudes in (-1, 1) at the centres of the bins of `codes`; any shape."""
    x = (2.0 * np.asarray(codes, np.float64) + 1.0) / levels - 1.0
    if encoding == "mu-law":
        mu = levels - 1
        x = np.sign(x) * np.expm1(np.abs(x) * np.log1p(mu)) / mu
    return x.astype(np.float32)


def silence(levels: int) -> int:
    """The code of amplitude 0, in either encoding."""
    return levels // 2


def encode_table(levels: int, encoding: Encoding) -> NDArray[np.int64]:
    """The codes of all 16-bit samples, (65536,), indexed by the sample seen as an unsigned integer."""
    samples = np.arange(65536, dtype=np.uint16).view(np.int16)
    return encode(samples / np.float64(32767), levels, encoding)
