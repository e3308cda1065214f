"""What a preset makes of a model, told before anything is trained."""

import math
from functools import cache
from typing import Any

from wavewright.formats.config import resolve
from wavewright.models import CONFIGS


@cache
def sizes() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the count of weights and the samples of a step for each model and preset. Controls add a few weights."""
    return {model: {preset: _size(model, preset) for preset in config.presets} for model, config in CONFIGS.items()}


def _size(model: str, preset: str) -> dict[str, Any]:
    config = resolve(model, preset)
    weights = sum(math.prod(shape) for _, shape in config.model.shapes())
    return {"weights": weights, "samples": config.training.batch_size * config.training.length}
