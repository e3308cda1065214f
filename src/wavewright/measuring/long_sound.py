"""Measure a sound of any length block by block: its level, bursts, flatness, peaks over the floor, onsets and pauses.

Memory does not grow with the length, but for some numbers for each frame. librosa measures the onsets.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.measuring import perceptual
from wavewright.measuring.similarity import SILENT
from wavewright.metrics import decibel

Sound = NDArray[np.floating]
Power = NDArray[np.float64]

SECONDS = 10  # that are measured together, since onsets need their surroundings
QUANTILE = 0.005  # of a corpus's seconds are quieter than its range, and as many louder
LEVEL_DB = 9.54  # by which a level may leave the corpus's and a burst exceeds its strongest attack, a factor of 3
FIRST_HZ, BAND_HZ, LAST_HZ = 100.0, 400.0, 4100.0  # bands in which peaks stand over a floor
FLOOR = 5.0  # percentile of a band's bins that is its floor
TREBLE_HZ = 5000.0
PAUSES = 10.0  # percent of the frames, the quietest ones


@dataclass(frozen=True)
class Limits:
    """What a corpus's own sound sets as limits.

    Attributes:
        quietest_dbfs, loudest_dbfs: range of a second's level.
        burst_dbfs: surprise of a frame, beyond which it belongs to a burst.
    """

    quietest_dbfs: float
    loudest_dbfs: float
    burst_dbfs: float


@dataclass(frozen=True)
class Figures:
    """Figures of a sound. Those of spectra are of frames that are not silent, and None where all are.

    Attributes:
        level_dbfs: level of the whole, without DC.
        seconds_outside: number of seconds whose level is out of the limits.
        bursts: number of runs of frames with more surprise than the limit.
        flatness: median of the spectral flatness. White noise has 0.56.
        peak_over_floor_db: median of how far peaks stand over the floor between them. White noise has 19.
        onset_strength_db: mean onset strength. See perceptual.Onsets.
        treble_db: power above 5 kHz beside that of the whole. None too where the rate is too low.
        pauses_dbfs: level of the quietest tenth of the frames.
    """

    level_dbfs: float
    seconds_outside: int
    bursts: int
    flatness: float | None
    peak_over_floor_db: float | None
    onset_strength_db: float
    treble_db: float | None
    pauses_dbfs: float


class LongSound:
    """Measures amplitudes that come in blocks of any length, or in stretches that are measured each by itself.

    A sound in blocks must be brought to its `end` before there are figures.

    Args:
        rate: samples in a second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._size = perceptual.window(rate)
        self._measured = 0  # samples
        self._rest = np.zeros(0, np.float32)
        self._found: dict[str, list[NDArray[np.float64]]] = {}

    @property
    def stretch(self) -> int:
        """Number of samples that are measured together."""
        return SECONDS * self._rate

    def add(self, block: Sound) -> None:
        """Measure the next samples (n,)."""
        self._rest = np.concatenate((self._rest, block))
        while len(self._rest) >= self.stretch:
            self.add_stretch(self._rest[: self.stretch])
            self._rest = self._rest[self.stretch :].copy()  # or all of it would stay in memory

    def add_stretch(self, sound: Sound) -> None:
        """Measure a stretch (n,) by itself, one second or more. What is over whole seconds has no level of its own."""
        frames = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), self._size)[:: self._size // 2]
        variance = frames.var(1)
        spectra = _spectra(frames)
        sounding = spectra[variance > SILENT**2, 1:-1]
        treble, strength = round(TREBLE_HZ * self._size / self._rate), perceptual.onset_strength(sound, self._rate)
        self._keep(
            levels=decibel(sound[: len(sound) // self._rate * self._rate].reshape(-1, self._rate).var(1, np.float64)),
            times=(self._measured + self._size // 2 * np.arange(len(frames))) / self._rate,
            surprise=decibel(spectra[:, 2:-1]).mean(1),  # without the lowest bins, which leak what is below
            variance=variance,
            flatness=np.exp(np.log(sounding).mean(1)) / sounding.mean(1),
            peaks=_peak_over_floor(spectra[variance > SILENT**2], self._rate),
            sums=np.array([[spectra[:, treble:].sum(), spectra.sum(), strength.sum(), len(strength)]]),
        )
        self._measured += len(sound)

    def end(self) -> None:
        """Measure what is left of the blocks, where that is a second or more."""
        if len(self._rest) >= self._rate:
            self.add_stretch(self._rest)
        self._rest = self._rest[:0]

    def limits(self) -> Limits:
        """Return the limits that this sound, a corpus's, sets for others."""
        levels = self._all("levels")
        low, high = np.quantile(levels, [QUANTILE, 1 - QUANTILE])
        return Limits(float(low) - LEVEL_DB, float(high) + LEVEL_DB, float(self._all("surprise").max()) + LEVEL_DB)

    def figures(self, limits: Limits) -> Figures:
        """Return the figures of what was measured."""
        variance = self._all("variance")
        quiet = variance[variance <= np.percentile(variance, PAUSES)]
        treble, whole, strength, count = self._all("sums").sum(0)
        sounds = len(self._all("flatness")) > 0
        return Figures(
            level_dbfs=float(decibel(np.power(10, self._all("levels") / 10).mean())),
            seconds_outside=len(self.outside(limits)),
            bursts=len(self.bursts(limits)),
            flatness=_median(self._all("flatness")),
            peak_over_floor_db=_median(self._all("peaks")),
            onset_strength_db=float(strength / count),
            treble_db=float(decibel(treble / whole)) if sounds and self._rate / 2 > TREBLE_HZ else None,
            pauses_dbfs=float(decibel(quiet.mean())),
        )

    def outside(self, limits: Limits) -> NDArray[np.int64]:
        """Return the seconds (n,), counted from 0, that are too quiet or too loud."""
        levels = self._all("levels")
        return np.flatnonzero((levels < limits.quietest_dbfs) | (levels > limits.loudest_dbfs))

    def bursts(self, limits: Limits) -> NDArray[np.float64]:
        """Return when bursts begin (n,), in seconds."""
        loud = self._all("surprise") > limits.burst_dbfs
        return self._all("times")[loud & ~np.concatenate(([False], loud[:-1]))]

    def _keep(self, **values: NDArray[np.float64]) -> None:
        for name, value in values.items():
            self._found.setdefault(name, []).append(value)

    def _all(self, name: str) -> NDArray[np.float64]:
        return np.concatenate(self._found[name])


def _spectra(frames: Power) -> Power:
    """Return the power spectra (n, size / 2 + 1) of frames (n, size) without their DC. White noise has its variance."""
    window = np.hanning(frames.shape[1] + 1)[:-1]
    centred = frames - frames.mean(1, keepdims=True)
    return np.square(np.abs(np.fft.rfft(centred * window))) / np.square(window).sum() + 1e-20


def _peak_over_floor(spectra: Power, rate: int) -> NDArray[np.float64]:
    """Return how far the highest bin of each band is above its floor, in dB, mean over bands, for spectra (n, F)."""
    pitch = np.arange(spectra.shape[1]) * rate / (2 * (spectra.shape[1] - 1))
    level, over = decibel(spectra), list[NDArray[np.float64]]()
    for low in np.arange(FIRST_HZ, min(LAST_HZ, rate / 2) - BAND_HZ + 1, BAND_HZ):
        band = level[:, (pitch >= low) & (pitch < low + BAND_HZ)]
        over.append(band.max(1) - np.percentile(band, FLOOR, axis=1))
    return np.mean(over, axis=0) if over else np.zeros(0)


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None
