"""The models that come with the package: small, playable at once, and named by one word."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wavewright
from support.model_files import make
from wavewright.errors import WavewrightError
from wavewright.formats import model_file
from wavewright.measuring.transcription import Struck
from wavewright.metrics import loudness
from wavewright.models.condition import Category, Condition, Notes, Number
from wavewright.playing import opening
from wavewright.playing.export import parity_error
from wavewright.playing.guard import FLAT, measure
from wavewright.playing.performance import read_performance
from wavewright.playing.stream import stream
from wavewright.sampling import Controls

PIANO, DRUMS = (Path(str(opening.shipped(Path(name)))) for name in ("piano", "drums"))
BEAT, PRELUDE = (DRUMS.parent / "scores" / name for name in ("beat.mid", "bwv846_prelude.mid"))


@pytest.mark.parametrize("path", [PIANO, DRUMS])
def test_it_is_small_and_the_model_it_says(path: Path) -> None:
    assert path.stat().st_size <= 2_000_000
    file = model_file.load(path)
    assert parity_error(file) < 1e-4
    assert file.training.best_bits is not None
    assert file.about is not None
    assert all((file.about.title, file.about.author, file.about.licence, file.about.description))


@pytest.mark.parametrize("name", ["piano", "drums"])
def test_it_plays_by_its_name(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wavewright: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    monkeypatch.chdir(tmp_path)
    made = wavewright("generate", name, "--out", "x.wav", "--seconds", 2)
    assert made.returncode == 0, made.stderr
    sound, rate = soundfile.read("x.wav")
    assert len(sound) == 2 * rate


def test_the_drums_play_a_beat() -> None:
    """Every strike is heard at once, and louder than what was before the first one."""
    model = wavewright.load("drums")
    part = read_performance(model, BEAT)
    assert part is not None
    codes = np.concatenate(list(stream(model.player(seed=1), 5 * model.rate, Controls(part=part))), 1)[0]
    sound, window = model.quantizer.decode(codes), round(0.05 * model.rate)
    struck = Struck.of(part.events(0, 4 * model.rate), Notes(low=0, high=127), model.rate)
    kicks = (struck.seconds[struck.keys == 36] * model.rate).astype(int)
    assert len(kicks) == 6
    assert loudness(sound[: kicks[0] - 1])[0] < -50
    for kick in kicks:
        assert loudness(sound[kick : kick + window])[0] > -30
    snares = (struck.seconds[struck.keys == 38] * model.rate).astype(int)
    bright = [np.abs(np.fft.rfft(sound[at : at + window]))[window // 8 :].sum() for at in (*kicks, *snares)]
    assert min(bright[len(kicks) :]) > np.median(bright[: len(kicks)])  # a snare is brighter than a kick


@pytest.mark.parametrize("key", [41, 53, 60, 67, 79, 84])
def test_the_piano_plays_single_notes_in_tune(key: int) -> None:
    """Louder where they are struck harder, and from silence. Of pitches up to a fifth away, its own fits best."""
    model, levels = wavewright.load("piano"), []
    for velocity in (50, 110):
        instrument = model.instrument(seed=key)
        before = instrument.generate(model.rate // 2)
        instrument.note_on(key, velocity)
        sound = instrument.generate(model.rate)
        assert loudness(before)[0] < -60
        levels.append(loudness(sound)[0])
        spectrum = np.log(np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 17)) + 1e-3)
        hertz = 440 * 2 ** ((key - 69 + np.arange(-7, 7.01, 0.05)) / 12)
        partials = np.arange(1, 5)[:, None] * hertz
        fit = spectrum[np.round(partials / model.rate * (1 << 17)).astype(int)].sum(0)
        assert abs(1200 * np.log2(hertz[fit.argmax()] / 440) - 100 * (key - 69)) < 50
    assert levels[0] + 3 < levels[1] < -10


def test_the_piano_plays_a_score() -> None:
    """Bach's prelude, neither too soft nor too loud in any second."""
    model = wavewright.load("piano")
    part = read_performance(model, PRELUDE)
    assert part is not None
    codes = np.concatenate(list(stream(model.player(seed=1), 10 * model.rate, replace(model.draw, part=part))), 1)[0]
    sound = model.quantizer.decode(codes)[model.rate // 2 :]  # its first note comes after half a second
    for second in np.array_split(sound, 10):
        assert -50 < loudness(second)[0] < -10
    assert measure(codes, model.quantizer).flatness < FLAT - 2


@pytest.mark.parametrize("name", ["piano", "drums"])
def test_an_empty_score_is_silence(name: str) -> None:
    model = wavewright.load(name)
    instrument = model.instrument(seed=2)
    assert loudness(instrument.generate(4 * model.rate)[2 * model.rate :])[0] < -50


def test_the_list_of_models_is_what_their_files_say(
    wavewright: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    found = {model["name"]: model for model in json.loads(wavewright("models", "--json").stdout)}
    assert sorted(found) == sorted(file.stem for file in PIANO.parent.glob("*.safetensors"))
    for name, shown in found.items():
        path = PIANO.with_stem(name)
        file = model_file.load(path)
        assert (shown["kind"], shown["rate"], shown["encoding"]) == (file.config.title, file.rate, file.encoding)
        assert (shown["levels"], shown["precision"]) == (256, file.precision)
        assert shown["parameters"] == sum(weight.size for weight in file.weights.values())
        assert (shown["path"], shown["bytes"]) == (str(path), path.stat().st_size)
        about = vars(file.about)
        assert {key: shown[key] for key in about} == about
        assert shown["times_real_time"] > 0
    assert found["drums"]["controls"] == [{"kind": "notes", "name": "notes", "low": 35, "high": 76}]
    assert found["piano"]["controls"] == [{"kind": "notes", "name": "notes", "low": 21, "high": 108}]


def test_inspect_shows_a_model_file_without_its_escapes(
    tmp_path: Path, wavewright: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = tmp_path / "voices.safetensors"
    condition = Condition((Category("voice", ("low", "hi\x1bgh")), Number("loudness", -60, 0)))
    make(path, condition=condition)
    shown = wavewright("inspect", path)
    assert shown.returncode == 0, shown.stderr
    header, values = (line.split("\t") for line in shown.stdout.splitlines())
    row = dict(zip(header, values, strict=True))
    assert row["model"] == "voices"
    assert row["controls"] == r"voice (low, hi\x1bgh), loudness (-60 to 0)"
    assert row["title"] == row["licence"] == ""
    assert row["depth"] == "12 levels, mu-law"
    (facts,) = json.loads(wavewright("inspect", path, "--json").stdout)
    assert facts["controls"][1] == {"name": "loudness", "low": -60, "high": 0, "kind": "number"}
    mixed = wavewright("inspect", path, tmp_path)
    assert (mixed.returncode, mixed.stdout) == (2, "")
    assert "not a model file; inspect it in another command" in mixed.stderr
    path.write_bytes(path.read_bytes()[:-1])
    broken = wavewright("inspect", path)
    assert (broken.returncode, len(broken.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize(("name", "score", "bits"), [("piano", PRELUDE, 0.1), ("drums", BEAT, 1e-3)])
def test_the_engine_and_torch_agree_on_it(name: str, score: Path, bits: float) -> None:
    """The entropies of what it plays agree within the rounding of int8 and of bfloat16."""
    engine, torch = opening.load(name), opening.open_run(Path(name))
    part = read_performance(engine, score)
    codes = np.concatenate(list(stream(engine.player(), engine.rate, replace(engine.draw, part=part))), 1)
    assert len(np.unique(codes)) > 10
    assert np.abs(engine.entropy(codes) - torch.entropy(codes)).mean() < bits


def test_a_run_of_that_name_comes_first_but_no_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("piano").mkdir()  # of recordings, or what `experiment piano --out piano` leaves
    assert opening.open_model(Path("piano")).training == opening.load(PIANO).training
    Path("piano", "config.json").write_text("{}")
    with pytest.raises(WavewrightError, match=r"piano/config.json: model: has no name"):
        opening.open_model(Path("piano"))
    assert opening.shipped(Path("sub/piano")) == Path("sub/piano")
    assert opening.shipped(Path("violin")) == Path("violin")
