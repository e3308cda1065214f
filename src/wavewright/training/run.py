"""Begin or go on with a run: its device, its folder, what it must agree with, and then a session of training."""

import contextlib
import importlib.metadata
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from wavewright import processes
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.devices import choose_device, keep_memory, no_denormals
from wavewright.errors import ConfigError, WavewrightError
from wavewright.files import locked, sha256, write_json
from wavewright.formats import checkpoint, run_folder
from wavewright.formats.config import RunConfig, differences
from wavewright.playing.opening import open_run
from wavewright.playing.torch_model import TorchModel
from wavewright.progress import Progress, silent
from wavewright.training.loop import Budget, Loop, Summary
from wavewright.training.trainer import TRAINED_ON, Trainer, check_precision

FORMAT = 1  # of config.json

log = logging.getLogger(__name__)


def train(
    config: RunConfig | Callable[[Corpus | None], RunConfig],
    corpus: Corpus | Callable[[bool], Corpus],
    run: Path,
    budget: Budget,
    *,
    resume: bool = False,
    start: Path | None = None,
    device: str = "auto",
    split_layers: int = 1,
    progress: Progress = silent,
) -> Summary:
    """Train until the budget is used up or a signal comes, and leave a checkpoint that goes on from there.

    Args:
        config: the configuration, or a function that makes it for a corpus. The function is first called with None,
            before there is a corpus, so that mistakes are found early.
        corpus: the corpus, or a function that is asked for one in every process, while the run is locked and once all
            else is in order. The function is told whether the run goes on from a checkpoint.
        run: the run's folder.
        budget: when to end.
        resume: go on from the run's last checkpoint, if it has one.
        start: a model file, or a run, with whose weights a fresh run begins. Only a condition may be new.
        device: device for torch. `auto` takes the GPU where there is one.
        split_layers: into how many stages, each in a process of its own, the model's layers are split.
        progress: shown the share of the budget that is used up.

    Raises:
        WavewrightError: a run in use or of another configuration, a damaged checkpoint, a full disk, a lost cause,
            controls that the corpus lacks, a model to start from that differs, or one that cannot be split so.
    """
    settle = config if callable(config) else lambda _: config
    early = settle(None)
    run_folder.check(run)
    where = choose_device(device)
    keep_memory()
    processes.join(where)
    with contextlib.ExitStack() as stack:
        stack.enter_context(no_denormals())  # before torch starts its threads
        if processes.rank() == 0:
            stack.enter_context(locked(run))
        there = checkpoint.steps(run)
        if there and not resume:
            raise WavewrightError(
                f"{run}: holds a run at step {there[-1]}; add --resume to go on, or choose another --out"
            )
        check_precision(early, where)
        if early.training.schedule == "cosine" and not early.training.schedule_steps and not budget.is_bounded:
            raise ConfigError("training.schedule: cosine needs an end; set training.schedule_steps, or give a budget")
        first = None if start is None or there else open_run(start)
        if not isinstance(corpus, Corpus):
            corpus = corpus(bool(there))
        settled = settle(corpus)
        if first is not None:
            _check_start(first, settled, corpus)
        _check_data(settled, corpus)
        trainer = Trainer(settled, corpus, where, split_layers)
        _agree(trainer, run, first, bool(there))
        processes.wait()  # until all have seen the same checkpoints, before the first makes one
        if first is not None:
            trainer.begin_from(first.model.state_dict())
        saved = checkpoint.load(checkpoint.path(run, there[-1])) if there else None
        stack.callback(processes.leave)
        return Loop(trainer, run, budget, saved, progress).go()


def _check_start(first: TorchModel, config: RunConfig, corpus: Corpus) -> None:
    """Check that a run can begin with the weights of a trained model, to which only a condition may be added."""
    made, now = first.config.condition, config.model.condition
    if made not in (None, now):
        names = ", ".join(control.name for control in made.controls)
        raise ConfigError(
            f"--from {first.path}: made with controls ({names}; hop {made.hop}, width {made.width}) that are not those"
            " of this run; train with the same, or start from a model without controls"
        )
    models = (first.config.with_condition(None), config.model.with_condition(None))
    before = {"model": models[0].as_dict(), **_codes(first), "rate": first.rate}
    after = {"model": models[1].as_dict(), **_codes(config), "rate": corpus.rate}
    if found := differences(_plain(before), _plain(after)):
        raise ConfigError(f"--from {first.path}: {found[0]}; start from it with the same preset and fields")


def _codes(facts: TorchModel | RunConfig) -> dict[str, Any]:
    """Return what decides for which sounds codes stand, beside their number."""
    return {"encoding": facts.encoding, "emphasis": facts.emphasis}


def _check_data(config: RunConfig, corpus: Corpus) -> None:
    """Check the data against the configuration."""
    if not len(corpus.sections("train")):
        raise ConfigError(f"{corpus.path}: its train split is empty; prepare it with another --split")
    if (condition := config.model.condition) is not None:
        for split in TRAINED_ON:  # so that controls that the corpus lacks are refused before anything is written
            Conditions(corpus, split, condition)
    if config.training.balance:
        corpus.classes("train", config.training.balance)  # so that a category that the corpus lacks is refused, too


def _agree(trainer: Trainer, run: Path, first: TorchModel | None, resuming: bool) -> None:
    """Check the data and the configuration against what the run was begun with, or begin it."""
    config, corpus, stages = trainer.config, trainer.corpus, trainer.pipeline.stages
    facts = {
        **config.as_dict(),
        "corpus": {
            "sha256": sha256(corpus.path / INDEX),
            "rate": corpus.rate,
            "section": corpus.section,
            "levelling": corpus.levelling(),
        },
    }
    processes.check_same(f"{corpus.path}: the corpus or the configuration", json.dumps(facts, sort_keys=True))
    made_by = {
        "wavewright": importlib.metadata.version("wavewright"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": processes.world(),
        **({"stages": stages} if stages > 1 else {}),
    }
    path = run / run_folder.CONFIG
    if resuming:
        begun = run_folder.read_begun(run)
        before = {**begun.values, **begun.config.as_dict()}  # with fields that are newer than the run
        of_run = _plain({key: before.get(key) for key in facts})
        if found := differences(_course(of_run), _course(_plain(facts))):
            raise ConfigError(f"{path}: {found[0]}; resume with what the run was begun with, or choose another --out")
        if found := differences(begun.values["made_by"], made_by):
            log.warning(f"{run}: {found[0]}; the run goes on, but not to the same bits")
    elif processes.rank() == 0:
        origin = {} if first is None else {"from": {"path": str(first.path), "step": first.step}}
        write_json(path, {"format": FORMAT, **facts, **origin, "made_by": made_by})


def _course(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that decide a run's course. The length of listening samples may change at a resume."""
    return {**facts, "training": {k: value for k, value in facts["training"].items() if k != "sample_seconds"}}


def _plain(value: Any) -> Any:
    """Return the value as JSON gives it back: tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
