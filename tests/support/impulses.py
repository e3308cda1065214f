"""Impulse responses of made-up rooms."""

import numpy as np
from numpy.typing import NDArray

from conftest import melody

Signal = NDArray[np.float64]

RATE = 44100
BANDS = ((0, 345), (345, 1378), (1378, 5513), (5513, 22050))  # Hz


def noise(seconds: float, seed: int = 0, low: float = 0, high: float = RATE / 2) -> Signal:
    """White noise, or that part of it between two frequencies in Hz."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(round(seconds * RATE)))
    hertz = np.fft.rfftfreq(round(seconds * RATE), 1 / RATE)
    return np.fft.irfft(spectrum * ((low <= hertz) & (hertz < high)), round(seconds * RATE))


def decaying(t60: float, seconds: float) -> Signal:
    """A fall by 60 dB in `t60` seconds: 10^(-3 t / t60)."""
    return 10 ** (-3 * np.arange(round(seconds * RATE)) / RATE / t60)


def room(times: tuple[float, ...] = (1.2, 1.0, 0.8, 0.5), seed: int = 0, floor: float = 0.0) -> Signal:
    """A click and a tail whose bands have decay times of their own, above a noise."""
    seconds = 1.5 * max(times)
    tail = sum(noise(seconds, seed, *band) * decaying(time, seconds) for band, time in zip(BANDS, times, strict=True))
    found = 0.03 * tail + floor * noise(seconds, seed + 99)
    found[0] = 0.9
    return found


def held(seconds: float = 2.0) -> Signal:
    return 0.5 * melody(seconds, RATE)
