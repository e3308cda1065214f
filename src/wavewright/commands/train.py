"""The command `wavewright train`."""

import functools
import os
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from wavewright.commands.console import print_json, progress, say
from wavewright.commands.options import Device, Fields, Flag, ModelName, PresetName
from wavewright.commands.prepare import say_findings
from wavewright.errors import ConfigError, need_torch

if TYPE_CHECKING:
    from wavewright.corpus.corpus import Corpus
    from wavewright.models.condition import Control
    from wavewright.training.loop import Summary

DEFAULT_MINUTES = 30.0


def train(
    *corpus: Path,
    model: ModelName,
    out: Path,
    preset: PresetName = "small",
    config: Path | None = None,
    set_: Fields = (),
    condition: str | None = None,
    from_: Annotated[Path | None, Parameter(name="--from")] = None,
    steps: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: Device = "auto",
    precision: Literal["fp32", "bf16"] | None = None,
    split_layers: int = 1,
    checkpoint_every: int | None = None,
    resume: Flag = False,
    json: Flag = False,
) -> None:
    """Train a model on a corpus, or directly on recordings.

    Parameters
    ----------
    corpus
        Corpus that `prepare` made. Audio files and folders work too and are first prepared with the defaults. With
        --resume they must be the same as at the start, or gone.
    model
        Model to train. `wavenet` suits timbre and detail, `sample-rnn` long notes and dynamics, `naive-rnn` a steady
        texture. `linear-rnn` is new and learns much in minutes. If in doubt, take `wavenet`.
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
    condition
        Controls of the corpus that the model learns to follow: `all`, `none`, or their names, such as `notes,voice`.
        The default is all, or with --resume those of the run.
    from_
        Run folder or model file whose weights a fresh run starts from. Its fields and its sample rate must be the
        same. Only controls may be added.
    steps
        Stop after this many steps, counted from the start of the run.
    epochs
        Stop after this many passes over the corpus.
    minutes
        Stop after this many minutes, counted over all sessions of the run. The default is 30 without --steps and
        --epochs. With `training.schedule=cosine`, the learning rate comes down until the first of the three ends.
    batch_size
        Number of sections trained side by side (training.batch_size). The default is the preset's.
    seed
        Seed for the weights and the order of the data (training.seed). The default is 0.
    device
        Device for torch. `auto` takes the GPU where there is one.
    precision
        Precision of training: `fp32`, or `bf16` where the processor has it (training.precision). The default is fp32.
    split_layers
        Number of devices that have some of the model's layers each. Start a multiple of as many processes with
        torchrun. The default is 1, the whole model in every process.
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
    from wavewright.formats.config import RunConfig
    from wavewright.processes import rank
    from wavewright.training.loop import Budget
    from wavewright.training.run import train as run_training

    def settings(corpus: "Corpus | None") -> RunConfig:
        return configuration.resolve(
            model,
            preset,
            config,
            list(set_),
            () if corpus is None else _controls(corpus, condition, out if resume else None),
            rate=None if corpus is None else corpus.rate,
            batch_size=batch_size,
            seed=seed,
            precision=precision,
            checkpoint_every=checkpoint_every,
        )

    settings(None)  # a mistake in a field is told before one in a path
    if steps is None and epochs is None and minutes is None:
        minutes = DEFAULT_MINUTES
    budget = Budget(steps, epochs, minutes)
    run_folder.check(out)
    summary = run_training(
        settings,
        _corpus(corpus, out),
        out,
        budget,
        resume=resume,
        start=from_,
        device=device,
        split_layers=split_layers,
        progress=progress,
    )
    if rank() == 0:
        _report(summary, json)
    if summary.interrupted:
        raise KeyboardInterrupt


def _controls(corpus: "Corpus", asked: str | None, resumed: Path | None) -> "tuple[Control, ...]":
    """Return the controls of a corpus that are asked for, or those of the run that is resumed.

    Raises:
        ConfigError: the corpus lacks one.
    """
    from wavewright.formats import checkpoint
    from wavewright.formats.run_folder import read_begun

    names = [control.name for control in corpus.controls]
    if asked is None and resumed is not None and checkpoint.steps(resumed):
        begun = read_begun(resumed).config.model.condition
        wanted = [control.name for control in begun.controls] if begun else []
    else:
        asked = "all" if asked is None else asked
        wanted = {"all": names, "none": []}.get(asked, asked.split(","))
    for name in wanted:
        if name not in names:
            there = f"it has {', '.join(names)}" if names else "it has none"
            raise ConfigError(f"--condition {name}: {corpus.path} has no such control; {there}")
    return tuple(control for control in corpus.controls if control.name in wanted)


def _report(summary: "Summary", json: bool) -> None:
    if json:
        print_json({**asdict(summary), "run": str(summary.run)})
    best = f", best validation {summary.best.bits:.3f} bits at step {summary.best.step}" if summary.best else ""
    say(f"{summary.run}: step {summary.step} after {summary.seconds / 60:.1f} min{best}")
    say(f"listen: wavewright generate {summary.run} --out take.wav; go on: the same command with --resume")


def _corpus(paths: tuple[Path, ...], out: Path) -> "Corpus | Callable[[bool], Corpus]":
    """Return the corpus named, or a function that makes or finds the one of the recordings named, in the run `out`."""
    from wavewright.corpus.corpus import INDEX, Corpus

    if not paths:
        raise ConfigError("no CORPUS given; name a corpus, or audio files or folders")
    made = out / "corpus"
    absent = not paths[0].exists() and not (made / INDEX).is_file()
    if len(paths) == 1 and (absent or (paths[0] / INDEX).is_file()):
        return Corpus.open(paths[0])
    return functools.partial(_of_recordings, paths, made)


def _of_recordings(paths: tuple[Path, ...], made: Path, resuming: bool) -> "Corpus":
    """Return the corpus `made` of recordings. Only a run that goes on from a checkpoint keeps the one that is there."""
    from wavewright.corpus.corpus import INDEX, Corpus
    from wavewright.processes import rank, wait

    gone = [path for path in paths if not os.path.lexists(path)]
    if rank() == 0:
        if not (resuming and (made / INDEX).is_file()):
            _prepare(paths, made)
        elif gone:
            say(f"{gone[0]}: no such file or folder; going on with {made}")
        else:
            _compare(paths, Corpus.open(made))
    wait()  # until the corpus is there
    return Corpus.open(made)


def _prepare(paths: tuple[Path, ...], made: Path) -> None:
    """Prepare recordings with the defaults.

    Raises:
        WavewrightError: no corpus can be made of them.
    """
    from wavewright.corpus.prepare import TooShort, prepare
    from wavewright.corpus.settings import PrepareSettings

    say(f"preparing {', '.join(map(str, paths))} into {made}")
    try:
        corpus = prepare(paths, made, PrepareSettings(), workers=os.cpu_count() or 1, progress=progress)
    except TooShort as error:
        named = shlex.join(map(str, paths))
        raise ConfigError(
            f"{error}: first run `wavewright prepare {named} --out {shlex.quote(str(made))}"
            f" --section-seconds {error.fitting_seconds:g}`, then train on {made} in place of the recordings"
        ) from None
    say_findings(corpus)


def _compare(paths: tuple[Path, ...], corpus: "Corpus") -> None:
    """Check that the recordings are those that the run's corpus was made of. Some may be gone.

    Raises:
        ConfigError: there are others.
    """
    from wavewright.corpus.prepare import changes

    other, gone = changes(corpus, paths, progress)
    if other:
        raise ConfigError(
            f"{corpus.path}: made of other recordings; {len(other)} are new or changed, the first: {other[0]};"
            f" name {corpus.path} in their place to go on with it, or choose another --out"
        )
    if gone:
        say(f"{len(gone)} recordings are gone, the first: {gone[0]}; going on with {corpus.path}")
