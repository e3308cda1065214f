"""NaiveRNN, a stack of residual LSTM layers from one sample to one distribution (thesis, section 3.1)."""

from dataclasses import dataclass

from torch import Tensor, nn

from wavewright.models.base import Model, State
from wavewright.models.layers import Recurrent, linear
from wavewright.models.naive_rnn.config import NaiveRNNConfig


@dataclass(frozen=True)
class NaiveRNNState(State):
    """The state of the LSTM layers.

    Attributes:
        hidden: for each layer (B, 2, units), hidden and cell.
    """

    hidden: tuple[Tensor, ...]


class NaiveRNN(Model[NaiveRNNState]):
    """A model x -> linear to `units` -> `layers` residual LSTM layers -> linear to Q."""

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
        self.output = linear(config.units, config.output.size)

    def initial_state(self, batch: int) -> NaiveRNNState:
        """Return zeros."""
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
