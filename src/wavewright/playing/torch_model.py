"""The torch back end, in which torch plays a trained model on any device."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wavewright.corpus.batches import ControlSource
from wavewright.errors import WavewrightError
from wavewright.formats.model_file import ModelFile, Weights
from wavewright.models.base import Model
from wavewright.models.config import ModelConfig
from wavewright.playing import scoring
from wavewright.playing.playable import TrainedModel
from wavewright.playing.torch_player import TorchPlayer
from wavewright.progress import Advance, ignore
from wavewright.quantize import Samples16


@dataclass(frozen=True)
class TorchModel(TrainedModel):
    """A model that torch plays.

    Attributes:
        model: torch module in evaluation mode, on the device asked for.
    """

    model: Model[Any]

    def player(self, streams: int = 1, seed: int = 0, second: Self | None = None) -> TorchPlayer:
        """See Playable and TrainedModel."""
        return TorchPlayer(self.model, streams, seed, self.rate, second.model if second else None)

    def score(
        self,
        samples: Samples16,
        sections: NDArray[np.int64],
        *,
        leads: NDArray[np.int64] | None = None,
        conditions: ControlSource | None = None,
        advance: Advance = ignore,
    ) -> NDArray[np.float64]:
        """See TrainedModel."""
        return scoring.score(
            self.model, samples, sections, self.quantizer, leads=leads, conditions=conditions, advance=advance
        )

    def logits(self, codes: NDArray[np.integer]) -> Iterator[NDArray[np.float32]]:
        """See TrainedModel."""
        return scoring.logits(self.model, codes)


def plain_weights(model: Model[Any]) -> Weights:
    """Return a copy of the weights in float32 with weight norm multiplied out, as in model files and the engine."""
    names = [name for name, _ in model.config.shapes()]
    return {name: attrgetter(name)(model).detach().float().cpu().numpy().copy() for name in names}


def from_file(file: ModelFile, device: torch.device | None = None) -> TorchModel:
    """Return the torch model of a model file that has been read."""
    weights = {name: torch.from_numpy(weight) for name, weight in file.weights.items()}
    model = with_weights(file.config, weights, file.path, device)
    return TorchModel(**file.facts(), path=file.path, model=model)


def with_weights(
    config: ModelConfig, weights: Mapping[str, Tensor], where: Path, device: torch.device | None
) -> Model[Any]:
    """Return the model of `config` with these weights, in evaluation mode.

    Raises:
        WavewrightError: the weights do not fit the model. The line names `where` they come from.
    """
    wanted = sum(math.prod(shape) for _, shape in config.shapes())
    if wanted > sum(tensor.numel() for tensor in weights.values()):  # before memory is taken for them
        raise WavewrightError(f"{where}: not of this run's model (it has {wanted:,} weights)")
    model = config.build()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise WavewrightError(f"{where}: not of this run's model ({str(error).splitlines()[0]})") from None
    return model.to(device or torch.device("cpu")).eval()
