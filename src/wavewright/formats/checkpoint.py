"""Save and load checkpoints, the folders `checkpoints/step-00000120/` of a run.

model.safetensors holds the weights to play, and training.safetensors the other tensors of training (moments, lanes).
training.json holds the numbers and the SHA-256 of both files. A checkpoint is written beside its place and renamed.
Older ones are removed only after it has been read back.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.files import atomic_folder, check_name, read_json, sha256, write_json

FILES = ("model.safetensors", "training.safetensors")
REMEDY = "the checkpoint is damaged; remove its folder to go on from the one before"

UNHARMED = "the checkpoints before it are whole: make room, then go on with --resume"


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint, with tensors on the CPU. `facts` are the contents of training.json."""

    folder: Path
    model: dict[str, Tensor]
    training: dict[str, Tensor]
    facts: dict[str, Any]


def save(run: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to its folder, and read it back to be sure.

    Raises:
        WavewrightError: the checkpoint cannot be written. Earlier checkpoints stay as they were.
    """
    with atomic_folder(checkpoint.folder) as folder:
        for name, tensors in zip(FILES, (checkpoint.model, checkpoint.training), strict=True):
            try:
                save_file(tensors, folder / name)
            except SafetensorError as error:  # safetensors hides the system's error, such as a full disk, in this one
                raise WavewrightError(f"{checkpoint.folder / name}: cannot write: {error}; {UNHARMED}") from None
        hashes = {name: sha256(folder / name) for name in FILES}
        write_json(folder / "training.json", {**checkpoint.facts, "sha256": hashes})
    load(checkpoint.folder)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        WavewrightError: the checkpoint is incomplete or damaged, or its name is no text. The line names the file.
    """
    check_name(folder)  # which safetensors could not open
    facts = read_facts(folder)
    tensors = []
    for name in FILES:
        path = folder / name
        try:
            if sha256(path) != facts["sha256"].get(name):
                raise WavewrightError(f"{path}: its SHA-256 is not the one in training.json; {REMEDY}")
            tensors.append(load_file(path))
        except (OSError, SafetensorError) as error:
            raise WavewrightError(f"{path}: not readable ({error}); {REMEDY}") from None
    return Checkpoint(folder, tensors[0], tensors[1], facts)


def read_facts(folder: Path) -> dict[str, Any]:
    """Return the contents of a checkpoint's training.json.

    Raises:
        WavewrightError: the file is damaged.
    """
    facts = read_json(folder / "training.json")
    if not isinstance(facts, dict) or not isinstance(facts.get("sha256"), dict):
        raise WavewrightError(f"{folder / 'training.json'}: no sha256 field; {REMEDY}")
    return facts


def path(run: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint."""
    return run / "checkpoints" / f"step-{step:08d}"


def steps(run: Path) -> list[int]:
    """Return the steps that have a checkpoint, oldest first."""
    found = (re.fullmatch(r"step-(\d{8,})", folder.name) for folder in (run / "checkpoints").glob("step-*"))
    return sorted(int(match[1]) for match in found if match)


def scheduled_steps(run: Path) -> list[int]:
    """Return the steps of scheduled checkpoints, oldest first.

    Only these are rolled back to, so a resumed run takes the path of an uninterrupted one.
    """
    return [step for step in steps(run) if read_facts(path(run, step))["regular"]]


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
        best = read_facts(path(run, step)).get("best") or {}
        step = best.get("step", step)
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
    for step in steps(run):
        if step not in keep:
            shutil.rmtree(path(run, step))
    for leftover in (run / "checkpoints").glob(".step-*"):
        shutil.rmtree(leftover)
