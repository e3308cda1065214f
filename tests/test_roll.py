"""A keyboard's control frames against a slow reading of their definition, whole and in parts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wavewright.conditioning.events import Events, Kind, events
from wavewright.conditioning.roll import Roll
from wavewright.models.condition import Notes

RATE, HOP = 1000, 7
NOTES = Notes(low=60, high=62)

some_events = st.lists(
    st.tuples(
        st.integers(0, 499),
        st.sampled_from(Kind),
        st.integers(58, 64),  # the keyboard has 60 to 62
        st.sampled_from([0, 1, 63, 64, 100, 127]),
    ),
    max_size=30,
).map(lambda rows: events(*rows))


def by_definition(given_events: Events, frame: int) -> NDArray[np.float64]:
    """The features of one frame, from everything that happened before its end."""
    end = (frame + 1) * HOP
    past = [tuple(int(x) for x in event) for event in given_events if event["sample"] < end]
    pedal = [value for _, kind, _, value in past if kind == Kind.pedal][-1:] or [0]
    features = []
    for key in range(60, 63):
        held = sounding = False
        down, velocity, struck = False, 0.0, 0
        for sample, kind, of, value in past:
            if kind == Kind.pedal:
                down = value >= 64
            elif of == key:
                held = kind == Kind.strike
                velocity, struck = (value / 127, sample) if held else (velocity, struck)
            sounding = held or (sounding and down)
        age = (end - struck) / RATE
        traces = [velocity * math.exp(-age / tau) if age <= 8 * tau else 0.0 for tau in (0.010, 0.150)]
        features += [float(sounding), sounding * velocity, *traces]
    return np.array([*features, pedal[0] / 127, float(pedal[0] >= 64)])


@given(some_events)
@settings(max_examples=60, deadline=None)
def test_frames_are_those_of_the_definition(given_events: Events) -> None:
    found = Roll(NOTES, HOP, RATE).frames(given_events, 75)
    np.testing.assert_allclose(found, [by_definition(given_events, m) for m in range(75)], rtol=1e-6, atol=1e-7)


@given(some_events, st.lists(st.integers(1, 40), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_in_parts_as_a_whole(given_events: Events, parts: list[int]) -> None:
    whole, roll, first = Roll(NOTES, HOP, RATE).frames(given_events, sum(parts)), Roll(NOTES, HOP, RATE), 0
    for part in parts:
        due = given_events["sample"] // HOP
        found = roll.frames(given_events[(due >= first) & (due < first + part)], part)
        assert np.array_equal(found, whole[first : first + part])
        first += part


@pytest.mark.parametrize("sample", [0, 1, 6, 7, 13, 14])
def test_a_strike_changes_its_own_frame_and_none_before(sample: int) -> None:
    """The frame of sample s is s // hop. The trace tells where in the frame the strike lies."""
    silent = Roll(NOTES, HOP, RATE).frames(events(), 4)
    struck = Roll(NOTES, HOP, RATE).frames(events((sample, Kind.strike, 61, 100)), 4)
    changed = np.flatnonzero((silent != struck).any(1))
    assert changed[0] == sample // HOP
    later = Roll(NOTES, HOP, RATE).frames(events((sample // HOP * HOP + 6, Kind.strike, 61, 100)), 4)
    assert sample % HOP == 6 or struck[sample // HOP, 6] < later[sample // HOP, 6]


def test_an_event_that_comes_late_counts_from_now_on_with_its_true_age() -> None:
    roll = Roll(NOTES, HOP, RATE)
    roll.frames(events(), 3)
    late, strike = roll.frames(events((2, Kind.strike, 60, 127)), 1), Roll(NOTES, HOP, RATE)
    assert np.array_equal(late[0], strike.frames(events((2, Kind.strike, 60, 127)), 4)[3])
