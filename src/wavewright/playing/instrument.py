"""An instrument is one stream of a model, played while it sounds."""

import copy
import itertools
import queue
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.controls import Curve, described, merged
from wavewright.conditioning.events import Events, Kind, checked_events
from wavewright.errors import ConfigError
from wavewright.models.condition import Condition, Control, Notes
from wavewright.playing.desk import Change, Desk
from wavewright.playing.engine import Engine
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.sound import fade, fade_samples
from wavewright.sampling import SEED_MAX, Controls

REMEMBERED = ("_decoder", "_controls", "_draws", "_place", "primed")  # fields, beside player and desks
AT_ONCE = 1024  # changes that a block takes; those beyond wait for the next block
CALLS = 64  # blocks by which a live instrument sets its time; a sound card may ask for several of them at once
BREAK = 0.2  # seconds that a call is later than those, where the sound has broken off; no sound card asks for as much

DRAWS = ("temperature", "top_p")  # settings of the draw that every model has, where no control has their name
AMOUNT = "amount"  # setting of the draw where two models are played

Changes = Mapping[Desk, Change]  # of the desks that have what changes


@dataclass(frozen=True)
class Moment:
    """All that an instrument remembers at a moment, to go back to (`Instrument.restore`).

    Attributes:
        player: see Engine.state.
        desks: what each model was given.
        fields: the instrument's own fields by their names.
    """

    player: bytes
    desks: tuple[Mapping[str, Any], ...]
    fields: Mapping[str, Any]


class Instrument:
    """One stream that is played by hand, or by another program.

    Any thread may give notes, the pedal and controls. They go through a queue, so the thread never waits for a block
    that is being made. One thread alone makes the sound. The keyboard is there from the start, a time runs, and every
    other control is absent until it has a value. A model without controls has the settings of the draw alone.

    Without a clock, a change takes effect where the next block begins. With a clock, it takes effect exactly one block
    after it came, with the control frame that holds that sample. So all changes are late by the same time. Where the
    sound broke off, or is made too slowly, what came meanwhile takes effect with the sound that comes next.

    Attributes:
        clock: returns the time in seconds, as time.monotonic does. None means that nobody hears the sound yet.
        primed: whether the instrument continues a sound.

    Args:
        model: the model.
        seed: decides the stream.
        controls: how codes are drawn, with single values.
        both: whether the second model of a mixture is given the same keys and controls, as far as it has them.
            Otherwise, its controls are all absent.

    Raises:
        ConfigError: the model makes impulse responses, or the seed is out of range.
    """

    def __init__(self, model: Playable, seed: int = 0, controls: Controls = DEFAULT, *, both: bool = False) -> None:
        conditions = [one.config.condition for one in (model.models if both else model.models[:1])]
        if any(condition and condition.decay for condition in conditions):
            raise ConfigError("instrument: the model makes impulse responses, which are no stream; generate files")
        if not 0 <= seed <= SEED_MAX:
            raise ConfigError(f"seed: {seed}; give 0 to {SEED_MAX}")
        self.condition: Condition | None = conditions[0]
        self.rate = model.rate
        self._decoder, self._player = model.quantizer.decoder(), model.player(1, seed)
        self._controls = controls
        self._desks = [Desk(condition, model.rate) for condition in conditions]
        self._draw_names = (*DRAWS, AMOUNT) if both and len(conditions) > 1 else DRAWS
        self._draws: dict[str, tuple[int, Curve]] = {}  # curves of the draw, and where each begins
        self._changes: queue.SimpleQueue[tuple[float | None, Changes]] = queue.SimpleQueue()  # and when each came
        self._place = 0  # samples read and made
        self._starts: deque[float] = deque(maxlen=CALLS)  # the time of sample 0, by each of the last blocks
        self.clock: Callable[[], float] | None = None
        self.primed = False

    @property
    def notes(self) -> Notes:
        """The keyboard.

        Raises:
            ConfigError: there is none.
        """
        for control in self.controls:
            if isinstance(control, Notes):
                return control
        raise ConfigError(f"notes: {described(self.condition)}, and no keyboard")

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls, of both models where both are played. Where both have one of a name, it is the first's."""
        return merged(desk.controls for desk in self._desks)

    @property
    def held(self) -> frozenset[int]:
        """The keys that are down, as of the last block."""
        return frozenset().union(*(desk.held for desk in self._desks))

    @property
    def plays_score(self) -> bool:
        """Whether events of a score were still to come after the last block."""
        return any(desk.plays_score for desk in self._desks)

    @property
    def waiting(self) -> int:
        """Number of changes that wait for the blocks in which they take effect."""
        return self._changes.qsize() + max(desk.waiting for desk in self._desks)

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
        """Release every key. A score ends."""
        self._give({desk: desk.release_all for desk in self._desks})

    def perform(self, score: Events) -> None:
        """Play the events of a score from now on, instead of those of the score before. Hands may play along.

        Args:
            score: the events, at samples from the score's start.

        Raises:
            ConfigError: the model has no keyboard.
        """
        checked_events(score)
        self._give({desk: partial(desk.perform, score=score) for desk in self._keyboards()})

    def control(self, name: str, value: float | str | None) -> None:
        """Set a control to a number, a class or a mixture such as `a:0.3,b:0.7`. None makes it absent.

        A time that is set stays where it is, until `begin` or a strike lets it run again.

        `temperature` and `top_p` set the draw, unless the model has a control of that name, and so does `amount` where
        two models are played. A top-p of None means all.

        Raises:
            ConfigError: there is no such control, or the value is out of range.
        """
        if self.is_draw(name):
            number = None if value is None and name == "top_p" else _draw(name, value)
            self._give({self._desks[0]: lambda _: self._set_draw(name, number)})
            return
        self._give({desk: desk.setting(name, value) for desk in self._knowing(name)})

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
            drawn = Curve(np.array(seconds), np.array([[_draw(name, value)] for _, value in points]))
            self._give({self._desks[0]: lambda due: self._draws.update({name: (due, drawn)})})
            return
        values = [value for _, value in points]
        self._give({desk: desk.following(name, np.array(seconds), values) for desk in self._knowing(name)})

    def is_draw(self, name: str) -> bool:
        """Tell whether a name is a setting of the draw, and no control of the model."""
        return name in self._draw_names and all(control.name != name for control in self.controls)

    def begin(self) -> None:
        """Let the time run from 0, for a new sound. Without a time among the controls, nothing changes."""
        self._give({desk: desk.begin for desk in self._desks})

    def prime(self, codes: NDArray[np.integer]) -> None:
        """Read codes (n,) of a sound that the instrument continues, with all controls absent."""
        self._player.prime(codes, *(desk.absent() for desk in self._desks))
        self._decoder(codes)
        self._place += codes.shape[-1]
        self.primed = True

    def codes(self, samples: int) -> NDArray[np.integer]:
        """Return the next codes (samples,). They are no part of the sound of `generate`."""
        self._schedule(samples)
        parts, end = [np.zeros(0, np.int64)], self._place + samples
        while self._place < end:
            self._feed()
            stop = min(desk.next(end) for desk in self._desks)
            values = [desk.dense(self._place, stop) for desk in self._desks]
            parts.append(self._player.generate(stop - self._place, self._drawn(stop), *values)[0])
            self._place = stop
        return np.concatenate(parts)

    def stand_by(self) -> None:
        """Take what came until now, and make no sound. The thread that makes the sound calls this."""
        self._hurry()
        self._schedule(0)
        self._feed()

    def _hurry(self) -> None:
        """Let what waits take effect at once, and forget when the last blocks were made."""
        self._starts.clear()
        for desk in self._desks:
            desk.hurry(self._place)

    def _feed(self) -> None:
        for voice, desk in enumerate(self._desks):
            if len(table := desk.take(self._place)):
                self._player.feed(0, table, voice)

    def _drawn(self, stop: int) -> Controls:
        """Return how the codes before sample `stop` are drawn."""
        if not self._draws:
            return self._controls
        samples = np.arange(self._place, stop)
        curves: dict[str, Any] = {
            name: curve.at((samples - start) / self.rate)[:, 0] for name, (start, curve) in self._draws.items()
        }
        return replace(self._controls, **curves)

    def _set_draw(self, name: str, value: float | None) -> None:
        self._draws.pop(name, None)
        changes: dict[str, Any] = {name: value}
        self._controls = replace(self._controls, **changes)

    def _schedule(self, samples: int) -> None:
        """Find the samples at which the changes are due that came until now, before a block of `samples` is made.

        What comes now is due where that block ends. The earliest of the last calls sets the time, since a call can be
        late, and nothing then has to take effect before it could.
        """
        changes = [self._changes.get_nowait() for _ in range(min(self._changes.qsize(), AT_ONCE))]
        if self.clock is not None:
            began = self.clock() - (self._place + samples) / self.rate
            if began > min(self._starts, default=began) + BREAK:
                self._hurry()
            self._starts.append(began)
        start = min(self._starts, default=0.0)
        latest = max(self._place, *(desk.last for desk in self._desks))
        for came, by_desk in changes:
            if came is not None:
                latest = max(latest, round((came - start) * self.rate))
            for desk, change in by_desk.items():
                desk.put(latest, change)

    def state(self) -> Moment:
        """Return all that the instrument remembers. What came after the last block is no part of it.

        The thread that makes the sound calls this, and `restore`.

        Raises:
            ConfigError: torch plays.
        """
        fields = copy.deepcopy({name: getattr(self, name) for name in REMEMBERED})
        return Moment(self._engine().state(), tuple(desk.state() for desk in self._desks), fields)

    def restore(self, moment: Moment) -> None:
        """Go on from a `state()` of this instrument, to the same codes.

        What came since the last block is still played.

        Raises:
            ConfigError: torch plays.
        """
        self._engine().restore(moment.player)
        for desk, state in zip(self._desks, moment.desks, strict=True):
            desk.restore(state)
        for name, value in copy.deepcopy(dict(moment.fields)).items():
            setattr(self, name, value)
        self._starts.clear()

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

    def _knowing(self, name: str) -> list[Desk]:
        """Return the desks that have a control of this name, or the first, which refuses it."""
        knowing = [desk for desk in self._desks if any(control.name == name for control in desk.controls)]
        return knowing or self._desks[:1]

    def _keyboards(self) -> list[Desk]:
        """Return the desks that have a keyboard.

        Raises:
            ConfigError: none has.
        """
        self.notes  # noqa: B018  # raises where there is none
        return [desk for desk in self._desks if desk.condition and desk.condition.notes]

    def _put(self, kind: Kind, key: int, value: int) -> None:
        desks = self._keyboards()
        for name, number in (("key", key), ("velocity or pedal", value)):
            if not 0 <= number <= 127:
                raise ConfigError(f"{name}: {number}; give 0 to 127")
        self._give({desk: partial(desk.play, kind=kind, key=key, value=value) for desk in desks})

    def _give(self, changes: Changes) -> None:
        self._changes.put((None if self.clock is None else self.clock(), changes))


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
