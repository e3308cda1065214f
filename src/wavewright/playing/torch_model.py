"""A trained model opened to play: a run with the weights of one checkpoint, or a model file."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wavewright import models
from wavewright.errors import ConfigError, WavewrightError, printable
from wavewright.files import read_json
from wavewright.formats import checkpoint, model_file
from wavewright.formats.config import RunConfig
from wavewright.formats.model_file import ModelFile, Training
from wavewright.models.config import ModelConfig, SampleRNNConfig
from wavewright.models.layers import multiply_out
from wavewright.playing import scoring
from wavewright.playing.native_model import Native
from wavewright.playing.stream import Playable
from wavewright.playing.torch_player import TorchPlayer


@dataclass(frozen=True)
class Run(Playable):
    """A model that torch plays.

    Attributes:
        model: in evaluation mode, on the device asked for.
    """

    model: models.Model[Any]

    def player(self, streams: int = 1, seed: int = 0) -> TorchPlayer:
        """See Playable."""
        return TorchPlayer(self.model, streams, seed)

    def score(self, samples: NDArray[np.int16], sections: NDArray[np.int64]) -> NDArray[np.float64]:
        """See Playable."""
        return scoring.score(self.model, samples, sections, self.encoding)

    def entropy(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """See Playable."""
        return scoring.entropy(self.model, codes)

    def plain_model(self) -> tuple[ModelConfig, models.Model[Any]]:
        """A copy in float32 on the CPU with weight norm multiplied out, as files and the engine have it."""
        model = deepcopy(self.model).float().cpu()
        multiply_out(model)
        if isinstance(self.config, SampleRNNConfig):
            return replace(self.config, weight_norm=False), model
        return self.config, model

    def native(self) -> Native:
        """The same for the engine."""
        config, model = self.plain_model()
        weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        return Native(
            self.name, config, self.encoding, self.rate, self.levelling, self.training, self.path, weights, "float32"
        )


def open_run(path: Path, which: str = "best", device: torch.device | None = None) -> Run:
    """Open a run with its `best` or `last` checkpoint or that of a step, or a model file (.safetensors), which has one.

    Raises:
        WavewrightError: no run, no such checkpoint, or a damaged one; a model file that cannot be used.
    """
    path = model_file.shipped(path)
    if path.suffix == ".safetensors":
        if which != "best":
            raise ConfigError(f"--checkpoint {which}: {path} is a model file, which holds but one; leave it out")
        return play(model_file.load(path), device)
    config_file = path / "config.json"
    if not config_file.is_file():
        raise WavewrightError(
            f"{path}: not a run (no config.json), nor a .safetensors file; make one with `wavewright train`"
        )
    facts = read_json(config_file)
    try:
        config = RunConfig.from_dict({key: facts[key] for key in ("model", "encoding", "training")})
        rate, levelling = int(facts["corpus"]["rate"]), dict(facts["corpus"]["levelling"])
        versions = {key: str(facts["made_by"][key]) for key in ("wavewright", "torch")}
    except (KeyError, TypeError, ValueError) as error:
        raise WavewrightError(f"{config_file}: damaged at {error}; restore it from a copy") from None
    saved = checkpoint.load(checkpoint.find(path, which))
    model = _model(config.name, config.model, saved.model, saved.folder, device)
    try:
        best = saved.facts["best"]
        training = Training(
            run=printable(path.resolve().name),
            step=saved.facts["step"],
            samples=saved.facts["samples"],
            best_bits=best and best["bits"],
            **versions,
        )
    except (KeyError, TypeError, ValueError):
        raise WavewrightError(f"{saved.folder / 'training.json'}: damaged; {checkpoint.REMEDY}") from None
    return Run(config.name, config.model, config.encoding, rate, levelling, training, path, model)


def play(file: ModelFile, device: torch.device | None = None) -> Run:
    """A model file that has been read, as a run."""
    weights = {name: torch.from_numpy(weight) for name, weight in file.weights.items()}
    model = _model(file.name, file.config, weights, file.path, device)
    return Run(file.name, file.config, file.encoding, file.rate, file.levelling, file.training, file.path, model)


def _model(
    name: str, config: ModelConfig, weights: Mapping[str, Tensor], where: Path, device: torch.device | None
) -> models.Model[Any]:
    model = models.MODELS[name](config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise WavewrightError(f"{where}: not of this run's model ({str(error).splitlines()[0]})") from None
    return model.to(device or torch.device("cpu")).eval()
