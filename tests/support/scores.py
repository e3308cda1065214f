"""Scores in the tests."""

from collections.abc import Iterable
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning import score
from wavewright.conditioning.alignment import Flux, flux
from wavewright.conditioning.events import Kind
from wavewright.conditioning.score import Score
from wavewright.corpus import isolate


def read_score(path: Path) -> Score:
    """The score at `path`, read as the package reads it, in a process of its own."""
    return isolate.one(score.read, path)


def flux_of(blocks: Iterable[NDArray[np.floating]], rate: int) -> Flux:
    """The flux of a recording that comes in blocks, measured in this process."""
    steps = flux(blocks, rate)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def write_score(path: Path, rows: Iterable[tuple[float, int, int, int]]) -> None:
    """Write a MIDI file of (seconds, kind, key, value), as events have them, to the nearest 0.1 ms."""
    track, ticks = mido.MidiTrack(), 0
    for seconds, kind, key, value in sorted(rows, key=lambda row: row[0]):
        due = round(10_000 * seconds)
        if kind == Kind.pedal:
            message = mido.Message("control_change", control=64, value=value)
        elif kind == Kind.strike:
            message = mido.Message("note_on", note=key, velocity=value)
        else:
            message = mido.Message("note_off", note=key)
        track.append(message.copy(time=due - ticks))
        ticks = due
    midi = mido.MidiFile(ticks_per_beat=5000)  # at 120 beats a minute
    midi.tracks.append(track)
    midi.save(path)
