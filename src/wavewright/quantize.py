"""Quantise amplitudes in [-1, 1] to integer codes in [0, Q) and back, linear or mu-law, with any number Q of levels.

Both encodings divide [-1, 1] into Q bins of equal width, mu-law after companding. Companding follows ITU-T G.711 with
mu = Q - 1, as in WaveNet (arXiv:1609.03499, section 2.2). A code stands for the centre of its bin, so rounding adds no
offset.

With emphasis E, a code stands for x_t - E x_(t-1) in place of the sample x_t, as in LPCNet (arXiv:1810.11846, section
3.2). De-emphasis, x_t = y_t + E x_(t-1), makes sound of it again, and takes up to 20 log10(1 + E) dB off the noise of
high frequencies.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Encoding = Literal["linear", "mu-law"]

FULL_SCALE = 32767  # the 16-bit integer of amplitude 1
ONE_RECORDING = np.zeros(1, np.int64)  # which begins at its first sample


class Samples16(Protocol):
    """16-bit samples (N,): an array, or a file of which each slice is read when it is asked for.

    An array is one recording. A file of several (`corpus.reader.Reader`) tells in `starts` where each one begins.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.int16]: ...


@dataclass(frozen=True)
class Quantizer:
    """Turns amplitudes into codes and back.

    Attributes:
        levels: Q, the number of codes.
        encoding: how the bins are spaced.
        emphasis: E in [0, 1), the share of the sample before that is taken off each sample.
    """

    levels: int
    encoding: Encoding
    emphasis: float = 0.0

    def encode(self, amplitude: NDArray[np.floating], before: ArrayLike = 0.0) -> NDArray[np.int64]:
        """Return the codes in [0, Q) of amplitudes (..., n), which are clipped to [-1, 1].

        With emphasis, differences are clipped to [-1, 1] too.

        Args:
            amplitude: amplitudes. Without emphasis, they may have any shape.
            before: amplitude (...) of the sample before the first one.
        """
        x = np.clip(np.asarray(amplitude, np.float64), -1.0, 1.0)
        if self.emphasis:
            first = np.broadcast_to(np.clip(before, -1.0, 1.0), x.shape[:-1])[..., None]
            x = self._emphasised(x, np.concatenate((first, x[..., :-1]), -1))
        return self._codes(x)

    def decode(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the amplitudes in [-1, 1] of `codes` (..., n) that begin streams. See Decoder."""
        return self.decoder()(codes)

    def decoder(self) -> "Decoder":
        """Return a decoder of streams from their beginning."""
        return Decoder(self)

    def encode_int16(self, samples: NDArray[np.int16]) -> NDArray[np.int64]:
        """Return the codes in [0, Q) of 16-bit samples (..., n) after silence."""
        if self.emphasis:
            return self.encode(samples / np.float64(FULL_SCALE))
        return self._table[samples.view(np.uint16)]

    def encode_part(self, samples: Samples16, start: int, stop: int) -> NDArray[np.int64]:
        """Return the codes of samples[start:stop], a part of recordings. Each recording begins after silence."""
        if not self.emphasis:
            return self.encode_int16(samples[start:stop])
        first = max(0, start - 1)
        x = np.clip(samples[first:stop] / np.float64(FULL_SCALE), -1.0, 1.0)
        before = np.concatenate((np.zeros(1), x))[:-1]
        starts = getattr(samples, "starts", ONE_RECORDING)
        before[starts[(starts >= first) & (starts < first + len(x))] - first] = 0
        return self._codes(self._emphasised(x, before))[start - first :]

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        """Codes of all 16-bit samples (65536,), indexed by the sample as an unsigned integer."""
        samples = np.arange(65536, dtype=np.uint16).view(np.int16)
        return self.encode(samples / np.float64(FULL_SCALE))

    def _emphasised(self, x: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what codes are to stand for, of amplitudes and those of the samples before them, in [-1, 1]."""
        return np.clip(x - self.emphasis * before, -1.0, 1.0)

    def _codes(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the codes of what they stand for, in [-1, 1]."""
        if self.encoding == "mu-law":
            mu = self.levels - 1
            x = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
        return np.minimum(np.floor((x + 1.0) * (self.levels / 2)), self.levels - 1).astype(np.int64)

    def centres(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return what codes of any shape stand for, the centres of their bins in (-1, 1)."""
        x = (2.0 * np.asarray(codes, np.float64) + 1.0) / self.levels - 1.0
        if self.encoding == "mu-law":
            mu = self.levels - 1
            x = np.sign(x) * np.expm1(np.abs(x) * np.log1p(mu)) / mu
        return x


class Decoder:
    """Turns the codes of streams into sound block by block, in any blocks to the same bits.

    With emphasis, a sample continues the one before it. A decoder therefore keeps the last amplitude of each stream.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        self._quantizer = quantizer
        self._last = np.zeros(())

    def __call__(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the next amplitudes in [-1, 1] of codes (..., n). Without emphasis, they may have any shape.

        What came before may have been one stream (n,), which all of these continue.
        """
        x, emphasis = self._quantizer.centres(codes), self._quantizer.emphasis
        if emphasis and x.size:
            last = np.broadcast_to(self._last, x.shape[:-1])
            rows = [
                list(itertools.accumulate(row, lambda before, y: y + emphasis * before, initial=before))[1:]
                for row, before in zip(x.reshape(-1, x.shape[-1]).tolist(), last.ravel().tolist(), strict=True)
            ]
            x = np.array(rows).reshape(x.shape)
            self._last = x[..., -1]
            x = np.clip(x, -1.0, 1.0)
        return x.astype(np.float32)

    def follow(self, blocks: Iterable[NDArray[np.integer]]) -> Iterator[NDArray[np.integer]]:
        """Yield blocks of codes as they are, after decoding them, for streams that continue them."""
        for codes in blocks:
            self(codes)
            yield codes


def silence(levels: int) -> int:
    """Return the code of amplitude 0, in either encoding."""
    return levels // 2


def to_amplitude(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return 16-bit samples of any shape as amplitudes in [-1, 1]."""
    return np.asarray(samples / np.float32(FULL_SCALE), np.float32)


def to_int16(amplitude: NDArray[np.floating]) -> NDArray[np.int16]:
    """Return amplitudes in [-1, 1] of any shape as the nearest 16-bit samples, little-endian."""
    return np.rint(amplitude * FULL_SCALE).astype("<i2")
