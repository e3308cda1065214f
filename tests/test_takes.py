"""`wavewright generate`: sound files and what is in them, refusals, interruption."""

import contextlib
import json
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from conftest import melody
from support.tiny import RATE, Command, checkpoints, small_disk, start
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError
from wavewright.formats import checkpoint
from wavewright.models.output import Softmax
from wavewright.playing import opening, takes
from wavewright.playing.prime import Prime
from wavewright.playing.stream import stream
from wavewright.playing.torch_model import TorchModel
from wavewright.quantize import Quantizer
from wavewright.sampling import Controls, Uniforms

pytestmark = pytest.mark.slow

Record = Callable[..., Path]
FADED = round(0.01 * RATE)  # samples at either end


@pytest.fixture(scope="module")
def run(trained: Path) -> TorchModel:
    return opening.open_run(trained)


def test_a_take_is_the_codes_of_the_model(run: TorchModel, tmp_path: Path) -> None:
    controls = Controls(0.9, 40, 0.98)
    (take,) = takes.record(run, tmp_path / "new/take.wav", seconds=0.7, controls=controls, seed=3)
    sound, rate = soundfile.read(take.path)
    assert rate == RATE == run.rate
    codes = np.concatenate(list(stream(run.player(seed=3), 2800, controls)), 1)[0]
    whole = Quantizer(64, "mu-law").decode(codes)
    np.testing.assert_allclose(sound[FADED:-FADED], whole[FADED:-FADED], atol=1 / 32767)
    assert take.seconds == pytest.approx(0.7)
    assert take.mean == pytest.approx(sound.mean(), abs=1e-4)
    assert take.rms_dbfs == pytest.approx(20 * math.log10(np.sqrt(np.mean(sound**2))), abs=0.01)
    assert soundfile.info(take.path).subtype == "PCM_16"


def test_a_take_tells_what_made_it(run: TorchModel, tmp_path: Path) -> None:
    made = takes.record(run, tmp_path / "take.wav", seconds=0.1, count=2, controls=Controls(0.8, 5), seed=9)
    assert [take.path.name for take in made] == ["take-1.wav", "take-2.wav"]
    with soundfile.SoundFile(made[1].path) as file:
        facts, software = json.loads(file.comment), file.software
    assert facts == {
        "run": "run",
        "step": run.step,
        "model": "sample-rnn",
        "seed": 9,
        "prime": None,
        "prime_from": None,
        "prime_seconds": None,
        "temperature": 0.8,
        "top_k": 5,
        "top_p": None,
        "take": 2,
    }
    assert software.startswith("wavewright ")


def test_the_first_of_several_takes_is_the_take_made_alone(run: TorchModel, tmp_path: Path) -> None:
    first, *others = takes.record(run, tmp_path / "take.wav", seconds=0.3, count=3, seed=4)
    (alone,) = takes.record(run, tmp_path / "alone.wav", seconds=0.3, count=1, seed=4)
    assert first.path.read_bytes() == alone.path.read_bytes()
    assert len({take.path.read_bytes() for take in (first, *others)}) == 3
    (again,) = takes.record(run, tmp_path / "again.wav", seconds=0.3, seed=5)
    assert again.path.read_bytes() != alone.path.read_bytes()


def test_a_prime_is_levelled_as_the_corpus_was(run: TorchModel, corpus: Corpus, record: Record) -> None:
    """The recording of a training track, in another format and rate, gives the codes of that track."""
    track = corpus.tracks_of("train")[0]
    expected = Quantizer(64, "mu-law").encode(
        corpus.samples("train")[track.start :][: track.frames] / np.float32(32767)
    )
    sound = melody(1.6, RATE, 180)  # as a.wav was made
    found = np.concatenate(list(Prime(record("a.flac", 0.3 * sound, RATE, "PCM_24")).codes(run)))
    assert len(found) == len(expected)
    assert np.mean(found != expected) < 0.01  # 24 bits round otherwise than 16
    stereo = np.stack([melody(1.6, 44100, 180), melody(1.6, 44100, 180)], 1)
    faster = np.concatenate(list(Prime(record("b.wav", stereo, 44100)).codes(run)))
    assert abs(len(faster) - len(expected)) <= 1
    assert np.abs(faster[:6000] - expected[:6000]).mean() < 2  # the resampler smooths the attacks


@pytest.mark.parametrize("seconds", [1 / RATE, 0.01, 1.3])
def test_a_take_continues_its_prime(run: TorchModel, record: Record, tmp_path: Path, seconds: float) -> None:
    prime = Prime(record("prime.wav", melody(seconds, RATE, 180), RATE))
    (take,) = takes.record(run, tmp_path / "take.wav", seconds=0.1, prime=prime, seed=1)
    codes = np.concatenate(list(prime.codes(run)))
    expected = []
    state, code = run.model.initial_state(1), 32
    numbers = Uniforms(1, 1)(400)
    with torch.no_grad():
        for heard in codes:
            _, state = run.model.step(torch.tensor([code]), state)
            code = int(heard)
        for t in range(400):
            logits, state = run.model.step(torch.tensor([code]), state)
            code = int(Softmax(256).draw(logits.numpy(), numbers[:, t], Controls())[0])
            expected.append(code)
    sound, _ = soundfile.read(take.path)
    whole = Quantizer(64, "mu-law").decode(np.array(expected))
    np.testing.assert_allclose(sound[:-FADED], whole[:-FADED], atol=1 / 32767)
    with soundfile.SoundFile(take.path) as file:
        assert json.loads(file.comment)["prime"] == "prime.wav"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--checkpoint", "13"], "--checkpoint 13: .* has no checkpoint of step 13; it has "),
        (["--checkpoint", "newest"], "--checkpoint newest: give best, last or a step number"),
        (["--temperature", "-1"], "temperature: -1.0; give 0"),
        (["--top-p", "1.5"], "top-p: 1.5; give more than 0 and at most 1"),
        (["--top-k", "0"], "top-k: 0; give 1 to 2147483647"),
        (["--seconds", "0"], "--seconds 0.0: give more than 0"),
        (["--count", "0"], "--count 0: give 1 or more"),
        (["--prime", "nowhere.wav"], "nowhere.wav: "),
        (["--seconds", "nan"], "--seconds nan"),
        (["--seconds", "inf"], "--seconds inf"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_what_the_command_line_refuses(options: list[str], line: str, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.wav"
    command = start(tmp_path / "log", "generate", trained, "--out", out, *options)
    assert re.search(line, command.refusal())
    assert not out.exists()


def test_where_a_take_cannot_go(run: TorchModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"take.mp3: name a .wav or .flac file"):
        takes.record(run, tmp_path / "take.mp3", seconds=0.1)
    (tmp_path / "folder.wav").mkdir()
    command = start(tmp_path / "log", "generate", run.path, "--out", tmp_path / "folder.wav", "--seconds", 0.01)
    assert "folder.wav: cannot write" in command.refusal()
    (tmp_path / "file").write_text("")
    command = start(tmp_path / "log", "generate", run.path, "--out", tmp_path / "file/a.wav", "--seconds", 0.01)
    assert "cannot write" in command.refusal()


def test_a_full_disk_leaves_no_half_take(trained: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "20k") as disk:
        command = start(tmp_path / "log", "generate", trained, "--out", disk / "take.wav", "--seconds", 4)
        line = command.refusal()
        assert f"{disk / 'take.wav'}: cannot write" in line
        assert "Is the disk full?" in line
        assert not list(disk.iterdir())


def test_a_folder_that_is_no_run(tmp_path: Path, corpus: Corpus) -> None:
    command = start(tmp_path / "log", "generate", corpus.path, "--out", tmp_path / "a.wav")
    assert "not a run (no config.json)" in command.refusal()


def test_best_last_and_numbered_checkpoints(trained: Path) -> None:
    facts = checkpoint.read_facts(checkpoint.path(trained, 60))
    assert opening.open_run(trained).step == facts.best.step
    assert opening.open_run(trained, "last").step == 60
    assert f"step-{facts.best.step:08d}" in checkpoints(trained)
    assert opening.open_run(trained, "49").step == 49


def being_made(command: Command, folder: Path) -> None:
    """Wait until a command has written some sound to a take."""
    while command.process.is_alive() and not any(p.stat().st_size > 1000 for p in folder.glob(".take*.wav.*.tmp")):
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_there_is(number: int, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.wav"
    command = start(tmp_path / "log", "generate", trained, "--out", out, "--seconds", 3600, "--count", 2)
    being_made(command, tmp_path)
    command.send(number)
    assert command.wait() == 128 + number, command.output
    assert "interrupted" in command.output
    assert "Traceback" not in command.output
    lengths = [soundfile.info(tmp_path / f"take-{i}.wav").frames for i in (1, 2)]
    assert lengths[0] == lengths[1] >= 17 * RATE  # what the guard held back, too
    assert not list(tmp_path.glob(".take*"))
    whole = takes.record(opening.open_model(trained), tmp_path / "whole.wav", seconds=lengths[0] / RATE, count=2)
    kept, _ = soundfile.read(tmp_path / "take-1.wav")
    np.testing.assert_array_equal(kept, soundfile.read(whole[0].path)[0])


@pytest.mark.slow
def test_a_killed_command_leaves_nothing_that_the_next_one_does_not_remove(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.wav"
    command = start(tmp_path / "log", "generate", trained, "--out", out, "--seconds", 3600)
    being_made(command, tmp_path)
    takes.record(opening.open_run(trained), out, seconds=0.1)
    assert len(list(tmp_path.glob(".take*"))) == 1  # that of the command, which still writes it
    command.send(signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL
    assert len(list(tmp_path.glob(".take*"))) == 1
    takes.record(opening.open_run(trained), out, seconds=0.1)
    assert not list(tmp_path.glob(".take*"))


def test_a_take_stopped_before_its_first_sample_replaces_nothing(
    run: TorchModel, tmp_path: Path, record: Record
) -> None:
    out, prime = record("take.wav", melody(0.5, RATE), RATE), Prime(record("prime.wav", melody(0.5, RATE), RATE))
    before = out.read_bytes()

    @contextlib.contextmanager
    def stopped_while_primed(text: str, total: float | None) -> Iterator[Any]:
        if text == "hearing the prime":
            signal.raise_signal(signal.SIGTERM)
        yield lambda amount=1, text=None: None

    with pytest.raises(KeyboardInterrupt):
        takes.record(run, out, seconds=1, prime=prime, progress=stopped_while_primed)
    assert out.read_bytes() == before
    assert not list(tmp_path.glob(".take*"))


def test_more_takes_than_files_may_be_open_are_refused_at_once(tmp_path: Path) -> None:
    few = ("bash", "-c", 'ulimit -n 200 && exec "$@"', "-", sys.executable, "-m", "wavewright", "generate", "piano")
    command = (*few, "--free", "--out", str(tmp_path / "take.wav"), "--seconds")
    result = subprocess.run((*command, "0.1", "--count", "69"), capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--count 69: 68 takes can be made at once" in result.stderr
    assert not list(tmp_path.iterdir())
    subprocess.run((*command, "0.001", "--count", "68"), check=True)
    assert len(list(tmp_path.glob("*.wav"))) == 68


def test_json_reports_the_takes(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.wav"
    command = start(tmp_path / "log", "generate", trained, "--out", out, "--seconds", 0.5, "--json")
    assert command.wait() == 0
    (take,) = json.loads(command.output)
    samples, _ = soundfile.read(out)
    assert take == {
        "path": str(out),
        "seconds": 0.5,
        "rms_dbfs": pytest.approx(10 * np.log10(np.mean(samples**2)), abs=0.01),
        "mean": pytest.approx(samples.mean(), abs=1e-4),
    }


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--top-k", 2**31], f"top-k: {2**31}; give 1 to {2**31 - 1}, or leave it out"),
        (["--top-k", 10**30], f"top-k: {10**30}; give 1 to {2**31 - 1}, or leave it out"),
        (["--seed", 2**63], f"--seed {2**63}: give 0 to {2**63 - 1}"),
        (["--seed", 2**64], f"--seed {2**64}: give 0 to {2**63 - 1}"),
    ],
)
@pytest.mark.parametrize("out", ["take.wav", "-"])
def test_numbers_too_large_are_refused(
    options: list[object], line: str, out: str, trained: Path, tmp_path: Path
) -> None:
    place = out if out == "-" else tmp_path / out
    assert line in start(tmp_path / "log", "generate", trained, "--out", place, "--seconds", 0.02, *options).refusal()
    assert not (tmp_path / "take.wav").exists()


def test_the_largest_numbers_work(trained: Path, tmp_path: Path) -> None:
    options = ["--top-k", 2**31 - 1, "--seed", 2**63 - 1, "--seconds", 0.02]
    assert start(tmp_path / "log", "generate", trained, "--out", tmp_path / "take.wav", *options).wait() == 0


def test_a_file_without_end_is_refused(trained: Path, tmp_path: Path) -> None:
    command = start(tmp_path / "log", "generate", trained, "--out", tmp_path / "take.wav", "--seconds", "inf")
    assert "--seconds inf: a file has an end; give a number, or stream with --out -" in command.refusal()
