"""What a user can cause: one line that names the file or field, the value and the remedy. The CLI exits 2."""


class WavewrightError(Exception):
    """The root of all our errors; its text is the one line a user reads."""


class AudioError(WavewrightError):
    """An audio file that cannot be read whole."""


class ConfigError(WavewrightError):
    """A configuration that contradicts itself, the data or a checkpoint."""
