"""The layers that models share: linear and recurrent ones, those of codes, and those of a condition."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from wavewright.models.condition import Condition
from wavewright.models.config import Cell
from wavewright.models.output import HIDDEN, Output, Split
from wavewright.quantize import Quantizer


def linear(inputs: int, outputs: int, *, bias: bool = True, gain: float = 1.0) -> nn.Linear:
    """Return a linear layer with Glorot's uniform weights (the thesis's `xavier_initializer`) and a bias of zero."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight, gain)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class SplitEmbedding(nn.Module):
    """A vector for each code, the sum of one for its coarse part, one for its fine part, and amplitude times another.

    The amplitude is that of the code in mu-law. In linear encoding, the amplitude is a sum over both parts, so that
    their vectors can hold it. At first the vectors of fine parts are zero, as if there were only coarse parts.
    """

    def __init__(self, coarse: int, fine: int, width: int) -> None:
        super().__init__()
        self.num_embeddings = coarse + fine
        self.coarse = nn.Parameter(torch.randn(coarse, width))
        self.fine = nn.Parameter(torch.zeros(fine, width))
        self.amplitude = nn.Parameter(torch.randn(width))
        self.amplitudes: Tensor
        levels = coarse * fine
        amplitudes = torch.from_numpy(Quantizer(levels, "mu-law").decode(np.arange(levels)))
        self.register_buffer("amplitudes", amplitudes, persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Return vectors (..., width) of codes (...)."""
        return self._look_up(codes, self.coarse, self.fine, self.amplitude)

    def image(self, codes: Tensor, weight: Tensor) -> Tensor:
        """Return the product of a matrix (O, width) and the vectors of codes (...), (..., O)."""
        return self._look_up(codes, *(table @ weight.t() for table in (self.coarse, self.fine, self.amplitude)))

    def _look_up(self, codes: Tensor, coarse: Tensor, fine: Tensor, amplitude: Tensor) -> Tensor:
        first = functional.embedding(codes.div(len(fine), rounding_mode="floor"), coarse)
        second = functional.embedding(codes.remainder(len(fine)), fine)
        return first + second + self.amplitudes[codes][..., None] * amplitude


class Embedding(nn.Embedding):
    """A vector for each code."""

    def image(self, codes: Tensor, weight: Tensor) -> Tensor:
        """Return the product of a matrix (O, width) and the vectors of codes (...), (..., O)."""
        return functional.embedding(codes, self.weight @ weight.t())


def embedding(output: Output, width: int) -> Embedding | SplitEmbedding:
    """Return a learned vector for each code."""
    if isinstance(output, Split):
        return SplitEmbedding(output.coarse, output.fine, width)
    return Embedding(output.q_levels, width)


class FineOutput(nn.Module):
    """The logits of a code's fine part, from a model's outputs and the code's coarse part."""

    def __init__(self, output: Split) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(output.coarse, HIDDEN))
        self.output = linear(HIDDEN, output.fine)

    def forward(self, outputs: Tensor, coarse: Tensor) -> Tensor:
        """Turn outputs (..., HIDDEN) and coarse parts (...) into logits (..., F)."""
        return self.output(functional.relu(outputs + functional.embedding(coarse, self.table)))


class Encoder(nn.Module):
    """Two layers that turn the features of a control frame (..., F) into a vector (..., width)."""

    def __init__(self, condition: Condition) -> None:
        super().__init__()
        self.input = linear(condition.features, condition.width)
        self.output = linear(condition.width, condition.width)

    def forward(self, features: Tensor) -> Tensor:
        """Encode each frame by itself."""
        return self.output(functional.relu(self.input(features)))


class Entry(nn.Module):
    """A matrix through which a condition enters a model. It is zero at first, as if there were no condition.

    It is no `nn.Linear`, since `normalise_weights` cannot split a row of zeros into length and direction.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, width))

    def forward(self, vectors: Tensor) -> Tensor:
        """Turn vectors (..., width) into (..., outputs)."""
        return functional.linear(vectors, self.weight)


def entry(condition: Condition | None, outputs: int) -> Entry | None:
    """Return an entry for a model with a condition, and None for one without."""
    return None if condition is None else Entry(condition.width, outputs)


@dataclass(frozen=True)
class ControlFrames:
    """The encoded control frames of a window of samples.

    Attributes:
        vectors: (B, M, width), the first for the frame in progress.
        hop: samples in a frame.
        phase: samples of the first frame that lie before the window.
    """

    vectors: Tensor
    hop: int
    phase: int

    def spread(self, entry: Entry, samples: int) -> Tensor:
        """Return what enters at each of the window's `samples` (B, T, outputs)."""
        return entry(self.vectors).repeat_interleave(self.hop, 1)[:, self.phase : self.phase + samples]

    def at(self, positions: range) -> Tensor:
        """Return the vectors (B, len(positions), width) of the frames in which positions of the window lie."""
        return self.vectors[:, [(self.phase + position) // self.hop for position in positions]]


class Recurrent(nn.Module):
    """An LSTM or GRU layer on torch's fused kernels, with its state as an argument.

    The state is (B, S, H), where S is 2 for an LSTM (hidden, cell) and 1 for a GRU. An LSTM has one bias, as in
    TensorFlow. A GRU needs two, since its reset gate acts on the second (Cho et al., arXiv:1406.1078, as in cuDNN).
    A condition enters at the gates, as more inputs with a matrix of their own.
    """

    def __init__(
        self,
        cell: Cell,
        inputs: int,
        units: int,
        *,
        forget_bias: float = 1.0,
        learned_state: bool = False,
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.units = units
        gates = 4 if cell == "lstm" else 3
        self.input_weight = nn.Parameter(torch.empty(gates * units, inputs))
        self.hidden_weight = nn.Parameter(torch.empty(gates * units, units))
        self.input_bias = nn.Parameter(torch.zeros(gates * units))
        self.hidden_bias: nn.Parameter | Tensor
        if cell == "gru":
            self.hidden_bias = nn.Parameter(torch.zeros(gates * units))
        else:
            self.register_buffer("hidden_bias", torch.zeros(gates * units), persistent=False)
            with torch.no_grad():
                self.input_bias[units : 2 * units] = forget_bias  # gates are in torch's order: i, f, g, o
        for gate in range(gates):
            nn.init.xavier_uniform_(self.input_weight[gate * units : (gate + 1) * units])
            nn.init.orthogonal_(self.hidden_weight[gate * units : (gate + 1) * units])
        self.condition = entry(condition, gates * units)
        shape = (2 if cell == "lstm" else 1, units)
        self.start: nn.Parameter | Tensor
        if learned_state:
            self.start = nn.Parameter(torch.zeros(shape))
        else:
            self.register_buffer("start", torch.zeros(shape), persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Return the initial state (B, S, H), zeros or learned."""
        return self.start.expand(batch, *self.start.shape)

    def forward(
        self, x: Tensor, state: Tensor, through: nn.Linear | None = None, vectors: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return outputs (B, T, H) and the state after them, for inputs (B, T, I), or for `through(x)` if given.

        The condition's `vectors` (B, T, width) are due where the layer was made with a condition.

        Over a sequence, `through` is folded into the input matrix, W (P x + p) + b = (W P) x + (W p + b). For a narrow
        x, this saves the widest product. On CUDA a recurrence stays in float32 under autocast,
        and so does its state.
        """
        if x.is_cuda and torch.is_autocast_enabled("cuda"):  # torch would give cuDNN float16, where gradients vanish
            with torch.autocast("cuda", enabled=False):
                return self(x.float(), state.float(), through, None if vectors is None else vectors.float())
        weight: Tensor = self.input_weight
        bias: Tensor = self.input_bias
        if through is not None and x.shape[1] == 1:
            x = through(x)
        elif through is not None:
            weight, bias = weight @ through.weight, weight @ through.bias + bias
        if self.condition is not None:
            assert vectors is not None
            x, weight = torch.cat((x, vectors), 2), torch.cat((weight, self.condition.weight), 1)
        if x.shape[1] == 1:
            return self._step(x, state, weight)
        weights = (weight, self.hidden_weight, bias, self.hidden_bias)
        options = (True, 1, 0.0, self.training, False, True)  # biases, layers, dropout, train, both ways, batch first
        if self.cell == "gru":
            y, h = torch.gru(x, state[:, 0].unsqueeze(0).contiguous(), weights, *options)
            return y, h.transpose(0, 1)
        hidden = tuple(part.unsqueeze(0).contiguous() for part in state.unbind(1))
        y, h, c = torch.lstm(x, hidden, weights, *options)
        return y, torch.stack((h[0], c[0]), 1)

    def _step(self, x: Tensor, state: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one sample by matrix-vector products, since sequence kernels repack their weights at every call."""
        weights = (weight, self.hidden_weight, self.input_bias, self.hidden_bias)
        if self.cell == "gru":
            h = torch.gru_cell(x[:, 0], state[:, 0], *weights)
            return h[:, None], h[:, None]
        h, c = torch.lstm_cell(x[:, 0], state.unbind(1), *weights)
        return h[:, None], torch.stack((h, c), 1)


def normalise_weights(module: nn.Module) -> None:
    """Split every matrix below `module` but embeddings into length and direction, by rows (arXiv:1602.07868)."""
    for layer in list(module.modules()):
        if isinstance(layer, nn.Linear):
            weight_norm(layer, "weight")
        elif isinstance(layer, Recurrent):
            weight_norm(layer, "input_weight")
            weight_norm(layer, "hidden_weight")
