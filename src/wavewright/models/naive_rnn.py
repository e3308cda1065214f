"""NaiveRNN: one sample in, one distribution out, through a stack of residual LSTM layers (thesis, section 3.1)."""

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated
from torch import Tensor, nn

from wavewright.models.base import Model, State
from wavewright.models.layers import Recurrent, linear


@validated(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class NaiveRNNConfig:
    """The fields of a NaiveRNN.

    Attributes:
        layers: LSTM layers, each with its input added to its output.
        units: hidden units of each.
        input: `scalar`, the thesis's linear image of one number, or `embedded`, a learned vector for each code.
        forget_bias: where the forget gates' biases start; TensorFlow's LSTM cell has 1.
        q_levels: Q, the number of codes.
    """

    layers: int = Field(default=2, ge=1)
    units: int = Field(default=512, ge=1)
    input: Literal["scalar", "embedded"] = "embedded"
    forget_bias: float = 1.0
    q_levels: int = Field(default=256, ge=2, le=65536)


@dataclass(frozen=True)
class NaiveRNNState(State):
    """hidden: for each layer (B, 2, units), hidden and cell."""

    hidden: tuple[Tensor, ...]


class NaiveRNN(Model[NaiveRNNState]):
    """x -> linear to `units` -> `layers` residual LSTM layers -> linear to Q."""

    name = "naive-rnn"

    def __init__(self, config: NaiveRNNConfig) -> None:
        super().__init__()
        self.config = config
        if config.input == "scalar":
            self.input: nn.Linear | nn.Embedding = linear(1, config.units)
        else:
            self.input = nn.Embedding(config.q_levels, config.units)
        self.layers = nn.ModuleList(
            Recurrent("lstm", config.units, config.units, forget_bias=config.forget_bias) for _ in range(config.layers)
        )
        self.output = linear(config.units, config.q_levels)

    def initial_state(self, batch: int) -> NaiveRNNState:
        """Zeros."""
        return NaiveRNNState(tuple(layer.initial_state(batch) for layer in self.layers))  # type: ignore[operator]

    def predict(self, codes: Tensor, state: NaiveRNNState) -> tuple[Tensor, NaiveRNNState]:
        """See Model.forward."""
        scalars = self.scalars(codes)[..., None]
        x = self.input(codes if isinstance(self.input, nn.Embedding) else scalars)
        hidden: list[Tensor] = []
        for layer, before in zip(self.layers, state.hidden, strict=True):
            if not hidden and isinstance(self.input, nn.Linear):
                y, after = layer(scalars, before, through=self.input)
            else:
                y, after = layer(x, before)
            x = x + y
            hidden.append(after)
        return self.output(x), NaiveRNNState(tuple(hidden))
