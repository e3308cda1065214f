"""The sounds of a listening test: takes, brought to one loudness."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import printable
from wavewright.studio.folder import Refusal

LOUDEST = -20.0  # dBFS of the common level
SILENT = -60.0  # dBFS
BLOCK_SECONDS = 0.4  # whose level counts where it is within 20 dB of the loudest
GATE = 20.0  # dB


class Sound:
    """A take of 16 bits and one channel.

    Raises:
        Refusal: it is another file, or is silent.
    """

    def __init__(self, path: Path) -> None:
        try:
            with wave.open(str(path)) as file:
                self._rate, form = file.getframerate(), (file.getnchannels(), file.getsampwidth())
                samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") if form == (1, 2) else None
        except (OSError, EOFError, wave.Error):
            samples = None
        if samples is None or not len(samples):
            raise Refusal(422, f"takes: {printable(path.stem)} is no take of the studio; leave it out")
        self._samples: NDArray[np.float64] = samples / 32768
        self.seconds = len(samples) / self._rate
        size = max(1, round(BLOCK_SECONDS * self._rate))
        powers = np.array([np.square(part).mean() for part in np.split(self._samples, range(size, len(samples), size))])
        heard = powers[powers >= 10 ** (-GATE / 10) * powers.max()]
        self._level = float(10 * np.log10(heard.mean() + 1e-30))  # dBFS
        if self._level < SILENT:
            raise Refusal(422, f"takes: {printable(path.stem)} is silent; leave it out")

    @property
    def loudest(self) -> float:
        """The level in dBFS to which it can be brought without clipping."""
        return self._level - float(20 * np.log10(np.abs(self._samples).max()))

    def write(self, path: Path, level: float) -> None:
        """Write it at a level in dBFS."""
        loud = np.rint(self._samples * 10 ** ((level - self._level) / 20) * 32767)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, self._rate, 0, "NONE", ""))
            file.writeframes(np.clip(loud, -32768, 32767).astype("<i2").tobytes())
