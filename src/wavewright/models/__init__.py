"""The registry of models. Each has a folder of its own and is named here once. Only building a model imports torch."""

import inspect
import math
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from wavewright.errors import ConfigError, explain, unknown
from wavewright.models.config import MOST_STATE, SPLIT_LEVELS, ModelConfig
from wavewright.models.linear_rnn.config import LinearRNNConfig
from wavewright.models.naive_rnn.config import NaiveRNNConfig
from wavewright.models.sample_rnn.config import SampleRNNConfig
from wavewright.models.wavenet.config import WaveNetConfig

if TYPE_CHECKING:
    from wavewright.models.base import Model

MOST_WEIGHTS = 300_000_000  # 1.2 GB in float32, 16 times the largest preset

CONFIGS: dict[str, type[ModelConfig]] = {
    config.name: config
    for config in (
        LinearRNNConfig,
        NaiveRNNConfig,
        SampleRNNConfig,
        WaveNetConfig,
    )
}


def configure(name: str, **fields: Any) -> ModelConfig:
    """Return the validated configuration of a model.

    Raises:
        ConfigError: an unknown name or field, or values that contradict one another.
    """
    if name not in CONFIGS:
        raise ConfigError(f"model: no {name!r}; {unknown(name, CONFIGS)}")
    known = list(inspect.signature(CONFIGS[name]).parameters)
    for field in fields:
        if field not in known:
            raise ConfigError(f"model.{field}: no such field of {name}; {unknown(field, known)}")
    if fields.get("split"):
        fields.setdefault("q_levels", SPLIT_LEVELS)
    try:
        config = CONFIGS[name](**fields)
    except ValidationError as error:
        raise ConfigError(explain(error, "model")) from None
    if config.prediction and (strings := config.prediction.strings):
        notes = config.condition.notes if config.condition else None
        if notes is None or (notes.name, notes.low, notes.high) != (strings.name, strings.low, strings.high):
            raise ConfigError("model.prediction.strings: not the keys of the model's keyboard; leave it out")
    weights = 0
    for _, shape in config.shapes():
        weights += math.prod(shape)
        if weights > MOST_WEIGHTS:
            raise ConfigError(f"model: more than {MOST_WEIGHTS:,} weights; take fewer or smaller layers")
    if config.state_bytes > MOST_STATE:
        raise ConfigError(
            f"model: a stream would remember {config.state_bytes / 1e6:.3g} MB, and {MOST_STATE / 1e6:.3g} MB are the"
            " most; take fewer or smaller layers"
        )
    return config


def build(name: str, **fields: Any) -> "Model[Any]":
    """Return a model with fresh weights, such as `build("wavenet", blocks=4, layers=10)`. Torch's seed decides them.

    Raises:
        ConfigError: an unknown name or field, or values that contradict one another.
    """
    return configure(name, **fields).build()
