"""NaiveRNN, a stack of residual LSTM layers from one sample to one distribution (thesis, section 3.1)."""

from dataclasses import dataclass

from torch import Tensor, nn

from wavewright.models.base import Model, State
from wavewright.models.forecast import Forecast, forecast_entry
from wavewright.models.layers import ControlFrames, Recurrent, embedding, entry, linear
from wavewright.models.naive_rnn.config import NaiveRNNConfig
from wavewright.models.pieces import WHOLE, Part, Piece, count_weights


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

    def pieces(self) -> list[Piece]:
        """Return the layers, and the output."""
        first = ("input", "condition", "forecast")
        return [
            *(
                Piece((f"layers.{i}", *(first if i == 0 else ())), (f"hidden.{i}",), count_weights(layer))
                for i, layer in enumerate(self.layers)
            ),
            Piece(("output", "fine"), (), count_weights(self.output)),
        ]

    def predict(
        self,
        codes: Tensor,
        state: NaiveRNNState,
        control: ControlFrames | None,
        forecast: Forecast | None,
        part: Part = WHOLE,
    ) -> tuple[Tensor, NaiveRNNState]:
        """See Model.forward. A condition and a forecast are added to the input."""
        scalars = self.scalars(codes)[..., None]
        if part.handed is None:
            x = self.input(scalars if isinstance(self.input, nn.Linear) else codes)
            if self.condition is not None and control is not None:
                x = x + control.spread(self.condition, codes.shape[1])
            if self.forecast is not None and forecast is not None:
                x = x + self.forecast(forecast)
        else:
            x = part.handed
        hidden = list(state.hidden)
        for i in range(len(self.layers))[part.pieces]:
            if i == 0 and isinstance(self.input, nn.Linear) and control is None and forecast is None:
                y, hidden[i] = self.layers[i](scalars, hidden[i], through=self.input)
            else:
                y, hidden[i] = self.layers[i](x, hidden[i])
            x = x + y
        return self.output(x) if part.is_last else x, NaiveRNNState(tuple(hidden))
