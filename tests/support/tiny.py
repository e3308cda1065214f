"""Tiny corpora, tiny models, and the command line in processes that start at once."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import soundfile

from conftest import HANGS, melody
from support import child
from support.kinds import TINY
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.formats import config
from wavewright.training.loop import Budget
from wavewright.training.run import train

RATE = 4000
TRACKS = {"train": {"a.wav": 1.6, "b.wav": 0.9}, "valid": {"c.wav": 0.6}, "test": {"d.wav": 0.7, "e.wav": 0.3}}

TRAINING: dict[str, Any] = {
    "batch_size": 4,
    "length": 128,
    "learning_rate": 0.01,
    "checkpoint_every": 7,
    "validation_seconds": 0.3,
    "sample_seconds": 0.01,
}


def make_corpus(folder: Path, **settings: Any) -> Corpus:
    """21 sections of 500 samples for training, some shorter; 24 steps an epoch with the lanes of TRAINING."""
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    for i, (name, seconds) in enumerate(item for split in TRACKS.values() for item in split.items()):
        soundfile.write(recordings / name, melody(seconds, RATE, 180 + 35 * i), RATE)
    splits = {split: tuple(tracks) for split, tracks in TRACKS.items()}
    chosen = PrepareSettings(**{"rate": RATE, "section_seconds": 0.125, "trim": 0, "splits": splits, **settings})
    return prepare([recordings], folder / "corpus", chosen)


def tiny(model: str, fields: dict[str, Any] | None = None, emphasis: float = 0.0, **training: Any) -> config.RunConfig:
    """The configuration of a tiny model of 64 levels."""
    return config.RunConfig.from_dict(
        {
            "model": {"name": model, "q_levels": 64, **TINY[model], **(fields or {})},
            "emphasis": emphasis,
            "training": {**TRAINING, **training},
        }
    )


SETTINGS = tiny("naive-rnn")


def again(corpus: Corpus, run: Path, steps: int = 20, settings: config.RunConfig = SETTINGS, **options: Any) -> None:
    """Resume a run."""
    train(settings, corpus, run, Budget(steps=steps), **{"resume": True, "device": "cpu", **options})


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files in a folder, by their names."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def as_arguments(settings: config.RunConfig) -> list[str]:
    """The same as options of `wavewright train`."""
    values = settings.as_dict()
    fields = {f"model.{k}": v for k, v in values["model"].items() if k != "name"}
    fields |= {key: values[key] for key in ("encoding", "emphasis")}
    fields |= {f"training.{k}": v for k, v in values["training"].items()}
    sets = [part for key, value in fields.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    return ["--model", settings.model.name, "--device", "cpu", *sets]


# Commands. A process that has torch imported already forks one child per command, which a test may kill.

fork = multiprocessing.get_context("forkserver")
fork.set_forkserver_preload(
    [
        "wavewright.cli",
        "cyclopts.help",
        "wavewright.training.run",
        "wavewright.measuring.evaluation",
        "torch.utils.tensorboard",
        "matplotlib",
    ]
)


@dataclass
class Command:
    """A command that runs: `wait()` for its exit status, read its `output`, or end it."""

    process: BaseProcess
    log: Path

    def wait(self, seconds: float = HANGS) -> int:
        """The exit status; minus the signal that ended it, where one did."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"still running after {seconds} s: {self.output}")
        return self.process.exitcode

    @property
    def output(self) -> str:
        """All that it has said, on either stream."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, number)

    def refusal(self) -> str:
        """The one line with which it refuses, exit status 2."""
        status = self.wait()
        assert status == 2, (status, self.output)
        assert "Traceback" not in self.output
        last = self.output.strip().splitlines()[-1]
        assert last.startswith("wavewright: ")
        return last


def start(log: Path, *arguments: object, out: Path | None = None, **environment: str) -> Command:
    """Start `wavewright ARGUMENTS`. What it says goes to `log`, and its results to `out` where that is given."""
    log.unlink(missing_ok=True)
    given = ([str(argument) for argument in arguments], str(out or log), str(log), {**os.environ, **environment})
    process = fork.Process(target=child.command, args=given, daemon=True)
    process.start()
    return Command(process, log)


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `wavewright ARGUMENTS` to its end."""
    with tempfile.TemporaryDirectory() as folder:
        log, out = Path(folder, "log"), Path(folder, "out")
        command = start(log, *arguments, out=out)
        status = command.wait(HANGS)
        return subprocess.CompletedProcess(arguments, status, out.read_text(encoding="utf-8"), command.output)


def wait_for_lines(command: Command, run: Path, more: int) -> None:
    """Until a training command has begun and written `more` lines of metrics, or has ended."""
    metrics, start = run / "metrics.jsonl", None
    while command.process.is_alive():
        if start is None and "parameters on" in command.output:  # a resumed run has cut the file to its checkpoint
            start = metrics.read_bytes().count(b"\n")
        if start is not None and metrics.read_bytes().count(b"\n") >= start + more:
            return
        time.sleep(0.001)


# What a run leaves


def records(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, times aside."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "time"} for line in lines]


def losses(run: Path) -> list[float]:
    """The loss of every step."""
    return [record["loss"] for record in records(run) if "loss" in record]


def hashes(run: Path, step: int) -> dict[str, str]:
    """SHA-256 of a checkpoint's tensors, and its facts but for times."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in facts.items() if key not in ("seconds", "pace", "metrics_bytes", "digest")}
    files: Iterable[Path] = folder.glob("*.safetensors")
    return {
        **{file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        "facts": json.dumps(kept, sort_keys=True),
    }


def checkpoints(run: Path) -> list[str]:
    """The names of all that lies in its checkpoints folder."""
    return sorted(file.name for file in (run / "checkpoints").iterdir())


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of `size`, such as 256k, at `folder`; the test is skipped where it cannot be had (it needs root)."""
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
