"""wavewright learns to make sound one sample at a time. See README.md; `docs/architecture.md` shows the whole."""

from importlib.metadata import version

from wavewright.errors import WavewrightError

__version__ = version("wavewright")
__all__ = ["WavewrightError", "__version__"]
