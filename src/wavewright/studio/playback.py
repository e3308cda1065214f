"""Players: each plays one model in a thread of its own, and makes no more sound than the page has asked for."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import ConfigError, WavewrightError, printable
from wavewright.files import parse_json, write_json
from wavewright.playing.instrument import Instrument
from wavewright.playing.live import RECORDED_BITS
from wavewright.playing.native_model import NativeModel
from wavewright.playing.prime import Prime
from wavewright.playing.sound import to_pcm
from wavewright.playing.takes import origin, take_file
from wavewright.studio.recordings import Recordings
from wavewright.studio.shelf import Shelf, as_json
from wavewright.studio.takes import Takes

log = logging.getLogger(__name__)

BLOCKS = 100  # a second
MOST_CREDIT = 10  # seconds
MOST_PRIME = 60.0  # seconds
MOST_POINTS = 10_000  # of a curve
MOST_JOBS = 100  # that wait
MOST_PLAYED = 100_000  # messages that a take tells of
PAUSE = 0.1  # seconds without credit, after which what was played is no longer placed by the time before
BANKS = 3

Send = Callable[[bytes | dict[str, Any]], None]  # from any thread
Message = Mapping[str, Any]


class Player:
    """A player of one model at a time.

    Args:
        shelf: the models.
        recordings: what a player can continue.
        takes: where takes are written.
        send: sends a frame to the page.
    """

    def __init__(self, shelf: Shelf, recordings: Recordings, takes: Takes, send: Send) -> None:
        self._shelf, self._recordings, self._takes, self._send = shelf, recordings, takes, send
        self._ready = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()  # for the thread, before its next block
        self._credit = 0
        self._over = False
        self._model: NativeModel | None = None
        self._instrument: Instrument | None = None
        self._sound: Iterator[NDArray[np.float32]] = iter(())
        self._block = 0  # samples
        self._banks: list[Any] = [None] * BANKS
        self._take: _Take | None = None
        self._messages: deque[Message] = deque(maxlen=MOST_PLAYED)  # since the last block, for the take
        self._facts: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._play, name="player", daemon=True)
        self._thread.start()

    def receive(self, text: str) -> None:
        """Take a message from the page. What is wrong with it is told to the page."""
        try:
            message = parse_json(text)
            if not isinstance(message, dict):
                raise ConfigError("message: no JSON object; send one with a type")
            kind = message.get("type")
            if not isinstance(kind, str) or kind not in HANDLERS:
                raise ConfigError(f"type: {printable(kind)[:40]}; there are {', '.join(HANDLERS)}")
            HANDLERS[kind](self, message)
        except (WavewrightError, ValueError, OverflowError) as error:
            self._refuse(error)

    def close(self) -> None:
        """Stop playing, and keep the take that is being recorded."""
        with self._ready:
            self._over = True
            self._ready.notify()
        self._thread.join()

    def _play(self) -> None:
        while True:
            with self._ready:
                began = time.monotonic()
                self._ready.wait_for(lambda: self._over or self._jobs or self._can_play())
                waited = time.monotonic() - began
                if self._over:
                    break
                job = self._jobs.popleft() if self._jobs else None
            if self._instrument and waited > PAUSE:
                self._instrument.rest()
            with self._telling():
                if job:
                    job()
                else:
                    self._make_block()
        with self._telling():
            self._record(False)

    def _can_play(self) -> bool:
        return self._instrument is not None and self._credit >= self._block

    def _make_block(self) -> None:
        with self._ready:
            self._credit -= self._block
        while self._messages:
            message = self._messages.popleft()
            if self._take:
                self._take.note(message)
        try:
            block = next(self._sound)
        except StopIteration:  # after an error, of which the page was told
            self._sound = self._playing.stream(self._block)
            return
        self._send(block.astype("<f4").tobytes())
        if self._take:
            self._take.write(block)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the page of an error in the player's thread, and go on."""
        try:
            yield
        except WavewrightError as error:
            self._refuse(error)
        except Exception as error:
            log.exception("a player failed")
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        self._send({"type": "error", "message": printable(error)})

    def _soon(self, job: Callable[[], None]) -> None:
        with self._ready:
            if len(self._jobs) >= MOST_JOBS:
                raise ConfigError(f"message: {MOST_JOBS} wait already; send fewer")
            self._jobs.append(job)
            self._ready.notify()

    @property
    def _playing(self) -> Instrument:
        if self._instrument is None:
            raise ConfigError("open: no model is open; open one first")
        return self._instrument

    # Messages

    def _open(self, message: Message) -> None:
        model, seed = _text(message, "model"), _whole(message, "seed", 0)
        self._soon(lambda: self._load(model, seed))

    def _load(self, id: str, seed: int) -> None:
        model = self._shelf.open(id)
        instrument = model.instrument(seed)
        instrument.clock = time.monotonic
        self._record(False)
        with self._ready:
            self._model, self._instrument = model, instrument
            self._block, self._credit = max(1, model.rate // BLOCKS), 0
        self._sound = instrument.stream(self._block)
        self._banks = [None] * BANKS
        row = self._shelf.row(id)
        self._facts = {"model": row["name"], "seed": seed, "origin": origin(model, seed, None, model.draw)}
        keyboard = instrument.condition.notes if instrument.condition else None
        self._send(
            {
                "type": "ready",
                "rate": model.rate,
                "title": row["title"] or row["name"],
                "controls": [as_json(control) for control in instrument.controls],
                "keyboard": {"low": keyboard.low, "high": keyboard.high} if keyboard else None,
            }
        )

    def _grant(self, message: Message) -> None:
        samples = _whole(message, "samples")
        with self._ready:
            most = MOST_CREDIT * self._playing.rate
            if not 0 < samples <= most - self._credit:
                raise ConfigError(f"samples: {samples}; grant 1 to {most - self._credit}, {MOST_CREDIT} s in all")
            self._credit += samples
            self._ready.notify()

    def _note_on(self, message: Message) -> None:
        if self._playing.condition is None or self._playing.condition.notes is None:
            self._playing.begin()
        else:
            self._playing.note_on(_whole(message, "key"), _whole(message, "velocity", 100))
        self._played(message)

    def _note_off(self, message: Message) -> None:
        if self._playing.condition and self._playing.condition.notes:
            self._playing.note_off(_whole(message, "key"))
            self._played(message)

    def _pedal(self, message: Message) -> None:
        self._playing.pedal(_whole(message, "position"))
        self._played(message)

    def _panic(self, message: Message) -> None:
        self._playing.all_notes_off()
        if self._playing.condition and self._playing.condition.notes:
            self._playing.pedal(0)
        self._played(message)

    def _control(self, message: Message) -> None:
        self._playing.control(_text(message, "name"), _value(message.get("value")))
        self._played(message)

    def _curve(self, message: Message) -> None:
        points = message.get("points")
        if not isinstance(points, list) or len(points) > MOST_POINTS:
            raise ConfigError(f"points: give a list of up to {MOST_POINTS} pairs of seconds and a value")
        pairs = []
        for point in points:
            if not isinstance(point, list) or len(point) != 2 or not _is_number(point[0]):
                raise ConfigError(f"points: {printable(point)[:40]}; give pairs of seconds and a value")
            value = _value(point[1])
            if value is None:
                raise ConfigError("points: null is no value; give a number or a class")
            pairs.append((float(point[0]), value))
        self._playing.curve(_text(message, "name"), pairs)
        self._played(message)

    def _prime(self, message: Message) -> None:
        recording, seconds = _text(message, "recording"), message.get("seconds", 2)
        if not _is_number(seconds) or not 0 < seconds <= MOST_PRIME:
            raise ConfigError(f"seconds: {printable(seconds)[:40]}; give more than 0 and at most {MOST_PRIME:g}")
        self._playing  # noqa: B018  # raises where none is
        self._soon(lambda: self._continue(recording, float(seconds)))
        self._played(message)

    def _continue(self, recording: str, seconds: float) -> None:
        instrument, model = self._playing, self._model
        assert model is not None
        for codes in Prime(self._recordings.path(recording), seconds=seconds).codes(model):
            instrument.prime(codes)

    def _bank(self, message: Message) -> None:
        do, slot = _text(message, "do"), _whole(message, "slot")
        if do not in ("save", "recall") or not 1 <= slot <= BANKS:
            raise ConfigError(f"bank: {printable(do)[:20]} {slot}; give save or recall, and a slot from 1 to {BANKS}")
        self._playing  # noqa: B018  # raises where none is
        self._soon(lambda: self._change_bank(do, slot - 1))
        self._played(message)

    def _change_bank(self, do: str, place: int) -> None:
        if do == "save":
            self._banks[place] = self._playing.state()
        elif self._banks[place] is None:
            raise ConfigError(f"slot: {place + 1} is empty; save to it first")
        else:
            self._playing.restore(self._banks[place])
        self._send({"type": "bank", "slots": [bank is not None for bank in self._banks]})

    def _set_record(self, message: Message) -> None:
        on = message.get("on")
        if not isinstance(on, bool):
            raise ConfigError(f"on: {printable(on)[:40]}; give true or false")
        self._playing  # noqa: B018  # raises where none is
        self._soon(lambda: self._record(on))

    def _record(self, on: bool) -> None:
        if on and self._take is None:
            self._take = _Take(self._takes, self._playing.rate, self._facts)
        elif not on and self._take is not None:
            take, self._take = self._take, None
            row = take.close()
            if row:
                self._send({"type": "recorded", "take": row})

    def _played(self, message: Message) -> None:
        self._messages.append(message)


HANDLERS: dict[str, Callable[[Player, Message], None]] = {
    "open": Player._open,
    "credit": Player._grant,
    "note_on": Player._note_on,
    "note_off": Player._note_off,
    "pedal": Player._pedal,
    "panic": Player._panic,
    "control": Player._control,
    "curve": Player._curve,
    "prime": Player._prime,
    "bank": Player._bank,
    "record": Player._set_record,
}


class _Take:
    """A take that is being recorded, with what was played meanwhile."""

    def __init__(self, takes: Takes, rate: int, facts: Mapping[str, Any]) -> None:
        self._takes, self._rate, self._facts = takes, rate, facts
        self._made = time.time()
        self._frames = 0
        self._messages: list[tuple[float, Message]] = []
        self._name = takes.new_name(f"{facts['model']} {datetime.fromtimestamp(self._made):%Y-%m-%d %H.%M.%S}")
        self._open = contextlib.ExitStack()
        self._file = self._open.enter_context(take_file(takes.file(self._name), rate, RECORDED_BITS, facts["origin"]))

    def write(self, block: NDArray[np.float32]) -> None:
        self._file.write(to_pcm(block, RECORDED_BITS))
        self._frames += len(block)

    def note(self, message: Message) -> None:
        if len(self._messages) < MOST_PLAYED:
            self._messages.append((self._frames / self._rate, message))

    def close(self) -> dict[str, Any] | None:
        """Finish the file, and return its row. A take without any sound is none."""
        if not self._frames:
            with contextlib.suppress(_Empty), self._open:
                raise _Empty
            return None
        told = {**self._facts, "made": self._made, "seconds": self._frames / self._rate, "played": self._messages}
        write_json(self._takes.file(self._name).with_suffix(".json"), told)
        self._open.close()
        self._takes.changed()
        return self._takes.row(self._name)


class _Empty(Exception):
    """A take that holds no sound, whose file is not kept."""


def _text(message: Message, field: str) -> str:
    value = message.get(field)
    if not isinstance(value, str):
        raise ConfigError(f"{field}: {printable(value)[:40]}; give a text")
    return value


def _whole(message: Message, field: str, default: int | None = None) -> int:
    value = message.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{field}: {printable(value)[:40]}; give a whole number")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: object) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ConfigError(f"value: {printable(value)[:40]}; give a number, a text or null")
