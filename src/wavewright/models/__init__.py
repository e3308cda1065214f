"""The three models. `build("sample-rnn", units=512)` makes one; `presets` are such fields by name."""

from typing import Any

from pydantic import ValidationError

from wavewright.errors import ConfigError
from wavewright.models.base import Model, State
from wavewright.models.naive_rnn import NaiveRNN, NaiveRNNConfig
from wavewright.models.sample_rnn import SampleRNN, SampleRNNConfig
from wavewright.models.wavenet import WaveNet, WaveNetConfig

ModelConfig = NaiveRNNConfig | SampleRNNConfig | WaveNetConfig

MODELS: dict[str, tuple[type[Model[Any]], type[ModelConfig]]] = {
    NaiveRNN.name: (NaiveRNN, NaiveRNNConfig),
    SampleRNN.name: (SampleRNN, SampleRNNConfig),
    WaveNet.name: (WaveNet, WaveNetConfig),
}

__all__ = ["MODELS", "Model", "ModelConfig", "State", "build", "configure"]


def configure(name: str, **fields: Any) -> ModelConfig:
    """The validated configuration of a model.

    Raises:
        ConfigError: an unknown name or field, or values that contradict one another.
    """
    if name not in MODELS:
        raise ConfigError(f"model: {name!r} is not one of {', '.join(MODELS)}")
    try:
        return MODELS[name][1](**fields)
    except ValidationError as error:
        raise ConfigError(explain(error, "model")) from None


def explain(error: ValidationError, prefix: str) -> str:
    """The first of pydantic's complaints as one line: field, what is wrong, value."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    field = ".".join([prefix, *(str(part) for part in first["loc"])])
    value = "" if isinstance(first["input"], dict) or first["type"] == "value_error" else f" (got {first['input']!r})"
    return f"{field}: {message}{value}"


def build(name: str, **fields: Any) -> Model[Any]:
    """A model with fresh weights, such as `build("wavenet", blocks=4, layers=10)`; torch's seed decides them.

    Raises:
        ConfigError: an unknown name or field, or values that contradict one another.
    """
    config = configure(name, **fields)
    return MODELS[name][0](config)
