"""A trained run, opened to play: its model with the weights of one checkpoint, and what its corpus was like."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wavewright import checkpoint, models
from wavewright.config import RunConfig
from wavewright.errors import WavewrightError
from wavewright.files import read_json


@dataclass(frozen=True)
class Run:
    """What playing and scoring need.

    Attributes:
        config: what it was trained with; step: the checkpoint's.
        model: in evaluation mode, on the device asked for.
        rate: of its sound, in Hz; levelling: see Corpus.levelling.
    """

    folder: Path
    config: RunConfig
    step: int
    model: models.Model[Any]
    rate: int
    levelling: dict[str, Any]


def open_run(folder: Path, which: str = "best", device: torch.device | None = None) -> Run:
    """Open a run with its `best` or `last` checkpoint, or that of a step.

    Raises:
        WavewrightError: no run, no such checkpoint, or a damaged one.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise WavewrightError(f"{folder}: not a run (no config.json); make one with `wavewright train`")
    facts = read_json(path)
    try:
        config = RunConfig.from_dict({key: facts[key] for key in ("model", "encoding", "training")})
        rate, levelling = int(facts["corpus"]["rate"]), dict(facts["corpus"]["levelling"])
    except (KeyError, TypeError, ValueError) as error:
        raise WavewrightError(f"{path}: damaged at {error}; restore it from a copy") from None
    saved = checkpoint.load(checkpoint.find(folder, which))
    model = models.MODELS[config.name][0](config.model)
    try:
        model.load_state_dict(saved.model)
    except RuntimeError as error:
        raise WavewrightError(f"{saved.folder}: not of this run's model ({str(error).splitlines()[0]})") from None
    model.to(device or torch.device("cpu")).eval()
    return Run(folder, config, int(saved.facts["step"]), model, rate, levelling)
