"""`wavewright train`: parse, one library call, print."""

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
    """Train a model on a corpus, or straight on recordings.

    Parameters
    ----------
    corpus
        A corpus that `prepare` made; or audio files and folders, which are first prepared with the defaults into RUN.
    model
        `naive-rnn`, `sample-rnn` or `wavenet`.
    out
        The run folder: configuration, metrics, TensorBoard events, listening samples, checkpoints.
    preset
        `small` suits half an hour on two cores, `tiny` a try-out; `thesis` and `paper` are theirs.
    config
        A YAML file of fields, such as `model: {units: 256}`, over the preset.
    set_
        One field, such as `model.units=256` or `training.schedule=plateau`, over all else; may be repeated.
    steps
        Stop after so many steps, counted from the run's first.
    epochs
        Stop after so many passes over the corpus.
    minutes
        Stop after so many minutes, all sessions together; 30 where no end is given.
    batch_size
        Sections side by side (training.batch_size).
    seed
        Of the weights and the order of the data (training.seed).
    device
        `auto` takes the GPU where there is one.
    precision
        `fp32` or `bf16` (training.precision).
    checkpoint_every
        Steps between checkpoints, each with a validation and a listening sample (training.checkpoint_every).
    resume
        Go on where the run in RUN stopped, to the same bits; start where there is none.
    json
        Print how it ended as JSON.
    """
    need_torch()
    from wavewright.formats import config as configuration
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
    """The corpus named, or one made of the recordings named."""
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
    while not (made / INDEX).is_file():  # another process prepares it
        time.sleep(0.1)
    return Corpus.open(made)
