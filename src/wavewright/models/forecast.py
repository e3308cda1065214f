"""Linear prediction (`models/prediction.py`) in a torch model, with the shapes of `models/base.py`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wavewright.models.condition import Condition
from wavewright.models.prediction import FREEDOM, WIDEST, Prediction, native


@dataclass(frozen=True)
class Forecast:
    """What a predictor says of the sample after each of T samples.

    Attributes:
        centre: (B, T), the amplitude that it predicts.
        spread: (B, T), the scale of its error in amplitude.
        numbers: (B, T, 2 or 3), whole numbers for centre, last error and, where the model starts from the predictor's
            density, spread. They are rows of an entry's table.
    """

    centre: Tensor
    spread: Tensor
    numbers: Tensor


class ForecastEntry(nn.Module):
    """A table by whose rows a forecast enters a model. It is zero at first, as if there were no forecast."""

    def __init__(self, rows: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, outputs))

    def forward(self, forecast: Forecast) -> Tensor:
        """Return what enters (B, T, outputs), the sum of the rows."""
        first, *others = (functional.embedding(numbers, self.weight) for numbers in forecast.numbers.unbind(2))
        for other in others:
            first = first + other
        return first


def forecast_entry(prediction: Prediction | None, q_levels: int, outputs: int) -> ForecastEntry | None:
    """Return an entry for a model with prediction, and None for one without."""
    return None if prediction is None else ForecastEntry(prediction.rows(q_levels), outputs)


class Predictor(nn.Module):
    """The linear predictor of a model. It has no parameters.

    Args:
        prediction: its fields.
        q_levels: Q, the number of codes.
        condition: the model's controls, among which its strings are.
    """

    def __init__(self, prediction: Prediction, q_levels: int, condition: Condition | None) -> None:
        super().__init__()
        self.prediction, self.q_levels = prediction, q_levels
        self._hop = condition.hop if condition else 0
        self._keys = slice(0)
        if condition and (strings := prediction.strings):
            first = condition.offset(condition.named(strings.name))
            self._keys = slice(first, first + 4 * strings.keys)
        self.amplitudes: Tensor
        self.log_widths: Tensor
        self.register_buffer("amplitudes", torch.from_numpy(prediction.amplitudes(q_levels)), persistent=False)
        log_widths = torch.tensor(self.native.log_widths, dtype=torch.float64)
        self.register_buffer("log_widths", log_widths, persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state (B, S) after endless silence. It is float64 and on the CPU, wherever the model is."""
        states = np.empty((batch, self.native.size))
        self.native.reset(states)
        return torch.from_numpy(states)

    @property
    def native(self) -> Any:
        """The native predictor, which is no part of a module's copy."""
        return native(self.prediction, self.q_levels, self._hop)

    def forward(
        self, codes: Tensor, state: Tensor, condition: Tensor | None = None, phase: int = 0
    ) -> tuple[Forecast, Tensor]:
        """Hear codes (B, T), and return what comes after each, and the next state.

        Args:
            codes: the codes.
            state: what is remembered of the streams (B, S).
            condition: control frames (B, M, F) as in `Model.forward`. Without them, no key is struck.
            phase: samples of the first frame that have gone by.
        """
        heard = np.ascontiguousarray(codes.cpu().numpy(), np.int32)
        states = state.numpy().copy()
        amplitudes, numbers = np.empty((*heard.shape, 2)), np.empty((*heard.shape, 3), np.int32)
        frames = np.empty((len(heard), 0, 0), np.float32)
        if condition is not None and self.prediction.strings:
            frames = np.ascontiguousarray(condition[..., self._keys].cpu().numpy(), np.float32)
        self.native.hear(heard, states, amplitudes, numbers, frames, phase)
        numbers += np.array([0, self.q_levels, 2 * self.q_levels], np.int32)
        centre, spread = torch.from_numpy(amplitudes).to(codes.device, self.amplitudes.dtype).unbind(2)
        rows = torch.from_numpy(numbers if self.prediction.density else numbers[..., :2]).to(codes.device)
        return Forecast(centre, spread, rows), torch.from_numpy(states)

    def logits(self, forecast: Forecast, outputs: Tensor) -> Tensor:
        """Turn a model's outputs, logits of the prediction's error (B, T, Q), into logits of codes (B, T, Q).

        Entry Q / 2 is for the code of the prediction itself. Codes further away than Q / 2 have the entry at the end.

        Where the model starts from the predictor's density, outputs are (B, T, Q + 1), and their logits are added to
        the log density. The last output is the logarithm of a factor of the density's spread, softly limited. A model
        whose outputs are all 0 is the predictor alone.
        """
        codes = torch.arange(self.q_levels, device=outputs.device)
        places = codes + (self.q_levels // 2 - forecast.numbers[..., :1].long())
        logits = outputs.gather(2, places.clamp_(0, self.q_levels - 1))
        if not self.prediction.density:
            return logits
        wider = torch.exp(WIDEST * torch.tanh(outputs[..., -1].to(forecast.spread.dtype) / WIDEST))
        z = (self.amplitudes - forecast.centre[..., None]) / (forecast.spread * wider)[..., None]
        return logits + self.log_widths.to(z.dtype) - (FREEDOM + 1) / 2 * torch.log(1 + z * z / FREEDOM)
