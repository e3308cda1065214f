"""wavewright learns to make sound one sample at a time. See README.md; `docs/architecture.md` shows the whole."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from wavewright.errors import WavewrightError

if TYPE_CHECKING:
    from wavewright.playing.opening import load

__version__ = version("wavewright")
__all__ = ["WavewrightError", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """`load`, with what it imports, when it is first asked for: `import wavewright` stays quick."""
    if name == "load":
        from wavewright.playing.opening import load

        return load
    raise AttributeError(f"module 'wavewright' has no attribute {name!r}")
