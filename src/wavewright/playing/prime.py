"""Prime a model with a stretch of a recording, which its streams then continue."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.rendering import audio_like_corpus
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import ConfigError, printable
from wavewright.playing.guard import FRAME, is_silent, measure
from wavewright.playing.playable import Playable

log = logging.getLogger(__name__)

TRIM: float = PrepareSettings.model_fields["trim"].default  # dB, as `prepare` trims
NEAR = 1.0  # seconds at the end of a prime, by which above all a recurrent model goes on


@dataclass(frozen=True)
class Prime:
    """A stretch of a recording.

    Attributes:
        path: the recording.
        start: where the stretch begins, in seconds.
        seconds: length of the stretch. None means up to the recording's end, or to where its sound ends.

    Raises:
        ConfigError: start or seconds is out of range.
    """

    path: Path
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < math.inf:
            raise ConfigError(f"--prime-from {self.start}: give 0 or more seconds")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise ConfigError(f"--prime-seconds {self.seconds}: give more than 0, or leave it out")

    def codes(self, model: Playable) -> Iterator[NDArray[np.int64]]:
        """Yield blocks (n,) of the stretch's codes, where the recording is resampled and levelled like the corpus.

        The quiet at the recording's end is left out, as `prepare` leaves it out. A prime after which a model can only
        go on in silence is logged.

        Raises:
            AudioError: the recording cannot be read whole.
            ConfigError: the stretch begins after the recording's sound.
        """
        near = round(min(model.receptive_field, NEAR * model.rate))
        place, last, before = 0, np.zeros(0, np.int64), np.float64(0)
        start = round(self.start * model.rate)
        stop = None if self.seconds is None else start + max(1, round(self.seconds * model.rate))
        for amplitude in audio_like_corpus(self.path, model.levelling, trim_end=TRIM):
            first = min(max(0, start - place), len(amplitude))
            known = np.append(before, amplitude)  # with the sample before the block
            codes = model.quantizer.encode(amplitude[first : stop and max(0, stop - place)], known[first])
            before = known[-1]
            place += len(amplitude)
            last = np.concatenate((last, codes))[-near:]
            if len(codes):
                yield codes
            if stop is not None and place >= stop:
                break
        if not len(last):
            sound = f"the sound of {printable(self.path)} ends at {place / model.rate:.3g} s"
            raise ConfigError(f"--prime-from {self.start:g}: {sound}; give less")
        if len(last) >= FRAME and is_silent(measure(last, model.quantizer)):
            log.warning(
                f"{printable(self.path)}: the prime ends in {len(last) / model.rate:.2g} s of silence, after which the"
                " model begins as without a prime; end it in sound with --prime-from and --prime-seconds"
            )
