"""Engines with the weights of torch models."""

from typing import Any

import numpy as np
import pytest

from support.kinds import (
    CONDITIONED,
    RATE,
)
from support.oracles import weights_of
from wavewright.models.base import Model
from wavewright.playing.engine import Engine

conditioned = pytest.mark.parametrize("kind", CONDITIONED)


def native(model: Model[Any], **options: Any) -> Engine:
    """An engine with the weights of a torch model."""
    weights = {name: np.float32(weight) for name, weight in weights_of(model).items()}
    return Engine(model.config, weights, **{"rate": RATE, **options})
