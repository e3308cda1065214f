"""An instrument is one stream of a model with a condition, played while it sounds."""

import queue
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.controls import dense, described, features, find
from wavewright.conditioning.events import Kind, events
from wavewright.errors import ConfigError
from wavewright.models.condition import Notes
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.sampling import SEED_MAX, Controls

AT_ONCE = 1024  # changes that a block takes; those beyond wait for the next block


class Instrument:
    """One stream that is played by hand, or by another program.

    Notes, the pedal and controls take effect where the next block begins. Any thread may give them. They go through a
    queue, so the thread never waits for a block that is being made. One thread alone makes the sound. The keyboard is
    there from the start, and every other control is absent until it has a value.

    Args:
        model: model with a condition. Of a mixture, the first model is played, and the second is given no controls.
        seed: decides the stream.
        controls: how codes are drawn, with single values.

    Raises:
        ConfigError: the model was made without a condition, or the seed is out of range.
    """

    def __init__(self, model: Playable, seed: int = 0, controls: Controls = DEFAULT) -> None:
        condition = model.config.condition
        if condition is None:
            raise ConfigError(f"instrument: {described(condition)}; play it as a stream")
        if not 0 <= seed <= SEED_MAX:
            raise ConfigError(f"seed: {seed}; give 0 to {SEED_MAX}")
        self.condition, self.rate = condition, model.rate
        self._quantizer, self._player = model.quantizer, model.player(1, seed)
        self._controls = controls
        self._changes: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._events: list[tuple[int, Kind, int, int]] = []  # of the next block
        self._held: set[int] = set()
        self._given: dict[str, NDArray[np.float32]] = {}
        if condition.notes:
            self._given[condition.notes.name] = np.zeros(0, np.float32)
        self._clock = 0
        self.primed = False  # whether it continues a sound

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
        self._changes.put(self._release_all)

    def control(self, name: str, value: float | str | None) -> None:
        """Set a control to a number, a class or a mixture such as `a:0.3,b:0.7`. None makes it absent.

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
            self._changes.put(lambda: self._draw(temperature))
            return
        control = find(self.condition, name)
        if value is None:
            self._changes.put(lambda: self._given.pop(name, None))
        else:
            given = features(control, value)
            self._changes.put(lambda: self._given.update({name: given}))

    def prime(self, codes: NDArray[np.integer]) -> None:
        """Read codes (n,) of a sound that the instrument continues, with all controls absent."""
        self._player.prime(codes)
        self._clock += codes.shape[-1]
        self.primed = True

    def codes(self, samples: int) -> NDArray[np.integer]:
        """Return the next codes (samples,)."""
        for _ in range(min(self._changes.qsize(), AT_ONCE)):
            self._changes.get_nowait()()
        if self._events:
            self._player.feed(0, events(*self._events))
            self._events.clear()
        self._clock += samples
        return self._player.generate(samples, self._controls, dense(self.condition, self._given, 1))[0]

    def generate(self, samples: int) -> NDArray[np.float32]:
        """Return the next amplitudes (samples,) in (-1, 1), at `rate`."""
        return self._quantizer.decode(self.codes(samples))

    def _put(self, kind: Kind, key: int, value: int) -> None:
        self.notes  # noqa: B018  # raises where there is none
        for name, number in (("key", key), ("velocity or pedal", value)):
            if not 0 <= number <= 127:
                raise ConfigError(f"{name}: {number}; give 0 to 127")
        self._changes.put(lambda: self._take(kind, key, value))

    def _take(self, kind: Kind, key: int, value: int) -> None:
        self._events.append((self._clock, kind, key, value))
        if kind == Kind.strike:
            self._held.add(key)
        elif kind == Kind.release:
            self._held.discard(key)

    def _release_all(self) -> None:
        for key in sorted(self._held):
            self._take(Kind.release, key, 0)

    def _draw(self, temperature: float) -> None:
        self._controls = replace(self._controls, temperature=temperature)
