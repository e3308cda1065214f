"""Learn to make sound one sample at a time. README.md shows how, and docs/architecture.md how the package is built."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from wavewright.errors import WavewrightError

if TYPE_CHECKING:
    from wavewright.playing.opening import load

__version__ = version("wavewright")
__all__ = ["WavewrightError", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import `load` only when it is first used, so that `import wavewright` stays fast."""
    if name == "load":
        from wavewright.playing.opening import load

        return load
    raise AttributeError(f"module 'wavewright' has no attribute {name!r}")
