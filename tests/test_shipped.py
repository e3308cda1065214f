"""The model that comes with the package: small, playable at once, and named by one word."""

import subprocess
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

import wavewright
from wavewright.errors import WavewrightError
from wavewright.formats import model_file
from wavewright.metrics import loudness
from wavewright.playing import opening
from wavewright.playing.export import parity_error
from wavewright.playing.guard import measure

PIANO = Path(str(opening.shipped(Path("piano"))))


def test_it_is_small_and_the_model_it_says() -> None:
    assert PIANO.stat().st_size <= 2_000_000
    file = model_file.load(PIANO)
    assert parity_error(file) < 1e-4
    assert file.training.best_bits is not None


def test_it_plays_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wavewright: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = wavewright("generate", "piano", "--out", "x.wav", "--seconds", 2)
    assert made.returncode == 0, made.stderr
    sound, rate = soundfile.read("x.wav")
    assert len(sound) == 2 * rate


@pytest.mark.slow
def test_it_sounds_for_a_while() -> None:
    """Neither silent nor stuck, nor noise, from several seeds."""
    model = wavewright.load("piano")
    for seed in range(3):
        sound = np.concatenate(list(islice(model.stream(model.rate, seed=seed), 10)))
        rms, mean = loudness(sound)
        assert -45 < rms < -6
        assert abs(mean) < 0.02
        codes = model.player(seed=seed).generate(10 * model.rate)[0]
        assert measure(codes, model.quantizer).flatness < -10


def test_the_engine_and_torch_agree_on_it() -> None:
    players = (opening.load("piano").player(), opening.open_run(Path("piano")).player())
    engine, torch = (player.generate(500)[0] for player in players)
    assert np.array_equal(engine, torch)


def test_a_run_of_that_name_comes_first_but_no_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("piano").mkdir()  # of recordings, or what `experiment piano --out piano` leaves
    assert opening.open_model(Path("piano")).training == opening.load(PIANO).training
    Path("piano", "config.json").write_text("{}")
    with pytest.raises(WavewrightError, match=r"piano/config.json: model: has no name"):
        opening.open_model(Path("piano"))
    assert opening.shipped(Path("sub/piano")) == Path("sub/piano")
    assert opening.shipped(Path("violin")) == Path("violin")
