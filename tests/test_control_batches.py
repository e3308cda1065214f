"""Batches have the control frames of each lane, some of them left out."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.controlled import HOP, NOTES, VOICE, conditioned, make_controlled
from wavewright.corpus.batches import IGNORED, Batches
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.models.condition import Condition

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_controlled(tmp_path_factory.mktemp("controlled"))


# Batches


def batches(sounds: Corpus, **changes: Any) -> Batches:
    conditions = Conditions(sounds, "train", Condition((VOICE, NOTES), HOP))
    sections = sounds.sections("train")
    fields = {"batch_size": 6, "length": 77, "seed": 3, "conditions": conditions, "dropout": 0.0}
    fields["leads"] = sounds.leads("train", sections, 0.05)
    return Batches(sounds.samples("train"), sections, quantizer=conditioned().quantizer, **{**fields, **changes})


def test_a_batch_has_the_frames_of_each_lane_from_its_lead_on(sounds: Corpus) -> None:
    found, conditions = batches(sounds), Conditions(sounds, "train", Condition((VOICE, NOTES), HOP))
    codes = found.quantizer.encode_int16(sounds.samples("train"))
    seen = 0
    while (place := found.position).epoch < 1:
        lanes = [found.sections[i] for i in found._group(place)]
        batch = next(found)
        assert batch.condition is not None
        width = batch.inputs.shape[1]
        assert batch.count == (batch.targets != IGNORED).sum()
        for lane, (first, stop) in enumerate(lanes):
            begin = first - min(200, first % 2000)
            read = np.arange(begin + place.offset, begin + place.offset + width)
            expected = np.where((read >= first) & (read < stop), codes[np.minimum(read, len(codes) - 1)], IGNORED)
            assert batch.targets[lane].tolist() == expected.tolist()
            heard = np.where(read - 1 >= begin, codes[np.clip(read - 1, 0, len(codes) - 1)], 32)
            assert batch.inputs[lane][read < stop].tolist() == heard[read < stop].tolist()
            size = min(width, stop - begin - place.offset)
            if size > 0:
                own = conditions.frames(begin, place.offset, size)
                assert np.array_equal(batch.condition[lane, : len(own)], own)
                seen += len(own)
    assert seen > 2000


def test_behind_a_sections_end_every_control_is_absent(sounds: Corpus) -> None:
    found, sizes = batches(sounds, length=10_000), np.zeros(0)
    while len(set(sizes.tolist())) < 2:  # until one lane has a lead, and another has none
        sizes = np.ptp(found._lanes(found._group(found.position)), axis=1)
        frames = next(found).condition
    assert frames is not None
    absent = Condition((VOICE, NOTES), HOP).absent(1)[0]
    for lane, size in enumerate(sizes.tolist()):
        assert (frames[lane, -(-size // HOP) :] == absent).all()
        assert not (frames[lane, : -(-size // HOP)] == absent).all(1).any()


def left_out(frames: NDArray[np.float32]) -> list[tuple[float, ...]]:
    """Which controls are absent in each lane, which must be so throughout."""
    return [tuple(lane[0, -2:].tolist()) for lane in frames if (lane[:, -2:] == lane[0, -2:]).all()]


def test_controls_are_left_out_of_whole_sections_as_often_as_asked(sounds: Corpus) -> None:
    """All with p, each with p besides: of two controls, none is left out of (1 - p)^3 of the sections."""
    p, counts = 0.3, dict.fromkeys([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)], 0)
    found = batches(sounds, length=10_000, dropout=p, batch_size=1, leads=None)
    sections = len(found.sections)
    for _ in range(40 * sections):
        frames = next(found).condition
        assert frames is not None
        (flags,) = left_out(frames)
        counts[flags] += 1
        assert bool(frames[0, :, :2].any()) != bool(flags[0])
        assert not (flags[1] and frames[0, :, 2:-2].any())
    shares = [count / (40 * sections) for count in counts.values()]
    one = p * (1 - p) ** 2
    assert shares == pytest.approx([(1 - p) ** 3, one, one, 1 - (1 - p) ** 3 - 2 * one], abs=0.04)


def test_what_is_left_out_stays_so_through_a_section(sounds: Corpus) -> None:
    found, windows, first = batches(sounds, dropout=0.4), 0, np.zeros((6, 2))
    for _ in range(60):
        batch = next(found)
        assert batch.condition is not None
        flags = batch.condition[:, 0, -2:]
        if batch.reset:
            first = flags
        assert (flags[(flags != 1).any(1)] == first[(flags != 1).any(1)]).all()  # behind its end, all are absent
        windows += not batch.reset
    assert windows > 30


def test_what_is_left_out_depends_on_nothing_but_the_place(sounds: Corpus) -> None:
    """Not on windows, processes or where a run was resumed."""
    whole = [batches(sounds, dropout=0.4) for _ in range(2)]
    parts = [batches(sounds, dropout=0.4, rank=rank, world=2) for rank in range(2)]
    for step in range(60):
        if step == 31:
            whole[1] = batches(sounds, dropout=0.4)
            whole[1].position = whole[0].position
        one, again_, *shares = (next(source).condition for source in (*whole, *parts))
        assert one is not None
        assert np.array_equal(one, again_)
        assert np.array_equal(one, np.concatenate(shares))
    order = [left_out(next(batches(sounds, dropout=0.4, length=10_000, seed=seed)).condition) for seed in (3, 4)]
    assert order[0] != order[1]
    assert len(set(order[0])) > 1  # each section has its own draw
