"""Let a MIDI keyboard, another program or the computer's keys play an instrument."""

import contextlib
import os
import re
import select
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mido

from wavewright.conditioning.controls import features, find
from wavewright.conditioning.score import PEDAL, SILENCERS
from wavewright.errors import ConfigError, WavewrightError, need, printable
from wavewright.models.condition import Category
from wavewright.playing.instrument import Instrument, check_draw

ANY = "any"  # port that stands for the first one
OURS = "wavewright"  # name of the port that is opened for other programs
KEYS = "zsxdcvgbhnjmq2w3er5t6y7u"  # two octaves from C on, as trackers lay them out
SILENT_KEY = " "
ESCAPE = re.compile(r"\x1b(\[[0-9;]*[a-z~]|o[a-z])?")  # what an arrow key sends, in lower case


@dataclass(frozen=True)
class Knob:
    """A MIDI controller that turns a control of the instrument.

    Attributes:
        controller: number of the controller, 0 to 127.
        name: name of the control, or `temperature` or `top_p`.
        low, high: numbers, or classes, at the ends of the knob's way.
    """

    controller: int
    name: str
    low: str
    high: str

    def turn(self, instrument: Instrument, position: int) -> None:
        """Set the control to what `position` (0 to 127) stands for, a number or a mixture between two classes."""
        share = position / 127
        try:
            value: float | str = (1 - share) * float(self.low) + share * float(self.high)
        except ValueError:
            value = self.low if self.low == self.high else f"{self.low}:{1 - share},{self.high}:{share}"
        instrument.control(self.name, value)


def knob(text: str, instrument: Instrument) -> Knob:
    """Return the knob that a text such as `cc1=loudness:-60..0` or `cc2=voice:bright..dark` describes.

    Raises:
        ConfigError: the text is none such, or the instrument does not take the values at its ends.
    """
    found = re.fullmatch(r"cc(\d{1,3})=([^\s=,:]+):(.+?)\.\.(.+)", text)
    if not found or int(found[1]) > 127:
        raise ConfigError(f"--map {printable(text)}: give cc0 to cc127 and a control's range, as in cc1=NAME:LOW..HIGH")
    made = Knob(int(found[1]), *found.groups()[1:])
    if made.controller in (PEDAL, *SILENCERS):
        raise ConfigError(
            f"--map {printable(text)}: controller {made.controller} has a meaning of its own; give another"
        )
    try:
        _check_ends(made, instrument)
    except ConfigError as error:
        raise ConfigError(f"--map {error}") from None
    return made


def _check_ends(made: Knob, instrument: Instrument) -> None:
    for end in (made.low, made.high):
        if instrument.is_draw(made.name):
            try:
                check_draw(made.name, float(end))
            except ValueError:
                raise ConfigError(f"{made.name}: {printable(end)} is not a number; give 0 or more") from None
        else:
            control = find(instrument.condition, made.name)
            if isinstance(control, Category) and end not in control.classes:
                features(control, f"{end}:1")  # refuses the class
            features(control, end)


def receive(message: Any, instrument: Instrument, knobs: Sequence[Knob] = ()) -> None:
    """Play a MIDI message (mido.Message) of any channel. Without a keyboard, each key only begins a new sound."""
    if message.type == "control_change" and message.control not in (PEDAL, *SILENCERS):
        for each in knobs:
            if each.controller == message.control:
                each.turn(instrument, message.value)
    elif instrument.condition is None or instrument.condition.notes is None:
        if message.type == "note_on" and message.velocity:
            instrument.begin()
    elif message.type == "note_on":
        instrument.note_on(message.note, message.velocity)
    elif message.type == "note_off":
        instrument.note_off(message.note)
    elif message.type == "control_change" and message.control == PEDAL:
        instrument.pedal(message.value)
    elif message.type == "control_change":
        instrument.all_notes_off()


@contextlib.contextmanager
def midi_port(instrument: Instrument, port: str | None, knobs: Sequence[Knob] = ()) -> Iterator[str]:
    """Let a MIDI port play the instrument, and yield the port's name.

    Args:
        instrument: what is played.
        port: part of the port's name, or `any` for the first. None opens a port of our own, to which other programs
            connect, where the system has such ports.
        knobs: controllers that turn controls.

    Raises:
        WavewrightError: python-rtmidi is not installed, there is no such port, or it cannot be opened.
    """
    need("midi", "rtmidi")
    system = mido.Backend("mido.backends.rtmidi")
    try:
        name = OURS if port is None else _named(port, system.get_input_names())
        opened = system.open_input(
            name, virtual=port is None, callback=lambda message: receive(message, instrument, knobs)
        )
    except (OSError, NotImplementedError) as error:
        raise WavewrightError(f"MIDI: {printable(error)}; play with --keys, or from a score") from None
    with opened:
        yield name


def _named(port: str, names: list[str]) -> str:
    """Return the one port of `names` that `port` means."""
    there = f"there are {', '.join(map(printable, names))}" if names else "no MIDI keyboard is connected"
    if port == ANY:
        real = [name for name in names if "through" not in name.lower()]
        if not real:
            raise WavewrightError(f"--midi any: {there}; connect one, or use --virtual or --keys")
        return real[0]
    near = [name for name in names if port.lower() in name.lower()]
    if port in names:
        return port
    if len(near) != 1:
        raise WavewrightError(f"--midi {printable(port)}: {'several such ports' if near else 'no such port'}; {there}")
    return near[0]


@contextlib.contextmanager
def computer_keys(instrument: Instrument) -> Iterator[str]:
    """Let the computer's keys play the instrument, one note at a time, and yield a description of them.

    A terminal tells when a key goes down, but not when it comes up. A note therefore ends with the next one, or with
    the space bar.

    Raises:
        WavewrightError: standard input is no terminal.
    """
    import termios
    import tty

    if not sys.stdin.isatty():
        raise WavewrightError("--keys: standard input is no terminal; run the command in one, or use --midi")
    notes, descriptor = instrument.notes, sys.stdin.fileno()
    lowest = 60 if notes.low <= 60 <= notes.high else -(-notes.low // 12) * 12
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            if select.select([descriptor], [], [], 0.05)[0]:
                typed = os.read(descriptor, 64).decode("latin-1").lower()
                for key in ESCAPE.sub("", typed):
                    strike(instrument, key, lowest)

    before = termios.tcgetattr(descriptor)
    thread = threading.Thread(target=listen, daemon=True)
    try:
        tty.setcbreak(descriptor)
        thread.start()
        yield f"keys z to m from {lowest}, keys q to u from {lowest + 12}, space for silence"
    finally:
        over.set()
        thread.join()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def strike(instrument: Instrument, key: str, lowest: int) -> None:
    """Play what a key of the computer stands for, where the key `z` is the MIDI key `lowest`."""
    if key == SILENT_KEY:
        instrument.all_notes_off()
    elif key in KEYS and lowest + KEYS.index(key) <= 127:
        instrument.all_notes_off()
        instrument.note_on(lowest + KEYS.index(key))
