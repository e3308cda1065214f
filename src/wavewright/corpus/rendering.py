"""Render a decoded recording as a corpus has its own: level it, and round it to 16 bits."""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus import isolate
from wavewright.corpus.decoding import Decoded, decode, sounding
from wavewright.corpus.levelling import (
    Signal,
    apply_gain,
    gains,
    limit,
    offsets,
    peaks,
    round_to_int16,
)
from wavewright.corpus.settings import PrepareSettings, parse_levelling
from wavewright.errors import printable
from wavewright.quantize import to_amplitude

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Levelling:
    """The levelling of a decoded recording to int16, that is `Corpus.levelling()` as an object."""

    settings: PrepareSettings
    common_gain: float | None = None

    def factors(self, decoded: Decoded) -> tuple[Signal, Signal]:
        """Return the gain and the offset, each one value or one per section."""
        levels = self.settings.levels
        offset = offsets(decoded.meter, levels, self.settings.remove_dc)
        if levels == "none":
            return np.ones(1), offset
        if self.common_gain is not None:
            return np.array([self.common_gain]), offset
        if decoded.silent:
            return np.ones(len(offset)), offset
        return gains(peaks(decoded.meter, levels, offset)), offset

    def apply(self, decoded: Decoded) -> Iterator[tuple[NDArray[np.int16], NDArray[np.bool_]]]:
        """Return blocks of samples, each with a mask of the clipped ones."""
        gain, offset = self.factors(decoded)
        signal = apply_gain(decoded.blocks(), gain, offset, self.settings.section)
        if self.settings.limiter is not None:
            signal = limit(signal, self.settings.rate, self.settings.limiter)
        return round_to_int16(signal)


def audio_like_corpus(path: Path, levelling: dict[str, Any], *, trim_end: float = 0.0) -> Iterator[NDArray[np.float32]]:
    """Yield blocks (n,) of a recording, resampled and levelled like the corpus whose `levelling()` is given.

    The amplitudes are those of 16-bit samples, so that they become the same codes as a corpus's samples. What is odd in
    the recording is logged.

    Args:
        path: the recording.
        levelling: value of `Corpus.levelling()`.
        trim_end: cut the end where it is more than this many dB below the peak. 0 keeps everything.

    Raises:
        AudioError: on the first block, where the recording cannot be read whole, or its channels cancel one another.
    """
    settings, common_gain = parse_levelling(levelling)
    with tempfile.TemporaryDirectory(prefix="wavewright-") as folder:
        result = isolate.one(decode, path, Path(folder) / "0.f32", settings)
        for note in result.source.notes:
            log.warning(f"{printable(path)}: {note}")
        left = result.frames
        if trim_end:
            left = -(-sounding(result.file, result.meter.whole(), trim_end)[1] // result.step)
        for block, _ in Levelling(settings, common_gain).apply(result):
            yield to_amplitude(block[:left])
            left -= len(block[:left])
