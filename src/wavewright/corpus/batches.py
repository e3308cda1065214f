"""Batches for truncated back-propagation, with B sections side by side, cut into subsequences of `length` samples.

Lane b of a group reads one section from start to end and carries its state. All lanes start their next section
together, so the models share one clock. A section of S samples gives S predictions. The inputs are the silence code
and all samples but the last, and the targets are all samples. With emphasis, a section's first target still follows
the sample before it in its recording, which is no input. Shorter sections and empty lanes are padded with IGNORED
targets. The order of sections is a permutation drawn from (seed, epoch, order), so a few numbers give a position.

A lane may begin a lead before its section, whose samples are inputs but not targets. Sections with leads of one length
read side by side, because a lane without a lead would otherwise be trained on alone while the others are in theirs. For
a model with a condition, a batch holds the control frames of each lane, counted from where the lane begins.

With classes, an epoch has as many sections as there are, but reads each class equally often. Sections of rare classes
come several times, and some of frequent ones wait for another epoch.

With noise, half of the sections are heard as they are. In each of the others, the inputs are off by up to k codes,
where k is drawn from 1 to the noise. A model that only ever heard true sound trusts it too much when it hears its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wavewright.models.condition import Condition
from wavewright.models.output import IGNORED
from wavewright.quantize import Quantizer, Samples16, silence

LEAD_SECONDS = 0.5  # in which a note that sounds at a section's start is heard


class ControlSource(Protocol):
    """What gives the control frames of sections, such as `conditions.Conditions`."""

    @property
    def condition(self) -> Condition:
        """The controls in a frame."""

    def frames(self, section: int, offset: int, samples: int) -> NDArray[np.float32]:
        """Return the control frames (M, F) that `samples` samples touch, `offset` after sample `section` of the split.

        Frames are counted from `section` on, and the first is the one in progress at `offset`.
        """


@dataclass(frozen=True)
class Batch:
    """The data of one training step.

    Attributes:
        inputs: (B, T) codes.
        targets: (B, T) the codes that follow the inputs, or IGNORED.
        reset: whether the sections begin here, from the initial state.
        count: targets that are not ignored, over the lanes of all processes. All lanes may be in their leads: it is 0.
        condition: (B, M, F) the control frames that the targets touch, the one in progress first, or None. Behind the
            end of a lane's section, every control is absent.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    reset: bool
    count: int
    condition: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Position:
    """The place of the next batch, `offset` samples into the lanes of `group` in `epoch` under `order`."""

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
        leads: (S,) samples that a lane reads before each section. None means no leads.
        conditions: gives the control frames. None means that batches have none.
        dropout: probability that all controls are absent throughout a section, and of each single control that it is.
            Both are drawn from (seed, epoch, order, section).
        noise: greatest number of codes by which an input may be off. It is drawn from (seed, epoch, order, section).
        classes: (S,) numbers of the sections' classes, which an epoch reads equally often. None means that it reads
            every section once, as it does without a seed.
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
        leads: NDArray[np.int64] | None = None,
        conditions: ControlSource | None = None,
        dropout: float = 0.0,
        noise: int = 0,
        classes: NDArray[np.int64] | None = None,
    ) -> None:
        self.samples = samples
        self.sections = sections
        self.leads = np.zeros(len(sections), np.int64) if leads is None else leads
        self.conditions, self.dropout, self.noise, self.classes = conditions, dropout, noise, classes
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
        leads, lanes = self.leads[group], self._lanes(group)
        sizes = lanes[:, 1] - lanes[:, 0]
        longest = int(sizes.max())
        width = min(self.length, longest - position.offset)
        inputs = np.full((self.lanes, width), silence(self.quantizer.levels))
        targets = np.full((self.lanes, width), IGNORED)
        for lane in range(*self.own_lanes.indices(len(group))):
            self._read(lanes[lane], position.offset, inputs[lane], targets[lane])
            self._add_noise(position, int(group[lane]), inputs[lane])
            targets[lane, : max(0, int(leads[lane]) - position.offset)] = IGNORED
        left = np.stack((leads, sizes)) - position.offset
        count = int(np.diff(np.clip(left, 0, width), axis=0).sum())
        self.position = self._after(position, position.offset + width >= longest)
        return Batch(
            inputs[self.own_lanes],
            targets[self.own_lanes],
            position.offset == 0,
            count,
            self._condition(position, group, lanes, width),
        )

    @property
    def epochs(self) -> float:
        """Passes over the sections so far, with the part of the one in progress."""
        longest = int(np.ptp(self._lanes(self._group(self.position)), axis=1).max())
        groups = -(-len(self.sections) // self.lanes)
        return self.position.epoch + (self.position.group + self.position.offset / longest) / groups

    def rest_of_epoch(self) -> Iterator[tuple[int, Batch]]:
        """Yield the batches to the end of the epoch, each with the place of its first lane's section in the order."""
        epoch = self.position.epoch
        while self.position.epoch == epoch:
            first = self.position.group * self.lanes + self.own_lanes.start
            yield first, next(self)

    def holds(self, position: Position) -> bool:
        """Tell whether `position` is a place in these sections."""
        sizes = np.ptp(self._lanes(self._group(position)), axis=1)
        return len(sizes) > 0 and position.offset < sizes.max()

    def reorder(self) -> None:
        """Go to the start of the current group, in an order not seen before."""
        self.position = replace(self.position, offset=0, order=self.position.order + 1)

    def deal(self, lanes: int) -> None:
        """Begin the sections anew that were being read in another number of lanes, and go on from them."""
        self.position = replace(self.position, group=self.position.group * lanes // self.lanes, offset=0)

    def _read(
        self, lane: NDArray[np.int64], offset: int, inputs: NDArray[np.int64], targets: NDArray[np.int64]
    ) -> None:
        start, stop = int(lane[0]) + offset, int(lane[1])
        codes = self.quantizer.encode_part(self.samples, max(start - 1, 0), min(start + len(targets), stop))
        own = codes if start == 0 else codes[1:]
        targets[: len(own)] = own
        inputs[1 : len(own)] = own[:-1]
        if offset and len(own):
            inputs[0] = codes[0]

    def _add_noise(self, position: Position, section: int, inputs: NDArray[np.int64]) -> None:
        """Let the next inputs (T,) of a section be off by as many codes as they are this time."""
        if not self.noise or self.seed is None:
            return
        most = max(0, int(self._random(position, section, 1).integers(-self.noise, self.noise, endpoint=True)))
        random = self._random(position, section, 2 + position.offset)
        inputs += random.integers(-most, most, len(inputs), endpoint=True)
        np.clip(inputs, 0, self.quantizer.levels - 1, out=inputs)

    def _random(self, position: Position, *spawn_key: int) -> np.random.Generator:
        """Return draws that a section and a purpose have for themselves in every epoch.

        A spawn key keeps them apart from the permutation's, whose entropy is the same.
        """
        entropy = np.random.SeedSequence([self.seed or 0, position.epoch, position.order], spawn_key=spawn_key)
        return np.random.Generator(np.random.Philox(entropy))

    def _condition(
        self, position: Position, group: NDArray[np.int64], lanes: NDArray[np.int64], width: int
    ) -> NDArray[np.float32] | None:
        """Return the control frames of this process's lanes."""
        if self.conditions is None:
            return None
        condition, offset = self.conditions.condition, position.offset
        absent = condition.absent(condition.frames(width, offset % condition.hop))
        frames = np.tile(absent, (self.lanes, 1, 1))
        for lane in range(*self.own_lanes.indices(len(group))):
            start, stop = lanes[lane].tolist()
            if (left := stop - start - offset) > 0:
                own = self.conditions.frames(start, offset, min(width, left))
                frames[lane, : len(own)] = own
                self._drop(frames[lane], position, int(group[lane]))
        return frames[self.own_lanes]

    def _drop(self, frames: NDArray[np.float32], position: Position, section: int) -> None:
        """Make the controls absent that are so throughout this section, this time."""
        if not self.dropout or self.seed is None:
            return
        assert self.conditions is not None
        condition = self.conditions.condition
        every, *each = self._random(position, section).random(1 + len(condition.controls)) < self.dropout
        for control, absent in zip(condition.controls, each, strict=True):
            if every or absent:
                first = condition.offset(control)
                frames[:, first : first + control.size] = 0
                frames[:, condition.flag(control)] = 1

    def _lanes(self, group: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the lanes of these sections start and stop, in samples (n, 2). Leads are part of them."""
        lanes = self.sections[group]
        return np.stack((lanes[:, 0] - self.leads[group], lanes[:, 1]), 1)

    def _group(self, position: Position) -> NDArray[np.int64]:
        """Return the numbers (up to B,) of the sections that the lanes read side by side."""
        key = (position.epoch, position.order)
        if self._permuted is None or self._permuted[0] != key:
            order = np.arange(len(self.sections))
            if self.seed is not None:
                random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, *key])))
                order = random.permutation(order) if self.classes is None else _balanced(self.classes, random)
                if np.ptp(self.leads):
                    order = self._by_lead(order, random)
            self._permuted = key, order
        start = position.group * self.lanes
        return self._permuted[1][start : start + self.lanes]

    def _by_lead(self, order: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Return an order in which each group has leads of one length, as far as they go, and the groups are mixed."""
        order = order[np.argsort(self.leads[order], kind="stable")]
        whole = len(order) // self.lanes * self.lanes
        groups = random.permutation(order[:whole].reshape(-1, self.lanes))
        return np.concatenate((groups.ravel(), order[whole:]))

    def _after(self, position: Position, group_done: bool) -> Position:
        if not group_done:
            return replace(position, offset=position.offset + self.length)
        if (position.group + 1) * self.lanes < len(self.sections):
            return replace(position, group=position.group + 1, offset=0)
        return replace(position, epoch=position.epoch + 1, group=0, offset=0)


def _balanced(classes: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Return as many sections (S,) as there are classes given, each class as often as the others but for one section.

    No section of a class comes again before all others of the class have come.
    """
    numbers = np.unique(classes)
    counts = np.full(len(numbers), len(classes) // len(numbers))
    counts[random.permutation(len(numbers))[: len(classes) % len(numbers)]] += 1
    drawn = []
    for number, count in zip(numbers, counts, strict=True):
        members = np.flatnonzero(classes == number)
        rounds = [random.permutation(members) for _ in range(-(-count // len(members)))]
        drawn.append(np.concatenate(rounds)[:count])
    return random.permutation(np.concatenate(drawn))
