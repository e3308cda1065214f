"""Begin or go on with a run: its device, its folder, what it must agree with, and then a session of training."""

import contextlib
import importlib.metadata
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from wavewright import processes
from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.devices import choose_device, keep_memory
from wavewright.errors import ConfigError, WavewrightError
from wavewright.files import locked, sha256, write_json
from wavewright.formats import checkpoint, run_folder
from wavewright.formats.config import RunConfig, differences
from wavewright.progress import Progress, silent
from wavewright.training.loop import Budget, Loop, Summary
from wavewright.training.trainer import Trainer, check_precision

FORMAT = 1  # of config.json

log = logging.getLogger(__name__)


def train(
    config: RunConfig,
    corpus: Corpus | Callable[[bool], Corpus],
    run: Path,
    budget: Budget,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> Summary:
    """Train until the budget is used up or a signal comes, and leave a checkpoint that goes on from there.

    A function in place of the corpus is asked for one in every process, while the run is locked and once all else is
    in order. It is told whether the run goes on from a checkpoint.

    Raises:
        WavewrightError: a run in use or of another configuration, a damaged checkpoint, a full disk, a lost cause, or
            a model with a condition, for which there is no data yet.
    """
    if config.model.condition is not None:
        raise ConfigError("model.condition: a corpus holds no controls yet, so none can be trained; leave it out")
    run_folder.check(run)
    where = choose_device(device)
    keep_memory()
    processes.join(where)
    with contextlib.ExitStack() as stack:
        if processes.rank() == 0:
            stack.enter_context(locked(run))
        there = checkpoint.steps(run)
        if there and not resume:
            raise WavewrightError(
                f"{run}: holds a run at step {there[-1]}; add --resume to go on, or choose another --out"
            )
        check_precision(config, where)
        if not isinstance(corpus, Corpus):
            corpus = corpus(bool(there))
        _agree(config, corpus, run, bool(there))
        processes.wait()  # until all have seen the same checkpoints, before the first makes one
        trainer = Trainer(config, corpus, where)
        saved = checkpoint.load(checkpoint.path(run, there[-1])) if there else None
        stack.callback(processes.leave)
        return Loop(trainer, run, budget, saved, progress).go()


def _agree(config: RunConfig, corpus: Corpus, run: Path, resuming: bool) -> None:
    """Check the data against the configuration, and both against what the run was begun with; or begin it."""
    if not len(corpus.sections("train")):
        raise ConfigError(f"{corpus.path}: its train split is empty; prepare it with another --split")
    facts = {
        **config.as_dict(),
        "corpus": {
            "sha256": sha256(corpus.path / INDEX),
            "rate": corpus.rate,
            "section": corpus.section,
            "levelling": corpus.levelling(),
        },
    }
    made_by = {
        "wavewright": importlib.metadata.version("wavewright"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": processes.world(),
    }
    path = run / run_folder.CONFIG
    if resuming:
        before = run_folder.read_begun(run).values
        if found := differences(_course({key: before.get(key) for key in facts}), _course(_plain(facts))):
            raise ConfigError(f"{path}: {found[0]}; resume with what the run was begun with, or choose another --out")
        if found := differences(before["made_by"], made_by):
            log.warning(f"{run}: {found[0]}; the run goes on, but not to the same bits")
    elif processes.rank() == 0:
        write_json(path, {"format": FORMAT, **facts, "made_by": made_by})


def _course(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that decide a run's course. The length of listening samples may change at a resume."""
    return {**facts, "training": {k: value for k, value in facts["training"].items() if k != "sample_seconds"}}


def _plain(value: Any) -> Any:
    """Return the value as JSON gives it back: tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
