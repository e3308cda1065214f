"""Proof of live play: a scripted MIDI port plays into a file, in which the onsets are found again."""

import contextlib
import json
import math
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import oaconvolve

import wavewright
from support.model_files import make
from support.obedient import HOP, LOUD, RATE, make_obedient
from support.scores import write_score
from wavewright.cli import main
from wavewright.conditioning.events import Kind
from wavewright.playing.live import HAND_BLOCK, play_aloud, play_by_hand

START = 1000.0  # seconds on the false clock
NO_CARD = "written in real time and not heard: playing needs sounddevice and PortAudio"


def run(*arguments: object) -> int:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_obedient(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture(autouse=True)
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)


class Port(contextlib.nullcontext[Any]):
    """The one port of a false MIDI system. `Port.send` plays a message."""

    send: Callable[[mido.Message], None]

    def __init__(self, name: str, virtual: bool, callback: Callable[[mido.Message], None]) -> None:
        super().__init__(self)
        Port.send = staticmethod(callback)  # type: ignore[assignment]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "rtmidi.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    backend = types.SimpleNamespace(get_input_names=lambda: ["Script"], open_input=Port)
    monkeypatch.setattr(mido, "Backend", lambda name: backend)


class Time:
    """A false clock, which goes on while `sleep` is called, and on which a script of (seconds, action) happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, script: list[tuple[float, Callable[[], object]]]) -> None:
        self.now, self.script = START, sorted(script, key=lambda line: line[0])
        monkeypatch.setattr("wavewright.playing.live.time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.script and START + self.script[0][0] <= until:
            at, action = self.script.pop(0)
            self.now = START + at
            action()
        self.now = until


class Late:
    """The true clock, and how late the playing was at most, in seconds, as it waited for the end of each block."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.blocks, self.most = 0.0, 0, 0.0
        monkeypatch.setattr("wavewright.playing.live.time", self)

    def monotonic(self) -> float:
        now = time.monotonic()
        self.begun = self.begun or now
        return now

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
        self.blocks += 1
        self.most = max(self.most, time.monotonic() - self.begun - self.blocks * HAND_BLOCK / RATE)


def notes(count: int, seed: int = 0) -> list[tuple[int, mido.Message]]:
    """Notes at random samples, with the samples at which they are struck and released."""
    rng = np.random.default_rng(seed)
    struck = np.cumsum(rng.integers(120, 400, count))
    lasting = rng.integers(40, 100, count)
    messages: list[tuple[int, mido.Message]] = []
    for at, samples, key in zip(struck.tolist(), lasting.tolist(), rng.integers(60, 62, count).tolist(), strict=True):
        messages += [
            (at, mido.Message("note_on", note=key, velocity=90)),
            (at + samples, mido.Message("note_off", note=key)),
        ]
    return messages


def changes(path: Path) -> NDArray[np.int64]:
    """The samples of a file at which sound begins or ends."""
    sound, rate = soundfile.read(path)
    assert rate == RATE
    loud = np.abs(sound) > LOUD
    return np.flatnonzero(loud[1:] != loud[:-1]) + 1


def facts(path: Path) -> dict[str, Any]:
    with soundfile.SoundFile(path) as sound:
        return json.loads(sound.comment)


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_each_note_is_heard_one_block_after_it_was_played(
    suffix: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played = notes(40)
    Time(monkeypatch, [(at / RATE, lambda message=message: Port.send(message)) for at, message in played])
    out = tmp_path / f"take{suffix}"
    assert run("play", file, "--midi", "any", "--out", out, "--seconds", 4, "--seed", 5, "--control", "voice=low") == 0
    late = np.array([at for at, _ in played]) + HAND_BLOCK - changes(out)
    assert late.min() >= 0
    assert late.max() < HOP
    assert soundfile.info(out).frames == 4 * RATE
    found = facts(out)
    assert (found["seed"], found["run"], found["controls"]) == (5, "mine", {"voice": "low"})
    assert found["by_hand"] is True
    lines = capsys.readouterr().err.splitlines()
    assert sum(NO_CARD in line for line in lines) == 1
    assert lines[-1] == f"{out}: 4.00 s of what was heard"


@pytest.mark.slow
@pytest.mark.usefixtures("system")
def test_each_note_is_heard_one_block_later_in_real_time_too(file: Path, tmp_path: Path) -> None:
    """A thread plays. Before and after each message it looks at the clock, so that no delay of its own counts.

    Where the machine is busy and lets the sound be made late, a note may be late by as much.
    """
    played, sent = notes(40), []

    def hands() -> None:
        while not any(part.stat().st_size > 1000 for part in tmp_path.glob(".take.wav.*.tmp")):
            time.sleep(0.01)
        now = 0
        for at, message in played:
            time.sleep((at - now) / RATE)  # a late message makes the next ones late, so that none falls into its frame
            now, before = at, time.monotonic()
            Port.send(message)
            sent.append((before, time.monotonic()))
        time.sleep(0.5)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    out, opened = tmp_path / "take.wav", threading.Thread(target=hands)
    real = Port.__init__

    def init(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        opened.start()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Port, "__init__", init)
        late = Late(patch)
        assert run("play", file, "--midi", "any", "--out", out) == 130
    opened.join(60)
    found = changes(out)
    before, after = (np.array(times) * RATE for times in zip(*sent, strict=True))
    # Sample 0 of the file was due at one time, which each message bounds from both sides.
    earliest, latest = before + HAND_BLOCK - found - HOP - 1, after + HAND_BLOCK - found + 1
    assert earliest.max() <= latest.min() + late.most * RATE


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_loses_nothing(
    signals: int, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first ends the sound with a fade. The second one comes while the last samples play."""
    instrument = wavewright.load(file).instrument()
    instrument.note_on(60)

    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    script = [(0.5, interrupt), (0.52 + HAND_BLOCK / RATE, interrupt)][:signals]
    Time(monkeypatch, script)
    out = tmp_path / "take.wav"
    out.write_text("what was there before")
    with pytest.raises(KeyboardInterrupt):
        play_by_hand(instrument, out=out)
    sound, _ = soundfile.read(out)
    blocks = math.ceil(0.5 * RATE / HAND_BLOCK)
    assert len(sound) == blocks * HAND_BLOCK + 40
    assert (np.abs(sound[40:-40]) > LOUD).all()
    assert np.abs(sound[[0, -1]]).max() < 0.01
    assert [path.name for path in tmp_path.iterdir()] == ["take.wav"]


def test_a_stopped_command_leaves_the_whole_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score, out = tmp_path / "notes.mid", tmp_path / "take.wav"
    write_score(score, [(0.1, Kind.strike, 60, 90), (9.9, Kind.release, 60, 0)])
    Time(monkeypatch, [(3.0, lambda: signal.raise_signal(signal.SIGTERM))])
    assert run("play", file, "--score", score, "--out", out) == 143
    sound, _ = soundfile.read(out)
    assert 3 * RATE <= len(sound) < 4 * RATE
    assert changes(out)[0] == 0.1 * RATE
    assert facts(out)["score"]["name"] == "notes.mid"


def test_a_card_is_heard_and_recorded(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A card that fails in the midst leaves the file of what was heard, and one that never opens leaves none."""
    heard: list[NDArray[np.float32]] = []

    class Card(contextlib.nullcontext[Any]):
        most = 1 << 30

        def __init__(self, rate: int, channels: int, dtype: str, latency: str = "high") -> None:
            super().__init__(self)

        def write(self, block: NDArray[np.float32]) -> None:
            if len(heard) == self.most:
                raise ZeroDivisionError("it was unplugged")
            heard.append(block[:, 0])

    fake = types.SimpleNamespace(OutputStream=Card, PortAudioError=ZeroDivisionError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    model, out = wavewright.load(file), tmp_path / "take.wav"
    play_aloud(model, seconds=1, out=out)
    np.testing.assert_allclose(soundfile.read(out)[0], np.concatenate(heard), atol=1 / 32767)
    heard.clear()
    Card.most = 3
    with pytest.raises(wavewright.WavewrightError, match="the sound card: it was unplugged"):
        play_by_hand(model.instrument(), seconds=1, out=out)
    assert len(soundfile.read(out)[0]) == 4 * HAND_BLOCK
    assert not caplog.records or "not heard" not in caplog.text


def test_without_a_card_a_take_plays_in_real_time(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = Time(monkeypatch, [])
    assert run("play", file, "--free", "--seconds", 2, "--seed", 3, "--out", tmp_path / "played.wav") == 0
    assert now.now == pytest.approx(START + 2)
    assert run("generate", file, "--free", "--seconds", 2, "--seed", 3, "--out", tmp_path / "made.wav") == 0
    played, made = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("played", "made"))
    assert np.array_equal(played, made)
    own, other = facts(tmp_path / "played.wav"), facts(tmp_path / "made.wav")
    assert own == {name: value for name, value in other.items() if name != "take"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--out", "a.mp3"], "--out a.mp3: name a .wav or .flac file"),
        (["--out", "a.wav", "--seconds", "1e7"], "--out a.wav: a WAV file holds 4 GB at most"),
        ([], "playing needs sounddevice and PortAudio"),
    ],
)
def test_what_cannot_be_recorded(
    arguments: list[str], line: str, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(file.parent)
    assert run("play", file, "--free", *arguments) == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert list(file.parent.iterdir()) == [file]


def test_an_endless_wav_ends_where_it_is_full(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavewright.playing.live.MOST_BYTES", 6000)
    Time(monkeypatch, [])
    play_aloud(wavewright.load(file), out=tmp_path / "take.wav")
    play_by_hand(wavewright.load(file).instrument(), out=tmp_path / "hand.wav")
    for name in ("take", "hand"):
        assert soundfile.info(tmp_path / f"{name}.wav").frames == 3000


def test_a_model_that_does_not_obey_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The obedient model is silent without a key, and other models are not."""
    Time(monkeypatch, [])
    own, other = make_obedient(tmp_path / "a.safetensors"), make(tmp_path / "b.safetensors").path
    for name, path in (("own", own), ("other", other)):
        play_aloud(wavewright.load(path), seconds=1, out=tmp_path / f"{name}.wav")
    assert len(changes(tmp_path / "own.wav")) == 0
    assert len(changes(tmp_path / "other.wav")) > 0


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A stereo response that begins late, with echoes at 60 and 500 ms of which each channel has one."""
    taps = np.zeros((3000, 2))
    taps[100], taps[100 + 240, 0], taps[100 + 2000, 1] = 0.9, 0.4, 0.3
    soundfile.write(tmp_path / "room.wav", taps, RATE, "FLOAT")
    return tmp_path / "room.wav"


def in_room(dry: NDArray[np.floating], wet: float) -> NDArray[np.floating]:
    """A sound with its reverberation in `room`, whose channels are mixed."""
    taps = np.zeros(2001)
    taps[0], taps[240], taps[2000] = 0.9, 0.2, 0.15
    reverberation = oaconvolve(dry, taps / math.sqrt(np.square(taps).sum()))
    reverberation *= wet
    reverberation[: len(dry)] += (1 - wet) * dry
    return reverberation


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("way", ["free", "score", "hand"])
def test_what_is_heard_reverberates(
    way: str, file: Path, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sound is that without --impulse, convolved, and the tail comes after its end."""
    model, score = file, tmp_path / "notes.mid"
    write_score(score, [(0.1, Kind.strike, 60, 90), (0.9, Kind.release, 60, 0)])
    if way == "free":
        model = make(tmp_path / "free.safetensors").path
    options = {"free": ["--seed", 4], "score": ["--score", score], "hand": ["--midi", "any"]}[way]

    def played(name: str, *more: object) -> tuple[NDArray[np.floating], dict[str, Any]]:
        script = [(0.05, mido.Message("note_on", note=60)), (0.95, mido.Message("note_off", note=60))]
        script = script if way == "hand" else []
        Time(monkeypatch, [(at, lambda message=message: Port.send(message)) for at, message in script])
        out = tmp_path / name
        assert run("play", model, *options, "--seconds", 1, "--out", out, *more) == 0
        return soundfile.read(out)[0], facts(out)

    dry, before = played("dry.wav")
    sound, after = played("wet.wav", "--impulse", room)
    tail = in_room(dry, 0.3)[: len(sound)]
    assert len(dry) == RATE
    assert RATE + 2000 <= len(sound) <= RATE + 2080  # a little is kept of what follows the last echo
    assert np.abs(sound[RATE + 1500 :]).max() > 0.02
    np.testing.assert_allclose(np.pad(tail, (0, len(sound) - len(tail))), sound, atol=3 / 32768)
    assert after == before | {"impulse": "room.wav", "wet": 0.3}
    assert np.array_equal(played("none.wav", "--impulse", room, "--wet", 0)[0], dry)


def test_ctrl_c_fades_the_tail(file: Path, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Time(monkeypatch, [(0.5, lambda: signal.raise_signal(signal.SIGINT))])
    score, out = tmp_path / "notes.mid", tmp_path / "take.wav"
    write_score(score, [(0.0, Kind.strike, 60, 90), (0.3, Kind.release, 60, 0)])
    options = ("--seconds", 0.35, "--impulse", room, "--wet", 1, "--out", out)
    assert run("play", file, "--score", score, *options) == 130
    sound, _ = soundfile.read(out)
    assert 0.5 * RATE <= len(sound) <= 0.5 * RATE + 512 + 40
    assert np.abs(sound[-45:-30]).max() > 0.05
    assert np.abs(sound[-1]) < 0.01


def test_loud_reverberation_is_turned_down_and_never_clipped(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The noise is 2 dB below full scale, and echoes as loud as itself add up to 5 dB."""
    Time(monkeypatch, [])
    taps = np.zeros(400)
    taps[[0, 97, 311]] = 0.5
    soundfile.write(tmp_path / "echoes.wav", taps, RATE, "FLOAT")
    score, out = tmp_path / "notes.mid", tmp_path / "take.wav"
    write_score(score, [(0.1, Kind.strike, 60, 90), (0.9, Kind.release, 60, 0)])
    options = ("--seconds", 1, "--score", score)
    assert run("play", file, *options, "--out", tmp_path / "dry.wav") == 0
    assert run("play", file, *options, "--impulse", tmp_path / "echoes.wav", "--wet", 1, "--out", out) == 0
    dry, sound = (soundfile.read(path)[0] for path in (tmp_path / "dry.wav", out))
    full = oaconvolve(dry, taps / math.sqrt(0.75))[: len(sound)]
    loud = np.abs(full) > 0.3
    gain = sound[loud] / full[loud]
    assert np.abs(full).max() > 1.3
    assert 0.999 < np.abs(sound).max() <= 1
    assert np.diff(gain).max() < 1e-3  # it never rises
    assert gain[-1] == pytest.approx(1 / np.abs(full).max(), rel=1e-3)
    assert sum("turned down from here on" in line for line in caplog.messages) == 1


def test_a_share_of_no_reverberation_is_refused(
    file: Path, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(*options: object) -> str:
        assert run("play", file, "--free", "--out", tmp_path / "take.wav", *options) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "--wet 0.5: of no impulse response; name one with --impulse" in line("--wet", 0.5)
    assert "--wet 2: give 0 to 1" in line("--impulse", room, "--wet", 2)
    assert "none.wav: no such file" in line("--impulse", tmp_path / "none.wav")
    assert not (tmp_path / "take.wav").exists()
