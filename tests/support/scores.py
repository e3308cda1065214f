"""Scores in the tests."""

from pathlib import Path

from wavewright.conditioning import score
from wavewright.conditioning.score import Score
from wavewright.corpus import isolate
from wavewright.errors import AudioError


def read_score(path: Path) -> Score:
    """The score at `path`, read as the package reads it, in a process of its own."""
    (result,) = isolate.each(score.read, [(path,)], 1)
    if isinstance(result, AudioError):
        raise result
    return result
