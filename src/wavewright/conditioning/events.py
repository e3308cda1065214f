"""Events of a keyboard: keys struck and released, and the sustain pedal, at samples of a recording or a stream."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import ConfigError

# One event. `key` is a MIDI key, `value` a velocity or the pedal's position, each 0 to 127.
EVENT = np.dtype([("sample", "<i8"), ("kind", "u1"), ("key", "u1"), ("value", "u1")])

Events = NDArray[np.void]  # (N,) of EVENT, sorted by sample

CAPACITY = 4096  # events that can wait in a stream of a player
LAST_SAMPLE = 2**62


class Kind(IntEnum):
    """What happened."""

    release = 0
    strike = 1
    pedal = 2


def events(*rows: tuple[int, Kind, int, int]) -> Events:
    """Return a table of (sample, kind, key, value), sorted by sample. Events of one sample keep their order."""
    table = np.array([*rows], EVENT)
    return table[np.argsort(table["sample"], kind="stable")]


def elapsed(keyboard: Events | None, samples: NDArray[np.int64], hop: int, start: int = 0) -> NDArray[np.int64]:
    """Return the samples (M,) that have passed at control frames since a keyboard's last strike, or since `start`.

    Args:
        keyboard: the keyboard's events, if there is one.
        samples: (M,) where the frames begin. A strike within a frame counts as struck at its beginning.
        hop: samples in a frame.
        start: where the sound begins.
    """
    strikes = events() if keyboard is None else keyboard[keyboard["kind"] == Kind.strike]
    begun = np.concatenate(([start], np.maximum(strikes["sample"], start)))
    last = np.searchsorted(begun, samples + hop - 1, "right") - 1
    return np.maximum(samples - begun[np.maximum(last, 0)], 0)


def checked_events(table: Events) -> Events:
    """Return a table of events, after checking it.

    Raises:
        ConfigError: it is no table of EVENT, or a number is out of range.
    """
    if table.dtype != EVENT or table.ndim != 1:
        raise ConfigError(f"events: shape {table.shape} of {table.dtype}; give a table made with `events`")
    most = {"sample": LAST_SAMPLE, "kind": max(Kind), "key": 127, "value": 127}
    for name, limit in most.items():
        if (wrong := (table[name] < 0) | (table[name] > limit)).any():
            raise ConfigError(f"events: {name} {table[name][wrong][0]}; give 0 to {limit}")
    return table
