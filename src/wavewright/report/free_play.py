"""Make the tables of free play, with the corpus beside the models."""

from collections.abc import Sequence

from wavewright.measuring.free_play import HISS, TITLES, FreePlay
from wavewright.report.format import NONE, minus, number
from wavewright.report.page import Table
from wavewright.report.reading import Trial

WITHIN = " *"  # marks a figure that every stream keeps within its bound


def tables(trials: Sequence[Trial]) -> list[Table]:
    """Return the tables of free play and of hiss, or none where nobody played freely."""
    played = [(trial.result.title, found) for trial in trials if (found := trial.result.free_play) is not None]
    return [_bounds(played), _hiss(played)] if played else []


def _bounds(played: Sequence[tuple[str, FreePlay]]) -> Table:
    """Return a row for the corpus, one for the bounds and one for each model."""
    first = played[0][1]
    rows = [
        ["the recordings", *(number(bound.corpus) for bound in first.bounds), NONE],
        ["bound", *(minus(bound.text) for bound in first.bounds), NONE],
    ]
    for title, found in played:
        whole = sum(not stream.broken for stream in found.streams)
        own = [number(bound.median) + WITHIN * bound.passed for bound in found.bounds]
        rows.append([title, *own, f"{whole} of {len(found.streams)}"])
    return Table(
        f"Free play of {len(first.streams)} streams of {number(first.seconds)} s, half of them after music: their "
        "medians. A star: all streams are within the bound",
        ["", *(TITLES[bound.name] for bound in first.bounds), "streams within all bounds"],
        rows,
    )


def _hiss(played: Sequence[tuple[str, FreePlay]]) -> Table:
    """Return a row for the corpus and one for each model."""
    first = played[0][1]
    levels = sorted({(part.low_dbfs, part.high_dbfs) for _, found in played for part in found.hiss.by_level})
    blank = [NONE] * (2 + len(levels))
    rows = [["the recordings", *blank, *(number(getattr(first.corpus, name)) for name in HISS)]]
    for title, found in played:
        below = {(part.low_dbfs, part.high_dbfs): part.below_sound_db for part in found.hiss.by_level}
        own = [found.hiss.spread_dbfs, found.hiss.below_sound_db, *(below.get(level) for level in levels)]
        rows.append([title, *map(number, own), *(number(found.median(name)) for name in HISS)])
    ranges = [minus(f"where they have {low:g} to {high:g} dBFS") for low, high in levels]
    header = ["", "spread of the distribution, dBFS", "dB below the recordings", *ranges, *(TITLES[n] for n in HISS)]
    return Table("Hiss: how wide the models' own distributions are, and what is heard of it", header, rows)
