"""`wavewright generate --prime`: what a take goes on from, and primes that are refused."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from conftest import melody
from support.model_files import run_of
from support.tiny import RATE, start
from wavewright.errors import AudioError
from wavewright.playing import opening, takes
from wavewright.playing.engine import Engine
from wavewright.playing.native_model import NativeModel
from wavewright.playing.prime import Prime
from wavewright.playing.stream import play
from wavewright.playing.torch_model import TorchModel

pytestmark = pytest.mark.slow

Record = Callable[..., Path]
FADED = round(0.01 * RATE)  # samples at either end


@pytest.fixture(scope="module")
def run(trained: Path) -> TorchModel:
    return opening.open_run(trained)


def hostile_names(data: Path) -> list[str]:
    """The files that libsndfile itself refuses, by the manifest beside them."""
    with (data / "hostile/manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].startswith("audio/")]
    return [row["file"] for row in rows if row["soundfile_or_mido"].startswith("error LibsndfileError")]


@pytest.mark.slow
def test_hostile_primes_are_read_or_refused_in_one_line(run: TorchModel, data: Path, tmp_path: Path) -> None:
    names = hostile_names(data)
    assert len(names) >= 15
    for name in names:
        refused = ""
        try:
            assert sum(map(len, Prime(data / "hostile" / name).codes(run))) > 0
        except AudioError as error:
            refused = str(error)
        assert "\n" not in refused
        assert not refused or Path(name).name in refused
    out = tmp_path / "take.wav"
    prime = data / "hostile/audio/ours__html_404.flac"
    command = start(tmp_path / "log", "generate", run.path, "--out", out, "--seconds", 0.01, "--prime", prime)
    assert "ours__html_404.flac" in command.refusal()
    assert not list(tmp_path.glob("*take*"))


# Primes


def test_the_quiet_end_of_a_prime_is_left_out(run: TorchModel, record: Record) -> None:
    sound = melody(1.2, RATE) - 0.01
    faded = np.concatenate((sound, np.linspace(4e-4, 0, RATE)))
    found = [np.concatenate(list(Prime(record("a.wav", one, RATE, "FLOAT")).codes(run))) for one in (sound, faded)]
    assert abs(len(found[0]) - len(found[1])) < 20
    size = min(map(len, found))
    assert np.abs(found[0][:size] - found[1][:size]).max() <= 1  # the mean that is taken off is another


@pytest.mark.parametrize(("start", "seconds"), [(0.3, 0.5), (0.0, 0.25), (1.0, None), (1.1, 9.0)])
def test_a_prime_is_the_stretch_that_is_asked_for(
    run: TorchModel, record: Record, start: float, seconds: float | None
) -> None:
    path = record("a.wav", melody(1.3, RATE) - 0.01, RATE)
    whole = np.concatenate(list(Prime(path).codes(run)))
    found = np.concatenate(list(Prime(path, start, seconds).codes(run)))
    first = round(start * RATE)
    assert np.array_equal(found, whole[first:] if seconds is None else whole[first : first + round(seconds * RATE)])


def test_a_prime_that_ends_in_silence_is_told(run: TorchModel, record: Record, caplog: Any) -> None:
    """A pause within the recording, which is not trimmed; what `--prime-seconds` cuts off brings the sound back."""
    sound = np.concatenate((melody(0.5, RATE) - 0.01, np.zeros(2 * RATE), melody(0.5, RATE) - 0.01))
    path = record("pause.wav", sound, RATE)
    assert list(Prime(path, seconds=2.0).codes(run))
    assert "pause.wav: the prime ends in 1 s of silence" in caplog.text
    assert "--prime-seconds" in caplog.text
    caplog.clear()
    assert list(Prime(path, seconds=0.4).codes(run))
    assert list(Prime(path).codes(run))
    assert not caplog.messages


def test_a_take_begins_where_its_prime_ends(run: TorchModel, tmp_path: Path, record: Record) -> None:
    """No fade at the join, and nothing between."""
    path = record("a.wav", melody(1.3, RATE) - 0.01, RATE)
    for prime in (Prime(path), Prime(path, 0.2, 0.4)):
        (take,) = takes.record(run, tmp_path / "take.wav", seconds=0.1, seed=1, prime=prime)
        player = run.player(1, 1)
        player.prime(np.concatenate(list(prime.codes(run))))
        expected = run.quantizer.decode(player.generate(RATE // 10)[0])
        np.testing.assert_allclose(soundfile.read(take.path)[0][:-FADED], expected[:-FADED], atol=1 / 32767)
        with soundfile.SoundFile(take.path) as file:
            facts = json.loads(file.comment)
        found = facts["prime"], facts["prime_from"], facts["prime_seconds"]
        assert found == ("a.wav", prime.start, prime.seconds)


def test_a_long_prime_takes_a_wavenet_no_longer(tmp_path: Path, record: Record) -> None:
    """It reads what its receptive field reaches, which gives the same take."""
    model = opening.to_native(run_of("gated", blocks=2, layers=10))
    path, given = record("long.wav", melody(20.0, model.rate) - 0.01, model.rate), []
    codes = np.concatenate(list(Prime(path).codes(model)))
    player = model.player(1, 3)
    player.prime(codes)
    expected = player.generate(200)

    class Counting(NativeModel):
        def player(self, streams: int = 1, seed: int = 0) -> Engine:
            made = super().player(streams, seed)
            prime = made.prime
            made.prime = lambda codes: (given.append(codes.shape[-1]), prime(codes))  # type: ignore[method-assign, assignment, func-returns-value]
            return made

    counting = Counting(**{name: getattr(model, name) for name in model.__dataclass_fields__})
    (made,) = play(counting, 200, seed=3, prime=Prime(path).codes(model))
    assert np.array_equal(made, expected)
    assert given == [2047]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--prime", "a.wav", "--prime-from", -1], "--prime-from -1.0: give 0 or more seconds"),
        (["--prime", "a.wav", "--prime-from", "nan"], "--prime-from nan: give 0 or more seconds"),
        (["--prime", "a.wav", "--prime-seconds", 0], "--prime-seconds 0.0: give more than 0"),
        (["--prime", "a.wav", "--prime-seconds", "inf"], "--prime-seconds inf: give more than 0"),
        (["--prime", "a.wav", "--prime-from", 2], "--prime-from 2: the sound of "),
        (["--prime-from", 1], "--prime-from 1: of no recording; name one with --prime"),
        (["--prime-seconds", 1], "--prime-seconds 1: of no recording; name one with --prime"),
    ],
)
def test_primes_that_are_refused(
    options: list[object], line: str, trained: Path, tmp_path: Path, record: Record
) -> None:
    path = record("a.wav", melody(1.3, RATE), RATE)
    options = [path if option == "a.wav" else option for option in options]
    for place in ("-", tmp_path / "take.wav"):
        assert line in start(tmp_path / "log", "generate", trained, "--out", place, *options).refusal()
    assert not (tmp_path / "take.wav").exists()


def test_the_progress_says_that_the_prime_is_heard(run: TorchModel, tmp_path: Path, record: Record) -> None:
    shown: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def progress(text: str, total: float | None) -> Iterator[Any]:
        yield lambda amount=1, text_=None: shown.append((text, amount))

    takes.record(
        run, tmp_path / "a.wav", seconds=1, prime=Prime(record("p.wav", melody(1.3, RATE), RATE)), progress=progress
    )
    heard, made = (
        sum(amount for text, amount in shown if text == name) for name in ("hearing the prime", "generating")
    )
    assert heard == pytest.approx(1.3 * RATE, abs=20)
    assert made == RATE
