"""From decoded amplitudes to 16-bit samples: measures, the gain and offset that follow, a limiter.

A sample becomes (amplitude - offset) * gain; the limiter, if asked for, comes after that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wavewright.quantize import FULL_SCALE

Levels = Literal["section", "track", "corpus", "none"]
Signal = NDArray[np.float64]

SILENT = 1e-6  # -120 dBFS, far below one step of 16 bits
LOOKAHEAD_SECONDS = 0.02


@dataclass
class Meter:
    """The least and greatest amplitude and the sum of each stretch of `size` samples, the last shorter."""

    size: int
    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    count: int = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Measure the next samples (n,)."""
        edges = range(self.size - self.count % self.size, len(block), self.size)
        for piece in np.split(block, edges) if len(block) else []:
            if self.count % self.size == 0:
                self.lows.append(np.inf)
                self.highs.append(-np.inf)
                self.sums.append(0.0)
            self.lows[-1] = min(self.lows[-1], float(piece.min()))
            self.highs[-1] = max(self.highs[-1], float(piece.max()))
            self.sums[-1] += float(piece.sum(dtype=np.float64))
            self.count += len(piece)

    def whole(self) -> "Meter":
        """The same of all samples as one stretch."""
        return Meter(self.count, [min(self.lows)], [max(self.highs)], [sum(self.sums)], self.count)

    def means(self) -> Signal:
        """The mean of each stretch."""
        counts = np.full(len(self.sums), self.size)
        counts[-1] = self.count - self.size * (len(self.sums) - 1)
        return np.asarray(self.sums / counts)


def offsets(meter: Meter, levels: Levels, remove_dc: bool) -> Signal:
    """What to subtract: one offset per section for `section`, else one (1,).

    Sections that keep their DC are mapped min-max, as in the thesis: the middle of their range becomes 0.
    """
    if levels == "section" and not remove_dc:
        return np.asarray((np.array(meter.highs) + np.array(meter.lows)) / 2)
    meter = meter if levels == "section" else meter.whole()
    return meter.means() if remove_dc else np.zeros(1, np.float64)


def peaks(meter: Meter, levels: Levels, offset: Signal) -> Signal:
    """The greatest distance from `offset`, for each of the offsets."""
    meter = meter if levels == "section" else meter.whole()
    peak: Signal = np.maximum(np.array(meter.highs) - offset, offset - np.array(meter.lows))
    return peak


def gains(peak: Signal) -> Signal:
    """Gains that bring `peak` just to full scale; 1 for silence, lest rounding errors be raised to a roar."""
    return np.asarray(1.0 / np.where(peak > SILENT, peak, 1.0))


def level(blocks: Iterable[NDArray[np.float32]], gain: Signal, offset: Signal, section: int) -> Iterator[Signal]:
    """(block - offset) * gain, with a gain and offset for all or for each stretch of `section` samples."""
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
    """The limited (n - 4 reach,) samples in the middle of `signal` (n,)."""
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
    """Samples rounded to 16 bits, and which of them were beyond full scale and are clipped."""
    for block in blocks:
        scaled = np.rint(block * FULL_SCALE)
        clipped = np.clip(scaled, -FULL_SCALE, FULL_SCALE)
        yield clipped.astype("<i2"), clipped != scaled
