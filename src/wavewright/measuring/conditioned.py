"""Measure how far a model follows its controls: its bits with the right condition, with another's and with none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright import metrics
from wavewright.corpus.batches import ControlSource
from wavewright.corpus.conditions import Conditions
from wavewright.playing.playable import TrainedModel
from wavewright.progress import Advance, ignore
from wavewright.quantize import Samples16

CANDIDATES = 16  # sections whose condition is looked at, in search of another one


@dataclass(frozen=True)
class Conditioned:
    """Bits per sample of a model with a condition, by the condition that it is given.

    `own` is the condition of the section itself, `other` that of another section, and `none` has every control absent.
    The better a model follows its controls, the further `own` is below the other two. `other` is None where all
    sections have the same condition.
    """

    own: float
    other: float | None
    none: float


def compare_conditions(
    run: TrainedModel,
    samples: Samples16,
    sections: NDArray[np.int64],
    leads: NDArray[np.int64],
    conditions: Conditions,
    *,
    own: float,
    advance: Advance = ignore,
) -> Conditioned:
    """Score sections with the conditions of others and with none. `own` is the score with their own, in bits.

    `advance` is called with the number of samples scored since the last call, of twice the sections' samples.
    """

    def bits(given: ControlSource | None) -> float:
        nats = run.score(samples, sections, leads=leads, conditions=given, advance=advance)
        return metrics.bits(float(nats.sum() / (sections[:, 1] - sections[:, 0]).sum()))

    others = OtherConditions(conditions, np.stack((sections[:, 0] - leads, sections[:, 1]), 1))
    return Conditioned(own, bits(others) if others.differ else None, bits(None))


class OtherConditions:
    """The conditions of a split, but each section has that of another one.

    The other section is the next one, counted from half a split away, whose condition differs. One that is as long is
    preferred. Behind the end of a shorter one, every control is absent.

    Args:
        conditions: the right ones.
        lanes: (S, 2) where the sections start and stop, leads included.

    Attributes:
        differ: whether any section has another condition than its own.
    """

    def __init__(self, conditions: Conditions, lanes: NDArray[np.int64]) -> None:
        self.conditions, self.condition = conditions, conditions.condition
        places: list[tuple[int, int]] = [(start, stop) for start, stop in lanes.tolist()]
        self._others = {own[0]: self._other(own, i, places) for i, own in enumerate(places)}
        self.differ = any(other[0] != start for start, other in self._others.items())

    def frames(self, section: int, offset: int, samples: int) -> NDArray[np.float32]:
        """See ControlSource."""
        start, stop = self._others[section]
        frames = self.condition.absent(self.condition.frames(samples, offset % self.condition.hop))
        if (left := stop - start - offset) > 0:
            own = self.conditions.frames(start, offset, min(samples, left))
            frames[: len(own)] = own
        return frames

    def _other(self, own: tuple[int, int], place: int, places: list[tuple[int, int]]) -> tuple[int, int]:
        """Return where another section starts and stops, or this one where none is found."""
        first, count = place + len(places) // 2, min(len(places), CANDIDATES)
        candidates = [places[(first + k) % len(places)] for k in range(count)]
        candidates.sort(key=lambda other: other[1] - other[0] < own[1] - own[0])
        return next((other for other in candidates if self._differ(own, other)), own)

    def _differ(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        length = min(one[1] - one[0], other[1] - other[0])
        return not np.array_equal(
            self.conditions.frames(one[0], 0, length), self.conditions.frames(other[0], 0, length)
        )
