"""Measure the seconds of computing for a second of sound in both back ends. The thesis took 16, 25 and 28 s (4.3)."""

import logging
import os
from dataclasses import asdict
from typing import Any

from wavewright.corpus.settings import prepare_settings
from wavewright.experiments.experiment import Experiment
from wavewright.experiments.overfit import TRIALS
from wavewright.files import write_json
from wavewright.formats.config import resolve
from wavewright.formats.precision import Precision
from wavewright.measuring.speed import Row, bench, random_weights

log = logging.getLogger(__name__)

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
MODELS = ("naive-rnn", "sample-rnn", "wavenet-2x12", "wavenet-4x10")


def run(experiment: Experiment) -> None:
    """Do the experiment and write rows.json, the rows of `wavewright bench` for the thesis's models with one stream."""
    experiment.describe(None, "no recordings: speed does not depend on what the weights are")
    rows: list[dict[str, Any]] = []
    for name in experiment.chosen({name: TRIALS[name] for name in MODELS}):
        rows += [asdict(row) for row in _rows(experiment, name)]
        write_json(experiment.out / "rows.json", rows)


def _rows(experiment: Experiment, name: str) -> list[Row]:
    trial = TRIALS[name]
    config = resolve(trial.model, trial.preset, None, [o for o in trial.overrides if o.startswith("model.")]).model
    log.info(f"speed: {trial.title}")
    measured = bench(
        config,
        random_weights(config),
        preset=trial.title,
        rate=prepare_settings().rate,
        threads=(1, 2) if (os.cpu_count() or 1) > 1 else (1,),
        streams=(1,),
        precisions=PRECISIONS,
        seconds=experiment.size.speed_seconds,
    )
    return list(measured)
