"""Lanes: every sample a target exactly once and in order, whatever the sections, lanes, length and processes."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wavewright.corpus.batches import IGNORED, Batch, Batches, Position
from wavewright.quantize import Quantizer

LEVELS = 256
SILENCE = 128


@dataclass(frozen=True)
class Shape:
    lengths: list[int]
    gap: int  # samples between sections, which belong to none
    batch_size: int
    length: int
    seed: int | None
    world: int


shapes = st.builds(
    Shape,
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=9),
    gap=st.integers(0, 2),
    batch_size=st.integers(1, 6),
    length=st.integers(1, 12),
    seed=st.none() | st.integers(0, 5),
    world=st.just(1),
)
shared = st.builds(
    Shape,
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=9),
    gap=st.integers(0, 2),
    batch_size=st.sampled_from([2, 4, 6]),
    length=st.integers(1, 12),
    seed=st.integers(0, 5),
    world=st.sampled_from([1, 2]),
)


def signal(count: int) -> NDArray[np.int16]:
    """Random samples, each the centre of a bin, so that codes are known without the encoder's rounding."""
    codes = np.random.default_rng(1).integers(0, LEVELS, count)
    return np.round(((2 * codes + 1) / LEVELS - 1) * 32767).astype(np.int16)


def codes_of(samples: NDArray[np.int16]) -> NDArray[np.int64]:
    return np.floor((samples / 32767 + 1) / 2 * LEVELS).astype(np.int64)


def sections_of(shape: Shape) -> NDArray[np.int64]:
    edges, place = [], 0
    for length in shape.lengths:
        edges.append((place, place + length))
        place += length + shape.gap
    return np.array(edges)


def lanes(shape: Shape, rank: int = 0, **changes: Any) -> Batches:
    fields = {"batch_size": shape.batch_size, "length": shape.length, "seed": shape.seed, "world": shape.world}
    sections = sections_of(shape)
    return Batches(
        signal(int(sections.max())), sections, quantizer=Quantizer(LEVELS, "linear"), rank=rank, **{**fields, **changes}
    )


def epoch_of(batches: Batches) -> list[Batch]:
    found, epoch = [], batches.position.epoch
    while batches.position.epoch == epoch:
        found.append(next(batches))
    return found


def streams(epoch: list[Batch]) -> list[tuple[list[int], list[int]]]:
    """What each lane read from one reset to the next: inputs and targets, padding dropped."""
    whole: list[tuple[list[int], list[int]]] = []
    for batch in epoch:
        if batch.reset:
            rows: list[tuple[list[int], list[int]]] = [([], []) for _ in batch.inputs]
            whole += rows
        for row, inputs, targets in zip(rows, batch.inputs.tolist(), batch.targets.tolist(), strict=True):
            row[0].extend(code for code, target in zip(inputs, targets, strict=True) if target != IGNORED)
            row[1].extend(target for target in targets if target != IGNORED)
    return [row for row in whole if row[1]]


@given(shapes)
@settings(max_examples=150, deadline=None)
def test_every_sample_is_a_target_once_and_in_order(shape: Shape) -> None:
    batches = lanes(shape)
    codes = codes_of(batches.samples)
    expected = sorted(codes[start:stop].tolist() for start, stop in batches.sections)
    for _ in range(2):  # two epochs
        epoch = epoch_of(batches)
        found = streams(epoch)
        assert sorted(targets for _, targets in found) == expected
        for inputs, targets in found:
            assert inputs == [SILENCE, *targets[:-1]]
        assert sum(batch.count for batch in epoch) == sum(shape.lengths)
        for batch in epoch:
            assert batch.count == (batch.targets != IGNORED).sum() > 0
            assert batch.inputs.shape == batch.targets.shape
            assert batch.inputs.shape[0] <= shape.batch_size
            assert batch.inputs.shape[1] <= shape.length
            assert ((batch.inputs >= 0) & (batch.inputs < LEVELS)).all()


@given(shapes, st.integers(1, 6), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_lanes_dealt_anew_leave_no_section_out(shape: Shape, batch_size: int, steps: int) -> None:
    """What was read to its end by the lanes before, and all that the lanes after them read, is every section."""
    before, read = lanes(shape), []
    for _ in range(steps):
        read.append((before.position, next(before)))
        if before.position.epoch:
            return
    done = [batch for position, batch in read if position.group < before.position.group]
    after = lanes(shape, batch_size=batch_size)
    after.position = before.position
    after.deal(before.lanes)
    codes = codes_of(after.samples)
    expected = Counter(tuple(codes[start:stop]) for start, stop in after.sections)
    rest = epoch_of(after)
    assert rest[0].reset
    found = Counter(tuple(targets) for _, targets in [*streams(done), *streams(rest)])
    assert expected <= found
    assert (found - expected).total() < before.lanes + after.lanes


@given(shapes)
@settings(max_examples=50, deadline=None)
def test_a_reset_is_where_the_sections_start_and_nowhere_else(shape: Shape) -> None:
    batches = lanes(shape)
    codes = codes_of(batches.samples)
    starts = {tuple(codes[start : min(start + shape.length, stop)]) for start, stop in batches.sections}
    while (before := batches.position).epoch < 2:
        batch = next(batches)
        assert batch.reset == (before.offset == 0)
        if batch.reset:
            assert {tuple(targets) for _, targets in streams([batch])} <= starts
            assert (batch.inputs[:, 0] == SILENCE).all()


@given(shared)
@settings(max_examples=100, deadline=None)
def test_processes_share_the_lanes_of_one(shape: Shape) -> None:
    whole = lanes(shape, world=1)
    parts = [lanes(shape, rank) for rank in range(shape.world)]
    if whole.lanes % shape.world:
        return  # fewer sections than lanes: there is an idle lane more, see the next test
    for _ in range(20):
        one, shares = next(whole), [next(part) for part in parts]
        np.testing.assert_array_equal(np.concatenate([share.inputs for share in shares]), one.inputs)
        np.testing.assert_array_equal(np.concatenate([share.targets for share in shares]), one.targets)
        assert {(share.reset, share.count) for share in shares} == {(one.reset, one.count)}


@given(shared)
@settings(max_examples=50, deadline=None)
def test_the_processes_read_every_sample_once_between_them(shape: Shape) -> None:
    parts = [lanes(shape, rank) for rank in range(shape.world)]
    epochs = [epoch_of(part) for part in parts]
    assert len({len(epoch) for epoch in epochs}) == 1  # none waits for another
    codes = codes_of(parts[0].samples)
    expected = sorted(codes[start:stop].tolist() for start, stop in parts[0].sections)
    assert sorted(targets for epoch in epochs for _, targets in streams(epoch)) == expected
    for batches in zip(*epochs, strict=True):
        assert len({batch.inputs.shape for batch in batches}) == 1  # their states can be gathered
        assert len(batches[0].inputs) >= 1
        assert {batch.count for batch in batches} == {sum(int((b.targets != IGNORED).sum()) for b in batches)}


@given(shapes, st.integers(0, 40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_position_is_all_there_is_to_resume_from(shape: Shape, steps: int, reorder: bool) -> None:
    before = lanes(shape)
    for step in range(steps):
        next(before)
        if reorder and step == steps // 2:
            before.reorder()
    after = lanes(shape)
    after.position = before.position
    for _ in range(15):
        a, b = next(before), next(after)
        np.testing.assert_array_equal(a.inputs, b.inputs)
        np.testing.assert_array_equal(a.targets, b.targets)
        assert (a.reset, a.count) == (b.reset, b.count)


MANY = Shape([5] * 40, 0, 4, 5, 3, 1)


def order_of(batches: Batches) -> list[list[int]]:
    return [targets for _, targets in streams(epoch_of(batches))]


def test_the_order_is_drawn_from_seed_epoch_and_reorderings() -> None:
    batches = lanes(MANY)
    first, second = order_of(batches), order_of(batches)
    assert first != second
    again = lanes(MANY)
    assert [order_of(again), order_of(again)] == [first, second]
    assert order_of(lanes(MANY, seed=4)) != first
    moved = lanes(MANY)
    moved.reorder()
    assert moved.position == Position(order=1)
    assert order_of(moved) not in (first, second)


def test_no_seed_keeps_the_sections_as_they_come() -> None:
    batches = lanes(MANY, seed=None)
    codes = codes_of(batches.samples)
    assert order_of(batches) == codes.reshape(-1, 5).tolist() == order_of(batches)


def test_reordering_in_the_middle_of_a_section_starts_a_section() -> None:
    batches = lanes(Shape([20] * 8, 0, 2, 6, 0, 1))
    for _ in range(6):  # 4 steps a section: the second group, third step
        next(batches)
    assert batches.position == Position(group=1, offset=12)
    batches.reorder()
    assert batches.position == Position(group=1, offset=0, order=1)
    batch = next(batches)
    assert batch.reset
    assert (batch.inputs[:, 0] == SILENCE).all()


def test_mu_law_codes_are_those_of_the_encoder() -> None:
    """0.25 -> sign(x) ln(1 + 255 |x|) / ln 256 = 0.752: bin floor((0.752 + 1) * 128) = 224."""
    samples = np.array([0, 8192, -8192, 32767, -32768], np.int16)
    batches = Batches(
        samples, np.array([[0, 5]]), batch_size=1, length=9, quantizer=Quantizer(256, "mu-law"), seed=None
    )
    batch = next(batches)
    assert batch.targets.tolist() == [[128, 224, 31, 255, 0]]
    assert batch.inputs.tolist() == [[128, 128, 224, 31, 255]]


def test_a_lane_never_reads_its_neighbour() -> None:
    """Shorter sections than the group's longest are padded with silence in, nothing wanted."""
    batches = lanes(Shape([3, 7], 0, 2, 4, None, 1))
    codes = codes_of(batches.samples).tolist()
    first, second = next(batches), next(batches)
    assert first.inputs.tolist() == [[SILENCE, *codes[:2], SILENCE], [SILENCE, *codes[3:6]]]
    assert first.targets.tolist() == [[*codes[:3], IGNORED], codes[3:7]]
    assert second.inputs.tolist() == [[SILENCE] * 3, codes[6:9]]
    assert second.targets.tolist() == [[IGNORED] * 3, codes[7:10]]
    assert (first.count, second.count) == (7, 3)
    assert (first.reset, second.reset) == (True, False)


@given(shapes, st.floats(0.1, 0.95))
@settings(max_examples=60, deadline=None)
def test_with_emphasis_a_section_continues_its_recording(shape: Shape, emphasis: float) -> None:
    """Against the equation over whole recordings. Every second section begins one, and 0 is before its first sample."""
    sections = sections_of(shape)
    samples = signal(int(sections.max()))
    samples_of_file: Any = samples.view(OfRecordings)
    samples_of_file.starts = sections[::2, 0]
    x = samples / 32767
    before = np.where(np.isin(np.arange(len(x)), sections[::2, 0]), 0, np.roll(x, 1))
    codes = np.minimum(np.floor((np.clip(x - emphasis * before, -1, 1) + 1) / 2 * LEVELS), LEVELS - 1).astype(int)
    batches = Batches(
        samples_of_file,
        sections,
        batch_size=shape.batch_size,
        length=shape.length,
        quantizer=Quantizer(LEVELS, "linear", emphasis),
        seed=shape.seed,
    )
    found = streams(epoch_of(batches))
    assert sorted(targets for _, targets in found) == sorted(codes[start:stop].tolist() for start, stop in sections)
    assert all(inputs == [SILENCE, *targets[:-1]] for inputs, targets in found)


class OfRecordings(np.ndarray):
    """An array that tells where recordings start, as a corpus's reader does."""

    starts: NDArray[np.int64]


NOISY = Shape([50] * 64, 0, 8, 16, 3, 1)


def test_noise_changes_what_is_heard_and_not_what_is_wanted() -> None:
    """Half of the sections are heard as they are. In the others, inputs are off by up to k, 1 to the noise."""
    clean, noisy = epoch_of(lanes(NOISY)), epoch_of(lanes(NOISY, noise=4))
    off: dict[int, list[NDArray[np.int64]]] = {}
    for before, after in zip(clean, noisy, strict=True):
        assert (after.targets == before.targets).all()
        assert after.inputs.min() >= 0
        assert after.inputs.max() < LEVELS
        for lane, (truth, heard) in enumerate(zip(before.inputs, after.inputs, strict=True)):
            inside = (truth >= 4) & (truth < LEVELS - 4)  # which are never clipped
            off.setdefault(len(off) if before.reset else len(off) - 8 + lane, []).append((heard - truth)[inside])
    greatest = np.array([np.abs(np.concatenate(parts)).max() for parts in off.values()])
    assert len(greatest) == 64
    assert set(greatest) == {0, 1, 2, 3, 4}
    assert 0.3 < (greatest == 0).mean() < 0.7
    wildest = np.concatenate(
        [np.concatenate(parts) for parts, most in zip(off.values(), greatest, strict=True) if most == 4]
    )
    assert set(wildest) == set(range(-4, 5))
    assert abs(wildest.mean()) < 0.5


def test_noise_is_the_same_from_any_position_and_another_in_each_epoch() -> None:
    whole = lanes(NOISY, noise=4)
    first, second = epoch_of(whole), epoch_of(whole)
    resumed = lanes(NOISY, noise=4)
    for _ in range(5):
        next(resumed)
    moved = lanes(NOISY, noise=4)
    moved.position = resumed.position
    assert (next(moved).inputs == first[5].inputs).all()
    assert {batch.inputs.tobytes() for batch in first}.isdisjoint(batch.inputs.tobytes() for batch in second)
    assert (lanes(NOISY, seed=None, noise=4).__next__().inputs == next(lanes(NOISY, seed=None)).inputs).all()


def test_lanes_that_read_side_by_side_have_leads_of_one_length() -> None:
    """Sections without a lead, as at the start of a track, are together. Otherwise one of them is trained on alone."""
    leads = np.where(np.arange(64) % 6 == 0, 0, 10)
    seen = []
    for order in range(3):
        batches = lanes(NOISY, leads=leads)
        batches.position = Position(epoch=order)
        epoch = epoch_of(batches)
        begun = [batch for batch in epoch if batch.reset]
        mixed = [len(np.unique(batch.targets[:, 0] == IGNORED)) > 1 for batch in begun]
        assert sum(mixed) <= 1  # 11 sections without a lead fill one group of 8, and 3 lanes of another
        assert sum(batch.count for batch in epoch) == 64 * 50
        seen.append(tuple((batch.targets[:, 0] == IGNORED).any() for batch in begun))
    assert len(set(seen)) > 1  # the groups without leads come anywhere in an epoch


def sections_read(batches: Batches) -> list[int]:
    """The numbers of the sections of an epoch, which all have other samples."""
    starts = {
        codes_of(batches.samples[start : start + 3]).tobytes(): i for i, (start, _) in enumerate(batches.sections)
    }
    begun = [batch.targets for batch in epoch_of(batches) if batch.reset]
    return [starts[lane[:3].tobytes()] for lanes in begun for lane in lanes if (lane != IGNORED).any()]


@given(st.lists(st.integers(-1, 3), min_size=64, max_size=64), st.integers(0, 9))
def test_an_epoch_reads_each_class_equally_often(labels: list[int], epoch: int) -> None:
    classes = np.array(labels)
    batches = lanes(NOISY, classes=classes)
    batches.position = Position(epoch=epoch)
    read = sections_read(batches)
    assert len(read) == 64
    counts = np.unique(classes[read], return_counts=True)
    assert set(counts[0]) == set(labels)
    assert np.ptp(counts[1]) <= 1
    for label in set(labels):
        often = [read.count(section) for section in np.flatnonzero(classes == label)]
        assert max(often) - min(often) <= 1


def test_a_balanced_order_is_the_same_from_any_position_and_another_in_each_epoch() -> None:
    classes = np.arange(64) // 50
    whole = lanes(NOISY, classes=classes)
    first, second = sections_read(whole), sections_read(whole)
    again = lanes(NOISY, classes=classes)
    again.position = Position(epoch=1)
    assert sections_read(again) == second != first
    assert {classes[section] for section in first[:16]} == {0, 1}  # mixed, not one class after the other
    assert sections_read(lanes(NOISY, classes=np.zeros(64, int))) != sections_read(lanes(NOISY))
    assert sorted(sections_read(lanes(NOISY, classes=np.zeros(64, int)))) == list(range(64))
    assert sections_read(lanes(NOISY, seed=None, classes=classes)) == list(range(64))
