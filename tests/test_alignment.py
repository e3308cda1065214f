"""A score beside its recording: how late the sound comes, and which scores are refused."""

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from support.scores import flux_of, read_score
from wavewright.conditioning.alignment import Flux, align
from wavewright.conditioning.score import Score
from wavewright.errors import WavewrightError

RATE = 14700
PIECES = ["grieg/grieg_walzer", "mendelssohn/mendel_op30_3"]


@cache
def piece(data: Path, name: str) -> tuple[Score, Flux]:
    samples, rate = soundfile.read(data / "piano" / f"{name}.flac")
    return read_score(data / "piano" / f"{name}.mid"), flux_of([soxr.resample(samples, rate, RATE)], RATE)


@pytest.mark.parametrize("name", PIECES)
def test_a_score_is_found_where_it_lies(name: str, data: Path) -> None:
    """The data's own measure: 10% of an attack's peak comes 4 to 7 ms after the strike, and nothing drifts."""
    score, changes = piece(data, name)
    found = align(score, changes)
    assert 0.003 < found.lag < 0.008
    assert abs(found.drift) < 0.003
    assert found.fit > 7
    moved = align(dataclasses.replace(score, seconds=score.seconds + 0.1), changes)
    assert moved.lag == pytest.approx(found.lag - 0.1, abs=0.002)


def later(score: Score, seconds: float) -> Score:
    return dataclasses.replace(score, seconds=score.seconds + seconds)


def slower(score: Score, factor: float) -> Score:
    return dataclasses.replace(score, seconds=score.seconds * factor)


def until(score: Score, seconds: float) -> Score:
    kept = score.seconds < seconds
    return dataclasses.replace(score, seconds=score.seconds[kept], events=score.events[kept])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda score: later(score, 0.5), "its notes come 0.50 s after their sound"),
        (lambda score: later(score, -1), "its notes come 1.00 s before their sound"),
        (lambda score: slower(score, 1.0003), "it drifts by -[23]. ms over the recording"),
        (lambda score: slower(score, 1.01), "it does not belong to the recording"),
        (lambda score: slower(score, 1.5), "of its notes come after the recording's end at 110 s"),
        (lambda score: until(score, 60), "its last note is at 60 s, the recording ends at 110 s"),
    ],
)
def test_what_does_not_fit_is_refused(change: Callable[[Score], Score], line: str, data: Path) -> None:
    score, changes = piece(data, PIECES[0])
    with pytest.raises(WavewrightError, match=line):
        align(change(score), changes)


def test_another_pieces_score_is_refused(data: Path) -> None:
    score, _ = piece(data, PIECES[1])
    _, changes = piece(data, PIECES[0])
    with pytest.raises(WavewrightError, match="it does not belong to the recording"):
        align(score, changes)


def test_blocks_of_any_length_have_the_same_flux() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 5000)
    whole = flux_of([noise], 8000)
    parts = flux_of(np.split(noise, [1, 17, 300, 301, 2900]), 8000)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-9)
    assert len(whole.values) == pytest.approx(5000 / 40, abs=4)
    assert len(flux_of([noise[:10]], 8000).values) == 0
