"""An instrument is one stream of a model, played while it sounds."""

import copy
import itertools
import queue
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.controls import Curve, TimeCurve, dense, described, features, find, time_value
from wavewright.conditioning.events import Kind, events
from wavewright.errors import ConfigError
from wavewright.models.condition import Condition, Control, Notes, Time
from wavewright.playing.engine import Engine
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.sound import fade, fade_samples
from wavewright.sampling import SEED_MAX, Controls

REMEMBERED = (  # fields of an instrument, beside its player
    "_decoder",
    "_controls",
    "_due",
    "_events",
    "_held",
    "_given",
    "_curves",
    "_place",
    "_began",
    "primed",
)
AT_ONCE = 1024  # changes that a block takes; those beyond wait for the next block
CALLS = 64  # blocks by which a live instrument sets its time; a sound card may ask for several of them at once

DRAWS = ("temperature", "top_p")  # settings of the draw that every model has, where no control has their name

Change = Callable[[int], object]  # takes the sample at which it is due


@dataclass(frozen=True)
class Moment:
    """All that an instrument remembers at a moment, to go back to (`Instrument.restore`).

    Attributes:
        player: see Engine.state.
        fields: the instrument's own fields by their names.
    """

    player: bytes
    fields: Mapping[str, Any]


class Instrument:
    """One stream that is played by hand, or by another program.

    Any thread may give notes, the pedal and controls. They go through a queue, so the thread never waits for a block
    that is being made. One thread alone makes the sound. The keyboard is there from the start, a time runs, and every
    other control is absent until it has a value. A model without controls has the settings of the draw alone.

    Without a clock, a change takes effect where the next block begins. With a clock, it takes effect exactly one block
    after it came, with the control frame that holds that sample. So all changes are late by the same time.

    Attributes:
        clock: returns the time in seconds, as time.monotonic does. None means that nobody hears the sound yet.
        primed: whether the instrument continues a sound.

    Args:
        model: the model. Of a mixture, the first model is played, and the second is given no controls.
        seed: decides the stream.
        controls: how codes are drawn, with single values.

    Raises:
        ConfigError: the model makes impulse responses, or the seed is out of range.
    """

    def __init__(self, model: Playable, seed: int = 0, controls: Controls = DEFAULT) -> None:
        condition = model.config.condition
        if condition and condition.decay:
            raise ConfigError("instrument: the model makes impulse responses, which are no stream; generate files")
        if not 0 <= seed <= SEED_MAX:
            raise ConfigError(f"seed: {seed}; give 0 to {SEED_MAX}")
        self.condition: Condition | None = condition
        self.rate = model.rate
        self._hop = condition.hop if condition else 1
        self._decoder, self._player = model.quantizer.decoder(), model.player(1, seed)
        self._controls = controls
        self._changes: queue.SimpleQueue[tuple[float | None, Change]] = queue.SimpleQueue()  # and when each came
        self._due: deque[tuple[int, Change]] = deque()  # by their samples
        self._events: list[tuple[int, Kind, int, int]] = []  # of the frame that begins
        self._held: set[int] = set()
        self._given: dict[str, NDArray[np.float32]] = {}
        self._curves: dict[str, tuple[int, Curve | TimeCurve]] = {}  # of controls and draws, and where each begins
        if condition and condition.notes:
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
        if self.condition is None or self.condition.notes is None:
            raise ConfigError(f"notes: {described(self.condition)}, and no keyboard")
        return self.condition.notes

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls of the model."""
        return self.condition.controls if self.condition else ()

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

        `temperature` and `top_p` set the draw, unless the model has a control of that name. A top-p of None means all.

        Raises:
            ConfigError: there is no such control, or the value is out of range.
        """
        if self.is_draw(name):
            number = None if value is None and name == "top_p" else _draw(name, value)
            self._give(lambda _: self._set_draw(name, number))
            return
        control = find(self.condition, name)
        given = None if value is None else features(control, value)
        self._give(lambda _: self._set(control, given))

    def curve(self, name: str, points: Sequence[tuple[float, float | str]]) -> None:
        """Let a control, or a setting of the draw, follow a curve from now on. Its last value is then held.

        Args:
            name: see `control`.
            points: seconds from now, in order, and the value there. Between points, the way is straight.

        Raises:
            ConfigError: there is no such control, there are no points, or a value is out of range.
        """
        seconds = [second for second, _ in points]
        if not points or not all(map(np.isfinite, seconds)) or seconds[0] < 0 or seconds != sorted(seconds):
            raise ConfigError(f"{name}: a curve has points of seconds from 0 up, in their order, each with a value")
        if self.is_draw(name):
            drawn = np.array([[_draw(name, value)] for _, value in points])
            self._give(lambda due: self._follow(name, due, Curve(np.array(seconds), drawn)))
            return
        control = find(self.condition, name)
        if isinstance(control, Time):
            values = np.array([[time_value(control, value)] for _, value in points])
            followed: Curve | TimeCurve = TimeCurve(control, Curve(np.array(seconds), values))
        else:
            followed = Curve(np.array(seconds), np.stack([features(control, value) for _, value in points]))
        self._give(lambda due: self._set_curve(control, due, followed))

    def is_draw(self, name: str) -> bool:
        """Tell whether a name is a setting of the draw, and no control of the model."""
        return name in DRAWS and all(control.name != name for control in self.controls)

    def begin(self) -> None:
        """Let the time run from 0, for a new sound. Without a time among the controls, nothing changes."""
        self._give(self._begin)

    def prime(self, codes: NDArray[np.integer]) -> None:
        """Read codes (n,) of a sound that the instrument continues, with all controls absent."""
        self._player.prime(codes, None if self.condition is None else dense(self.condition, {}, 1))
        self._decoder(codes)
        self._place += codes.shape[-1]
        self.primed = True

    def codes(self, samples: int) -> NDArray[np.integer]:
        """Return the next codes (samples,). They are no part of the sound of `generate`."""
        self._schedule(samples)
        parts, end, hop = [np.zeros(0, np.int64)], self._place + samples, self._hop
        while self._place < end:
            while self._due and self._due[0][0] // hop * hop <= self._place:
                due, change = self._due.popleft()
                change(due)
            if self._events:
                self._player.feed(0, events(*self._events))
                self._events.clear()
            stop = min(end, self._due[0][0] // hop * hop) if self._due else end
            values = self._dense(stop)
            parts.append(self._player.generate(stop - self._place, self._drawn(stop), values)[0])
            self._place = stop
        return np.concatenate(parts)

    def _dense(self, stop: int) -> NDArray[np.float32] | None:
        """Return the dense values of the frames that begin before sample `stop`, or one frame for all of them."""
        if self.condition is None:
            return None
        time, began = self.condition.time, self._began
        runs = time is not None and began is not None
        followed = {name: item for name, item in self._curves.items() if not self.is_draw(name)}
        if not runs and not followed:
            return dense(self.condition, self._given, 1)
        frames = self._hop * np.arange(-(-self._place // self._hop), -(-stop // self._hop))
        given = dict(self._given)
        if time is not None and began is not None:
            given[time.name] = time.features(np.maximum(frames - began, 0) / self.rate)
        for name, (start, curve) in followed.items():
            given[name] = curve.at((frames - start) / self.rate)
        return dense(self.condition, given, len(frames)) if len(frames) else None

    def _drawn(self, stop: int) -> Controls:
        """Return how the codes before sample `stop` are drawn."""
        if not self._curves:
            return self._controls
        samples = np.arange(self._place, stop)
        curves: dict[str, Any] = {
            name: curve.at((samples - start) / self.rate)[:, 0]
            for name, (start, curve) in self._curves.items()
            if self.is_draw(name)
        }
        return replace(self._controls, **curves)

    def _set(self, control: Control, given: NDArray[np.float32] | None) -> None:
        self._curves.pop(control.name, None)
        if isinstance(control, Time):
            self._began = None
        if given is None:
            self._given.pop(control.name, None)
        else:
            self._given[control.name] = given

    def _set_curve(self, control: Control, due: int, curve: Curve | TimeCurve) -> None:
        self._set(control, None)
        self._follow(control.name, due, curve)

    def _follow(self, name: str, due: int, curve: Curve | TimeCurve) -> None:
        self._curves[name] = (due, curve)

    def _begin(self, due: int) -> None:
        if self.condition and self.condition.time:
            self._curves.pop(self.condition.time.name, None)
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

    def rest(self) -> None:
        """Forget when the last blocks were made, after a pause in which no sound was asked for."""
        self._starts.clear()

    def state(self) -> Moment:
        """Return all that the instrument remembers. What came after the last block is no part of it.

        The thread that makes the sound calls this, and `restore`.

        Raises:
            ConfigError: torch plays.
        """
        return Moment(self._engine().state(), copy.deepcopy({name: getattr(self, name) for name in REMEMBERED}))

    def restore(self, moment: Moment) -> None:
        """Go on from a `state()` of this instrument, to the same codes.

        What came since the last block is still played.

        Raises:
            ConfigError: torch plays.
        """
        self._engine().restore(moment.player)
        for name, value in copy.deepcopy(dict(moment.fields)).items():
            setattr(self, name, value)
        self.rest()

    def _engine(self) -> Engine:
        if not isinstance(self._player, Engine):
            raise ConfigError("instrument: torch keeps no states; play with the native engine")
        return self._player

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

    def _set_draw(self, name: str, value: float | None) -> None:
        self._curves.pop(name, None)
        changes: dict[str, Any] = {name: value}
        self._controls = replace(self._controls, **changes)


def check_draw(name: str, value: float) -> None:
    """Check a value of one of DRAWS.

    Raises:
        ConfigError: the value is out of range.
    """
    fields: dict[str, Any] = {name: value}
    Controls(**fields)


def _draw(name: str, value: object) -> float:
    """Return a setting of the draw.

    Raises:
        ConfigError: it is no number, or out of range.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ConfigError(f"{name.replace('_', '-')}: {value}; give a number, 1 is usual") from None
    check_draw(name, number)
    return number
