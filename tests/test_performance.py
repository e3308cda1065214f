"""Models with a condition play scores and values of controls: takes, their metadata, redraws, and what is refused."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import wavewright
from support.kinds import CONDITION
from support.model_files import LEVELLING, TRAINING, make
from support.tiny import start
from wavewright.conditioning.controls import Curve, Performance
from wavewright.conditioning.events import Events, Kind, events
from wavewright.conditioning.frames import Frames
from wavewright.models import configure
from wavewright.models.condition import Condition
from wavewright.playing import guard
from wavewright.playing.guard import BLOCK
from wavewright.playing.playable import Playable
from wavewright.playing.stream import CONTEXT, play
from wavewright.quantize import Quantizer, silence
from wavewright.sampling import Controls

pytestmark = pytest.mark.slow

RATE = 4000
FADED = 40  # samples at either end
NOTES = [(0.1, 60, 100, 0.3), (0.25, 61, 40, 0.6)]  # seconds, key, velocity, seconds of the release
EVENTS = events(
    (400, Kind.strike, 60, 100),
    (1000, Kind.strike, 61, 40),
    (1200, Kind.release, 60, 0),
    (2400, Kind.release, 61, 0),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a category, a number and a keyboard."""
    return make(tmp_path_factory.mktemp("model") / "m.safetensors", "tiers 8 4 2, conditioned").path


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return score_of(tmp_path_factory.mktemp("score") / "two.mid", NOTES)


def score_of(path: Path, notes: list[tuple[float, int, int, float]]) -> Path:
    """A MIDI file of notes, with 500 ticks in half a second."""
    file, track, now = mido.MidiFile(ticks_per_beat=500), mido.MidiTrack(), 0
    messages = [(at, "note_on", key, velocity) for at, key, velocity, _ in notes]
    messages += [(until, "note_off", key, 0) for _, key, _, until in notes]
    for at, kind, key, velocity in sorted(messages):
        ticks = round(at * 1000)
        track.append(mido.Message(kind, note=key, velocity=velocity, time=ticks - now))
        now = ticks
    file.tracks.append(track)
    file.save(path)
    return path


def sound_of(path: Path) -> NDArray[np.float64]:
    samples, rate = soundfile.read(path)
    assert rate == RATE
    return samples


def check_take(path: Path, model: Path, table: Events, dense: NDArray[np.float32], seed: int = 0) -> None:
    """A take is what a player makes that is given events and dense values (M, D) all at once."""
    played = wavewright.load(model)
    player = played.player(seed=seed)
    player.feed(0, table)
    found = sound_of(path)
    expected = played.quantizer.decode(player.generate(len(found), dense=dense)[0])
    np.testing.assert_allclose(found[FADED:-FADED], expected[FADED:-FADED], atol=1 / 32767)


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_a_score_is_played(engine: str, model: Path, score: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.wav"
    command = start(tmp_path / "log", "generate", model, "--out", out, "--score", score, "--engine", engine)
    assert command.wait() == 0, command.output
    samples = round((0.6 + 2) * RATE)  # the score and its tail
    dense = np.array([[0, 0, 0, 0, 1, 1, 0]], np.float32)  # but for the keyboard all is absent
    assert len(sound_of(out)) == samples
    check_take(out, model, EVENTS, dense)


def test_controls_are_played_beside_a_score(model: Path, score: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("0,-60\n0.5,0\n")
    out, options = tmp_path / "take.wav", ["--control", f"loudness={tmp_path / 'c.csv'}"]
    options += ["--control", "voice=high:1,low:3", "--score", score, "--seconds", "0.8", "--seed", "5"]
    command = start(tmp_path / "log", "generate", model, "--out", out, *options)
    assert command.wait() == 0, command.output
    frames = -(-3200 // CONDITION["hop"])
    dense = np.zeros((frames, 7), np.float32)
    dense[:, :3] = (0.25, 0, 0.75)
    dense[:, 3] = np.minimum(-1 + 2 * np.arange(frames) * CONDITION["hop"] / (0.5 * RATE), 1)
    check_take(out, model, EVENTS, dense, seed=5)
    with soundfile.SoundFile(out) as file:
        facts = json.loads(file.comment)
    assert facts["score"] == {"name": "two.mid", "sha256": hashlib.sha256(score.read_bytes()).hexdigest()}
    assert facts["controls"] == {"loudness": str(tmp_path / "c.csv"), "voice": "high:1,low:3"}
    assert facts["seed"] == 5


def test_several_takes_play_the_same_score(model: Path, score: Path, tmp_path: Path) -> None:
    played, out = wavewright.load(model), tmp_path / "take.wav"
    command = start(tmp_path / "log", "generate", model, "--out", out, "--score", score, "--seconds", 0.7, "--count", 2)
    assert command.wait() == 0, command.output
    player = played.player(2)
    for stream in range(2):
        player.feed(stream, EVENTS)
    dense = np.array([[0, 0, 0, 0, 1, 1, 0]], np.float32)
    for codes, name in zip(player.generate(2800, dense=dense), ("take-1.wav", "take-2.wav"), strict=True):
        expected = played.quantizer.decode(codes)[FADED:-FADED]
        np.testing.assert_allclose(sound_of(tmp_path / name)[FADED:-FADED], expected, atol=1 / 32767)


def test_free_is_everything_absent_and_said_where_it_was_not_asked_for(model: Path, tmp_path: Path) -> None:
    dense = np.array([[0, 0, 0, 0, 1, 1, 1]], np.float32)
    for options in (["--free"], []):
        command = start(tmp_path / "log", "generate", model, "--out", tmp_path / "a.wav", "--seconds", 0.5, *options)
        assert command.wait() == 0, command.output
        check_take(tmp_path / "a.wav", model, events(), dense)
        line = (
            "plays free: this model has the controls voice (high, middle, low), loudness (-60 to 0), notes (a keyboard,"
        )
        assert (line in " ".join(command.output.split())) == (not options)


def test_a_prime_comes_before_the_score(model: Path, score: Path, tmp_path: Path, record: Callable[..., Path]) -> None:
    """Events and curves begin with the take, whatever the length of the prime."""
    prime = record("p.wav", 0.3 * np.sin(np.arange(1003) / 7), RATE)
    played = wavewright.load(model)
    from wavewright.playing.prime import Prime

    out = tmp_path / "take.wav"
    options = ["--score", score, "--control", "loudness=-20", "--prime", prime, "--seconds", 0.8]
    command = start(tmp_path / "log", "generate", model, "--out", out, *options)
    assert command.wait() == 0, command.output
    codes = np.concatenate(list(Prime(prime).codes(played)))
    player, later = played.player(), EVENTS.copy()
    later["sample"] += len(codes)
    player.prime(codes)
    player.feed(0, later)
    dense = np.array([[0, 0, 0, 1 / 3, 1, 0, 0]], np.float32)
    expected = played.quantizer.decode(player.generate(3200, dense=dense)[0])
    np.testing.assert_allclose(sound_of(out)[:-FADED], expected[:-FADED], atol=1 / 32767)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--control", "loudnes=3"],
            "--control loudnes: no such control; this model has the controls voice (high, middle, ",
        ),
        (["--control", "loudness=3"], "--control loudness: 3; give -60 to 0"),
        (["--control", "voice=tall"], "--control voice: no class tall; there are high, middle, low"),
        (["--control", "voice=high:1,tall:1"], "--control voice: no class tall; there are high, middle, low"),
        (["--control", "notes=60"], "--control notes: a keyboard takes notes"),
        (["--control", "voice"], "--control voice: give NAME=VALUE"),
        (
            ["--control", "voice=low", "--control", "voice=high"],
            "--control voice=high: the second value of voice; give one",
        ),
        (["--control", "loudness=none.csv"], "--control none.csv: cannot be read: No such file"),
        (["--free", "--control", "voice=low"], "--free: plays with every control absent; leave out --control"),
        (["--score", "none.mid"], "none.mid: cannot be read: No such file"),
        (["--score", "BAD"], "bad.mid: not a readable MIDI file"),
        (["--score", "HIGH"], "high.mid: all notes lie beside the model's keyboard, which has keys 60 to 61"),
    ],
)
def test_what_a_model_cannot_play(options: list[str], line: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mid").write_bytes(b"MThd\0\0\0\6\0\0")
    score_of(tmp_path / "high.mid", [(0, 90, 100, 1)])
    files = {"BAD": str(tmp_path / "bad.mid"), "HIGH": str(tmp_path / "high.mid")}
    options = [files.get(option, option) for option in options]
    command = start(tmp_path / "log", "generate", model, "--out", tmp_path / "take.wav", *options)
    assert line in command.refusal()
    assert not (tmp_path / "take.wav").exists()


def test_notes_beside_the_keyboard_are_counted(model: Path, tmp_path: Path) -> None:
    score = score_of(tmp_path / "some.mid", [(0, 60, 9, 0.1), (0, 90, 100, 0.1), (0.1, 59, 9, 0.2)])
    command = start(tmp_path / "log", "generate", model, "--out", tmp_path / "a.wav", "--score", score)
    assert command.wait() == 0, command.output
    assert "some.mid: 2 of 3 notes lie beside the model's keyboard" in " ".join(command.output.split())


@pytest.mark.parametrize("options", [["--score", "a.mid"], ["--control", "loudness=3"], ["--free"]])
@pytest.mark.parametrize("out", ["take.wav", "-"])
def test_a_model_without_controls_refuses_them(options: list[str], out: str, tmp_path: Path) -> None:
    plain = make(tmp_path / "m.safetensors", "tiers 8 4 2").path
    place = out if out == "-" else tmp_path / out
    command = start(tmp_path / "log", "generate", plain, "--out", place, *options)
    assert f"{options[0]}: this model was made without controls; leave it out" in command.refusal()


def test_a_score_needs_a_keyboard(score: Path, tmp_path: Path) -> None:
    condition = {**CONDITION, "controls": CONDITION["controls"][:2]}
    mute = make(tmp_path / "m.safetensors", "tiers 8 4 2, conditioned", condition=condition).path
    command = start(tmp_path / "log", "generate", mute, "--out", tmp_path / "take.wav", "--score", score)
    assert "this model has the controls voice (high, middle, low), loudness (-60 to 0), and no keyboard" in (
        command.refusal()
    )


# What the guard redraws

HOP = 4  # divides a block, and the samples with which a redraw is primed
ASKED = {**CONDITION, "hop": HOP}


@dataclass
class Player:
    """A player of given codes, which keeps every control frame that it has had."""

    condition: Condition
    codes: NDArray[np.int64]
    streams: int = 1
    frames: list[NDArray[np.float32]] = field(default_factory=list)
    read: int = 0
    made: int = 0

    def __post_init__(self) -> None:
        self._frames = Frames(self.condition, self.streams, RATE)

    def feed(self, stream: int, table: Events, voice: int = 0) -> int:
        assert voice == 0
        return self._frames.feed(stream, table)

    def prime(self, codes: NDArray[np.int64], dense: Any = None) -> None:
        self.read += len(codes)
        self._next(len(codes), dense)

    def generate(self, samples: int, controls: Controls, dense: Any = None) -> NDArray[np.int64]:
        self._next(samples, dense)
        self.made += samples
        return self.codes[None, self.made - samples : self.made]

    def _next(self, samples: int, dense: Any) -> None:
        self._frames.give(dense, samples)
        self.frames.append(self._frames.next(samples)[0])


@dataclass(frozen=True)
class Script(Playable):
    """A model whose first player plays `original`, and whose next ones play `redrawn`."""

    original: NDArray[np.int64]
    redrawn: NDArray[np.int64]
    players: list[Player] = field(default_factory=list)

    def player(self, streams: int = 1, seed: int = 0) -> Any:
        codes = self.redrawn if self.players else self.original
        assert self.config.condition is not None
        self.players.append(Player(self.config.condition, codes))
        return self.players[-1]

    def score(self, samples: Any, sections: Any) -> Any:
        raise NotImplementedError

    def entropy(self, codes: Any) -> Any:
        raise NotImplementedError


def script(original: NDArray[np.int64], redrawn: NDArray[np.int64]) -> Script:
    config = configure("naive-rnn", units=4, condition=ASKED)
    return Script(config, "mu-law", RATE, LEVELLING, TRAINING, Path("run"), original, redrawn)


def tone(blocks: int) -> NDArray[np.int64]:
    t = np.arange(blocks * BLOCK) / RATE
    return Quantizer(256, "mu-law").encode(0.5 * np.sin(2 * np.pi * 220 * t) * np.exp(-4 * (t % 0.5))).astype(np.int64)


def noise(blocks: int) -> NDArray[np.int64]:
    drawn = 0.3 * np.random.default_rng(1).standard_normal(blocks * BLOCK)
    return Quantizer(256, "mu-law").encode(np.clip(drawn, -1, 1)).astype(np.int64)


def part_of(seconds: float) -> Performance:
    """A strike and a pedal now and then, held for long, and a curve."""
    rng, samples = np.random.default_rng(2), np.arange(0, round(seconds * RATE), 1501)
    rows = [
        (int(s), Kind(k), 60, int(v))
        for s, k, v in zip(samples, rng.integers(0, 3, 99), rng.integers(1, 128, 99), strict=False)
    ]
    glide = Curve(np.array([0, seconds]), np.array([[-1], [1]], np.float32))
    config = configure("naive-rnn", units=4, condition=ASKED)
    assert config.condition is not None
    return Performance(config.condition, RATE, {"loudness": glide}, events(*rows))


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("primed", [0, 4 * BLOCK])
def test_a_redrawn_take_goes_on_in_its_part(live: bool, primed: int) -> None:
    """The redraw has the control frames of the place where it goes on, and of the sound before it."""
    blocks, sound = 30, tone(60)
    model = script(np.concatenate((tone(16), noise(14))), sound)
    prime = [tone(4)] if primed else None
    made = np.concatenate(
        list(play(model, blocks * BLOCK, controls=Controls(part=part_of(15)), prime=prime, live=live)), 1
    )[0]
    first, again = model.players
    whole, found = np.concatenate(first.frames), np.concatenate(again.frames)
    assert again.read == round(CONTEXT * RATE)
    cut = len(made) - again.made
    assert np.array_equal(made[cut:], sound[: again.made])  # where the redraw goes on
    place = (primed + cut - again.read) // HOP
    reference = Frames(model.config.condition, 1, RATE)  # what it would be had all been played by one player
    part = part_of(15)
    later = part.events(0, 1 << 40).copy()
    later["sample"] += primed
    reference.feed(0, later)
    length = primed + blocks * BLOCK
    reference.give(part.dense(np.arange(0, length, HOP) - primed), length)
    expected = reference.next(length)[0]
    assert np.array_equal(whole, expected[: len(whole)])
    settled = round(8 * 0.15 * RATE / HOP)  # the traces of what was struck before have died out
    steady = [*range(4), *(4 + 4 * k + i for k in range(2) for i in range(2)), *range(12, 17)]
    assert np.array_equal(found[:, steady], expected[place : place + len(found)][:, steady])
    assert np.array_equal(found[settled:], expected[place : place + len(found)][settled:])


@pytest.mark.parametrize(("score", "redraws"), [(True, 0), (False, 1)])
def test_a_rest_in_a_score_is_no_fault(score: bool, redraws: int) -> None:
    quiet = np.full(30 * BLOCK, silence(256))
    model = script(np.concatenate((tone(16), quiet)), tone(90))
    part = part_of(15)
    part = part if score else Performance(part.condition, RATE, part.curves)
    made = np.concatenate(list(play(model, 46 * BLOCK, controls=Controls(part=part))), 1)[0]
    assert len(model.players) == 1 + redraws
    assert np.array_equal(made[16 * BLOCK :], quiet) == score


def test_noise_under_a_score_is_a_fault_all_the_same() -> None:
    assert guard.PATIENCE["noise"] * RATE < 14 * BLOCK
    model = script(np.concatenate((tone(16), noise(14))), tone(60))
    list(play(model, 30 * BLOCK, controls=Controls(part=part_of(15))))
    assert len(model.players) == 2
