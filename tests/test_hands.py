"""`wavewright play` by hand: MIDI keyboards, knobs and the computer's keys, with false ports and a false sound card."""

import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import wavewright
from support.kinds import CONDITION
from support.model_files import make
from wavewright.cli import main
from wavewright.errors import ConfigError, WavewrightError
from wavewright.playing import hands
from wavewright.playing.instrument import Instrument
from wavewright.playing.live import HAND_BLOCK

RATE = 4000
FADED = 40  # samples at either end
PORTS = ["Midi Through Port-0 14:0", "Keystation 49 20:0", "Keystation 49 20:1", "Launchkey 24:0"]


def run(*arguments: object) -> int:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


class Port:
    """A port of a false system. Its callback plays what the test sends."""

    opened: "list[Port]" = []  # noqa: RUF012

    def __init__(self, name: str, virtual: bool, callback: Callable[[mido.Message], None]) -> None:
        self.name, self.virtual, self.send, self.closed = name, virtual, callback, False
        Port.opened.append(self)

    def __enter__(self) -> "Port":
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """A false MIDI system, and the names of its ports."""
    names = list(PORTS)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "rtmidi.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    backend = types.SimpleNamespace(get_input_names=lambda: names, open_input=Port)
    monkeypatch.setattr(mido, "Backend", lambda name: backend)
    Port.opened.clear()
    yield names
    assert all(port.closed for port in Port.opened)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a category, a number and a keyboard of keys 60 and 61, whose frames begin where blocks do."""
    condition = {**CONDITION, "hop": 16}
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    return make(path, "tiers 8 4 2, conditioned", condition=condition).path


@pytest.fixture
def instrument(file: Path) -> Instrument:
    return wavewright.load(file).instrument()


class Card:
    """A false sound card, whose blocks are the only time that passes.

    Before each block that it plays, `due` is called with the number of blocks until then.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, due: Callable[[int], None] = lambda block: None) -> None:
        self.blocks: list[NDArray[np.float32]] = []
        self.due = due
        now = types.SimpleNamespace(monotonic=lambda: sum(map(len, self.blocks)) / RATE)
        monkeypatch.setattr("wavewright.playing.live.time", now)
        fake = types.SimpleNamespace(OutputStream=self.open, PortAudioError=ZeroDivisionError)
        monkeypatch.setitem(sys.modules, "sounddevice", fake)

    def open(self, rate: int, channels: int, dtype: str, latency: str) -> "Card":
        assert (rate, channels, dtype, latency) == (RATE, 1, "float32", "low")
        return self

    def __enter__(self) -> "Card":
        self.due(0)
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def write(self, block: NDArray[np.float32]) -> None:
        self.blocks.append(block[:, 0])
        self.due(len(self.blocks))

    @property
    def sound(self) -> NDArray[np.float32]:
        return np.concatenate(self.blocks)


NOTES = mido.MidiFile(ticks_per_beat=500)  # 1 ms a tick
STEP = 1000 * HAND_BLOCK // RATE  # ticks in a block
NOTES.tracks.append(
    mido.MidiTrack(
        [
            mido.Message("note_on", note=60, velocity=100, time=STEP),
            mido.Message("control_change", control=64, value=127, time=2 * STEP),
            mido.Message("note_on", note=61, velocity=30, time=STEP),
            mido.Message("note_off", note=60, time=3 * STEP),
            mido.Message("note_on", note=61, velocity=0, time=STEP),
            mido.Message("control_change", control=64, value=0, time=4 * STEP),
            mido.Message("note_on", note=60, velocity=64, time=0),
            mido.Message("note_on", note=61, velocity=64, time=STEP),
            mido.Message("control_change", control=123, value=0, time=5 * STEP),
        ]
    )
)


def test_what_hands_play_is_what_the_score_of_it_plays(
    file: Path, system: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A false keyboard sends the messages of a score one block before they take effect."""
    NOTES.save(tmp_path / "notes.mid")
    timed, now = [], 0
    for message in NOTES.tracks[0]:
        now += message.time
        timed.append((now // STEP - 1, message))

    def due(block: int) -> None:
        for at, message in timed:
            if at == block:
                Port.opened[0].send(message)

    card = Card(monkeypatch, due)
    options = ["--control", "loudness=-20", "--seed", "3", "--seconds", "1.2"]
    assert run("play", file, "--midi", "launch", *options) == 0
    assert "notes (a keyboard, keys 60 to 61); it is played by Launchkey 24:0, until Ctrl-C" in capsys.readouterr().err
    score, out = tmp_path / "notes.mid", tmp_path / "a.wav"
    assert run("generate", file, "--score", score, "--out", out, *options) == 0
    expected, _ = soundfile.read(out)
    assert len(card.sound) == len(expected) == 1.2 * RATE
    np.testing.assert_allclose(card.sound[FADED:-FADED], expected[FADED:-FADED], atol=1 / 32767)
    assert abs(card.sound[0]) < 0.01 > abs(card.sound[-1])


def test_knobs_turn_controls(file: Path, system: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    knobs = ["--map", "cc1=loudness:-60..0", "--map", "cc2=voice:high..low", "--map", "cc3=temperature:0.5..1.5"]

    def due(block: int) -> None:
        if block == 1:
            for controller, value in ((1, 127), (2, 0), (3, 127), (4, 5)):
                Port.opened[0].send(mido.Message("control_change", control=controller, value=value))
        elif block == 3:
            Port.opened[0].send(mido.Message("control_change", control=2, value=127))

    card = Card(monkeypatch, due)
    assert run("play", file, "--virtual", "--seconds", "0.5", *knobs) == 0
    assert Port.opened[0].virtual
    assert Port.opened[0].name == "wavewright"
    by_name = wavewright.load(file).instrument()
    expected = [by_name.generate(2 * HAND_BLOCK)]
    by_name.control("loudness", 0)
    by_name.control("voice", "high")
    by_name.control("temperature", 1.5)
    expected.append(by_name.generate(2 * HAND_BLOCK))
    by_name.control("voice", "low")
    expected.append(by_name.generate(2000 - 4 * HAND_BLOCK))
    assert np.array_equal(card.sound[FADED:-FADED], np.concatenate(expected)[FADED:-FADED])


def test_a_knob_between_two_classes_mixes_them(instrument: Instrument) -> None:
    asked: list[Any] = []
    instrument.control = lambda *value: asked.append(value)  # type: ignore[method-assign]
    hands.Knob(2, "voice", "high", "low").turn(instrument, 32)
    hands.Knob(1, "loudness", "-60", "0").turn(instrument, 127)
    (_, mixture), loud = asked
    assert mixture == f"high:{95 / 127},low:{32 / 127}"
    assert loud == ("loudness", 0.0)


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--midi", "moog"], "--midi moog: no such port; there are Midi Through Port-0 14:0, Keystation 49 20:0, "),
        (["--midi", "keystation"], "--midi keystation: several such ports; there are Midi Through"),
        (["--midi", "any", "--keys"], "--midi --keys: give one of them"),
        (["--keys"], "--keys: standard input is no terminal"),
        (
            ["--map", "cc1=loudness:-60..0"],
            "--map cc1=loudness:-60..0: of no MIDI controller; give --midi or --virtual",
        ),
        (["--midi", "any", "--map", "cc1=loudness:-60"], "--map cc1=loudness:-60: give cc0 to cc127 and a control's"),
        (["--midi", "any", "--map", "cc128=loudness:-60..0"], "--map cc128=loudness:-60..0: give cc0 to cc127"),
        (["--midi", "any", "--map", "cc1=loudness:-70..0"], "--map loudness: -70; give -60 to 0"),
        (["--midi", "any", "--map", "cc1=voice:a..high"], "--map voice: no class a; there are high, middle, low"),
        (["--midi", "any", "--map", "cc1=bass:0..1"], "--map bass: no such control; this model has the controls voice"),
        (["--midi", "any", "--map", "cc1=temperature:0..x"], "--map temperature: x is not a number; give 0 or more"),
        (["--midi", "any", "--map", "cc1=temperature:-1..1"], "--map temperature: -1.0; give 0"),
        (["--midi", "any", "--map", "cc64=loudness:-60..0"], "controller 64 has a meaning of its own; give another"),
        (["--midi", "any", "--score", "a.mid"], "--score: the model is played by hand; leave it out"),
        (["--midi", "any", "--free"], "--free: the model is played by hand; leave it out"),
        (["--midi", "any", "--control", "loudness=9"], "--control loudness: 9; give -60 to 0"),
        (["--midi", "any", "--control", "a=1", "--control", "a=2"], "--control a=2: the second value of a; give one"),
        (["--midi", "any", "--seed", "-1"], "seed: -1; give 0 to 9223372036854775807"),
        (["--midi", "any", "--seconds", "0"], "--seconds 0.0: give more than 0"),
    ],
)
def test_what_hands_cannot_do(
    arguments: list[str],
    line: str,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Card(monkeypatch)
    assert run("play", file, *arguments) == 2
    assert line in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("way", [["--midi", "any"], ["--virtual"], ["--keys"]])
def test_a_model_without_controls_is_not_played_by_hand(
    way: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = make(tmp_path / "m.safetensors", "tiers 8 4 2").path
    assert run("play", plain, *way) == 2
    assert f"{way[0]}: this model was made without controls; leave it out" in capsys.readouterr().err


def test_the_first_keyboard_is_any(instrument: Instrument, system: list[str]) -> None:
    with hands.midi_port(instrument, "any") as name:
        assert name == "Keystation 49 20:0"
    with hands.midi_port(instrument, "Keystation 49 20:1") as name:
        assert name == "Keystation 49 20:1"
    system[:] = PORTS[:1]
    with (
        pytest.raises(WavewrightError, match=r"--midi any: there are Midi Through .*; connect one, or use --virtual"),
        hands.midi_port(instrument, "any"),
    ):
        pass
    system.clear()
    with (
        pytest.raises(WavewrightError, match="--midi moog: no such port; no MIDI keyboard is connected"),
        hands.midi_port(instrument, "moog"),
    ):
        pass


def test_a_missing_extra_is_named(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(WavewrightError, match=r"rtmidi, not installed: run pip install '.\[midi\]'"),
        hands.midi_port(instrument, "any"),
    ):
        pass


def test_a_system_without_midi_is_told(instrument: Instrument, system: list[str], monkeypatch: Any) -> None:
    def broken() -> list[str]:
        raise OSError("error creating ALSA sequencer client object.")

    monkeypatch.setattr(mido, "Backend", lambda name: types.SimpleNamespace(get_input_names=broken))
    with (
        pytest.raises(WavewrightError, match=r"MIDI: error creating ALSA sequencer client object.; play with --keys"),
        hands.midi_port(instrument, "any"),
    ):
        pass


def test_a_model_without_a_keyboard_is_played_by_its_knobs(tmp_path: Path) -> None:
    condition = {**CONDITION, "controls": CONDITION["controls"][:2]}
    mute = make(tmp_path / "m.safetensors", "tiers 8 4 2, conditioned", condition=condition).path
    turned, expected = wavewright.load(mute).instrument(), wavewright.load(mute).instrument()
    for message in (
        mido.Message("note_on", note=60),
        mido.Message("note_off", note=60),
        mido.Message("control_change", control=64, value=127),
        mido.Message("control_change", control=123),
        mido.Message("pitchwheel", pitch=9),
        mido.Message("control_change", control=1, value=127),
    ):
        hands.receive(message, turned, [hands.knob("cc1=loudness:-60..0", turned)])
    expected.control("loudness", 0)
    assert np.array_equal(turned.codes(200), expected.codes(200))
    with pytest.raises(ConfigError, match="and no keyboard"):
        turned.note_on(60)


def test_a_key_begins_a_sound_where_there_is_no_keyboard(tmp_path: Path) -> None:
    condition = {**CONDITION, "controls": ({"kind": "time", "seconds": 2.0},)}
    file = make(tmp_path / "m.safetensors", "tiers 8 4 2, conditioned", condition=condition).path
    played, expected = wavewright.load(file).instrument(), wavewright.load(file).instrument()
    for first in (played, expected):
        first.codes(200)
    hands.receive(mido.Message("note_on", note=60), played)
    expected.begin()
    codes = expected.codes(200)
    assert np.array_equal(played.codes(200), codes)
    for message in (mido.Message("note_off", note=60), mido.Message("note_on", note=60, velocity=0)):
        hands.receive(message, played)
    assert np.array_equal(played.codes(200), expected.codes(200))


def test_the_computers_keys_are_two_octaves(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of a terminal strike notes, the next key releases the last one, and the terminal is as before."""
    import termios

    done: list[Any] = []
    instrument.note_on = lambda key, velocity=100: done.append(key)  # type: ignore[method-assign]
    instrument.all_notes_off = lambda: done.append("off")  # type: ignore[method-assign]
    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with hands.computer_keys(instrument) as name:
            assert name == "keys z to m from 60, keys q to u from 72, space for silence"
            for typed in (b"z", b"S", b"\x1b[B", b"u?", b" "):
                count = len(done)
                os.write(ours, typed)
                until = time.monotonic() + (30 if typed != b"\x1b[B" else 0)
                while len(done) == count and time.monotonic() < until:
                    time.sleep(0.01)
        assert termios.tcgetattr(theirs) == before
    os.close(ours)
    assert done == ["off", 60, "off", 61, "off", 83, "off"]
