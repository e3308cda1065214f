"""An instrument is one stream of a model with a condition, played while it sounds."""

import itertools
import queue
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.controls import dense, described, features, find
from wavewright.conditioning.events import Kind, events
from wavewright.errors import ConfigError
from wavewright.models.condition import Control, Notes, Time
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.sound import fade, fade_samples
from wavewright.sampling import SEED_MAX, Controls

AT_ONCE = 1024  # changes that a block takes; those beyond wait for the next block
CALLS = 64  # blocks by which a live instrument sets its time; a sound card may ask for several of them at once

Change = Callable[[int], object]  # takes the sample at which it is due


class Instrument:
    """One stream that is played by hand, or by another program.

    Any thread may give notes, the pedal and controls. They go through a queue, so the thread never waits for a block
    that is being made. One thread alone makes the sound. The keyboard is there from the start, a time runs, and every
    other control is absent until it has a value.

    Without a clock, a change takes effect where the next block begins. With a clock, it takes effect exactly one block
    after it came, with the control frame that holds that sample. So all changes are late by the same time.

    Attributes:
        clock: returns the time in seconds, as time.monotonic does. None means that nobody hears the sound yet.
        primed: whether the instrument continues a sound.

    Args:
        model: model with a condition. Of a mixture, the first model is played, and the second is given no controls.
        seed: decides the stream.
        controls: how codes are drawn, with single values.

    Raises:
        ConfigError: the model was made without a condition or makes impulse responses, or the seed is out of range.
    """

    def __init__(self, model: Playable, seed: int = 0, controls: Controls = DEFAULT) -> None:
        condition = model.config.condition
        if condition is None:
            raise ConfigError(f"instrument: {described(condition)}; play it as a stream")
        if condition.decay:
            raise ConfigError("instrument: the model makes impulse responses, which are no stream; generate files")
        if not 0 <= seed <= SEED_MAX:
            raise ConfigError(f"seed: {seed}; give 0 to {SEED_MAX}")
        self.condition, self.rate = condition, model.rate
        self._decoder, self._player = model.quantizer.decoder(), model.player(1, seed)
        self._controls = controls
        self._changes: queue.SimpleQueue[tuple[float | None, Change]] = queue.SimpleQueue()  # and when each came
        self._due: deque[tuple[int, Change]] = deque()  # by their samples
        self._events: list[tuple[int, Kind, int, int]] = []  # of the frame that begins
        self._held: set[int] = set()
        self._given: dict[str, NDArray[np.float32]] = {}
        if condition.notes:
            self._given[condition.notes.name] = np.zeros(0, np.float32)
        self._place = 0  # samples read and made
        self._began: int | None = 0  # the sample from which the time runs
        self._starts: deque[float] = deque(maxlen=CALLS)  # the time of sample 0, by each of the last blocks
        self.clock: Callable[[], float] | None = None
        self.primed = False

    @property
    def notes(self) -> Notes:
        """The keyboard.

        Raises:
            ConfigError: the model has none.
        """
        if self.condition.notes is None:
            raise ConfigError(f"notes: {described(self.condition)}, and no keyboard")
        return self.condition.notes

    def note_on(self, key: int, velocity: int = 100) -> None:
        """Strike a MIDI key, where 60 is the middle C. A velocity of 0 releases it. Keys beside the keyboard are mute.

        Raises:
            ConfigError: a number is not in 0 to 127, or the model has no keyboard.
        """
        self._put(Kind.strike if velocity else Kind.release, key, velocity)

    def note_off(self, key: int) -> None:
        """Release a MIDI key.

        Raises:
            ConfigError: see note_on.
        """
        self._put(Kind.release, key, 0)

    def pedal(self, position: int) -> None:
        """Move the sustain pedal, 0 to 127. It holds from 64 on.

        Raises:
            ConfigError: see note_on.
        """
        self._put(Kind.pedal, 0, position)

    def all_notes_off(self) -> None:
        """Release every key."""
        self._give(self._release_all)

    def control(self, name: str, value: float | str | None) -> None:
        """Set a control to a number, a class or a mixture such as `a:0.3,b:0.7`. None makes it absent.

        A time that is set stays where it is, until `begin` or a strike lets it run again.

        `temperature` sets the temperature of the draw, unless the model has a control of that name.

        Raises:
            ConfigError: there is no such control, or the value is out of range.
        """
        if name == "temperature" and all(control.name != name for control in self.condition.controls):
            try:
                temperature = float(value)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                raise ConfigError(f"temperature: {value}; give a number, 1 is usual") from None
            Controls(temperature)  # checks the range
            self._give(lambda _: self._draw(temperature))
            return
        control = find(self.condition, name)
        given = None if value is None else features(control, value)
        self._give(lambda _: self._set(control, given))

    def begin(self) -> None:
        """Let the time run from 0, for a new sound. Without a time among the controls, nothing changes."""
        self._give(self._begin)

    def prime(self, codes: NDArray[np.integer]) -> None:
        """Read codes (n,) of a sound that the instrument continues, with all controls absent."""
        self._player.prime(codes)
        self._decoder(codes)
        self._place += codes.shape[-1]
        self.primed = True

    def codes(self, samples: int) -> NDArray[np.integer]:
        """Return the next codes (samples,). They are no part of the sound of `generate`."""
        self._schedule(samples)
        parts, end, hop = [np.zeros(0, np.int64)], self._place + samples, self.condition.hop
        while self._place < end:
            while self._due and self._due[0][0] // hop * hop <= self._place:
                due, change = self._due.popleft()
                change(due)
            if self._events:
                self._player.feed(0, events(*self._events))
                self._events.clear()
            stop = min(end, self._due[0][0] // hop * hop) if self._due else end
            values = self._dense(stop)
            parts.append(self._player.generate(stop - self._place, self._controls, values)[0])
            self._place = stop
        return np.concatenate(parts)

    def _dense(self, stop: int) -> NDArray[np.float32] | None:
        """Return the dense values of the frames that begin before sample `stop`, or one frame for all of them."""
        time = self.condition.time
        if time is None or self._began is None:
            return dense(self.condition, self._given, 1)
        hop = self.condition.hop
        frames = hop * np.arange(-(-self._place // hop), -(-stop // hop))
        running = time.features(np.maximum(frames - self._began, 0) / self.rate)
        return dense(self.condition, {**self._given, time.name: running}, len(frames)) if len(frames) else None

    def _set(self, control: Control, given: NDArray[np.float32] | None) -> None:
        if isinstance(control, Time):
            self._began = None
        if given is None:
            self._given.pop(control.name, None)
        else:
            self._given[control.name] = given

    def _begin(self, due: int) -> None:
        self._began = due

    def _schedule(self, samples: int) -> None:
        """Find the samples at which the changes are due that came until now, before a block of `samples` is made.

        What comes now is due where that block ends. The earliest of the last calls sets the time, since a call can be
        late, and nothing then has to take effect before it could.
        """
        changes = [self._changes.get_nowait() for _ in range(min(self._changes.qsize(), AT_ONCE))]
        if self.clock is not None:
            self._starts.append(self.clock() - (self._place + samples) / self.rate)
        start = min(self._starts, default=0.0)
        latest = self._due[-1][0] if self._due else self._place
        for came, change in changes:
            if came is not None:
                latest = max(latest, round((came - start) * self.rate))
            self._due.append((latest, change))

    def generate(self, samples: int) -> NDArray[np.float32]:
        """Return the next amplitudes (samples,) in [-1, 1], at `rate`."""
        return self._decoder(self.codes(samples))

    def stream(self, block: int = 128) -> Iterator[NDArray[np.float32]]:
        """Yield sound without end in blocks (block,) of amplitudes in [-1, 1], at `rate`.

        Its beginning is faded in, unless it continues a sound. What any thread plays meanwhile is heard.
        """
        sound = (self.generate(block) for _ in itertools.count())
        yield from fade(sound, 0 if self.primed else fade_samples(self.rate), 0)

    def _put(self, kind: Kind, key: int, value: int) -> None:
        self.notes  # noqa: B018  # raises where there is none
        for name, number in (("key", key), ("velocity or pedal", value)):
            if not 0 <= number <= 127:
                raise ConfigError(f"{name}: {number}; give 0 to 127")
        self._give(lambda due: self._take(due, kind, key, value))

    def _give(self, change: Change) -> None:
        self._changes.put((None if self.clock is None else self.clock(), change))

    def _take(self, due: int, kind: Kind, key: int, value: int) -> None:
        self._events.append((due, kind, key, value))
        if kind == Kind.strike:
            self._held.add(key)
            self._begin(due)
        elif kind == Kind.release:
            self._held.discard(key)

    def _release_all(self, due: int) -> None:
        for key in sorted(self._held):
            self._take(due, Kind.release, key, 0)

    def _draw(self, temperature: float) -> None:
        self._controls = replace(self._controls, temperature=temperature)
