"""Players: each plays in a thread of its own, and makes no more sound than the page has asked for."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from wavewright.conditioning.facts import as_json
from wavewright.conditioning.score import Score
from wavewright.errors import ConfigError, WavewrightError, printable
from wavewright.files import parse_json
from wavewright.measuring.speed import real_time
from wavewright.playing.instrument import Instrument
from wavewright.playing.mixture import mix
from wavewright.playing.native_model import NativeModel
from wavewright.playing.performance import check_keys, live_events
from wavewright.playing.prime import Prime
from wavewright.playing.takes import origin
from wavewright.studio import messages
from wavewright.studio.decks import Decks, Full
from wavewright.studio.messages import Message
from wavewright.studio.recordings import Recordings
from wavewright.studio.scores import Scores
from wavewright.studio.shelf import Shelf
from wavewright.studio.takes import Recorder, Takes

log = logging.getLogger(__name__)

BLOCKS = 100  # a second
MOST_CREDIT = 10  # seconds
MOST_PRIME = 60.0  # seconds
MOST_JOBS = 100  # that wait
MOST_NOTED = 2000  # messages of one block that a take tells of
BANKS = 3
WAYS = ("mix", "compare", "turns")  # of playing a second model
MEASURED = 0.05  # seconds in which the speed of a model is measured
MOST_SHARE = 0.9  # of a core's time for two models that play side by side

Send = Callable[[bytes | dict[str, Any]], None]  # from any thread


class Player:
    """A player of one model at a time, or of two.

    Args:
        shelf: the models.
        recordings: what a player can continue.
        scores: what a player can perform.
        takes: where takes are written.
        send: sends a frame to the page.
    """

    def __init__(self, shelf: Shelf, recordings: Recordings, scores: Scores, takes: Takes, send: Send) -> None:
        self._shelf, self._recordings, self._scores, self._takes, self._send = shelf, recordings, scores, takes, send
        self._ready = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()  # for the thread, before its next block
        self._credit = 0
        self._over = False
        self._models: list[NativeModel] = []
        self._decks: Decks | None = None
        self._block = 0  # samples
        self._banks: list[Any] = [None] * BANKS
        self._take: Recorder | None = None
        self._noted: deque[tuple[Message, int]] = deque(maxlen=MOST_NOTED)  # since the last block, for the take
        self._names: list[str] = []  # of the takes of each deck
        self._facts: dict[str, Any] = {}
        self._told: tuple[bool, frozenset[int]] = (False, frozenset())  # of a score: whether it goes on, and its keys
        self._begun = False  # whether the score has
        self._spent = 0.0  # seconds that the last blocks took
        self._made = 0  # blocks
        self._full = False  # whether the page was told so
        self._reading = False  # a score
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
            if kind in NOTED:
                self._noted.append((message, len(text)))
        except Full as error:
            if not self._full:
                self._full = True
                self._refuse(error)
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
                self._ready.wait_for(lambda: self._over or self._jobs or self._can_play())
                if self._over:
                    break
                job = self._jobs.popleft() if self._jobs else None
            with self._telling():
                if job:
                    job()
                else:
                    self._make_block()
            self._full = False
        with self._telling():
            self._record(False)

    def _can_play(self) -> bool:
        return self._decks is not None and self._credit >= self._block

    def _make_block(self) -> None:
        decks = self._playing
        with self._ready:
            self._credit -= self._block
        while self._noted:
            noted = self._noted.popleft()
            if self._take:
                self._take.note(*noted)
        began = time.perf_counter()
        block = decks.block()
        self._spent += time.perf_counter() - began
        self._send(block.astype("<f4").tobytes())
        if self._take:
            self._take.write(block)
        self._tell_score(decks)
        self._made += 1
        if self._made == BLOCKS:
            self._send({"type": "load", "share": round(self._spent * decks.rate / (self._made * self._block), 3)})
            self._spent, self._made = 0.0, 0

    def _tell_score(self, decks: Decks) -> None:
        """Tell the page which keys a score holds, and when it ends. Its first sample may still be to come."""
        goes_on = decks.plays_score
        self._begun |= goes_on
        if self._begun and (goes_on or self._told[0]):
            now = (goes_on, decks.held if goes_on else frozenset())
            if now != self._told:
                self._told = now
                self._send({"type": "score", "playing": goes_on, "keys": sorted(now[1])})

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
                raise Full(f"message: {MOST_JOBS} wait already; send fewer")
            self._jobs.append(job)
            self._ready.notify()

    @property
    def _playing(self) -> Decks:
        if self._decks is None:
            raise ConfigError("open: no model is open; open one first")
        return self._decks

    # Messages

    def _open(self, message: Message) -> None:
        model, seed = messages.text(message, "model"), messages.whole(message, "seed", 0)
        second, way = message.get("second"), message.get("way", WAYS[0])
        if second is not None:
            second = messages.text(message, "second")
        if way not in WAYS:
            raise ConfigError(f"way: {printable(way)[:40]}; give {' or '.join(WAYS)}")
        self._soon(lambda: self._load([model, second] if second else [model], way, seed))

    def _load(self, ids: list[str], way: str, seed: int) -> None:
        models = [self._shelf.open(id, lambda line: self._send({"type": "opening", "line": line})) for id in ids]
        names = [printable(model.path) for model in models]
        if len(models) == 2 and way == "mix":
            instruments = [mix(*models).instrument(seed)]
        elif len({model.rate for model in models}) == 1:
            instruments = [model.instrument(seed) for model in models]
        else:
            rates = f"{models[1].rate} Hz, and {names[0]} at {models[0].rate} Hz"
            raise ConfigError(f"second: {names[1]} plays at {rates}; choose models of one sample rate")
        if len(models) == 2 and way == "compare":
            self._check_speed(models, names)
        self._record(False)
        with self._ready:
            self._models = models
            self._block, self._credit = max(1, models[0].rate // BLOCKS), 0
            self._decks = Decks(instruments, self._block, in_turns=way == "turns")
        self._banks = [None] * BANKS
        self._told, self._spent, self._made = (False, frozenset()), 0.0, 0
        self._names = [" + ".join(names)] if len(instruments) == 1 else names
        self._facts = {"seed": seed, "models": names, "way": way if len(models) > 1 else None}
        self._tell_ready()

    def _check_speed(self, models: list[NativeModel], names: list[str]) -> None:
        """Refuse two models that one core cannot play side by side."""
        shares = [1 / real_time(model, MEASURED) for model in models]
        if sum(shares) > MOST_SHARE:
            needs = " and ".join(f"{name} {100 * one:.0f}%" for name, one in zip(names, shares, strict=True))
            raise ConfigError(f"compare: {needs} of a core's time, which is too much at once; play them in turns")

    def _tell_ready(self) -> None:
        decks = self._playing
        keyboard = decks.keyboard
        titles = [(model.about and model.about.title) or printable(model.path) for model in self._models]
        self._send(
            {
                "type": "ready",
                "rate": decks.rate,
                "block": self._block,
                "title": " and ".join(titles),
                "titles": titles,
                "way": self._facts["way"],
                "controls": [as_json(control) for control in decks.controls],
                "keyboard": {"low": keyboard.low, "high": keyboard.high} if keyboard else None,
            }
        )

    def _hear(self, message: Message) -> None:
        deck = messages.whole(message, "deck")
        if not 1 <= deck <= len(self._playing):
            raise ConfigError(f"deck: {deck}; there are {len(self._playing)}")
        self._soon(lambda: self._change_deck(deck - 1))

    def _change_deck(self, deck: int) -> None:
        self._playing.chosen = deck
        if self._take and self._take.model != self._names[deck]:
            self._take.model = " and ".join(self._names)

    def _grant(self, message: Message) -> None:
        samples = messages.whole(message, "samples")
        with self._ready:
            most = MOST_CREDIT * self._playing.rate
            if not 0 < samples <= most - self._credit:
                raise ConfigError(f"samples: {samples}; grant 1 to {most - self._credit}, {MOST_CREDIT} s in all")
            self._credit += samples
            self._ready.notify()

    def _note_on(self, message: Message) -> None:
        decks = self._playing
        if decks.keyboard is None:
            decks.give(Instrument.begin)
        else:
            key, velocity = messages.whole(message, "key"), messages.whole(message, "velocity", 100)
            decks.give(lambda instrument: instrument.note_on(key, velocity))

    def _note_off(self, message: Message) -> None:
        if self._playing.keyboard:
            key = messages.whole(message, "key")
            self._playing.give(lambda instrument: instrument.note_off(key))

    def _pedal(self, message: Message) -> None:
        position = messages.whole(message, "position")
        self._playing.give(lambda instrument: instrument.pedal(position))

    def _panic(self, message: Message) -> None:
        self._playing.give(Instrument.all_notes_off)
        if self._playing.keyboard:
            self._playing.give(lambda instrument: instrument.pedal(0))

    def _control(self, message: Message) -> None:
        name, value = messages.text(message, "name"), messages.value(message)
        self._playing.give(lambda instrument: instrument.control(name, value))

    def _curve(self, message: Message) -> None:
        name, points = messages.text(message, "name"), messages.points(message)
        self._playing.give(lambda instrument: instrument.curve(name, points))

    def _prime(self, message: Message) -> None:
        recording, seconds = messages.text(message, "recording"), messages.number(message, "seconds", 2, MOST_PRIME)
        self._playing  # noqa: B018  # raises where none is
        self._soon(lambda: self._continue(recording, seconds))

    def _continue(self, recording: str, seconds: float) -> None:
        prime = Prime(self._recordings.path(recording), seconds=seconds)
        for instrument, model in zip(self._playing, self._models, strict=False):  # a mixture is one instrument
            for codes in prime.codes(model):
                instrument.prime(codes)

    def _perform(self, message: Message) -> None:
        id = messages.text(message, "score")
        if self._playing.keyboard is None:
            raise ConfigError("score: this model has no keyboard; choose one that has")
        if self._reading:
            raise ConfigError("score: one is being read already; wait until it plays")
        self._reading = True
        threading.Thread(target=self._read_score, args=(id,), name="score", daemon=True).start()

    def _read_score(self, id: str) -> None:
        with self._telling():
            try:
                name, digest, score = self._scores.open(id)
            finally:  # before an error is told, after which another may be asked for
                self._reading = False
            self._soon(lambda: self._begin_score(name, digest, score))

    def _begin_score(self, name: str, digest: str, score: Score) -> None:
        decks = self._playing
        if decks.keyboard is None:
            raise ConfigError("score: this model has no keyboard; choose one that has")
        check_keys(name, score.events, decks.keyboard, "the model's keyboard")
        performed = live_events(score, decks.rate)
        decks.give(lambda instrument: instrument.perform(performed))
        self._told, self._begun = (True, frozenset()), decks.plays_score
        seconds = int(performed["sample"][-1]) / decks.rate
        self._send({"type": "score", "playing": True, "keys": [], "seconds": seconds})
        noted = {"type": "score", "score": {"name": name, "sha256": digest}}
        self._noted.append((noted, len(name)))

    def _bank(self, message: Message) -> None:
        do, slot = messages.text(message, "do"), messages.whole(message, "slot")
        if do not in ("save", "recall") or not 1 <= slot <= BANKS:
            raise ConfigError(f"bank: {printable(do)[:20]} {slot}; give save or recall, and a slot from 1 to {BANKS}")
        self._playing  # noqa: B018  # raises where none is
        self._soon(lambda: self._change_bank(do, slot - 1))

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
            heard = self._playing.chosen
            model = self._models[heard]
            facts = {**self._facts, "origin": origin(model, self._facts["seed"], None, model.draw)}
            self._take = Recorder(self._takes, model.rate, self._names[heard], facts, facts["origin"])
        elif not on and self._take is not None:
            take, self._take = self._take, None
            row = take.close()
            if row:
                self._send({"type": "recorded", "take": row})


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
    "score": Player._perform,
    "hear": Player._hear,
    "bank": Player._bank,
    "record": Player._set_record,
}
NOTED = ("note_on", "note_off", "pedal", "panic", "control", "curve", "prime", "hear", "bank")  # by takes
