"""WaveNet, dilated causal convolutions with queues that make a step cost one column (thesis 3.3; arXiv:1609.03499).

The form `plain` is what the thesis trained, the fast-wavenet code. It has ReLU after every convolution, but no gate,
residual or skip path, and a bias only at the output. `gated` is the paper's form, with tanh times sigmoid, residual and
skip paths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wavewright.models.base import Model, State
from wavewright.models.forecast import Forecast, forecast_entry
from wavewright.models.layers import ControlFrames, embedding, entry, linear
from wavewright.models.pieces import WHOLE, Part, Piece, count_weights
from wavewright.models.wavenet.config import WaveNetConfig
from wavewright.models.wavenet.layers import gated_layer, plain_layer
from wavewright.quantize import silence


@dataclass(frozen=True)
class WaveNetState(State):
    """The past inputs of all layers.

    Attributes:
        queues: for each layer a ring of past inputs (B, input channels, (filter_width - 1) * dilation).
        clock: () int64, the columns written since the oldest was at index 0.
    """

    queues: tuple[Tensor, ...]
    clock: Tensor


class PlainLayer(nn.Module):
    """ReLU of a dilated causal convolution without bias."""

    def __init__(self, inputs: int, config: WaveNetConfig) -> None:
        super().__init__()
        self.inputs = inputs
        self.weight = nn.Parameter(torch.empty(config.channels, inputs, config.filter_width))
        nn.init.kaiming_normal_(self.weight)
        with torch.no_grad():
            self.weight.mul_(config.gain)

    def forward(
        self, past: Tensor, x: Tensor, dilation: int, entering: Tensor | None, total: None
    ) -> tuple[Tensor, None]:
        """Turn a window (B, T, I) after its past (B, (filter_width - 1) * dilation, I) into (B, T, C).

        What enters by a condition (B, T, filters) is added before the non-linearity. There is no skip path.
        """
        return plain_layer(past, x, self.weight, entering, dilation), total


class GatedLayer(nn.Module):
    """A layer tanh(filter) * sigmoid(gate), with one matrix to the residual path and one to the skip path."""

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__()
        self.inputs = width = config.channels
        self.weight = nn.Parameter(torch.empty(2 * width, width, config.filter_width))
        self.bias = nn.Parameter(torch.zeros(2 * width))
        skip = config.skip_channels or width
        self.out_weight = nn.Parameter(torch.empty(width + skip, width, 1))
        self.out_bias = nn.Parameter(torch.zeros(width + skip))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")
        nn.init.kaiming_normal_(self.out_weight, nonlinearity="linear")

    def forward(
        self, past: Tensor, x: Tensor, dilation: int, entering: Tensor | None, total: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return (B, T, C) as PlainLayer does, and the sum of the skip paths (B, T, skip) up to this layer."""
        return gated_layer(
            past,
            x,
            self.weight,
            self.bias,
            out_weight=self.out_weight[:, :, 0],
            out_bias=self.out_bias,
            entering=entering,
            total=total,
            dilation=dilation,
        )


class WaveNet(Model[WaveNetState]):
    """A model of dilated causal convolutions over the last `receptive_field` samples."""

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__(config)
        width, skip = config.channels, config.skip_channels or config.channels
        count = len(config.dilations)
        self.condition = entry(config.condition, count * config.filters)
        self.forecast = forecast_entry(config.prediction, config.q_levels, config.filters)
        self.input: nn.Module | None = None
        if config.form == "plain":
            self.layers = nn.ModuleList(PlainLayer(1 if i == 0 else width, config) for i in range(count))
            self.output: nn.Module = linear(width, config.outputs, gain=config.output_gain)
        else:
            self.input = embedding(config.output, width) if config.input == "embedded" else linear(1, width)
            self.layers = nn.ModuleList(GatedLayer(config) for _ in range(count))
            hidden = (nn.ReLU(), linear(skip, skip), nn.ReLU())
            self.output = nn.Sequential(*hidden, linear(skip, config.outputs, gain=config.output_gain))

    def start(self, batch: int) -> WaveNetState:
        """Return queues with every layer's response to endless silence."""
        x = self._input(torch.full((1, 1), silence(self.config.q_levels), device=self.device))
        queues, others = [], self.config.filter_width - 1
        for layer, dilation in zip(self.layers, self.config.dilations, strict=True):
            queues.append(x.transpose(1, 2).expand(batch, -1, others * dilation))
            x, _ = layer(x.expand(-1, others, -1), x, 1, None, None)
        return WaveNetState(tuple(queues), torch.tensor(0))

    def pieces(self) -> list[Piece]:
        """Return the layers, and the output. The condition's one matrix belongs to all layers."""
        first = ("input", "forecast")
        return [
            *(
                Piece((f"layers.{i}", *(first if i == 0 else ())), (f"queues.{i}",), count_weights(layer))
                for i, layer in enumerate(self.layers)
            ),
            Piece(("output", "fine"), (), count_weights(self.output)),
        ]

    def predict(
        self,
        codes: Tensor,
        state: WaveNetState,
        control: ControlFrames | None,
        forecast: Forecast | None,
        part: Part = WHOLE,
    ) -> tuple[Tensor, WaveNetState]:
        """See Model.forward. A part hands on its output and, below that, the sum of the skip paths so far."""
        clock = int(state.clock)
        x, total = (self._input(codes), None) if part.handed is None else self._taken(part.handed)
        queues, entering = list(state.queues), self._entering(control, forecast, codes)
        for i in range(len(self.layers))[part.pieces]:
            size = queues[i].shape[2]
            past = (queues[i].roll(-clock % size, 2) if clock else queues[i]).transpose(1, 2)
            queues[i] = torch.cat((past[:, x.shape[1] :], x[:, -size:]), 1).transpose(1, 2)
            x, total = self.layers[i](past, x, self.config.dilations[i], entering[i], total)
        after = WaveNetState(tuple(queues), torch.tensor(0))
        if not part.is_last:
            return (x if total is None else torch.cat((x, total), 2)), after
        return self._logits(x, total), after

    def _taken(self, handed: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the last layer's output (B, T, C) and the sum of the skip paths, of what a part handed on."""
        if self.config.form == "plain":
            return handed, None
        width = self.config.channels
        return handed[..., :width], handed[..., width:]

    @torch.no_grad()
    def predict_one(
        self, codes: Tensor, state: WaveNetState, control: ControlFrames | None, forecast: Forecast | None
    ) -> tuple[Tensor, WaveNetState]:
        """Compute one column (arXiv:1611.09482). The queues are rings written in place, so `state` is consumed."""
        clock = int(state.clock)
        if not clock:  # initial queues are views of one column, and a window's are views of its activations
            state = state.map(lambda queue: queue.clone(memory_format=torch.contiguous_format))
        x, total = self._input(codes), None
        entries = self._entering(control, forecast, codes)
        layers = zip(self.layers, self.config.dilations, state.queues, entries, strict=True)
        for layer, dilation, queue, entering in layers:
            size = queue.shape[2]
            now = clock % size
            past = torch.stack([queue[:, :, (now + i * dilation) % size] for i in range(size // dilation)], 1)
            queue[:, :, now] = x[:, 0]
            x, total = layer(past, x, 1, entering, total)
        return self._logits(x, total), WaveNetState(state.queues, torch.tensor(clock + 1))

    def _input(self, codes: Tensor) -> Tensor:
        """Turn codes (B, T) into (B, T, C), or (B, T, 1) in the plain form."""
        if self.config.input == "embedded":
            return self.input(codes)  # type: ignore[misc]
        x = self.scalars(codes)[..., None]
        return x if self.input is None else self.input(x)

    def _entering(
        self, control: ControlFrames | None, forecast: Forecast | None, codes: Tensor
    ) -> Sequence[Tensor | None]:
        """Return what is added to each layer's convolution, (B, T, filters) a layer, for codes (B, T).

        A condition enters every layer, and a forecast the first.
        """
        entering: list[Tensor | None] = [None] * len(self.layers)
        if self.condition is not None and control is not None:
            entering = list(control.spread(self.condition, codes.shape[1]).chunk(len(self.layers), 2))
        if self.forecast is not None and forecast is not None:
            first = self.forecast(forecast)
            entering[0] = first if entering[0] is None else entering[0] + first
        return entering

    def _logits(self, x: Tensor, total: Tensor | None) -> Tensor:
        """Turn the last layer's output, or the sum of the skip paths, (B, T, C) into logits (B, T, Q)."""
        return self.output(x if total is None else total)
