"""Scores that players play: those of the package, and MIDI files in the folder of work."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wavewright.conditioning import score
from wavewright.conditioning.score import Score
from wavewright.corpus import isolate
from wavewright.corpus.scores import SUFFIXES
from wavewright.errors import AudioError, printable
from wavewright.files import atomic_file, disk_errors
from wavewright.studio.folder import Folder, Refusal, id_of, missing
from wavewright.studio.recordings import check_file_name, clean

SUFFIX = ".mid"
PACKAGE = Path(__file__).parents[1] / "data" / "scores"
KEPT = 16  # scores that stay read
CROWD, CROWD_SECONDS = 1000, 0.1  # more events in so short a time are no music, and more than a player takes


class Scores:
    """The scores of the package and of a folder of work.

    Args:
        folder: the folder of work.
        changed: called after every change, from any thread.
    """

    def __init__(self, folder: Folder, changed: Callable[[], None]) -> None:
        self._folder, self._changed = folder, changed
        self._read: OrderedDict[tuple[Path, int], Score] = OrderedDict()
        self._turn = threading.Lock()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all scores, those of the package first."""
        return [row for row, _ in self._all()]

    def keep(self, name: str, content: bytes) -> dict[str, Any]:
        """Keep a MIDI file that can be played, and return its row once it is on disk.

        A file that is there already is not kept twice. Another one of the same name gets a number.

        Raises:
            Refusal: the name is none of a MIDI file, or the disk is nearly full.
            AudioError: the file is no MIDI file, or cannot be played.
        """
        check_file_name(name)
        stem, dot, suffix = clean(name).rpartition(".")
        if dot + suffix not in SUFFIXES:
            raise Refusal(422, f"name: {printable(name)[:60]!r} is no MIDI file; give one that ends in {SUFFIX}")
        self._folder.check_room()
        with self._turn:
            there = {known: (self._file(known)) for known in self._folder.names("scores", SUFFIX)}
            for known, path in there.items():
                if path.stat().st_size == len(content) and path.read_bytes() == content:
                    return _row("file", known)
            kept = next(one for one in _numbered(stem) if one not in there)
            with atomic_file(self._file(kept)) as temporary:
                temporary.write_bytes(content)
                read = _readable(temporary, name)
        self._remember(self._file(kept), read)
        self._changed()
        return _row("file", kept)

    def open(self, id: str) -> tuple[str, str, Score]:
        """Return the name of a score, the SHA-256 of its file, and the score. It is read in a process of its own.

        Raises:
            Refusal: there is none.
            AudioError: the file cannot be played.
        """
        row, path = self._find(id)
        with disk_errors(path):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            read = self._read.get((path, path.stat().st_mtime_ns))
        if read is None:
            read = _readable(path, row["name"])
            self._remember(path, read)
        return row["name"], digest, read

    def delete(self, id: str) -> None:
        """Remove a score.

        Raises:
            Refusal: there is none, or it comes with the package.
        """
        row, path = self._find(id)
        if row["source"] == "package":
            raise Refusal(409, f"score: {row['name']} comes with the package; it stays")
        with disk_errors(path):
            path.unlink()
        self._changed()

    def _all(self) -> Iterator[tuple[dict[str, Any], Path]]:
        for path in sorted(PACKAGE.glob(f"*{SUFFIX}")):
            yield _row("package", path.stem), path
        for name in self._folder.names("scores", SUFFIX):
            yield _row("file", name), self._file(name)

    def _find(self, id: str) -> tuple[dict[str, Any], Path]:
        for row, path in self._all():
            if row["id"] == id:
                return row, path
        raise missing("score", id)

    def _file(self, name: str) -> Path:
        return self._folder / "scores" / f"{name}{SUFFIX}"

    def _remember(self, path: Path, read: Score) -> None:
        with self._turn:
            self._read[path, path.stat().st_mtime_ns] = read
            while len(self._read) > KEPT:
                self._read.popitem(last=False)


def _row(source: str, name: str) -> dict[str, Any]:
    known_as = name if source == "file" else f"package/{name}"
    return {"id": id_of("scores", known_as), "name": name, "source": source}


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem} ({number})" for number in range(2, 10_000))


def _readable(path: Path, name: str) -> Score:
    """Return the score at `path`, which messages call `name`."""
    try:
        read = isolate.one(score.read, path)
    except AudioError as error:
        raise AudioError(name, error.reason) from None
    if len(read.seconds) > CROWD and np.min(read.seconds[CROWD:] - read.seconds[:-CROWD]) < CROWD_SECONDS:
        raise AudioError(name, f"more than {CROWD} events within {CROWD_SECONDS:g} s; thin it out")
    return read
