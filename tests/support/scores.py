"""Scores in the tests."""

from collections.abc import Callable, Iterable
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning import score
from wavewright.conditioning.alignment import Flux, flux
from wavewright.conditioning.events import Kind
from wavewright.conditioning.score import Score
from wavewright.corpus import isolate
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.settings import PrepareSettings


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


Record = Callable[..., Path]
Strike = tuple[float, int]  # seconds, key

RATE = 8000
ONE = PrepareSettings(rate=RATE, section_seconds=1, split=(1, 0, 0))
TUNE: list[Strike] = [(0.3 + 0.37 * i + 0.2 * (0.618 * i * i % 1), 60 + 5 * i % 13) for i in range(24)]


def sound(strikes: list[Strike], silence: float = 0.0, seconds: float = 10.0) -> NDArray[np.float64]:
    """A decaying tone for each strike, `silence` seconds later."""
    t = np.arange(round((seconds + silence) * RATE)) / RATE
    found = np.zeros(len(t))
    for at, key in strikes:
        age = t - at - silence
        found += np.where(age >= 0, 0.2 * np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * age) * np.exp(-9 * age), 0)
    return found


def played(tmp_path: Path, record: Record, silence: float = 0.0, name: str = "tune") -> Path:
    """A recording of TUNE and its score, whose time 0 is the recording's."""
    record(f"in/{name}.flac", sound(TUNE, silence), RATE)
    write_score(tmp_path / f"in/{name}.mid", [(at + silence, Kind.strike, key, 90) for at, key in TUNE])
    return tmp_path / "in"


def struck(corpus: Corpus) -> list[tuple[int, int]]:
    (events,) = corpus.keyboards("train")
    return [(int(e["sample"]), int(e["key"])) for e in events if e["kind"] == Kind.strike]
