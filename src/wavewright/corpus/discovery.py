"""Find the files that might be audio below the paths that a user gave, and name them."""

import itertools
import logging
import os
from collections import Counter
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
    So are runs and corpora below a path, since their sounds are no recordings, and links that lead into one. The
    log counts them.

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


def count_kinds(passed_over: Sequence[Found], hidden: int) -> dict[str, int]:
    """Return how many files of each kind were passed over, such as `{".txt": 2, "hidden": 1}`, most first."""
    counts = Counter(Path(file.name).suffix.lower() or "without extension" for file in passed_over)
    counts["hidden"] += hidden
    return {kind: count for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count}


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
        if top is not folder and (owner := _owner(top, folder)):
            made.add(owner)
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
            for file in (Path(parent) / name for name in sorted(names)):
                if file.is_symlink() and (owner := _owner(file, folder)):
                    made.add(owner)
                else:
                    files.append(file)
    return sorted(files, key=Path.is_symlink), made


def _owner(link: Path, searched: Path) -> Path | None:
    """Return the run or corpus that `link` really leads into, unless `searched` lies in it too."""
    real = _real(link)
    for folder in (real, *real.parents):
        if _is_made(folder):
            return None if _real(searched).is_relative_to(folder) else folder
    return None


def _is_made(folder: Path) -> bool:
    """Tell whether `folder` is a run or a corpus, and so made by wavewright."""
    run = os.path.isfile(folder / "config.json") and (
        os.path.isdir(folder / "checkpoints") or os.path.isfile(folder / "metrics.jsonl")
    )
    return run or os.path.isfile(folder / INDEX)


def _real(path: Path) -> Path:
    """Return where `path` really is. Unlike `Path.resolve`, it takes a link that leads to itself."""
    return Path(os.path.realpath(path))


def _leads_up(link: Path) -> bool:
    """Tell whether a linked folder is one that the link itself lies in."""
    return _real(link.parent).is_relative_to(_real(link))
