"""Learn to make sound one sample at a time. README.md shows how, and docs/architecture.md how the package is built."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from wavewright.errors import WavewrightError

if TYPE_CHECKING:
    from wavewright.playing.mixture import mix
    from wavewright.playing.opening import load
    from wavewright.sampling import Controls

__version__ = version("wavewright")
__all__ = ["Controls", "WavewrightError", "__version__", "load", "mix"]

_LAZY = {"Controls": "wavewright.sampling", "load": "wavewright.playing.opening", "mix": "wavewright.playing.mixture"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import wavewright` stays quick."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'wavewright' has no attribute {name!r}")
