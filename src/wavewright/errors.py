"""What a user can cause: one line that names the file or field, the value and the remedy. The CLI exits 2."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class WavewrightError(Exception):
    """The root of all our errors; its text is the one line a user reads."""


def printable(text: object) -> str:
    """`text` on one line that any terminal and UTF-8 file takes: odd characters of file names are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


class AudioError(WavewrightError):
    """An audio file that cannot be read whole, and why; `reason` names no path."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{printable(path)}: {printable(reason)}")
        self.reason = printable(reason)


class ModelFileError(WavewrightError):
    """A model file that cannot be used, and why; `reason` names no path and is short, whatever a hostile file says."""

    def __init__(self, path: object, reason: str, remedy: str = "") -> None:
        reason = printable(reason)
        self.reason = f"{reason[:400]}..." if len(reason) > 400 else reason
        super().__init__(f"{printable(path)}: {self.reason}{remedy and '; '}{remedy}")


class ConfigError(WavewrightError):
    """A configuration that contradicts itself, the data or a checkpoint."""


class GivenUp(WavewrightError):
    """A training run that no roll-back could save."""


def need_torch() -> None:
    """Import torch.

    Raises:
        WavewrightError: it is not installed.
    """
    # Larger pages for the activations of a step: read by torch when it first allocates.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise WavewrightError("this needs torch, which is not installed: pip install 'wavewright[train]'") from None


def explain(error: "ValidationError", prefix: str) -> str:
    """Return the first of pydantic's complaints as one line: field, what is wrong, value."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    field = ".".join([prefix, *(str(part) for part in first["loc"])])
    value = "" if isinstance(first["input"], dict) or first["type"] == "value_error" else f" (got {first['input']!r})"
    return f"{field}: {message}{value}"
