"""The three models. `build("sample-rnn", units=512)` makes one; their fields are in model_config.py."""

from typing import Any

from wavewright.models.base import Model, State
from wavewright.models.config import configure
from wavewright.models.naive_rnn.network import NaiveRNN
from wavewright.models.sample_rnn.network import SampleRNN
from wavewright.models.wavenet.network import WaveNet

MODELS: dict[str, type[Model[Any]]] = {model.name: model for model in (NaiveRNN, SampleRNN, WaveNet)}

__all__ = ["MODELS", "Model", "State", "build"]


def build(name: str, **fields: Any) -> Model[Any]:
    """A model with fresh weights, such as `build("wavenet", blocks=4, layers=10)`; torch's seed decides them.

    Raises:
        ConfigError: an unknown name or field, or values that contradict one another.
    """
    config = configure(name, **fields)
    return MODELS[name](config)
