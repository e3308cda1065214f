"""What one model of an instrument is given: keys, a score, values and curves of its controls, from the samples on where
each is due.
"""

import copy
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.controls import Curve, TimeCurve, dense, features, find, time_value
from wavewright.conditioning.events import Events, Kind, events
from wavewright.models.condition import Condition, Control, Time

Change = Callable[[int], object]  # takes the sample at which it is due

REMEMBERED = ("_due", "_events", "held", "_given", "_curves", "_began", "_score", "_read")


class Desk:
    """The keys and controls of one model. One thread alone uses a desk, the one that makes the sound.

    A change takes effect with the control frame that holds its sample. The keyboard is there from the start, a time
    runs, and every other control is absent until it has a value.

    Attributes:
        condition: the controls of the model, if it has any.
        held: the keys that are down.

    Args:
        condition: the controls of the model, if it has any.
        rate: samples in a second.
    """

    def __init__(self, condition: Condition | None, rate: int) -> None:
        self.condition, self._rate = condition, rate
        self._hop = condition.hop if condition else 1
        self._due: deque[tuple[int, Change]] = deque()  # by their samples
        self._events: list[tuple[int, Kind, int, int]] = []  # of the frame that begins
        self.held: set[int] = set()
        self._given: dict[str, NDArray[np.float32]] = {}
        self._curves: dict[str, tuple[int, Curve | TimeCurve]] = {}  # and where each begins
        self._began: int | None = 0  # the sample from which the time runs
        self._score: Events = events()
        self._read = 0  # events of the score
        if condition and condition.notes:
            self._given[condition.notes.name] = np.zeros(0, np.float32)

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls of the model."""
        return self.condition.controls if self.condition else ()

    @property
    def waiting(self) -> int:
        """Number of changes that are not yet due."""
        return len(self._due)

    @property
    def last(self) -> int:
        """Sample of the last change that is not yet due, or 0."""
        return self._due[-1][0] if self._due else 0

    @property
    def plays_score(self) -> bool:
        """Whether events of a score are still to come."""
        return self._read < len(self._score)

    def put(self, due: int, change: Change) -> None:
        """Let a change take effect at a sample. Changes come in the order of their samples."""
        self._due.append((due, change))

    def hurry(self, place: int) -> None:
        """Let all changes that wait be due at a sample."""
        self._due = deque((place, change) for _, change in self._due)

    def take(self, place: int) -> Events:
        """Make the changes of the frames that have begun by sample `place`, and return the keyboard's new events."""
        while self._due and self._frame(self._due[0][0]) <= place:
            due, change = self._due.popleft()
            change(due)
        score, begun = self._score[self._read :], (place // self._hop + 1) * self._hop
        for sample, kind, key, value in score[: np.searchsorted(score["sample"], begun)].tolist():
            self.play(sample, Kind(kind), key, value)
            self._read += 1
        table = events(*self._events)
        self._events.clear()
        return table

    def next(self, end: int) -> int:
        """Return the sample before `end` at which the next change takes effect, or `end`."""
        samples = [int(self._score["sample"][self._read])] if self.plays_score else []
        samples += [self._due[0][0]] if self._due else []
        return min([end, *map(self._frame, samples)])

    def dense(self, place: int, stop: int) -> NDArray[np.float32] | None:
        """Return the dense values of the frames that begin in samples `place` to `stop`, or one frame for all."""
        if self.condition is None:
            return None
        time, began = self.condition.time, self._began
        if (time is None or began is None) and not self._curves:
            return dense(self.condition, self._given, 1)
        frames = self._hop * np.arange(-(-place // self._hop), -(-stop // self._hop))
        given = dict(self._given)
        if time is not None and began is not None:
            given[time.name] = time.features(np.maximum(frames - began, 0) / self._rate)
        for name, (start, curve) in self._curves.items():
            given[name] = curve.at((frames - start) / self._rate)
        return dense(self.condition, given, len(frames)) if len(frames) else None

    def absent(self) -> NDArray[np.float32] | None:
        """Return the dense values of a frame in which every control is absent."""
        return None if self.condition is None else dense(self.condition, {}, 1)

    def play(self, due: int, kind: Kind, key: int, value: int) -> None:
        """Strike or release a key, or move the pedal."""
        self._events.append((due, kind, key, value))
        if kind == Kind.strike:
            self.held.add(key)
            self.begin(due)
        elif kind == Kind.release:
            self.held.discard(key)

    def release_all(self, due: int) -> None:
        """Release the keys that are down, and end the score."""
        self._score, self._read = events(), 0
        for key in sorted(self.held):
            self.play(due, Kind.release, key, 0)

    def perform(self, due: int, score: Events) -> None:
        """Play a score, whose samples are counted from its start, instead of the one before."""
        self._score, self._read = score.copy(), 0
        self._score["sample"] += due

    def setting(self, name: str, value: float | str | None) -> Change:
        """Return the change that gives a control a value. None makes it absent.

        Raises:
            ConfigError: there is no such control, or the value is out of range.
        """
        control = find(self.condition, name)
        given = None if value is None else features(control, value)
        return lambda _: self._set(control, given)

    def following(self, name: str, seconds: NDArray[np.float64], values: Sequence[float | str]) -> Change:
        """Return the change that lets a control follow a curve of values (K,) at seconds (K,).

        Raises:
            ConfigError: there is no such control, or a value is out of range.
        """
        control = find(self.condition, name)
        if isinstance(control, Time):
            times = np.array([[time_value(control, value)] for value in values])
            followed: Curve | TimeCurve = TimeCurve(control, Curve(seconds, times))
        else:
            followed = Curve(seconds, np.stack([features(control, value) for value in values]))

        def follow(due: int) -> None:
            self._set(control, None)
            self._curves[name] = (due, followed)

        return follow

    def _set(self, control: Control, given: NDArray[np.float32] | None) -> None:
        self._curves.pop(control.name, None)
        if isinstance(control, Time):
            self._began = None
        if given is None:
            self._given.pop(control.name, None)
        else:
            self._given[control.name] = given

    def begin(self, due: int) -> None:
        """Let the time run from 0."""
        if self.condition and self.condition.time:
            self._curves.pop(self.condition.time.name, None)
        self._began = due

    def state(self) -> Mapping[str, Any]:
        """Return all that the desk remembers."""
        return copy.deepcopy({name: getattr(self, name) for name in REMEMBERED})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state()` of this desk."""
        for name, value in copy.deepcopy(dict(state)).items():
            setattr(self, name, value)

    def _frame(self, sample: int) -> int:
        return sample // self._hop * self._hop
