"""Find the files that might be audio below the paths that a user gave, and name them."""

import itertools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wavewright.corpus.audio import EXTENSIONS
from wavewright.corpus.corpus import INDEX
from wavewright.errors import WavewrightError, printable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A file that might be audio."""

    path: Path
    name: str  # relative to the path given; with several paths, starting with the path's own name
    certain: bool  # named by the user or with an audio extension: if unreadable, it is refused with a reason


def find(paths: Sequence[Path], exclude: Path | None = None) -> tuple[list[Found], int]:
    """Return the files at and below `paths`, sorted by name, each once, and the number of hidden files passed over.

    Files with other extensions are listed too, since only opening a file shows whether it is audio. Linked
    folders are searched, too, but none twice and none that the link lies in. The folder `exclude` is left out.
    So are runs and corpora below a path, since their sounds are no recordings. The log counts them.

    Raises:
        WavewrightError: a path that does not exist, or two files of one name.
    """
    found: dict[Path, Found] = {}
    hidden, made = 0, set[Path]()
    for path in paths:
        if not os.path.lexists(path):
            raise WavewrightError(f"{printable(path)}: no such file or folder")
        prefix = Path(_real(path).name) if len(paths) > 1 else Path()
        if path.is_dir():
            below, left_out = _below(path, exclude)
            made |= left_out
            for file in below:
                if file.name.startswith("."):
                    hidden += 1
                    continue
                name = printable((prefix / file.relative_to(path)).as_posix())
                found.setdefault(_real(file), Found(file, name, file.suffix.lower() in EXTENSIONS))
        else:
            found.setdefault(_real(path), Found(path, printable(path.name), True))
    if made:
        folders = f"{len(made)} folder{'s' * (len(made) > 1)}"
        log.info(f"left out {folders} of earlier runs and corpora, the first: {printable(min(made))}")
    files = sorted(found.values(), key=lambda file: file.name)
    for one, other in itertools.pairwise(files):
        if one.name == other.name:
            message = f"{printable(one.path)} and {printable(other.path)} would both be called {one.name}"
            raise WavewrightError(f"{message}; give a folder above both")
    return files, hidden


def _below(folder: Path, exclude: Path | None) -> tuple[list[Path], set[Path]]:
    """Return the files below `folder`, and the runs and corpora that are left out.

    Linked folders and then linked files come last, so that real names win.
    """

    def refuse(error: OSError) -> None:
        raise WavewrightError(f"{printable(error.filename)}: cannot be listed: {error.strerror}") from None

    files: list[Path] = []
    made: set[Path] = set()
    seen = {_real(exclude)} if exclude else set()
    waiting = [folder]
    for top in waiting:  # grows by the linked folders
        if _real(top) in seen:
            continue
        for parent, folders, names in os.walk(top, onerror=refuse):
            seen.add(_real(Path(parent)))
            if _real(Path(parent)) != _real(folder) and _is_made(Path(parent)):
                made.add(_real(Path(parent)))
                folders.clear()
                continue
            below = [Path(parent) / name for name in sorted(folders) if not name.startswith(".")]
            folders[:] = [path.name for path in below if not path.is_symlink() and _real(path) not in seen]
            waiting += [path for path in below if path.is_symlink() and not _leads_up(path)]
            files += [Path(parent) / name for name in sorted(names)]
    return sorted(files, key=Path.is_symlink), made


def _is_made(folder: Path) -> bool:
    """Tell whether `folder` is a run or a corpus, and so made by wavewright."""
    run = (folder / "config.json").is_file() and (
        (folder / "checkpoints").is_dir() or (folder / "metrics.jsonl").is_file()
    )
    return run or (folder / INDEX).is_file()


def _real(path: Path) -> Path:
    """Return where `path` really is. Unlike `Path.resolve`, it takes a link that leads to itself."""
    return Path(os.path.realpath(path))


def _leads_up(link: Path) -> bool:
    """Tell whether a linked folder is one that the link itself lies in."""
    return _real(link.parent).is_relative_to(_real(link))
