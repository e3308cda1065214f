"""Find the score that lies beside a recording, and hold it against the recording's sound."""

import contextlib
import itertools
import os
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wavewright.conditioning.alignment import LAG, Alignment, align, flux
from wavewright.conditioning.score import Score, read
from wavewright.corpus.audio import Recording, Samples
from wavewright.corpus.decoding import Decoded
from wavewright.corpus.discovery import Found
from wavewright.corpus.mixing import Mixdown
from wavewright.errors import AudioError, WavewrightError, printable

SUFFIXES = (".mid", ".midi")
BEFORE = 2 * LAG  # seconds of silence before a recording, where strikes just before its first sound may lie


@dataclass(frozen=True)
class Matched:
    """A score that belongs to its recording.

    Attributes:
        score: the score, at the times at which the recording sounds. Time 0 is the recording's start, before any trim.
        alignment: how the score lay before.
    """

    score: Score
    alignment: Alignment

    def notes(self) -> tuple[str, ...]:
        """Return what is odd in the score."""
        return tuple(f"of its score, {remark}" for remark in self.score.remarks)


def is_score(path: Path) -> bool:
    """Tell whether a file is a score by its name."""
    return path.suffix.lower() in SUFFIXES


def beside(recordings: Iterable[Found]) -> dict[str, list[Path]]:
    """Return the scores of each recording that has any, by its name. They lie in its folder and are called like it.

    Upper and lower case are the same, but a score whose case is the recording's own stands for itself alone.
    """
    folders: dict[Path, dict[str, list[Path]]] = {}
    found = {}
    for name, path in ((file.name, file.path) for file in recordings):
        if path.parent not in folders:
            folders[path.parent] = _scores_in(path.parent)
        same = folders[path.parent].get(path.stem.casefold(), [])
        if own := [score for score in same if score.stem == path.stem] or same:
            found[name] = own
    return found


def _scores_in(folder: Path) -> dict[str, list[Path]]:
    scores = defaultdict(list)
    with contextlib.suppress(OSError):  # a folder that cannot be listed, of a recording that was named
        for name in sorted(os.listdir(folder)):
            path = folder / name
            if is_score(path) and os.path.isfile(path):  # a pipe would block
                scores[path.stem.casefold()].append(path)
    return dict(scores)


def passed_over(found: Iterable[Found], read: Collection[str], beside: Mapping[str, Sequence[Path]]) -> list[Found]:
    """Return the files that are no recordings, and the scores that are beside none.

    Args:
        found: all files.
        read: names of those that could be read.
        beside: scores of the recordings, by their names.
    """
    recordings = {file.name for file in found if file.certain or file.name in read}
    used = {os.path.realpath(score) for name in recordings & beside.keys() for score in beside[name]}
    return [
        file
        for file in found
        if (os.path.realpath(file.path) not in used if is_score(file.path) else file.name not in recordings)
    ]


def not_used(path: Path, reason: str) -> str:
    """Return what is said of a recording whose score is not used."""
    return f"its score {printable(path.name)} is not used: {reason}"


def match(path: Path, decoded: Decoded, rate: int, others: Sequence[Path] = ()) -> Generator[None, None, Matched]:
    """Read the score at `path` and align it with its decoded recording, as a task for `isolate`.

    Raises:
        AudioError: there are others, or the score cannot be read, does not belong to the recording, drifts or is cut
            short.
    """
    score = yield from _only(path, others)
    return (yield from _matched(path, score, decoded.blocks(), rate, decoded.start / rate))


def match_recording(path: Path, recording: Path, others: Sequence[Path] = ()) -> Generator[None, None, Matched]:
    """Do what `match` does, for a recording that is not decoded yet.

    Raises:
        AudioError: as from `match`, or the recording cannot be read whole.
    """
    score, mixdown = (yield from _only(path, others)), Mixdown("mix")
    with Recording(recording) as opened:
        return (yield from _matched(path, score, map(mixdown.mono, opened.blocks()), opened.rate, 0))


def _only(path: Path, others: Sequence[Path]) -> Generator[None, None, Score]:
    if others:
        raise AudioError(path, f"there is {others[0].name}, too; leave out one of them")
    return (yield from read(path))


def _matched(
    path: Path, score: Score, blocks: Iterable[Samples], rate: int, start: float
) -> Generator[None, None, Matched]:
    """Align a score with blocks (n,) of its recording from `start` on, in seconds. Silence is heard before them."""
    silence = np.zeros(round(BEFORE * rate), np.float32)
    found = yield from flux(itertools.chain([silence], blocks), rate)
    try:
        alignment = align(replace(score, seconds=score.seconds - start + BEFORE), found)
    except WavewrightError as error:
        raise AudioError(path, str(error)) from None
    return Matched(replace(score, seconds=score.seconds + alignment.lag), alignment)
