"""`generate` and `play` with --mix and --guidance: takes, their metadata, and what is refused."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile

import wavewright
from support.model_files import make
from support.tiny import start
from wavewright.commands.options import Playing
from wavewright.commands.play import play
from wavewright.conditioning.controls import Amounts, Curve
from wavewright.conditioning.events import Kind, events
from wavewright.errors import ConfigError
from wavewright.playing.opening import open_model
from wavewright.playing.performance import read_performance, read_second
from wavewright.sampling import Controls

FADED = 40  # samples at either end
BRIGHT = {
    "controls": (
        {"kind": "number", "name": "brightness", "low": 0.0, "high": 1.0},
        {"kind": "number", "name": "loudness", "low": -60.0, "high": 0.0},
        {"kind": "notes", "name": "keys", "low": 61, "high": 62},
    ),
    "hop": 4,
    "width": 8,
}
FRAME = np.array([[0, 0, 0, 0.5, 1, 0, 0]], np.float32)  # loudness -15 and the keyboard; a voice is absent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models a and b with controls, and c without, a score and a curve of amounts."""
    folder = tmp_path_factory.mktemp("models")
    make(folder / "a.safetensors", "tiers 8 4 2, conditioned")
    make(folder / "b.safetensors", "gated of 3 taps, conditioned", condition=BRIGHT)
    make(folder / "c.safetensors", "gated")
    make(folder / "d.safetensors", "gated", q_levels=16)
    file, track = mido.MidiFile(ticks_per_beat=500), mido.MidiTrack()
    track += [mido.Message("note_on", note=key, velocity=90, time=100) for key in (60, 61)]
    track += [mido.Message("note_off", note=key, time=100) for key in (60, 61)]
    file.tracks.append(track)
    file.save(folder / "s.mid")
    (folder / "m.csv").write_text("0,0\n0.4,1\n")
    return folder


SCORE = [
    (400, Kind.strike, 60, 90),
    (800, Kind.strike, 61, 90),
    (1200, Kind.release, 60, 0),
    (1600, Kind.release, 61, 0),
]


def options(folder: Path, text: str) -> list[str]:
    """The words of a command, with the folder in place of @."""
    return text.replace("@", f"{folder}/").split()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["native", "torch"])
def test_a_take_of_two_models_under_one_score(engine: Any, folder: Path, tmp_path: Path) -> None:
    """The second model takes the score and the value whose name it knows. The amount is a curve."""
    out = tmp_path / "t.wav"
    text = "--score @s.mid --control loudness=-15 --mix @b.safetensors --amount @m.csv --seconds 0.6 --seed 3"
    command = start(
        tmp_path / "log", "generate", folder / "a.safetensors", "--out", out, *options(folder, text), "--engine", engine
    )
    assert command.wait() == 0, command.output
    first, second = (open_model(folder / f"{name}.safetensors", engine=engine) for name in "ab")
    player = wavewright.mix(first, second).player(seed=3)
    player.feed(0, events(*SCORE))
    player.feed(0, events(*SCORE), 1)
    amounts = Amounts(Curve(np.array([0, 0.4]), np.array([[0.0], [1.0]])), 4000, "")(np.arange(2400))
    other = np.array([[0, 0.5, 1, 0, 0]], np.float32)
    codes = player.generate(2400, Controls(amount=amounts), FRAME, other)[0]
    expected = first.quantizer.decode(codes)[FADED:-FADED]
    np.testing.assert_allclose(soundfile.read(out)[0][FADED:-FADED], expected, atol=1 / 32767)
    with soundfile.SoundFile(out) as file:
        facts = json.loads(file.comment)
    assert facts["model"] == "sample-rnn"
    assert facts["controls"] == {"loudness": "-15"}
    assert facts["amount"] == str(folder / "m.csv")
    mix = facts["mix"]
    assert (mix["run"], mix["step"], mix["model"]) == ("mine", 7, "wavenet")
    assert mix["controls"] == {"loudness": "-15"}
    assert mix["score"] == facts["score"]
    assert mix["score"]["name"] == "s.mid"


@pytest.mark.slow
def test_one_model_is_mixed_with_itself_under_other_controls(folder: Path, tmp_path: Path) -> None:
    out, text = tmp_path / "t.wav", "--control loudness=-15 --mix @a.safetensors --mix-control voice=low --seconds 0.5"
    command = start(tmp_path / "log", "generate", folder / "a.safetensors", "--out", out, *options(folder, text))
    assert command.wait() == 0, command.output
    model = wavewright.load(folder / "a.safetensors")
    dense = [np.array([[0, 0, 0, 0.5, 1, 0, 1]]), np.array([[0, 0, 1, 0, 0, 1, 1]])]
    codes = wavewright.mix(model, model).player().generate(2000, Controls(amount=0.5), *dense)[0]
    expected = model.quantizer.decode(codes)[FADED:-FADED]
    np.testing.assert_allclose(soundfile.read(out)[0][FADED:-FADED], expected, atol=1 / 32767)


@pytest.mark.slow
def test_a_guided_take(folder: Path, tmp_path: Path) -> None:
    out, text = tmp_path / "t.wav", "--control loudness=-15 --score @s.mid --guidance 1.5 --seconds 0.5 --count 2"
    command = start(tmp_path / "log", "generate", folder / "a.safetensors", "--out", out, *options(folder, text))
    assert command.wait() == 0, command.output
    model = wavewright.load(folder / "a.safetensors")
    player = wavewright.mix(model, model).player(2)
    for stream in range(2):
        player.feed(stream, events(*SCORE))
    for i, codes in enumerate(player.generate(2000, Controls(amount=-1.5), FRAME)):
        path = out.with_stem(f"t-{i + 1}")
        expected = model.quantizer.decode(codes)[FADED:-FADED]
        np.testing.assert_allclose(soundfile.read(path)[0][FADED:-FADED], expected, atol=1 / 32767)
    with soundfile.SoundFile(path) as file:
        assert json.loads(file.comment)["amount"] == -1.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "text", "line"),
    [
        ("a", "--amount 0.5", "--amount: of no mixture; name the second model with --mix"),
        ("a", "--mix-control voice=low", "--mix-control: of no mixture; name"),
        ("a", "--mix @c.safetensors --amount 1e9", "amount: 1000000000.0; give -100 to 100"),
        ("a", "--mix @c.safetensors --amount -0.5x", "amount: -0.5x; give a number such as 0.5, or a curve FILE.csv"),
        ("a", "--mix @none.safetensors", "none.safetensors: no such file"),
        ("a", "--mix @d.safetensors", "mix: the number of codes is 12 in"),
        ("a", "--mix @c.safetensors --guidance 1", "--guidance: leave out --mix, or this option"),
        ("a", "--free --guidance 1", "--guidance: leave out --free, or this option"),
        ("a", "--guidance -1", "guidance: -1; give 0 to 100"),
        ("c", "--guidance 1", "guidance: this model was made without controls; leave it out"),
        (
            "a",
            "--mix @c.safetensors --mix-control voice=low",
            "c.safetensors: this model was made without controls; leave",
        ),
        (
            "a",
            "--mix @b.safetensors --free --mix-control loudness=-9",
            "--free plays with every control absent; leave it",
        ),
        (
            "a",
            "--mix @b.safetensors --mix-control voice=low",
            "--mix-control voice: no such control; this model has the",
        ),
        ("a", "--mix @b.safetensors --mix-control loudness", "--mix-control loudness: give NAME=VALUE"),
    ],
)
def test_what_is_refused(model: str, text: str, line: str, folder: Path, tmp_path: Path) -> None:
    words = options(folder, text)
    command = start(tmp_path / "log", "generate", folder / f"{model}.safetensors", "--out", tmp_path / "t.wav", *words)
    assert line in command.refusal()
    assert not (tmp_path / "t.wav").exists()


def test_what_the_second_model_plays(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second, plain = (wavewright.load(folder / f"{name}.safetensors") for name in "abc")
    beside = read_performance(first, folder / "s.mid", ["voice=low", "loudness=-20"])
    assert beside is not None
    caplog.clear()
    part = read_second(second, beside, folder / "s.mid")
    assert part is not None
    assert list(part.curves) == ["loudness"]
    assert part.score is not None
    assert beside.score is not None
    assert np.array_equal(part.score, beside.score)
    assert f"1 of 2 notes lie beside the keyboard of {folder}/b.safetensors, which has keys 61 to 62" in caplog.text
    own = read_second(second, beside, folder / "s.mid", ["brightness=1"])
    assert own is not None
    assert list(own.curves) == ["brightness"]
    assert own.score is not None
    caplog.clear()
    absent = read_second(second, read_performance(first, None, ["voice=low"]))
    assert absent is not None
    assert not absent.curves
    assert "b.safetensors plays free: this model has the controls brightness" in caplog.text
    assert read_second(plain, beside, folder / "s.mid") is None
    loud = {**BRIGHT["controls"][1], "low": -10.0}  # type: ignore[dict-item]
    make(folder / "e.safetensors", "plain, conditioned", condition={**BRIGHT, "controls": [loud]})
    with pytest.raises(ConfigError, match=r"e.safetensors cannot take --control loudness: -20; give -10 to 0"):
        read_second(wavewright.load(folder / "e.safetensors"), beside, folder / "s.mid")


def test_play_sends_mixtures_to_the_sound_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[np.ndarray] = []

    class Card:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> "Card":
            return self

        def __exit__(self, *error: object) -> None: ...

        def write(self, block: np.ndarray) -> None:
            heard.append(block)

    monkeypatch.setitem(sys.modules, "sounddevice", types.SimpleNamespace(OutputStream=Card, PortAudioError=OSError))
    model, other = (wavewright.load(folder / f"{name}.safetensors") for name in "ac")
    dense = np.array([[0, 0, 0, 0.5, 1, 0, 1]], np.float32)
    for playing, controls, second in (
        (Playing(control=("loudness=-15",), mix=folder / "c.safetensors", amount="0.3"), Controls(amount=0.3), other),
        (Playing(control=("loudness=-15",), guidance=2.0), Controls(amount=-2.0), model),
    ):
        heard.clear()
        play(folder / "a.safetensors", seconds=0.4, playing=playing)
        codes = wavewright.mix(model, second).player().generate(1600, controls, dense)[0]
        expected = model.quantizer.decode(codes)[FADED:-FADED]
        np.testing.assert_array_equal(np.concatenate(heard)[FADED:-FADED, 0], expected)


@pytest.mark.parametrize("name", ["mix", "amount", "mix_control"])
def test_hands_play_one_model(name: str, folder: Path) -> None:
    value = {"mix": folder / "c.safetensors", "amount": "0.3", "mix_control": ("voice=low",)}[name]
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: the model is played by hand; leave it out"):
        Playing(**{name: value}).instrument(wavewright.load(folder / "a.safetensors"))  # type: ignore[arg-type]


def test_hands_are_guided(folder: Path) -> None:
    model = wavewright.load(folder / "a.safetensors")
    instrument = Playing(guidance=0.5, control=("loudness=-15",), seed=2).instrument(model)
    player = wavewright.mix(model, model).player(seed=2)
    assert np.array_equal(instrument.codes(300), player.generate(300, Controls(amount=-0.5), FRAME)[0])
