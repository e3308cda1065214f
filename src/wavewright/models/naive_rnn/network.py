"""NaiveRNN, a stack of residual LSTM layers from one sample to one distribution (thesis, section 3.1)."""

from dataclasses import dataclass

from torch import Tensor, nn

from wavewright.models.base import Model, State
from wavewright.models.forecast import Forecast, forecast_entry
from wavewright.models.layers import ControlFrames, Recurrent, embedding, entry, linear
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
        super().__init__(config)
        if config.input == "scalar":
            self.input: nn.Module = linear(1, config.units)
        else:
            self.input = embedding(config.output, config.units)
        self.condition = entry(config.condition, config.units)
        self.forecast = forecast_entry(config.prediction, config.q_levels, config.units)
        self.layers = nn.ModuleList(
            Recurrent("lstm", config.units, config.units, forget_bias=config.forget_bias) for _ in range(config.layers)
        )
        self.output = linear(config.units, config.outputs, gain=config.output_gain)

    def start(self, batch: int) -> NaiveRNNState:
        """Return zeros."""
        return NaiveRNNState(tuple(layer.initial_state(batch) for layer in self.layers))  # type: ignore[operator]

    def predict(
        self, codes: Tensor, state: NaiveRNNState, control: ControlFrames | None, forecast: Forecast | None
    ) -> tuple[Tensor, NaiveRNNState]:
        """See Model.forward. A condition and a forecast are added to the input."""
        scalars = self.scalars(codes)[..., None]
        x = self.input(scalars if isinstance(self.input, nn.Linear) else codes)
        if self.condition is not None and control is not None:
            x = x + control.spread(self.condition, codes.shape[1])
        if self.forecast is not None and forecast is not None:
            x = x + self.forecast(forecast)
        hidden: list[Tensor] = []
        for layer, before in zip(self.layers, state.hidden, strict=True):
            if not hidden and isinstance(self.input, nn.Linear) and control is None and forecast is None:
                y, after = layer(scalars, before, through=self.input)
            else:
                y, after = layer(x, before)
            x = x + y
            hidden.append(after)
        return self.output(x), NaiveRNNState(tuple(hidden))
