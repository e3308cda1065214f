"""Measure how wide a model's own distribution is in amplitude, which is the hiss that it cannot help making."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.measuring import similarity
from wavewright.metrics import decibel
from wavewright.playing.playable import TrainedModel
from wavewright.quantize import Samples16

STRETCHES = 8  # of the split, heard side by side
STRETCH_SECONDS = 5.0
LEAD_SECONDS = 1.0  # of each stretch that are heard, but do not count, so that the model knows where it is
PIECE_SECONDS = 0.1  # of one level
DECADE = 20.0  # dB


@dataclass(frozen=True)
class Spread:
    """The predictive spread where the recordings' level is from `low_dbfs` to less than `high_dbfs`.

    Attributes:
        share: share of the samples.
        spread_dbfs: see Hiss.
        below_sound_db: how far the spread lies below the sound there.
    """

    low_dbfs: float
    high_dbfs: float
    share: float
    spread_dbfs: float
    below_sound_db: float


@dataclass(frozen=True)
class Hiss:
    """The predictive spread: the standard deviation of the next amplitude under the model's own distribution.

    Attributes:
        spread_dbfs: spread over recordings, averaged in power, in dB below full scale.
        below_sound_db: how far the spread lies below the sound.
        by_level: the same where the recordings are quiet and where they are loud, by decade of amplitude.
    """

    spread_dbfs: float
    below_sound_db: float
    by_level: tuple[Spread, ...]


def hiss(run: TrainedModel, samples: Samples16) -> Hiss:
    """Measure the predictive spread over stretches of recordings (N,), with every control absent.

    Each stretch is cut into pieces of PIECE_SECONDS, whose levels decide to which decade they belong. The quietest
    decade holds what lies below it, too.
    """
    power, variance = (np.concatenate(values) for values in zip(*_pieces(run, samples), strict=True))
    decades = np.clip(np.floor(decibel(power) / DECADE), -5, -1)
    by_level = []
    for decade in np.unique(decades):
        own = decades == decade
        spread, below = _beside(power[own], variance[own])
        by_level.append(Spread(float(DECADE * decade), float(DECADE * (decade + 1)), float(own.mean()), spread, below))
    return Hiss(*_beside(power, variance), tuple(by_level))


def _pieces(run: TrainedModel, samples: Samples16) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the power and the mean variance (n,) of the pieces of each stretch."""
    length = min(round(STRETCH_SECONDS * run.rate), len(samples))
    lead = min(round(LEAD_SECONDS * run.rate), length // 2)
    codes = run.quantizer.encode_int16(similarity.spread(samples, length, STRETCHES))
    squares = np.square(run.quantizer.decode(codes), dtype=np.float64)
    size = round(PIECE_SECONDS * run.rate)
    for stretch in zip(squares[:, lead:], run.variance(codes)[:, lead:], strict=True):
        power, variance = (np.array([piece.mean() for piece in similarity.pieces(values, size)]) for values in stretch)
        yield power, variance


def _beside(power: NDArray[np.float64], variance: NDArray[np.float64]) -> tuple[float, float]:
    spread = float(decibel(variance.mean()))
    return spread, float(decibel(power.mean())) - spread
