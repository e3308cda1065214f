"""Save and load checkpoints, the folders `checkpoints/step-00000120/` of a run.

model.safetensors holds the weights to play, and training.safetensors the other tensors of training (moments, lanes).
training.json holds the numbers, the SHA-256 of both files and a digest of its own contents. A checkpoint is written
beside its place and renamed. Older ones are removed only after it has been read back.
"""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated
from safetensors import SafetensorError

from wavewright.corpus.batches import Position
from wavewright.errors import WavewrightError, explain, printable
from wavewright.files import atomic_folder, check_name, read_json, sha256, write_json
from wavewright.formats.config import differences
from wavewright.models.config import STRICT

if TYPE_CHECKING:
    from torch import Tensor

FILES = ("model.safetensors", "training.safetensors")
FACTS = "training.json"
REMEDY = "the checkpoint is damaged; remove its folder to go on from the one before"

UNHARMED = "the checkpoints before it are whole: make room, then go on with --resume"

Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(ge=0)]


@validated(frozen=True, config=STRICT)
class Validation:
    """A validation: after which step, and the bits per sample that it found."""

    step: Count
    bits: Number


@validated(frozen=True, config=STRICT)
class GuardState:
    """The training guard's window (losses in nats, logarithms of gradient norms) and its skipped steps in a row."""

    losses: list[float]
    norms: list[float]
    skipped: Count


@validated(frozen=True, config=STRICT)
class Pace:
    """How fast a run uses up its budget, measured once.

    Attributes:
        step: updates made by then.
        made: the same with the updates that roll-backs have undone.
        epochs: passes over the corpus by then.
        seconds: time spent on the run by then.
    """

    step: Annotated[int, Field(ge=1, le=2**53)]
    made: Annotated[int, Field(ge=1, le=2**53)]
    epochs: Annotated[float, Field(gt=0)]
    seconds: Annotated[float, Field(gt=0)]


@validated(frozen=True, config=STRICT)
class Facts:
    """The numbers of a checkpoint, by their names in training.json.

    Attributes:
        step: updates made.
        samples: training samples read, over all processes.
        position: place of the next batch.
        lanes: sections side by side, over all processes.
        guard: state of the training guard.
        rate_scale: what plateaus and roll-backs have left of the learning rate.
        stale_validations: validations since the best one.
        best: the best validation so far, if any.
        lost: roll-backs since the last scheduled checkpoint.
        lowered: roll-backs in all.
        regular: whether the checkpoint was scheduled, so that it would be there had the run never been stopped.
        seconds: time spent on the run in all its sessions.
        metrics_bytes: length of metrics.jsonl when the checkpoint was made.
        pace: how fast the run used up its budget. A learning rate that ends with the budget follows it until the next
            scheduled checkpoint. None before the pace was measured, and in checkpoints of earlier versions.
        undone: updates that roll-backs have undone. None in checkpoints of earlier versions.
        processes: number of processes that trained. None in checkpoints of earlier versions.
        stages: number of stages into which the model was split. None in checkpoints of earlier versions.
    """

    step: Count
    samples: Count
    position: Position
    lanes: Annotated[int, Field(ge=1, le=2**53)]
    guard: GuardState
    rate_scale: Annotated[float, Field(ge=0, le=1)]
    stale_validations: Count
    best: Validation | None
    lost: Count
    lowered: Count
    regular: bool = True
    seconds: Number = 0.0
    metrics_bytes: Count = 0
    pace: Pace | None = None
    undone: Count | None = None
    processes: Count | None = None
    stages: Count | None = None

    def __post_init__(self) -> None:
        if min(vars(self.position).values()) < 0:
            raise ValueError("position: a negative number")


_FACTS = TypeAdapter(Facts)


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint, with tensors on the CPU."""

    folder: Path
    model: "dict[str, Tensor]"
    training: "dict[str, Tensor]"
    facts: Facts


def save(run: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to its folder, and read it back to be sure.

    Raises:
        WavewrightError: the checkpoint cannot be written. Earlier checkpoints stay as they were.
    """
    from safetensors.torch import save_file

    with atomic_folder(checkpoint.folder) as folder:
        for name, tensors in zip(FILES, (checkpoint.model, checkpoint.training), strict=True):
            try:
                save_file(tensors, folder / name)
            except SafetensorError as error:  # safetensors hides the system's error, such as a full disk, in this one
                raise WavewrightError(f"{checkpoint.folder / name}: cannot write: {error}; {UNHARMED}") from None
        values = {**_FACTS.dump_python(checkpoint.facts), "sha256": {name: sha256(folder / name) for name in FILES}}
        write_json(folder / FACTS, {**values, "digest": _digest(values)})
    load(checkpoint.folder)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        WavewrightError: the checkpoint is incomplete or damaged, or its name is no text. The line names the file.
    """
    from safetensors.torch import load_file

    check_name(folder)  # which safetensors could not open
    facts, hashes = _read(folder)
    tensors = []
    for name in FILES:
        path = folder / name
        try:
            if sha256(path) != hashes.get(name):
                raise WavewrightError(f"{path}: its SHA-256 is not the one in {FACTS}; {REMEDY}")
            tensors.append(load_file(path))
        except (OSError, SafetensorError) as error:
            raise WavewrightError(f"{path}: not readable ({error}); {REMEDY}") from None
    return Checkpoint(folder, tensors[0], tensors[1], facts)


def read_facts(folder: Path) -> Facts:
    """Return the numbers in a checkpoint's training.json.

    Raises:
        WavewrightError: the file is damaged.
    """
    return _read(folder)[0]


def _read(folder: Path) -> tuple[Facts, dict[str, Any]]:
    """Return the numbers in a checkpoint's training.json, and the SHA-256 of the other files by their names.

    Checkpoints of earlier versions have no digest. Then a number that was changed into another possible one goes
    unnoticed.
    """
    path = folder / FACTS
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("sha256"), dict):
        raise WavewrightError(f"{path}: no sha256 field; {REMEDY}")
    if "digest" in values and values.pop("digest") != _digest(values):
        raise WavewrightError(f"{path}: its digest is not that of its contents; {REMEDY}")
    hashes = values.pop("sha256")
    try:
        facts = _FACTS.validate_python(values)
    except ValidationError as error:
        raise WavewrightError(f"{path}: {printable(explain(error, 'facts'))[:300]}; {REMEDY}") from None
    if odd := differences(values, _FACTS.dump_python(facts)):
        raise WavewrightError(f"{path}: facts.{odd[0].partition(':')[0]}: missing, or not of its type; {REMEDY}")
    if folder.name != step_name(facts.step):
        raise WavewrightError(f"{path}: of step {facts.step}, in a folder of another name; {REMEDY}")
    return facts, hashes


def _digest(values: dict[str, Any]) -> str:
    """Return the SHA-256 of JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def step_name(step: int) -> str:
    """Return the name of a step's folder or file."""
    return f"step-{step:08d}"


def path(run: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint."""
    return run / "checkpoints" / step_name(step)


def steps(run: Path) -> list[int]:
    """Return the steps that have a checkpoint, oldest first."""
    found = (re.fullmatch(r"step-(\d{8,})", folder.name) for folder in (run / "checkpoints").glob("step-*"))
    return sorted(int(match[1]) for match in found if match)


def scheduled_steps(run: Path) -> list[int]:
    """Return the steps of scheduled checkpoints, oldest first.

    Only these are rolled back to, so a resumed run takes the path of an uninterrupted one.
    """
    return [step for step in steps(run) if read_facts(path(run, step)).regular]


def find(run: Path, which: str) -> Path:
    """Return the folder of checkpoint `best`, `last` or a step number. Without a validation, `best` is the last.

    Raises:
        WavewrightError: there is no such checkpoint.
    """
    there = steps(run)
    if not there:
        raise WavewrightError(f"{run}: holds no checkpoint; train it first: wavewright train CORPUS --out {run}")
    step = there[-1]
    if which == "best":
        best = read_facts(path(run, step)).best
        step = best.step if best else step
    elif which != "last":
        if not which.isdigit():
            raise WavewrightError(f"--checkpoint {which}: give best, last or a step number")
        step = int(which)
    if step not in there:
        raise WavewrightError(
            f"--checkpoint {which}: {run} has no checkpoint of step {step}; it has {', '.join(map(str, there))}"
        )
    return path(run, step)


def prune(run: Path, keep: set[int]) -> None:
    """Remove the checkpoints of all steps but `keep`, and the leftovers of a killed run."""
    _remove_leftovers(run)
    for step in steps(run):
        if step not in keep:
            folder = path(run, step)
            folder.rename(folder.with_name(f".{folder.name}"))  # at once, since a kill may leave half of its files
    _remove_leftovers(run)


def _remove_leftovers(run: Path) -> None:
    for leftover in (run / "checkpoints").glob(".step-*"):
        shutil.rmtree(leftover)
