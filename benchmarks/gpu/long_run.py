"""Training one model at full size for the rest of the time, and what is kept of it.

Kept in the output folder, each file of PIECE bytes at most: the model as one file, a take that the native engine plays
from it, and the run itself with its newest scheduled checkpoint, as a tar cut into pieces. `--resume` puts the pieces
together and goes on, to the bits of a run that was never interrupted.
"""

import json
import os
import shutil
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from gpu.work import NO_TIME, Cell, NotRun, Row, Work
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import ConfigError
from wavewright.formats import checkpoint
from wavewright.formats.config import RunConfig, resolve
from wavewright.formats.precision import Precision
from wavewright.models.condition import Control
from wavewright.playing import engine, opening
from wavewright.playing.export import export
from wavewright.playing.performance import read_performance
from wavewright.playing.stream import stream
from wavewright.sampling import Controls
from wavewright.training.loop import Budget
from wavewright.training.run import train

PIECE = 15 * 2**20  # bytes
PIECES = 4
SECTION_SECONDS = 10.0
TAKE_SECONDS = {False: 8, True: 1}
AFTERWARDS = {False: 25.0, True: 5.0}  # seconds that are kept for what comes after training
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
COMMON = ["training.sample_seconds=0", "training.validation_seconds=30", "training.checkpoint_every=250"]
RUNS = {  # preset and fields over it
    "wavenet": (
        "paper",
        [
            *("model.blocks=2", "training.precision=bf16", "training.clip=norm"),
            *("training.schedule=cosine", "training.schedule_steps=8000"),
        ],
    ),
    "sample-rnn": ("thesis", ["model.input=embedded", "training.precision=bf16", "encoding=mu-law"]),
    "naive-rnn": ("thesis", ["model.input=embedded", "training.precision=bf16", "encoding=mu-law"]),
}


def run(work: Work) -> None:
    """Train, then keep what can be kept."""
    with tempfile.TemporaryDirectory() as folder:
        place = Run(work, Path(folder) / "run")
        cells: dict[str, Cell] = {"train": place.train, "run": place.pack, "model": place.export, "take": place.take}
        work.run(cells, room=-AFTERWARDS[work.options.small])


@dataclass
class Run:
    """A run in a temporary folder.

    Attributes:
        work: the part.
        folder: the run's.
    """

    work: Work
    folder: Path

    @property
    def model(self) -> Path:
        """The model's file."""
        return self.work.options.out / "model.safetensors"

    def train(self) -> Row:
        """Train until only the time for keeping it is left."""
        options = self.work.options
        before = resumed(options.resume, self.folder) if options.resume else 0.0
        with tempfile.TemporaryDirectory() as scratch:
            corpus = corpus_of(options.recordings, Path(scratch) / "corpus", options.small)
            config = config_of(options.model, options.small, corpus.controls)
            seconds = self.work.left() - AFTERWARDS[options.small]
            if seconds < 1:
                raise NotRun(NO_TIME)
            if options.small:
                seconds = min(seconds, 10.0)
            budget = Budget(minutes=(before + seconds) / 60)
            summary = train(config, corpus, self.folder, budget, resume=True, device=self.work.device.type)
        return {
            "model": options.model,
            "step": summary.step,
            "seconds": round(summary.seconds, 1),
            "seconds_of_this_drill": round(summary.seconds - before, 1),
            "loss_nats": summary.loss,
            "best": summary.best and asdict(summary.best),
            **course(self.folder),
        }

    def pack(self) -> Row:
        """Keep the run with its newest scheduled checkpoint, which an interrupted run too may roll back to."""
        newest = checkpoint.path(self.folder, checkpoint.scheduled_steps(self.folder)[-1])
        names = ["config.json", "metrics.jsonl", str(newest.relative_to(self.folder))]
        path = self.folder.with_suffix(".tar")
        with tarfile.open(path, "w") as tar:
            for name in names:
                tar.add(self.folder / name, name)
        row: Row = {"checkpoint": newest.name, "bytes": path.stat().st_size}
        if path.stat().st_size > PIECE * PIECES:
            return {**row, "left_out": f"more than {PIECES} pieces of {PIECE} bytes; only the model's file is kept"}
        return {**row, "pieces": cut(path, self.work.options.out)}

    def export(self) -> Row:
        """Keep the model as one file: in float32, or in bfloat16 where that is too large."""
        for precision in PRECISIONS:
            export(opening.open_run(self.folder, "last"), self.model, precision)
            if (size := self.model.stat().st_size) <= PIECE:
                return {"file": self.model.name, "precision": precision, "bytes": size}
        self.model.unlink()
        return {"left_out": f"{size} bytes even in bfloat16"}

    def take(self) -> Row:
        """Keep a take that the native engine plays from the model's file, as long as there is time for.

        A model with a keyboard plays the score of the bundled clip.
        """
        if not engine.available():
            raise NotRun("the native engine is not built")
        playable = opening.load(self.model)
        wanted, controls = TAKE_SECONDS[self.work.options.small], Controls()
        if playable.config.condition and playable.config.condition.notes:
            with resources.as_file(resources.files("wavewright") / "data" / "scores/bwv846_prelude.mid") as score:
                controls = Controls(part=read_performance(playable, score))
        blocks: list[Any] = []
        for block in stream(playable.player(seed=1), wanted * playable.rate, controls):
            blocks.append(block[0])
            if self.work.left() < 2:
                break
        amplitude = playable.quantizer.decode(np.concatenate(blocks))
        path = self.work.options.out / "take.wav"
        soundfile.write(path, amplitude, playable.rate, "PCM_16")
        return {"file": path.name, "seconds_of_sound": round(len(amplitude) / playable.rate, 2)}


def config_of(model: str, small: bool, controls: tuple[Control, ...]) -> RunConfig:
    """Return the configuration of the long run, whose model learns the controls.

    Raises:
        ConfigError: there is none for that model.
    """
    if small:
        fields = ["training.checkpoint_every=5", "training.sample_seconds=0"]
        return resolve(model, "tiny", None, fields, controls, batch_size=2)
    if model not in RUNS:
        raise ConfigError(f"--model {model}: not one of {', '.join(RUNS)}")
    preset, fields = RUNS[model]
    return resolve(model, preset, None, [*COMMON, *fields], controls)


def corpus_of(recordings: Path | None, folder: Path, small: bool) -> Corpus:
    """Return a corpus of the recordings and the scores beside them, or of the bundled clip."""
    settings = PrepareSettings(section_seconds=1.0 if small else SECTION_SECONDS, levels="corpus")
    if recordings is not None:
        return prepare([recordings], folder, settings, workers=os.cpu_count() or 1)
    with resources.as_file(resources.files("wavewright") / "data" / "bwv846_prelude.flac") as path:
        return prepare([path], folder, settings)


def course(run: Path) -> Row:
    """Return how the run went: every validation, and the speed of its later steps."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    steps = [record for record in records if "loss" in record]
    speeds = sorted(record["time"]["samples_per_second"] for record in steps[len(steps) // 4 :])
    return {
        "validations": [[record["step"], record["bits"]] for record in records if record.get("event") == "validation"],
        "events": [record for record in records if record.get("event") == "rollback"],
        "skipped": sum(record["verdict"] == "skip" for record in steps),
        "samples_per_second": speeds[len(speeds) // 2] if speeds else None,
    }


def cut(path: Path, out: Path) -> list[str]:
    """Cut a file into pieces of PIECE bytes in `out`, and return their names."""
    names: list[str] = []
    with path.open("rb") as source:
        while piece := source.read(PIECE):
            names.append(f"run.tar.{len(names)}")
            (out / names[-1]).write_bytes(piece)
    return names


def resumed(earlier: Path, folder: Path) -> float:
    """Put the run that an earlier drill kept into `folder`, and return the seconds that it has had.

    Raises:
        NotRun: there is none.
    """
    pieces = sorted(earlier.glob("run.tar.*"))
    if not pieces:
        raise NotRun(f"{earlier}: no run.tar.0 to go on from")
    path = folder.with_suffix(".before.tar")
    with path.open("wb") as whole:
        for piece in pieces:
            with piece.open("rb") as source:
                shutil.copyfileobj(source, whole)
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    path.unlink()
    return checkpoint.read_facts(checkpoint.find(folder, "last")).seconds
