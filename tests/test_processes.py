"""Two processes with half the batch each follow one process with the whole; and resume as it does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from safetensors.torch import load_file

from conftest import HANGS, melody
from support.controlled import HOP, NOTES, VOICE, make_controlled
from support.launcher import ELASTIC, process_of, together, torchrun
from support.tiny import as_arguments, hashes, losses, make_corpus, records, small_disk, start, tiny
from wavewright.corpus.corpus import Corpus
from wavewright.formats import checkpoint
from wavewright.formats.config import RunConfig
from wavewright.training.loop import Budget
from wavewright.training.run import train

pytestmark = pytest.mark.slow

STEPS = 26  # over the end of an epoch
MANY: dict[str, Any] = {"batch_size": 4, "checkpoint_every": 10}


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def launch(config: RunConfig, corpus: Corpus, run: Path, steps: int, launcher: Any = together) -> Any:
    arguments = ["train", corpus.path, *as_arguments(config), "--out", run, "--steps", steps, "--resume"]
    return launcher(arguments)


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.path(run, step) / "model.safetensors")


def follows(run: Path, one: Path) -> None:
    assert losses(run) == pytest.approx(losses(one), rel=1e-4)
    assert len(losses(run)) == STEPS
    validations = [[r["bits"] for r in records(folder) if "bits" in r] for folder in (run, one)]
    assert validations[0] == pytest.approx(validations[1], rel=1e-4)
    found, expected = weights(run, STEPS), weights(one, STEPS)
    start = weights(one, 10)
    for name, value in expected.items():
        moved = (value - start[name]).abs().max()
        assert (found[name] - value).abs().max() < 1e-3 * max(1e-3, float(moved)) + 1e-4


@pytest.fixture(scope="module")
def sample_rnn(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run of one process, and that of two, as torchrun starts them."""
    folder = tmp_path_factory.mktemp("processes")
    config = tiny("sample-rnn", **MANY)
    train(config, corpus, folder / "one", Budget(steps=STEPS), device="cpu")
    result = launch(config, corpus, folder / "two", STEPS, torchrun)
    assert result.returncode == 0, result.stderr
    return folder / "one", folder / "two"


def test_two_processes_follow_one(sample_rnn: tuple[Path, Path]) -> None:
    one, two = sample_rnn
    follows(two, one)
    assert json.loads((two / "config.json").read_text())["made_by"]["processes"] == 2
    assert len(list((two / "samples").iterdir())) == 3  # one of them writes, at 10, 20 and the end


def test_two_processes_resume_to_the_same_bits(sample_rnn: tuple[Path, Path], corpus: Corpus, tmp_path: Path) -> None:
    config = tiny("sample-rnn", **MANY)
    for steps in (13, STEPS):
        result = launch(config, corpus, tmp_path / "run", steps)
        assert result.returncode == 0, result.stderr
    assert records(tmp_path / "run") == records(sample_rnn[1])
    assert hashes(tmp_path / "run", STEPS) == hashes(sample_rnn[1], STEPS)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_comes_back(rank: int, sample_rnn: tuple[Path, Path], corpus: Corpus, tmp_path: Path) -> None:
    """The launcher starts both anew, and they go on from the last checkpoint to the same bits."""
    run, saved = tmp_path / "run", tmp_path / "run" / "checkpoints"

    def kill(launcher: int) -> None:
        until = time.monotonic() + HANGS
        while not (saved.exists() and 10 in checkpoint.steps(run)):
            assert time.monotonic() < until
            time.sleep(0.01)
        killed = process_of(launcher, rank)
        assert killed
        os.kill(killed, signal.SIGKILL)

    config = tiny("sample-rnn", **MANY)
    arguments = ["train", corpus.path, *as_arguments(config), "--out", run, "--steps", STEPS, "--resume"]
    result = torchrun(arguments, options=["--max-restarts", "3"], disturb=kill)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert records(run) == records(sample_rnn[1])
    assert hashes(run, STEPS) == hashes(sample_rnn[1], STEPS)


def test_lanes_are_dealt_anew_where_their_number_changes(corpus: Corpus, tmp_path: Path) -> None:
    """Three sections side by side become four over two processes. The run goes on, and says what happened."""
    config, run = tiny("sample-rnn", **{**MANY, "batch_size": 3}), tmp_path / "run"
    train(config, corpus, run, Budget(steps=25), device="cpu")  # in the last group of three, which four do not have
    result = launch(config, corpus, run, STEPS)
    assert result.returncode == 0, result.stderr
    assert "1 processes before, 2 now; the sections that were being read begin anew" in result.stderr
    changes = [record for record in records(run) if record.get("event") == "processes"]
    assert changes == [{"step": 25, "event": "processes", "before": 1, "now": 2, "sections_begin_anew": True}]
    assert len(losses(run)) == STEPS


def test_processes_with_different_corpora_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    other = make_corpus(tmp_path / "other", trim=20)
    (tmp_path / "0").symlink_to(corpus.path)
    (tmp_path / "1").symlink_to(other.path)
    wanted = " ".join(as_arguments(tiny("naive-rnn", **MANY)))
    script = f"exec {sys.executable} -m wavewright train {tmp_path}/$RANK {wanted} --out {tmp_path}/run --steps 2"
    command = [sys.executable, *TORCHRUN, "--no-python", "sh", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, env=ELASTIC, check=False)
    assert result.returncode != 0
    assert "process 1 has another than process 0" in result.stderr
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_full_disk_stops_all_processes_with_one_line(corpus: Corpus, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "512k") as disk:
        result = launch(tiny("naive-rnn", {"units": 64}, **MANY), corpus, disk / "run", STEPS, torchrun)
    assert result.returncode != 0
    said = [line for line in result.stderr.splitlines() if "No space left on device" in line]
    assert len(said) == 1, result.stderr
    assert "wavewright: " in said[0]
    assert "Error: [Errno" not in result.stderr


def test_two_processes_share_controls_and_leads(tmp_path: Path) -> None:
    """With three lanes, so that one process has an idle one."""
    sounds = make_controlled(tmp_path / "sounds")
    condition = {"controls": [asdict(control) for control in (VOICE, NOTES)], "hop": HOP, "width": 8}
    config = tiny("naive-rnn", {"condition": condition}, **{**MANY, "batch_size": 3, "lead_seconds": 0.05})
    for steps in (13, STEPS):
        result = launch(config, sounds, tmp_path / "two", steps)
        assert result.returncode == 0, result.stderr
    train(
        replace(config, training=replace(config.training, batch_size=4)),
        sounds,
        tmp_path / "one",
        Budget(steps=STEPS),
        device="cpu",
    )
    follows(tmp_path / "two", tmp_path / "one")


def test_lanes_to_spare_fill_up_the_processes(corpus: Corpus, tmp_path: Path) -> None:
    """Three lanes over two processes become four: as one process with four."""
    config = tiny("wavenet", **{**MANY, "batch_size": 3})
    result = launch(config, corpus, tmp_path / "two", STEPS)
    assert result.returncode == 0, result.stderr
    train(tiny("wavenet", **MANY), corpus, tmp_path / "one", Budget(steps=STEPS), device="cpu")
    follows(tmp_path / "two", tmp_path / "one")


def test_one_process_goes_on_from_two(sample_rnn: tuple[Path, Path], corpus: Corpus, tmp_path: Path) -> None:
    """The lanes of all processes are in the checkpoint; the note says that the bits will differ."""
    run = shutil.copytree(sample_rnn[1], tmp_path / "run")
    options = as_arguments(tiny("sample-rnn", **MANY))
    command = start(tmp_path / "log", "train", corpus.path, *options, "--out", run, "--steps", 40, "--resume")
    assert command.wait() == 0, command.output
    assert "processes: 2 before, 1 now; the run goes on, but not to the same bits" in command.output
    whole = tmp_path / "whole"
    train(tiny("sample-rnn", **MANY), corpus, whole, Budget(steps=40), device="cpu")
    assert losses(run) == pytest.approx(losses(whole), rel=1e-3)


def test_two_processes_prepare_recordings_once_and_report_once(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", melody(14, 14700), 14700)
    config = tiny("naive-rnn", **MANY)
    arguments = ["train", tmp_path / "song.wav", *as_arguments(config), "--out", tmp_path / "run", "--steps", 2]
    result = together([*arguments, "--json"])
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("preparing") == 1
    assert json.loads(result.stdout)["step"] == 2
    # And what one of them refuses ends both.
    arguments[-1] = 4
    result = together([*arguments, "--resume", "--seed", 5])
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("wavewright: ")]
    assert 1 <= len(lines) <= 2
    assert all("training.seed: 0 before, 5 now" in line for line in lines)
