"""Measure a recording itself, so that it has controls without any labels: loudness, brightness and pitch.

Value k of a curve is for the samples k HOP to (k + 1) HOP - 1, from a window about their middle.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import need_librosa
from wavewright.metrics import decibel
from wavewright.quantize import Samples16, to_amplitude

HOP = 256
WINDOW = 1024
QUIETEST = -80.0  # dBFS, the loudness of anything quieter
PIECE = 2048 * HOP  # samples that are measured at a time
MARGIN = 64 * HOP  # samples around them that are heard, too
CERTAIN = 0.5  # probability of a voice from which a pitch is believed

Curve = NDArray[np.float32]  # (K,), not a number where there is nothing to measure


def loudness(samples: NDArray[np.floating], rate: int) -> Curve:
    """Return the RMS in dBFS, at least QUIETEST."""
    power = np.mean(np.square(_windows(samples)), 1)
    return np.maximum(decibel(power), QUIETEST).astype(np.float32)


def brightness(samples: NDArray[np.floating], rate: int) -> Curve:
    """Return the spectral centroid as a MIDI key (69 is 440 Hz, 12 to an octave); not a number in silence."""
    spectra = np.abs(np.fft.rfft(_windows(samples) * np.hanning(WINDOW)))
    total = spectra.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        hertz = spectra @ np.fft.rfftfreq(WINDOW, 1 / rate) / total
        keys = 69 + 12 * np.log2(hertz / 440)
    return np.where(loudness(samples, rate) > QUIETEST, keys, np.nan).astype(np.float32)


def pitch(samples: NDArray[np.floating], rate: int) -> Curve:
    """Return the fundamental as a MIDI key with fractions; not a number where there is none (pYIN, through librosa).

    Raises:
        WavewrightError: librosa is not installed.
    """
    librosa = need_librosa()
    lowest = 27.5  # Hz, a piano's lowest key
    window = 1 << int(np.ceil(np.log2(2 * rate / lowest)))  # two of its periods at least
    shifted = np.pad(samples, (HOP // 2, 0))[: len(samples)]  # librosa's frame k is about sample k HOP
    hertz, _, certain = librosa.pyin(
        shifted, fmin=lowest, fmax=min(4200, rate / 4), sr=rate, frame_length=window, hop_length=HOP
    )
    count = -(-len(samples) // HOP)
    keys = np.where(certain >= CERTAIN, 69 + 12 * np.log2(np.where(hertz > 0, hertz, np.nan) / 440), np.nan)
    return keys[:count].astype(np.float32)


MEASURES: dict[str, Callable[[NDArray[np.floating], int], Curve]] = {
    "loudness": loudness,
    "brightness": brightness,
    "pitch": pitch,
}


def part(name: str, samples: Samples16, rate: int, start: int) -> Curve:
    """Return the part of the curve called `name` that PIECE samples from `start` on have, or those up to the end.

    Memory does not grow with the length of the recording.

    Args:
        name: one of MEASURES.
        samples: all samples (N,) of the recording.
        rate: sample rate, in Hz.
        start: a multiple of PIECE.

    Raises:
        WavewrightError: librosa is not installed, for `pitch`.
    """
    before = min(start, MARGIN)
    heard = to_amplitude(samples[start - before : start + PIECE + MARGIN])
    values = MEASURES[name](heard, rate)[before // HOP :]
    return values[: -(-min(PIECE, len(samples) - start) // HOP)]


def _windows(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a window (K, WINDOW) about the middle of every hop."""
    count = -(-len(samples) // HOP)
    before = (WINDOW - HOP) // 2
    padded = np.pad(samples.astype(np.float64), (before, WINDOW + HOP))
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
