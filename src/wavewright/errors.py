"""Errors that a user can cause. Each is one line with the file or field, the value and the remedy.

The command line prints that line and exits with status 2.
"""

import contextlib
import difflib
import fcntl
import importlib
import importlib.util
import os
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


LISTED = 20  # names in a message


class WavewrightError(Exception):
    """The base class of all errors of wavewright. The text is the one line that a user reads."""


def printable(text: object) -> str:
    """Return `text` on one line that any terminal and UTF-8 file takes, with odd characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


class AudioError(WavewrightError):
    """An audio file that cannot be read whole. `reason` names no path."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{printable(path)}: {printable(reason)}")
        self.reason = printable(reason)


class ModelFileError(WavewrightError):
    """A model file that cannot be used. `reason` names no path and is short, whatever a hostile file holds."""

    def __init__(self, path: object, reason: str, remedy: str = "") -> None:
        reason = printable(reason)
        self.reason = f"{reason[:400]}..." if len(reason) > 400 else reason
        super().__init__(f"{printable(path)}: {self.reason}{remedy and '; '}{remedy}")


class ConfigError(WavewrightError):
    """A configuration that contradicts itself, the data or a checkpoint."""


class GivenUp(WavewrightError):
    """A training run that no rollback could save."""


def unknown(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about a name that is not one of `known`: the nearest and the first of these."""
    names = list(known)
    by_lower_case = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), by_lower_case, 1)
    guess = f"did you mean {printable(by_lower_case[near[0]])}? " if near else ""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{guess}there {'is' if len(names) == 1 else 'are'} {', '.join(map(printable, names[:LISTED]))}{more}"


def missing(extra: str, *modules: str) -> str:
    """Return how to install those of `modules` that are not there, or nothing if all are.

    Args:
        extra: name of the extra in pyproject.toml that installs them.
        modules: names as Python imports them.
    """
    names = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"{', '.join(names)}, not installed: {install(extra)}" if names else ""


def install(extra: str) -> str:
    """Return the command that adds an extra of pyproject.toml to an installation."""
    return f"run pip install '.[{extra}]' in the folder of wavewright's sources"


def need(extra: str, *modules: str) -> None:
    """Check that `modules` are installed.

    Raises:
        WavewrightError: some are not. The line tells how to install them.
    """
    if reason := missing(extra, *modules):
        raise WavewrightError(f"this needs {reason}")


def need_torch() -> None:
    """Import torch.

    Raises:
        WavewrightError: torch is not installed.
    """
    need("train", "torch")
    # Larger pages speed up the activations of a step. Torch reads this variable when it first allocates.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    import torch  # noqa: F401


def need_librosa() -> Any:
    """Import librosa, which compiles some of its functions the first time, and return it.

    Only one process does so at a time. Where two fill Numba's cache together it can end up as a mixture of their
    files, and from then on every call crashes (numba, issue 10128).

    Raises:
        WavewrightError: librosa is not installed.
    """
    need("experiments", "librosa")
    librosa = importlib.import_module("librosa")  # which is lazy: its parts are compiled where they are first used
    folder = os.open(librosa.__path__[0], os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network drives have no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        for part in ("core.audio", "core.pitch", "util.utils"):
            importlib.import_module(f"librosa.{part}")
    finally:
        os.close(folder)
    return librosa


_REPR = reprlib.Repr()  # which takes values that are nested more deeply than Python's own
_REPR.maxstring = 1000


def explain(error: "ValidationError", prefix: str) -> str:
    """Return the first of pydantic's errors as one line with the field, the reason and the value."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    field = ".".join([prefix, *(str(part) for part in first["loc"])])
    if isinstance(first["input"], dict) or first["type"] == "value_error":
        return f"{field}: {message}"
    return f"{field}: {message} (got {_REPR.repr(first['input'])})"
