"""Pictures of a recording's sound, drawn in processes that may die (`corpus.isolate`)."""

import io
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus import isolate
from wavewright.corpus.audio import Recording
from wavewright.errors import need
from wavewright.training.spectrogram import COLUMNS, WINDOW, picture, window_starts

KEPT = 64  # pictures
PARTS = 1 << 16  # of a recording, whose least and greatest amplitudes are kept while it is read


def waveform(path: Path) -> dict[str, Any]:
    """Return the length of a recording in seconds, and the least and greatest amplitude of up to 1,000 columns.

    Raises:
        AudioError: the recording cannot be read whole.
    """
    return _waveform(path, path.stat().st_mtime_ns)


def spectrogram_png(path: Path) -> bytes:
    """Return a picture of a recording's spectrogram, see `training.spectrogram`, as a PNG.

    Raises:
        AudioError: the recording cannot be read whole.
        WavewrightError: matplotlib is not installed.
    """
    need("train", "matplotlib")
    return _spectrogram(path, path.stat().st_mtime_ns)


@lru_cache(KEPT)
def _waveform(path: Path, changed: int) -> dict[str, Any]:
    return isolate.one(_read_waveform, path)


@lru_cache(KEPT)
def _spectrogram(path: Path, changed: int) -> bytes:
    return isolate.one(_read_spectrogram, path)


def _read_waveform(path: Path) -> Generator[None, None, dict[str, Any]]:
    lows, highs, frames, size = [], [], 0, 64
    with Recording(path) as recording:
        rate = recording.rate
        for block in recording.blocks():
            mixed = block.mean(axis=1)
            starts = np.arange(0, len(mixed), size)
            lows.append(np.minimum.reduceat(mixed, starts))
            highs.append(np.maximum.reduceat(mixed, starts))
            frames += len(mixed)
            yield
            if sum(map(len, lows)) > PARTS:
                lows, highs, size = [_halved(lows, np.minimum)], [_halved(highs, np.maximum)], 2 * size
    low, high = np.concatenate(lows), np.concatenate(highs)
    starts = np.unique(np.linspace(0, len(low), COLUMNS, endpoint=False).astype(int))
    peaks = np.stack((np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)), 1)
    return {"seconds": frames / rate, "peaks": np.round(peaks, 4).tolist()}


def _halved(parts: list[NDArray[np.float32]], least: Any) -> NDArray[np.float32]:
    joined = np.concatenate(parts)
    return least.reduceat(joined, np.arange(0, len(joined), 2))


def _read_spectrogram(path: Path) -> Generator[None, None, bytes]:
    """Read the recording twice, first for its length and then for up to 1,000 windows, so that memory stays small."""
    import matplotlib.image

    frames = place = 0
    with Recording(path) as recording:
        for block in recording.blocks():
            frames += len(block)
            yield
    starts = window_starts(frames)
    windows = np.zeros((len(starts), WINDOW), np.float32)
    with Recording(path) as recording:
        for block in recording.blocks():
            mixed = block.mean(axis=1)
            first, last = np.searchsorted(starts, (place - WINDOW + 1, place + len(mixed)))
            for window, start in zip(windows[first:last], starts[first:last] - place, strict=True):
                part = mixed[max(0, start) : start + WINDOW]
                window[max(0, -start) :][: len(part)] = part
            place += len(mixed)
            yield
    made = io.BytesIO()
    matplotlib.image.imsave(made, picture(windows), format="png")
    return made.getvalue()
