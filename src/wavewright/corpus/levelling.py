"""Turn decoded amplitudes into 16-bit samples: measure, apply the gain and offset that follow, and limit.

A sample becomes (amplitude - offset) * gain. The limiter comes after that, where it is asked for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wavewright.metrics import Meter
from wavewright.quantize import FULL_SCALE

Levels = Literal["section", "track", "corpus", "none"]
Signal = NDArray[np.float64]

SILENT = 1e-4  # -80 dBFS: three steps of 16 bits, so that a muted track with dither is silence, too
LOOKAHEAD_SECONDS = 0.02


@dataclass
class SectionMeter:
    """Measures each section of `size` samples by itself; the last section may be shorter."""

    size: int
    sections: list[Meter] = field(default_factory=list)
    count: int = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Measure the next samples (n,)."""
        edges = range(self.size - self.count % self.size, len(block), self.size)
        for piece in np.split(block, edges) if len(block) else []:
            if self.count % self.size == 0:
                self.sections.append(Meter())
            self.sections[-1].add(piece)
            self.count += len(piece)

    def whole(self) -> "SectionMeter":
        """Return the same measures of all samples as one section."""
        low, high = min(self.lows()), max(self.highs())
        whole = Meter(self.count, low, high, sum(one.total for one in self.sections))
        return SectionMeter(self.count, [whole], self.count)

    def lows(self) -> Signal:
        """Return the least amplitude of each section."""
        return np.array([one.low for one in self.sections], np.float64)

    def highs(self) -> Signal:
        """Return the greatest amplitude of each section."""
        return np.array([one.high for one in self.sections], np.float64)

    def means(self) -> Signal:
        """Return the mean of each section."""
        return np.array([one.mean for one in self.sections], np.float64)


def offsets(meter: SectionMeter, levels: Levels, remove_dc: bool) -> Signal:
    """Return what to subtract: one offset for each section for `section`, else one (1,).

    Sections that keep their DC are mapped min-max, as in the thesis: the middle of their range becomes 0.
    """
    if levels == "section" and not remove_dc:
        return np.asarray((meter.highs() + meter.lows()) / 2)
    meter = meter if levels == "section" else meter.whole()
    return meter.means() if remove_dc else np.zeros(1, np.float64)


def peaks(meter: SectionMeter, levels: Levels, offset: Signal) -> Signal:
    """Return the greatest distance from `offset`, for each of the offsets."""
    meter = meter if levels == "section" else meter.whole()
    peak: Signal = np.maximum(meter.highs() - offset, offset - meter.lows())
    return peak


def gains(peak: Signal) -> Signal:
    """Return gains that bring `peak` just to full scale; silence gets 1, so that rounding and dither stay quiet."""
    return np.asarray(1.0 / np.where(peak > SILENT, peak, 1.0))


def apply_gain(blocks: Iterable[NDArray[np.float32]], gain: Signal, offset: Signal, section: int) -> Iterator[Signal]:
    """Yield (block - offset) * gain, with a gain and offset for all or for each stretch of `section` samples."""
    start = 0
    for block in blocks:
        if len(gain) == 1:
            yield (block.astype(np.float64) - offset) * gain
        else:
            index = np.arange(start, start + len(block)) // section
            yield (block.astype(np.float64) - offset[index]) * gain[index]
        start += len(block)


def limit(blocks: Iterable[Signal], rate: int, limiter_db: float) -> Iterator[Signal]:
    """Hold peaks above `limiter_db` dBFS down to it, then raise all by as much, so that quiet parts gain.

    The gain falls smoothly during the 40 ms before a peak and returns in the 40 ms after it: attack and
    release are both twice the look-ahead of 20 ms. However the signal is cut into blocks, the result is the
    same to the bit.
    """
    threshold = 10.0 ** (limiter_db / 20.0)
    reach = max(1, round(LOOKAHEAD_SECONDS * rate))
    context = np.zeros(2 * reach)  # as much again as is still to come, at the start: silence
    for block in blocks:
        context = np.concatenate([context, block])
        if len(context) > 4 * reach:
            yield _limited(context, threshold, reach) / threshold
            context = context[len(context) - 4 * reach :]
    context = np.concatenate([context, np.zeros(2 * reach)])
    if len(context) > 4 * reach:
        yield _limited(context, threshold, reach) / threshold


def _limited(signal: Signal, threshold: float, reach: int) -> Signal:
    """Return the limited (n - 4 reach,) samples in the middle of `signal` (n,)."""
    middle = signal[2 * reach : -2 * reach]
    if np.abs(signal).max() <= threshold:
        return middle
    loudest = _running_maximum(np.abs(signal), 2 * reach + 1)
    cut = 1.0 - threshold / np.maximum(loudest, threshold)
    window = np.hanning(2 * reach + 3)[1:-1]
    # The average of cuts that are each enough is enough; where there is none the gain is exactly 1.
    return middle * (1.0 - np.convolve(cut, window / window.sum(), "valid"))


def _running_maximum(values: Signal, width: int) -> Signal:
    """Return the greatest of each `width` neighbours of values (n,): (n - width + 1,)."""
    covered = 1
    while covered < width:  # two overlapping maxima are the maximum of both: double, then the rest
        step = min(covered, width - covered)
        values = np.maximum(values[:-step], values[step:])
        covered += step
    return values


def round_to_int16(blocks: Iterable[Signal]) -> Iterator[tuple[NDArray[np.int16], NDArray[np.bool_]]]:
    """Yield samples rounded to 16 bits, and which of them were beyond full scale and are clipped."""
    for block in blocks:
        scaled = np.rint(block * FULL_SCALE)
        clipped = np.clip(scaled, -FULL_SCALE, FULL_SCALE)
        yield clipped.astype("<i2"), clipped != scaled
