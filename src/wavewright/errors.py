"""Errors that a user can cause. Each is one line with the file or field, the value and the remedy.

The command line prints that line and exits with status 2.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


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


def need_torch() -> None:
    """Import torch.

    Raises:
        WavewrightError: torch is not installed.
    """
    # Larger pages speed up the activations of a step. Torch reads this variable when it first allocates.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise WavewrightError("this needs torch, which is not installed: pip install 'wavewright[train]'") from None


def explain(error: "ValidationError", prefix: str) -> str:
    """Return the first of pydantic's errors as one line with the field, the reason and the value."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    field = ".".join([prefix, *(str(part) for part in first["loc"])])
    value = "" if isinstance(first["input"], dict) or first["type"] == "value_error" else f" (got {first['input']!r})"
    return f"{field}: {message}{value}"
