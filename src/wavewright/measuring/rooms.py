"""Measure impulse responses: decay time by octave, decay curve, clarity, echo density, and ringing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.impulse import decay_time

Signal = NDArray[np.floating]  # amplitudes (n,), from the direct sound on

OCTAVES = (125, 250, 500, 1000, 2000, 4000, 8000)  # Hz, the middles
FRAME_SECONDS = 0.003
CURVE_SECONDS = 0.01  # between the points of a decay curve
CURVE_FALL = 40.0  # dB of a decay curve that are compared
CLARITY_SECONDS = 0.08  # of early sound, which music needs (ISO 3382-1)
LATE_SECONDS = 0.1  # after which reflections are no longer heard apart
DENSITY_SECONDS = 0.02  # of a window of the echo density (Abel and Huang 2006)
NORMAL_OUTSIDE = 0.3173  # share of normal noise beyond one standard deviation
RINGING_HERTZ = (100.0, 8000.0)


@dataclass(frozen=True)
class RoomMeasures:
    """Measures of an impulse response.

    Attributes:
        decay: decay time in seconds of each octave that falls by 30 dB.
        clarity_db: energy of the first 80 ms over that of the rest.
        echo_density: share of samples beyond one standard deviation in windows after 100 ms, over that of normal noise.
            It is 1 where echoes are too dense to be heard apart.
        ringing_db: the strongest frequency after 100 ms over the median of its third of an octave.
        mean: mean amplitude, over the greatest.
    """

    decay: Mapping[int, float]
    clarity_db: float
    echo_density: float
    ringing_db: float
    mean: float


def measure(response: Signal, rate: int) -> RoomMeasures:
    """Return the measures of an impulse response of 0.2 s or more."""
    exact = np.asarray(response, np.float64)
    late = exact[round(LATE_SECONDS * rate) :]
    energy = np.square(exact)
    early = round(CLARITY_SECONDS * rate)
    return RoomMeasures(
        decay={hertz: time for hertz in OCTAVES if (time := _decay(exact, rate, hertz)) is not None},
        clarity_db=float(10 * np.log10((energy[:early].sum() + 1e-30) / (energy[early:].sum() + 1e-30))),
        echo_density=_echo_density(late, rate),
        ringing_db=_ringing(late, rate),
        mean=float(exact.mean() / max(1e-30, np.abs(exact).max())),
    )


def decay_curve(response: Signal, rate: int) -> NDArray[np.float64]:
    """Return Schroeder's integral in dB below its start, every 10 ms, down to -40 dB."""
    integral = np.cumsum(np.square(np.asarray(response, np.float64))[::-1])[::-1]
    level = 10 * np.log10(integral[:: round(CURVE_SECONDS * rate)] / max(1e-30, integral[0]) + 1e-30)
    below = np.flatnonzero(level < -CURVE_FALL)
    return level[: below[0]] if len(below) else level


def curve_distance(one: Signal, other: Signal, rate: int) -> float:
    """Return the root mean square difference of two decay curves in dB, over the shorter one."""
    curves = decay_curve(one, rate), decay_curve(other, rate)
    points = min(map(len, curves))
    return float(np.sqrt(np.square(curves[0][:points] - curves[1][:points]).mean()))


def _decay(response: NDArray[np.float64], rate: int, hertz: int) -> float | None:
    """Return the decay time of an octave, from -5 to -25 dB (T20 of ISO 3382-1)."""
    from scipy.signal import butter, sosfiltfilt

    edges = (hertz / np.sqrt(2), min(hertz * np.sqrt(2), 0.49 * rate))
    if edges[0] >= edges[1]:
        return None
    silence = np.zeros(round(LATE_SECONDS * rate))
    filtered = sosfiltfilt(butter(3, edges, "bandpass", fs=rate, output="sos"), np.concatenate((response, silence)))
    size = round(FRAME_SECONDS * rate)
    energy = np.square(filtered[: len(response) // size * size]).reshape(-1, size).sum(1)
    found = decay_time(energy, size / rate)
    return None if found is None else found[0]


def _echo_density(late: NDArray[np.float64], rate: int) -> float:
    size = round(DENSITY_SECONDS * rate)
    windows = late[: len(late) // size * size].reshape(-1, size)
    deviation = np.sqrt(np.square(windows).mean(1, keepdims=True))
    heard = deviation[:, 0] > 1e-3 * deviation.max(initial=0.0)  # the rest is silence, or its rounding
    if not heard.any():
        return 0.0
    return float((np.abs(windows[heard]) > deviation[heard]).mean() / NORMAL_OUTSIDE)


def _ringing(late: NDArray[np.float64], rate: int) -> float:
    power = np.square(np.abs(np.fft.rfft(late * np.hanning(len(late)))))
    hertz = np.fft.rfftfreq(len(late), 1 / rate)
    low, found = RINGING_HERTZ[0], [0.0]
    while low < RINGING_HERTZ[1]:
        third = power[(low <= hertz) & (hertz < low * 2 ** (1 / 3))]
        if len(third) >= 8:
            found.append(float(10 * np.log10((third.max() + 1e-30) / (np.median(third) + 1e-30))))
        low *= 2 ** (1 / 3)
    return max(found)
