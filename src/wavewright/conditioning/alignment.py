"""Compare a score with its recording: how much later the sound comes, whether it drifts, and whether they fit at all.

The strikes of the score are held against the recording's positive spectral flux, at lags of up to SEARCH and minute by
minute. Where they belong together, the flux at the strikes has a peak at one lag, the same in each minute.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.score import Score
from wavewright.errors import WavewrightError

STEP = 0.005  # seconds between values of the flux, about
WINDOW = 8  # steps in a spectrum's window
SEARCH = 2.0  # seconds, the longest lag that is looked at
LAG = 0.2  # seconds, the longest lag that is taken
MINUTE = 60.0
FEWEST = 8  # strikes in a minute that is judged
DRIFT = 0.020  # seconds of drift over the recording from which a score is refused
FIT = 3.0  # the peak over the median from which a score belongs to the recording
TAIL = 20.0  # seconds that a recording may go on after the score's last strike


@dataclass(frozen=True)
class Alignment:
    """How a score lies in its recording.

    Attributes:
        lag: seconds from a strike to its sound in the recording.
        drift: seconds by which the lag grows from the recording's start to its end.
        fit: flux at the strikes at the best lag, over its median for all lags. It is about 1 for another piece's score.
    """

    lag: float
    drift: float
    fit: float


@dataclass(frozen=True)
class Flux:
    """The positive spectral flux of a recording.

    Attributes:
        values: (N,) how much grew louder around each time i `step`, summed over frequencies.
        step: seconds between values.
    """

    values: NDArray[np.float64]
    step: float


def flux(blocks: Iterable[NDArray[np.floating]], rate: int) -> Generator[None, None, Flux]:
    """Return the flux of a recording that comes in blocks (n,), as part of a task for `corpus.isolate`.

    Magnitudes are compressed by log(1 + 1000 x), so that soft strikes count.
    """
    hop = max(1, round(rate * STEP))
    size, window = WINDOW * hop, np.hanning(WINDOW * hop)
    rest, before, values = np.zeros(size - hop), np.zeros(size // 2 + 1), []
    for block in blocks:
        yield
        rest = np.concatenate((rest, block))
        count = (len(rest) - size) // hop + 1
        if count < 1:
            continue
        columns = np.lib.stride_tricks.sliding_window_view(rest[: (count - 1) * hop + size], size)[::hop]
        spectra = np.log1p(1000 / size * np.abs(np.fft.rfft(columns * window)))
        values.append(np.maximum(np.diff(spectra, axis=0, prepend=before[None]), 0).sum(1))
        rest, before = rest[count * hop :], spectra[-1]
    centred = np.concatenate([np.zeros(0), *values])[WINDOW // 2 - 1 :]  # a window is about its middle
    return Flux(centred, hop / rate)


def align(score: Score, flux: Flux) -> Alignment:
    """Align a score with the flux of its recording.

    Raises:
        WavewrightError: the score belongs to another recording, drifts, or ends long before or after the recording.
    """
    values, step = flux.values, flux.step
    if not len(values):
        raise WavewrightError("the recording is too short to compare it with a score")
    strikes, end = score.strikes, len(values) * step
    late = float(np.mean(strikes > end))
    if late > 0.02:
        raise WavewrightError(f"{late:.0%} of its notes come after the recording's end at {end:.0f} s")
    if strikes[-1] < end - TAIL:
        raise WavewrightError(f"its last note is at {strikes[-1]:.0f} s, the recording ends at {end:.0f} s")
    most = round(SEARCH / step)
    padded = np.pad(values, most, mode="edge")
    middle = slice(most - round(LAG / step), most + round(LAG / step) + 1)
    found = []  # (middle of the minute, lag, strikes)
    overall = np.zeros(2 * most + 1)
    for start in np.arange(0, max(end, step), MINUTE):
        places = np.round(strikes[(strikes >= start) & (strikes < start + MINUTE)] / step).astype(np.int64)
        places = places[places < len(values)]
        struck, times = np.unique(places, return_counts=True)  # a score may have any number of strikes at once
        profile = times @ padded[struck[:, None] + np.arange(2 * most + 1)]
        overall += profile
        if len(places) >= FEWEST:
            found.append((start + MINUTE / 2, _peak(profile[middle]), len(places)))
    fit, lag = float(overall.max() / max(np.median(overall), 1e-12)), (_peak(overall) - most) * step
    if fit < FIT:
        raise WavewrightError(f"it does not belong to the recording (fit {fit:.1f}, at least {FIT:g} where it does)")
    if abs(lag) > LAG:
        raise WavewrightError(f"its notes come {abs(lag):.2f} s {'before' if lag > 0 else 'after'} their sound")
    middles, lags, weights = (np.array(column) for column in zip(*found, strict=True)) if found else ((), (), ())
    slope = float(np.polyfit(middles, lags, 1, w=np.sqrt(weights))[0]) if len(lags) > 1 else 0.0
    drift = slope * step * end
    if abs(drift) > DRIFT:
        raise WavewrightError(f"it drifts by {1000 * drift:.0f} ms over the recording (at most {1000 * DRIFT:.0f} ms)")
    return Alignment(lag, drift, fit)


def _peak(profile: NDArray[np.float64]) -> float:
    """Return the place of the highest value, between its neighbours by a parabola."""
    i = int(profile.argmax())
    if not 0 < i < len(profile) - 1:
        return float(i)
    left, top, right = profile[i - 1 : i + 2]
    return i + 0.5 * (left - right) / min(left - 2 * top + right, -1e-12)
