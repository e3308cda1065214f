"""Turn events of a keyboard into the features of control frames, as training and both back ends see them.

Each key has four features. v is the velocity of its last strike over 127, and a is the time since then.

- g is 1 while the key sounds, that is while it is held, or released with the pedal down.
- g v.
- v exp(-a / 10 ms). A frame counts a strike to its own end, so this places a strike inside the frame to the sample.
- v exp(-a / 150 ms). It lets a model that hears little of the past know what was struck.

A trace ends after eight of its time constants. The pedal has two features, its position over 127, and 1 while it is
down.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import Events, Kind
from wavewright.models.condition import Notes

TRACES = (0.010, 0.150)  # seconds
REACH = 8  # time constants
PEDAL_DOWN = 64  # position from which the pedal holds (MIDI 1.0)


ALL_KEYS = Notes(low=0, high=127)


class Roll:
    """A keyboard that turns events into frames, in order. The engine has the same in C++.

    Keys below or above the keyboard are passed over.

    Args:
        notes: the keyboard.
        hop: samples in a frame.
        rate: samples in a second.
    """

    def __init__(self, notes: Notes, hop: int, rate: int) -> None:
        self.notes, self.hop, self.rate = notes, hop, rate
        self.frame = 0  # the next frame to make
        self._held = np.zeros(notes.keys, bool)
        self._sounding = np.zeros(notes.keys, bool)
        self._velocity = np.zeros(notes.keys)
        self._struck = np.zeros(notes.keys, np.int64)  # sample of the last strike
        self._pedal = 0

    def frames(self, events: Events, count: int) -> NDArray[np.float32]:
        """Return the features (count, 4 keys + 2) of the next frames.

        Args:
            events: what happens before the end of these frames and was not yet given. An event of an earlier frame
                counts from the first of these frames on, with its true age.
            count: number of frames.
        """
        features = np.zeros((count, self.notes.size), np.float32)
        due = np.maximum(events["sample"] // self.hop - self.frame, 0)
        edges = [*np.unique(due[due < count]).tolist(), count]
        first = 0
        self._fill(features[: edges[0]])
        for start, stop in pairwise(edges):
            last = int(np.searchsorted(due, start, "right"))
            for event in events[first:last]:
                self._take(int(event["sample"]), int(event["kind"]), int(event["key"]), int(event["value"]))
            first = last
            self._fill(features[start:stop])
        return features

    def _take(self, sample: int, kind: int, key: int, value: int) -> None:
        if kind == Kind.pedal:
            self._pedal = value
            if value < PEDAL_DOWN:
                self._sounding &= self._held
            return
        key -= self.notes.low
        if not 0 <= key < self.notes.keys:
            return
        self._held[key] = kind == Kind.strike
        if kind == Kind.strike:
            self._sounding[key] = True
            self._velocity[key], self._struck[key] = value / 127, sample
        elif self._pedal < PEDAL_DOWN:
            self._sounding[key] = False

    def _fill(self, features: NDArray[np.float32]) -> None:
        """Fill the next frames, in which nothing happens, and go on by as many."""
        ends = (self.frame + 1 + np.arange(len(features))) * self.hop
        self.frame += len(features)
        by_key = features[:, :-2].reshape(len(features), self.notes.keys, 4)
        by_key[:, :, 0] = self._sounding
        by_key[:, :, 1] = self._sounding * self._velocity
        age = (ends[:, None] - self._struck) / self.rate
        for i, seconds in enumerate(TRACES):
            by_key[:, :, 2 + i] = np.where(age <= REACH * seconds, self._velocity * np.exp(-age / seconds), 0)
        features[:, -2] = self._pedal / 127
        features[:, -1] = self._pedal >= PEDAL_DOWN


def settled(events: Events) -> Events:
    """Return the few of these events that leave a keyboard in the same state, in order.

    They are the last strike of each key and the first release after it, the last event that lifts the pedal, and the
    first and last pedal events after that.
    """
    kept = np.zeros(len(events), bool)
    pedal = np.flatnonzero(events["kind"] == Kind.pedal)
    lifts = np.flatnonzero(events["value"][pedal] < PEDAL_DOWN)
    kept[pedal[lifts[-1:]]] = True
    after = pedal[lifts[-1] + 1 :] if len(lifts) else pedal
    kept[after[:1]] = kept[after[-1:]] = True
    strikes, releases = (np.flatnonzero(events["kind"] == kind) for kind in (Kind.strike, Kind.release))
    last = np.full(128, -1)
    np.maximum.at(last, events["key"][strikes], strikes)
    kept[last[last >= 0]] = True
    keys = events["key"][releases]
    releases = releases[(last[keys] >= 0) & (releases > last[keys])]
    _, first = np.unique(events["key"][releases], return_index=True)
    kept[releases[first]] = True
    return events[kept]


def sounding(events: Events, sample: int) -> Events:
    """Return few events, all at `sample`, after which a keyboard sounds as it does after `events`."""
    placed = settled(events)
    placed["sample"] = 0
    sounds = Roll(ALL_KEYS, 1, 1).frames(placed, 1)[0, :-2:4] > 0
    placed["sample"] = sample
    return placed[(placed["kind"] == Kind.pedal) | sounds[placed["key"]]]
