"""The command `wavewright train`."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wavewright.commands.console import print_json, progress, say
from wavewright.commands.options import Device, Fields, Flag, ModelName, PresetName
from wavewright.errors import ConfigError, need_torch

if TYPE_CHECKING:
    from wavewright.corpus.corpus import Corpus
    from wavewright.training.loop import Summary

DEFAULT_MINUTES = 30.0


def train(
    *corpus: Path,
    model: ModelName,
    out: Path,
    preset: PresetName = "small",
    config: Path | None = None,
    set_: Fields = (),
    steps: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: Device = "auto",
    precision: Literal["fp32", "bf16"] | None = None,
    checkpoint_every: int | None = None,
    resume: Flag = False,
    json: Flag = False,
) -> None:
    """Train a model on a corpus, or directly on recordings.

    Parameters
    ----------
    corpus
        Corpus that `prepare` made. Audio files and folders work too and are first prepared with the defaults.
    model
        Model to train. `wavenet` suits timbre and detail, `sample-rnn` long notes and dynamics, `naive-rnn` a steady
        texture. If in doubt, take `wavenet`.
    out
        Run folder for configuration, metrics, TensorBoard events, listening samples and checkpoints.
    preset
        Preset that sets the size and the training. `small` suits half an hour on two cores, `tiny` a quick try.
        `thesis` and `paper` are the large published sizes.
    config
        YAML file of fields that replace the preset's, such as `model: {units: 256}`.
    set_
        One field that replaces the preset's and the file's, such as `model.units=256` or
        `training.schedule=plateau`. May be repeated.
    steps
        Stop after this many steps, counted from the start of the run.
    epochs
        Stop after this many passes over the corpus.
    minutes
        Stop after this many minutes, counted over all sessions of the run. The default is 30 without --steps and
        --epochs.
    batch_size
        Number of sections trained side by side (training.batch_size). The default is the preset's.
    seed
        Seed for the weights and the order of the data (training.seed). The default is 0.
    device
        Device for torch. `auto` takes the GPU where there is one.
    precision
        Precision of training: `fp32`, or `bf16` where the processor has it (training.precision). The default is fp32.
    checkpoint_every
        Steps between checkpoints, each with a validation and a listening sample (training.checkpoint_every). The
        default is the preset's.
    resume
        Go on from the run's last checkpoint, with exactly the same result as without the stop. Without a run in RUN,
        start one.
    json
        Print a summary of the run as JSON.
    """
    need_torch()
    from wavewright.formats import config as configuration
    from wavewright.formats import run_folder
    from wavewright.processes import rank
    from wavewright.training.loop import Budget
    from wavewright.training.run import train as run_training

    settings = configuration.resolve(
        model,
        preset,
        config,
        list(set_),
        batch_size=batch_size,
        seed=seed,
        precision=precision,
        checkpoint_every=checkpoint_every,
    )
    if steps is None and epochs is None and minutes is None:
        minutes = DEFAULT_MINUTES
    budget = Budget(steps, epochs, minutes)
    run_folder.check(out)
    summary = run_training(settings, _corpus(corpus, out), out, budget, resume=resume, device=device, progress=progress)
    if rank() == 0:
        _report(summary, json)
    if summary.interrupted:
        raise KeyboardInterrupt


def _report(summary: "Summary", json: bool) -> None:
    if json:
        print_json({**asdict(summary), "run": str(summary.run)})
    best = f", best validation {summary.best.bits:.3f} bits at step {summary.best.step}" if summary.best else ""
    say(f"{summary.run}: step {summary.step} after {summary.seconds / 60:.1f} min{best}")
    say(f"listen: wavewright generate {summary.run} --out take.wav; go on: the same command with --resume")


def _corpus(paths: tuple[Path, ...], out: Path) -> "Corpus":
    """Return the corpus named, or make one of the recordings named."""
    from wavewright.corpus.corpus import INDEX, Corpus
    from wavewright.corpus.prepare import prepare
    from wavewright.corpus.settings import PrepareSettings
    from wavewright.processes import rank

    if not paths:
        raise ConfigError("no CORPUS given; name a corpus, or audio files or folders")
    if len(paths) == 1 and ((paths[0] / INDEX).is_file() or not paths[0].exists()):
        return Corpus.open(paths[0])
    made = out / "corpus"
    if not (made / INDEX).is_file() and rank() == 0:
        say(f"preparing {', '.join(map(str, paths))} into {made}")
        prepare(paths, made, PrepareSettings(), workers=os.cpu_count() or 1, progress=progress)
    while not (made / INDEX).is_file():  # another process is preparing the corpus
        time.sleep(0.1)
    return Corpus.open(made)
