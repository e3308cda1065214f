"""Events of a keyboard: keys struck and released, and the sustain pedal, at samples of a recording or a stream."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

# One event. `key` is a MIDI key, `value` a velocity or the pedal's position, each 0 to 127.
EVENT = np.dtype([("sample", "<i8"), ("kind", "u1"), ("key", "u1"), ("value", "u1")])

Events = NDArray[np.void]  # (N,) of EVENT, sorted by sample


class Kind(IntEnum):
    """What happened."""

    release = 0
    strike = 1
    pedal = 2


def events(*rows: tuple[int, Kind, int, int]) -> Events:
    """Return a table of (sample, kind, key, value), sorted by sample. Events of one sample keep their order."""
    table = np.array([*rows], EVENT)
    return table[np.argsort(table["sample"], kind="stable")]
