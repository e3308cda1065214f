"""Batches for truncated back-propagation, with B sections side by side, cut into subsequences of `length` samples.

Lane b of a group reads one section from start to end and carries its state. All lanes start their next section
together, so the models share one clock. A section of S samples gives S predictions. The inputs are the silence code
and all samples but the last, and the targets are all samples. Shorter sections and empty lanes are padded with IGNORED
targets. The order of sections is a permutation drawn from (seed, epoch, order), so a few numbers give a position.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wavewright.models.output import IGNORED
from wavewright.quantize import Quantizer, Samples16, silence


@dataclass(frozen=True)
class Batch:
    """The data of one training step.

    Attributes:
        inputs: (B, T) codes.
        targets: (B, T) the codes that follow the inputs, or IGNORED.
        reset: whether the sections begin here, from the initial state.
        count: targets that are not ignored, over the lanes of all processes.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    reset: bool
    count: int


@dataclass(frozen=True)
class Position:
    """The place of the next batch, `offset` samples into the sections of `group` in `epoch` under `order`."""

    epoch: int = 0
    group: int = 0
    offset: int = 0
    order: int = 0


class Batches:
    """An endless iterator of batches over sections of 16-bit samples.

    Args:
        samples: (N,) int16, all tracks of a split. They are read a batch at a time.
        sections: (S, 2) starts and ends in `samples`.
        batch_size: lanes over all processes, or fewer where there are fewer sections.
        length: T, samples in a subsequence.
        quantizer: how amplitudes become codes.
        seed: decides the order. None keeps the sections in their order.
        rank, world: number of this process, and number of processes. Each reads its share of the lanes.
    """

    def __init__(
        self,
        samples: Samples16,
        sections: NDArray[np.int64],
        *,
        batch_size: int,
        length: int,
        quantizer: Quantizer,
        seed: int | None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.samples = samples
        self.sections = sections
        lanes = -(-min(batch_size, len(sections)) // world) * world
        self.lanes = lanes
        self.own_lanes = slice(rank * lanes // world, (rank + 1) * lanes // world)
        self.length = length
        self.quantizer = quantizer
        self.seed = seed
        self.position = Position()
        self._permuted: tuple[tuple[int, int], NDArray[np.int64]] | None = None

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        position = self.position
        group = self._group(position)
        sizes = group[:, 1] - group[:, 0]
        longest = int(sizes.max())
        width = min(self.length, longest - position.offset)
        inputs = np.full((self.lanes, width), silence(self.quantizer.levels))
        targets = np.full((self.lanes, width), IGNORED)
        for lane in range(*self.own_lanes.indices(len(group))):
            self._read(group[lane], position.offset, inputs[lane], targets[lane])
        count = int(np.clip(sizes - position.offset, 0, width).sum())
        self.position = self._after(position, position.offset + width >= longest)
        return Batch(inputs[self.own_lanes], targets[self.own_lanes], position.offset == 0, count)

    def rest_of_epoch(self) -> Iterator[tuple[int, Batch]]:
        """Yield the batches to the end of the epoch, each with the place of its first lane's section in the order."""
        epoch = self.position.epoch
        while self.position.epoch == epoch:
            first = self.position.group * self.lanes + self.own_lanes.start
            yield first, next(self)

    def holds(self, position: Position) -> bool:
        """Tell whether `position` is a place in these sections."""
        sizes = np.ptp(self._group(position), axis=1)
        return len(sizes) > 0 and position.offset < sizes.max()

    def reorder(self) -> None:
        """Go to the start of the current group, in an order not seen before."""
        self.position = replace(self.position, offset=0, order=self.position.order + 1)

    def _read(
        self, section: NDArray[np.int64], offset: int, inputs: NDArray[np.int64], targets: NDArray[np.int64]
    ) -> None:
        start, stop = int(section[0]) + offset, int(section[1])
        codes = self.quantizer.encode_int16(self.samples[max(start - 1, 0) : min(start + len(targets), stop)])
        own = codes if start == 0 else codes[1:]
        targets[: len(own)] = own
        inputs[1 : len(own)] = own[:-1]
        if offset and len(own):
            inputs[0] = codes[0]

    def _group(self, position: Position) -> NDArray[np.int64]:
        """Return the sections (up to B, 2) that the lanes read side by side."""
        key = (position.epoch, position.order)
        if self._permuted is None or self._permuted[0] != key:
            order = np.arange(len(self.sections))
            if self.seed is not None:
                bits = np.random.Philox(np.random.SeedSequence([self.seed, *key]))
                order = np.random.Generator(bits).permutation(order)
            self._permuted = key, order
        start = position.group * self.lanes
        return self.sections[self._permuted[1][start : start + self.lanes]]

    def _after(self, position: Position, group_done: bool) -> Position:
        if not group_done:
            return replace(position, offset=position.offset + self.length)
        if (position.group + 1) * self.lanes < len(self.sections):
            return replace(position, group=position.group + 1, offset=0)
        return replace(position, epoch=position.epoch + 1, group=0, offset=0)
