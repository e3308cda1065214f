"""Convolve a stream with an impulse response: blocks of any size go in, and as many samples come out at once."""

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Spectra = NDArray[np.complex128]

PARTITION = 512  # samples, near the blocks of live play: shorter partitions multiply more, longer ones transform more


class Convolution:
    """A convolution with an impulse response in uniform partitions (overlap-save), whose state is the sound so far.

    A partition that is only partly filled is transformed as it is, since samples yet to come do not change those before
    them. So nothing is held back, whatever the size of the blocks. What the impulse response's later partitions add is
    known when a partition begins, and is multiplied only once.

    Args:
        taps: impulse response (n, channels), with n of 1 or more.
        channels: channels of the sound. Where either has one channel, that one meets all channels of the other.
        partition: samples of a partition. The result does not depend on it.
    """

    def __init__(self, taps: Signal, channels: int, partition: int = PARTITION) -> None:
        count = -(-len(taps) // partition)
        padded = np.zeros((count * partition, taps.shape[1]))
        padded[: len(taps)] = taps
        parts = padded.reshape(count, partition, -1)
        spectra: Spectra = np.fft.rfft(parts, 2 * partition, axis=1)
        self._first, self._later = spectra[0], spectra[1:]  # (bins, channels) and (partitions, bins, channels)
        self._past: Spectra = np.zeros((count - 1, partition + 1, channels), complex)  # a ring, read from `_newest` on
        self._newest = 0
        self._known: Spectra = np.zeros((partition + 1, max(channels, taps.shape[1])), complex)  # from `_later`
        self._window = np.zeros((2 * partition, channels))  # the last partition, and the present one up to `_filled`
        self._filled = 0

    def __call__(self, block: NDArray[np.floating]) -> Signal:
        """Return the next samples (n, channels) of the convolution for the next samples (n, channels) of the sound."""
        partition = len(self._window) // 2
        done = [np.zeros((0, self._known.shape[1]))]
        while len(block):
            start, stop = self._filled, min(self._filled + len(block), partition)
            self._window[partition + start : partition + stop] = block[: stop - start]
            block = block[stop - start :]
            spectrum = np.fft.rfft(self._window, axis=0)
            whole = np.fft.irfft(spectrum * self._first + self._known, 2 * partition, axis=0)
            done.append(whole[partition + start : partition + stop])
            self._filled = stop
            if stop == partition:
                self._begin_partition(spectrum)
        return np.concatenate(done)

    def _begin_partition(self, spectrum: Spectra) -> None:
        """Begin the next partition, after one whose window had `spectrum`."""
        partition = len(self._window) // 2
        self._window[:partition] = self._window[partition:]
        self._window[partition:] = 0
        self._filled = 0
        if count := len(self._past):
            self._newest = (self._newest - 1) % count
            self._past[self._newest] = spectrum
            ahead = count - self._newest
            self._known = _products(self._past[self._newest :], self._later[:ahead])
            self._known += _products(self._past[: self._newest], self._later[ahead:])


def _products(past: Spectra, later: Spectra) -> Spectra:
    """Return the sum over partitions of the products of (partitions, bins, channels), as (bins, channels)."""
    return np.einsum("pbc,pbc->bc", past, later)
