"""The control frames that players build, against a slow reading of what a player is given."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wavewright.conditioning.events import Kind, events
from wavewright.conditioning.frames import Frames
from wavewright.conditioning.roll import Roll
from wavewright.errors import ConfigError
from wavewright.models.condition import Category, Condition, Notes, Number

RATE, HOP = 1000, 5
NOTES = Notes(low=60, high=61)
# The keyboard stands between the others: 2 dense features before its own 10, then 1, then 3 flags, its own the second.
CONDITION = Condition(
    controls=(Category(name="voice", classes=("high", "low")), NOTES, Number(name="loudness", low=-60, high=0)), hop=HOP
)
ABSENT = [0.0] * 13 + [1.0] * 3
SCORE = events((2, Kind.strike, 60, 100), (11, Kind.pedal, 0, 80), (13, Kind.strike, 61, 30), (30, Kind.release, 60, 0))


def dense_of(streams: int, count: int) -> NDArray[np.float32]:
    """Random dense values, where the keyboard of every third frame is absent."""
    dense = np.random.default_rng(0).uniform(-1, 1, (streams, count, 6)).astype(np.float32)
    dense[:, :, 4] = np.arange(count) % 3 == 1
    return dense


def test_nothing_given_is_everything_absent() -> None:
    assert Frames(CONDITION, 2, RATE).next(12).tolist() == [[ABSENT] * 3] * 2


def test_a_frame_is_put_together_in_the_order_of_its_controls() -> None:
    frames, dense = Frames(CONDITION, 2, RATE), dense_of(2, 9)
    frames.feed(1, SCORE)
    frames.give(dense, 45)
    found, keys = frames.next(45), Roll(NOTES, HOP, RATE).frames(SCORE, 9)
    for m in range(9):
        for stream, own in ((0, np.zeros(10)), (1, keys[m])):
            one = dense[stream, m]
            keyboard = own if one[4] == 0 else np.zeros(10)  # an absent control's own features are 0
            assert found[stream, m].tolist() == [*one[:2], *keyboard, *one[2:]]


@given(st.lists(st.integers(1, 23), min_size=1, max_size=8))
@settings(deadline=None)
def test_in_parts_as_a_whole(parts: list[int]) -> None:
    """A part that begins inside a frame begins with that frame."""
    length, clock = sum(parts), 0
    count = -(-length // HOP)
    whole, frames, dense = Frames(CONDITION, 1, RATE), Frames(CONDITION, 1, RATE), dense_of(1, count)
    for each in (whole, frames):
        each.feed(0, SCORE)
    whole.give(dense, length)
    expected = whole.next(length)
    for part in parts:
        first, last = clock // HOP, -(-(clock + part) // HOP)
        frames.give(dense[0, -(-clock // HOP) : last], part)
        assert np.array_equal(frames.next(part), expected[:, first:last])
        clock += part


def test_one_frame_holds_from_the_next_that_begins_on() -> None:
    frames, dense = Frames(CONDITION, 1, RATE), dense_of(1, 4)
    assert frames.next(3)[0].tolist() == [ABSENT]
    frames.give(dense[:, 3:], 4)
    found = [*frames.next(4)[0], *frames.next(9)[0]]
    assert found[0].tolist() == ABSENT
    assert [row[-4:].tolist() for row in found[1:]] == [dense[0, 3, -4:].tolist()] * 4
    frames.give(None, 3)
    assert np.array_equal(frames.next(3)[0, -1], found[-1])


def test_a_late_event_waits_for_the_next_frame_that_begins() -> None:
    frames = Frames(CONDITION, 1, RATE)
    frames.give(np.zeros((1, 1, 6)), 11)
    frames.next(11)
    frames.feed(0, events((8, Kind.strike, 60, 127)))
    sounding = [frames.next(samples)[0, -1, 2] for samples in (2, 1, 5)]  # of which only the last begins a frame
    assert sounding == [0, 0, 1]


def test_what_was_refused_changed_nothing() -> None:
    frames = Frames(CONDITION, 1, RATE)
    for dense, named in ((np.zeros((1, 3, 6)), "the 2 that begin"), (np.full((1, 1, 6), np.inf), "not finite")):
        with pytest.raises(ConfigError, match=named):
            frames.give(dense, 10)
    assert frames.next(10).tolist() == [[ABSENT] * 2]


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (np.zeros(3), r"shape \(3,\) of float64"),
        (SCORE[None], r"shape \(1, 4\)"),
        (events((2**62 + 1, Kind.strike, 60, 1)), "sample 4611686018427387905"),
        (events((-1, Kind.strike, 60, 1)), "sample -1"),
    ],
)
def test_what_is_no_table_of_events(table: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=f"events: {named}"):
        Frames(CONDITION, 1, RATE).feed(0, table)
