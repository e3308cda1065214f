"""What a user can cause: one line that names the file or field, the value and the remedy. The CLI exits 2."""


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


class ConfigError(WavewrightError):
    """A configuration that contradicts itself, the data or a checkpoint."""
