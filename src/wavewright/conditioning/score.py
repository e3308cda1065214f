"""Read a score, that is a MIDI file, as the events of one keyboard with a sustain pedal."""

from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mido
import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import EVENT, Events, Kind
from wavewright.errors import AudioError

MOST_BYTES = 8 << 20  # a piano piece of an hour has a tenth of it
MOST_SECONDS = 24 * 3600
DRUMS = 9  # channel 10, whose keys are instruments (General MIDI)
PEDAL = 64  # controllers
SILENCERS = (120, 123)  # all sound off, all notes off
FRAMES = {24: 24.0, 25: 25.0, 29: 30 / 1.001, 30: 30.0}  # a second, by the SMPTE format of the division

Timed = tuple[int, tuple[int, int], Any]  # ticks, hand, message


@dataclass(frozen=True)
class Score:
    """The events of a score.

    Attributes:
        seconds: (N,) time of each event, from the score's start and in order.
        events: (N,) the events, with 0 in place of samples.
        remarks: what a musician should know of the reading, a sentence each.
    """

    seconds: NDArray[np.float64]
    events: Events
    remarks: tuple[str, ...] = ()

    def at(self, rate: int) -> Events:
        """Return the events at their samples, for `rate` samples in a second."""
        placed = self.events.copy()
        placed["sample"] = np.round(self.seconds * rate)
        return placed

    @property
    def strikes(self) -> NDArray[np.float64]:
        """Times of all strikes, in seconds."""
        return self.seconds[self.events["kind"] == Kind.strike]


def read(path: Path) -> Generator[None, None, Score]:
    """Read the score at `path`, as a task for a process of its own (`corpus.isolate`).

    All channels play one keyboard, but for drums, which are left out where there are other notes. A key that two
    channels hold is released by the last one. The pedal is as far down as any channel has it.

    Raises:
        AudioError: no MIDI file, a damaged one, one without notes, or one with times that make no sense.
    """
    yield
    try:
        size = path.stat().st_size
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error.strerror}") from None
    if size > MOST_BYTES:
        raise AudioError(path, f"{size >> 20} MB; a score has up to {MOST_BYTES >> 20} MB")
    try:
        with path.open("rb") as file:
            midi = mido.MidiFile(file=file)
    except MemoryError:
        raise
    except Exception as error:  # mido has no class of its own for damaged files
        reason = str(error).strip() or "it ends too early"
        raise AudioError(path, f"not a readable MIDI file ({reason.splitlines()[0]})") from None
    if midi.type not in (0, 1):
        raise AudioError(path, f"a MIDI file of format {midi.type}; give one of format 0 or 1")
    messages = sorted(_messages(midi), key=lambda timed: timed[0])  # stable: the order of the file for one tick
    if not _strikes(messages):
        raise AudioError(path, "a MIDI file without notes")
    others = [timed for timed in messages if timed[1][1] != DRUMS]
    played = others if _strikes(others) else messages
    remarks = ("its drums (channel 10) are left out",) if len(played) < len(messages) else ()
    rows = list(_events(played, _Clock(path, midi.ticks_per_beat)))
    if rows[-1][0] > MOST_SECONDS:
        raise AudioError(path, f"a score of {rows[-1][0] / 3600:.0f} hours; a score has up to {MOST_SECONDS // 3600}")
    seconds, *columns = (np.array(column) for column in zip(*rows, strict=True))
    events = np.zeros(len(rows), EVENT)
    for name, column in zip(("kind", "key", "value"), columns, strict=True):
        events[name] = column
    return Score(seconds, events, remarks)


def _strikes(messages: list[Timed]) -> bool:
    """Tell whether any of the messages strikes a key."""
    return any(message.type == "note_on" and message.velocity for _, _, message in messages)


def _messages(midi: Any) -> Iterator[Timed]:
    """Yield every message with its tick, and with the hand (track, channel) that plays it."""
    for number, track in enumerate(midi.tracks):
        ticks = 0
        for message in track:
            ticks += message.time
            yield ticks, (number, getattr(message, "channel", -1)), message


class _Clock:
    """Seconds of ticks, which must come in order."""

    def __init__(self, path: Path, division: int) -> None:
        self.path = path
        self._ticks, self._seconds = 0, 0.0
        self._beat = 0  # ticks in a beat; 0 with a division in fractions of a second
        if division > 0:
            self._beat, self._tick = division, 0.5 / division  # 120 beats a minute until a tempo comes
        else:
            frames, parts = -(division >> 8), division & 0xFF
            if frames not in FRAMES or not parts:
                raise AudioError(path, f"a division of {division} has no length; save the score anew")
            self._tick = 1 / (FRAMES[frames] * parts)

    def __call__(self, ticks: int) -> float:
        self._seconds += (ticks - self._ticks) * self._tick
        self._ticks = ticks
        return self._seconds

    def tempo(self, microseconds: int) -> None:
        """Take a new length of a beat from here on."""
        if not microseconds:
            raise AudioError(self.path, f"a tempo of 0 at {self._seconds:.1f} s; save the score anew")
        if self._beat:
            self._tick = microseconds / 1e6 / self._beat


def _events(messages: list[Timed], clock: _Clock) -> Iterator[tuple[float, Kind, int, int]]:
    """Yield (seconds, kind, key, value) for the messages of all hands."""
    held: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)  # hands by key
    pedals: dict[tuple[int, int], int] = {}
    for ticks, hand, message in messages:
        seconds = clock(ticks)
        if message.type == "set_tempo":
            clock.tempo(message.tempo)
        elif message.type == "note_on" and message.velocity:
            held[message.note].add(hand)
            yield seconds, Kind.strike, message.note, message.velocity
        elif message.type in ("note_on", "note_off") and hand in held[message.note]:
            held[message.note].remove(hand)
            if not held[message.note]:
                yield seconds, Kind.release, message.note, 0
        elif message.type == "control_change" and message.control == PEDAL:
            before = max(pedals.values(), default=0)
            pedals[hand] = message.value
            if (after := max(pedals.values())) != before:
                yield seconds, Kind.pedal, 0, after
        elif message.type == "control_change" and message.control in SILENCERS:
            for key in [key for key, hands in held.items() if hands == {hand}]:
                yield seconds, Kind.release, key, 0
            for hands in held.values():
                hands.discard(hand)
