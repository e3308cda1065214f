"""Read the samples of one split from a file that stays open for as long as they are needed."""

import hashlib
import os
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import WavewrightError, printable
from wavewright.quantize import ONE_RECORDING

CHUNK = 1 << 20  # samples


class Reader:
    """The 16-bit samples of a split, of which each slice is read from disk when it is asked for.

    The file stays open, so it may be removed or replaced meanwhile. A file that is cut short raises an error, where
    a memory map would end the process.

    Args:
        file: little-endian 16-bit samples, as in a corpus.
        frames: number of samples in the file.
        starts: where each recording in the file begins, in ascending order.

    Raises:
        WavewrightError: the file cannot be opened or, on a slice, cannot be read.
    """

    def __init__(self, file: Path, frames: int, starts: NDArray[np.int64] = ONE_RECORDING) -> None:
        self.file, self.frames, self.starts = file, frames, starts
        try:
            self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(error.strerror) from None
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, part: slice) -> NDArray[np.int16]:
        """Return samples (n,) as an array that cannot be written to. The slice has no step."""
        start, stop, _ = part.indices(self.frames)
        size = 2 * max(0, stop - start)
        try:
            found = os.pread(self._descriptor, size, 2 * start)
        except OSError as error:
            raise self._unreadable(error.strerror) from None
        if len(found) != size:
            raise self._unreadable("cut short since it was opened")
        return np.frombuffer(found, "<i2")

    def sha256(self) -> str:
        """Return the SHA-256 of the file, in hexadecimal."""
        digest = hashlib.sha256()
        for start in range(0, self.frames, CHUNK):
            digest.update(self[start : start + CHUNK].tobytes())
        return digest.hexdigest()

    def _unreadable(self, why: str | None) -> WavewrightError:
        return WavewrightError(f"{printable(self.file)}: cannot be read: {why}; prepare the corpus again")
