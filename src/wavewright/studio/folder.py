"""The folder of work: what lies where in it, and the ids by which the page knows what lies there."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from wavewright.errors import WavewrightError, printable
from wavewright.files import disk_errors, make_folder

Kind = Literal["recordings", "corpora", "runs", "models", "pages", "scores", "takes", "tests", "logs"]
KINDS: tuple[Kind, ...] = ("recordings", "corpora", "runs", "models", "pages", "scores", "takes", "tests", "logs")
LONGEST_NAME = 100  # bytes of the name of a corpus, run, model or take
SPARE = 2 << 30  # bytes that stay free on the disk
ID = r"[0-9a-f]{16}"


class Refusal(WavewrightError):
    """A request that is refused, with the status of the reply."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class Folder:
    """A folder of work.

    Args:
        path: the folder, made with those below it where they are not there.

    Raises:
        WavewrightError: a folder cannot be made, or is a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        for kind in KINDS:
            with disk_errors(self.path / kind):
                make_folder(self.path / kind)
            if (self.path / kind).is_symlink():
                raise WavewrightError(f"{self.path / kind}: a link; put a folder in its place")

    def __truediv__(self, name: str) -> Path:
        """Return a path below the folder."""
        return self.path / name

    def names(self, kind: Kind, suffix: str = "") -> Iterator[str]:
        """Yield the names, without `suffix`, of what lies in the folder of a kind. Hidden ones and links are none."""
        with os.scandir(self.path / kind) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                right = entry.is_file(follow_symlinks=False) if suffix else entry.is_dir(follow_symlinks=False)
                if right and entry.name.endswith(suffix) and not entry.name.startswith("."):
                    yield entry.name.removesuffix(suffix)

    def named(self, kind: Kind, id: str, suffix: str = "") -> str:
        """Return the name that has this id.

        Raises:
            Refusal: nothing has.
        """
        for name in self.names(kind, suffix):
            if id_of(kind, name) == id:
                return name
        raise missing(kind, id)

    def check_room(self) -> None:
        """Raise a Refusal where little space is left on the disk."""
        if (free := shutil.disk_usage(self.path).free) < SPARE:
            raise Refusal(507, f"disk: {free >> 20} MiB free of the {SPARE >> 20} that stay free; make room")


def missing(kind: str, id: str) -> Refusal:
    """Return the refusal of an id that nothing has."""
    return Refusal(404, f"{kind}: nothing has the id {printable(id)[:40]}; load the list again")


def id_of(kind: Kind, name: str) -> str:
    """Return the id of a corpus, run, model or take."""
    return hashlib.sha256(f"{kind}/{name}".encode(errors="surrogateescape")).hexdigest()[:16]


def check_name(name: str, field: str = "name") -> str:
    """Return a name that is fit for a file or folder.

    Raises:
        Refusal: it is not.
    """
    right = (
        name.isprintable() and name == name.strip() and not set(name) & set("/\\") and name[:1] not in ("", ".", "-")
    )
    if not right or len(name.encode(errors="replace")) > LONGEST_NAME:
        raise Refusal(422, f"{field}: {printable(name)[:60]!r}; give 1 to {LONGEST_NAME} letters, digits and spaces")
    return name


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:  # gone meanwhile
                continue
    return total


def remove_tree(folder: Path) -> None:
    """Remove a folder, which is hidden first, so that a kill leaves none of its parts in sight."""
    hidden = folder.with_name(f".{id_of('logs', folder.name)}.gone")
    with disk_errors(folder):
        shutil.rmtree(hidden, ignore_errors=True)
        folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def remove_hidden(folder: Path) -> None:
    """Remove what killed removals and writes have left in a folder."""
    for leftover in (*folder.glob(".*.gone"), *folder.glob(".*.tmp")):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
