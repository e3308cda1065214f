"""Scores in the tests."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning import score
from wavewright.conditioning.alignment import Flux, flux
from wavewright.conditioning.score import Score
from wavewright.corpus import isolate
from wavewright.errors import AudioError


def read_score(path: Path) -> Score:
    """The score at `path`, read as the package reads it, in a process of its own."""
    (result,) = isolate.each(score.read, [(path,)], 1)
    if isinstance(result, AudioError):
        raise result
    return result


def flux_of(blocks: Iterable[NDArray[np.floating]], rate: int) -> Flux:
    """The flux of a recording that comes in blocks, measured in this process."""
    steps = flux(blocks, rate)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
