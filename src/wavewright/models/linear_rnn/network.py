"""LinearRNN, tiers of gated linear recurrences on one clock, each conditioning the next (SaShiMi, arXiv:2202.09729).

The clock is SampleRNN's. A tier of frame size f steps at the positions that f divides, on the frame that is complete
there, and its output conditions the f samples that follow. The last tier steps at every sample and reads the last
`window` samples. Nothing but the recurrences (`diagonal.py`) reaches further back, and these do not depend on the
signal. The gates between them do.

Inside, tensors have the channels first: (D, B, T).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavewright.models.base import Model, State
from wavewright.models.forecast import Forecast, forecast_entry
from wavewright.models.layers import ControlFrames, Embedding, SplitEmbedding, embedding, entry, linear
from wavewright.models.linear_rnn.config import LinearRNNConfig
from wavewright.models.linear_rnn.diagonal import CHUNK, Diagonal
from wavewright.models.pieces import WHOLE, Part, Piece, count_weights
from wavewright.quantize import silence

EPSILON = 1e-5  # added to mean squares


@dataclass(frozen=True)
class LinearRNNState(State):
    """The state of the tiers. All streams have the same clock.

    Attributes:
        history: (B, longest reach of a tier), the last codes read.
        modes: for each block, from the slowest tier on, (B, width, modes, 2), real and imaginary parts.
        held: for each tier but the last (B, ratio, width of the next tier), its output during the current frame.
        clock: () int64, samples read, modulo the slowest frame.
    """

    history: Tensor
    modes: tuple[Tensor, ...]
    held: tuple[Tensor, ...]
    clock: Tensor


def normalised(x: Tensor) -> Tensor:
    """Divide vectors (D, ...) by their root mean square."""
    return x * torch.rsqrt(x.square().mean(0, keepdim=True) + EPSILON)


def across(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear layer to the channels of x (I, B, T) -> (O, B, T)."""
    y = torch.addmm(layer.bias[:, None], layer.weight, x.flatten(1))
    return y.view(-1, *x.shape[1:])


def first_embedding(levels: int, width: int) -> Tensor:
    """Return a table (Q, width) of the mu-law scalar s, the amplitude, and sines and cosines of s.

    A learned table that starts so learns faster than a random one (HarmonicRNN, arXiv:2510.02401).
    """
    s = (2 * torch.arange(levels) + 1) / levels - 1
    amplitude = s.sign() * torch.expm1(s.abs() * math.log(256)) / 255
    columns = [1.7 * s, 5 * amplitude]  # of a mean square near 1 each, in music
    for k in range(1, width):
        columns += [torch.sin(k * math.pi / 2 * s), torch.cos(k * math.pi / 2 * s)]
    return torch.stack(columns[:width], 1)


@torch.no_grad()
def begin_embedding(embedding: Embedding | SplitEmbedding, levels: int) -> None:
    """Let a table begin as `first_embedding`. Of split codes, the sines and cosines are those of the coarse part."""
    if isinstance(embedding, Embedding):
        embedding.weight.copy_(first_embedding(levels, embedding.embedding_dim))
        return
    (coarse, width), fine = embedding.coarse.shape, len(embedding.fine)
    embedding.coarse.copy_(first_embedding(coarse, width))
    embedding.fine[:, 0] = 1.7 * ((2 * torch.arange(fine) + 1) / fine - 1) / coarse
    embedding.coarse[:, 1:2] = 0
    embedding.amplitude.copy_(5.0 * (torch.arange(width) == 1))


class Block(nn.Module):
    """A recurrence and a gate, and in slow tiers a feed-forward network. Each is added to the block's input."""

    def __init__(self, config: LinearRNNConfig, width: int, frame: int, *, slow: bool) -> None:
        super().__init__()
        self.diagonal = Diagonal(width, config.modes, frame)
        self.gate = linear(width, 2 * width)
        self.condition = entry(config.condition, 2 * width)
        self.hidden = linear(width, 2 * width) if slow else None
        self.output = linear(2 * width, width, gain=0.5) if slow else None

    def forward(self, x: Tensor, state: Tensor, entering: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Turn x (D, B, T) and the state (B, D, N, 2) into (D, B, T) and the next state.

        What enters by a condition (2D, B, T) is added before the gate.
        """
        y, state = self.diagonal(normalised(x), state)
        pre = across(self.gate, y)
        x = x + functional.glu(pre if entering is None else pre + entering, 0)
        if self.hidden is not None and self.output is not None:
            x = x + across(self.output, functional.gelu(across(self.hidden, normalised(x)), approximate="tanh"))
        return x, state

    @property
    def multiply_adds(self) -> float:
        """Multiply-adds of a step, as `Diagonal` computes a chunk of steps."""
        channels, modes = self.diagonal.nu.shape
        return channels * (CHUNK + 4 * modes) + count_weights(self.gate, self.hidden, self.output)

    def before_endless(self, x: Tensor) -> Tensor:
        """Return the state in which inputs (D, B, T) that repeat for ever leave the block."""
        return self.diagonal.before_endless(normalised(x))


class Tier(nn.Module):
    """The blocks of one rate, and the matrices that lead to them and from them to the next tier."""

    def __init__(self, config: LinearRNNConfig, i: int) -> None:
        super().__init__()
        width, slow = config.widths[i], i + 1 < len(config.widths)
        self.input = linear(config.reaches[i] * config.embedding, width)
        self.blocks = nn.ModuleList(
            Block(config, width, config.frame_sizes[i], slow=slow) for _ in range(config.blocks[i])
        )
        self.next_width = config.widths[i + 1] if slow else width
        self.upsample = linear(width, config.ratios[i] * self.next_width, gain=0.5) if slow else None

    def forward(
        self, x: Tensor, states: Sequence[Tensor], entering: Sequence[Tensor | None], first: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Compute K steps of some blocks, from block `first` on.

        Args:
            x: (D, B, K), what `begin` returns, or the blocks before.
            states: for each of these blocks (B, D, N, 2).
            entering: for each of these blocks (2D, B, K), what enters by a condition.
            first: number of the first of these blocks.

        Returns:
            What the last of these blocks gives (D, B, K), and the next states.
        """
        after = []
        for i, (before, more) in enumerate(zip(states, entering, strict=True), first):
            x, state = self.blocks[i](x, before, more)
            after.append(state)
        return x, after

    def settle(self, embedded: Tensor, above: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Compute K steps in the states in which such steps, repeated for ever, leave the blocks.

        Returns:
            What `end` returns, and for each block the state, which is the same before and after.
        """
        x, states = self.begin(embedded, above), []
        for block in self.blocks:
            states.append(block.before_endless(x))  # type: ignore[operator]
            x, _ = block(x, states[-1])
        return self.end(x), states

    def entering(self, control: ControlFrames | None, length: int, steps: slice) -> list[Tensor | None]:
        """Return what enters each block (2D, B, K) at those `steps` of a window of `length` samples."""
        if control is None:
            return [None] * len(self.blocks)
        spread = [control.spread(block.condition, length) for block in self.blocks]  # type: ignore[arg-type]
        return [each[:, steps].permute(2, 0, 1) for each in spread]

    def begin(self, embedded: Tensor, above: Tensor | None) -> Tensor:
        """Return what enters the first block (D, B, K).

        Args:
            embedded: (B, K, reach * E), the codes that each step reads.
            above: (D, B, K), the conditioning by the slower tier.
        """
        x = torch.addmm(self.input.bias[:, None], self.input.weight, embedded.flatten(0, 1).t())
        x = x.view(-1, *embedded.shape[:2])
        return x if above is None else x + above

    def end(self, x: Tensor) -> Tensor:
        """Turn what the last block gives (D, B, K) into the conditioning of the next tier (its width, B, K * ratio).

        For the last tier, it is the normalised output (D, B, K).
        """
        if self.upsample is None:
            return normalised(x)
        slots = across(self.upsample, normalised(x)).view(-1, self.next_width, *x.shape[1:])
        return slots.permute(1, 2, 3, 0).flatten(2)


class LinearRNN(Model[LinearRNNState]):
    """A model of tiers of linear recurrences, from frames of codes to a distribution for each sample."""

    def __init__(self, config: LinearRNNConfig) -> None:
        super().__init__(config)
        self.embedding = embedding(config.output, config.embedding)
        begin_embedding(self.embedding, config.q_levels)
        self.tiers = nn.ModuleList(Tier(config, i) for i in range(len(config.widths)))
        self.forecast = forecast_entry(config.prediction, config.q_levels, config.widths[-1])
        self.output = linear(config.widths[-1], config.outputs, gain=0.5 * config.output_gain)

    def learning_rate_factor(self, name: str) -> float:
        """See Model. Time constants and frequencies move at half the rate."""
        return 0.5 if name.endswith((".nu", ".theta")) else 1.0

    @torch.no_grad()
    def start(self, batch: int) -> LinearRNNState:
        """Return the response to endless silence, in which each frame of the slowest tier is like the one before.

        No gradient flows through it. That of a slow mode's frequency is as great as the square of its time constant.
        """
        config, above = self.config, None
        quiet = torch.full((1, max(config.reaches)), silence(config.q_levels), device=self.device)
        modes: list[Tensor] = []
        held: list[Tensor] = []
        for i, tier in enumerate(self.tiers):
            read = quiet[:, None, : config.reaches[i]].expand(-1, config.frame_sizes[0] // config.frame_sizes[i], -1)
            above, own = tier.settle(self.embedding(read).flatten(2), above)  # type: ignore[operator]
            modes += own
            if i < len(config.ratios):
                held.append(above[:, :, -config.ratios[i] :].permute(1, 2, 0))
        return LinearRNNState(
            history=quiet.expand(batch, -1),
            modes=tuple(mode.expand(batch, -1, -1, -1) for mode in modes),
            held=tuple(slots.expand(batch, -1, -1) for slots in held),
            clock=torch.tensor(0),
        )

    def pieces(self) -> list[Piece]:
        """Return the blocks, from the slowest tier on, and the output. The embedding belongs to all tiers."""
        config = self.config
        pieces: list[Piece] = []
        for i, (tier, frame) in enumerate(zip(self.tiers, config.frame_sizes, strict=True)):
            for j in range(config.blocks[i]):
                names, held = [f"tiers.{i}.blocks.{j}"], []
                work = tier.blocks[j].multiply_adds  # type: ignore[union-attr, index]
                if j == 0:
                    names += [f"tiers.{i}.input", *(["forecast"] if frame == 1 else [])]
                    work += count_weights(tier.input)  # type: ignore[arg-type]
                if j == config.blocks[i] - 1 and frame > 1:
                    names.append(f"tiers.{i}.upsample")
                    held = [f"held.{i}"]
                    work += count_weights(tier.upsample)  # type: ignore[arg-type]
                pieces.append(Piece(tuple(names), (f"modes.{len(pieces)}", *held), work / frame))
        return [*pieces, Piece(("output", "fine"), (), count_weights(self.output))]

    def predict(
        self,
        codes: Tensor,
        state: LinearRNNState,
        control: ControlFrames | None,
        forecast: Forecast | None,
        part: Part = WHOLE,
    ) -> tuple[Tensor, LinearRNNState]:
        """See Model.forward. A forecast enters the last tier."""
        config, length, clock = self.config, codes.shape[1], int(state.clock)
        past, stop = state.history.shape[1], 0
        joined = torch.cat((state.history, codes), 1)  # position t is column past + t
        x = part.handed  # inside a tier what its blocks give, and between two what conditions the next
        modes, held = list(state.modes), list(state.held)
        pieces = range(sum(config.blocks))[part.pieces]
        for i, (tier, frame, reach) in enumerate(zip(self.tiers, config.frame_sizes, config.reaches, strict=True)):
            begin, stop = stop, stop + config.blocks[i]
            first, after = max(begin, pieces.start), min(stop, pieces.stop)
            if first >= after:
                continue
            start = -clock % frame  # the first position at which this tier steps
            steps = len(range(start, length, frame))
            if first == begin:
                if x is not None:  # which begins with the slots of the frame in progress
                    slot = (clock + start) % config.frame_sizes[i - 1] // frame or config.ratios[i - 1]
                    x = x[:, :, slot : slot + steps]
                if frame == 1 and self.forecast is not None and forecast is not None:
                    ahead = self.forecast(forecast).permute(2, 0, 1)
                    x = ahead if x is None else x + ahead
                if steps:
                    read = joined[:, past + start + 1 - reach :].unfold(1, reach, frame)[:, :steps]
                    x = tier.begin(self.embedding(read).flatten(2), x)  # type: ignore[operator]
                else:
                    x = self.output.weight.new_empty(config.widths[i], len(codes), 0)
            if steps:
                own = slice(first - begin, after - begin)
                entering = tier.entering(control, length, slice(start, None, frame))[own]  # type: ignore[operator]
                x, modes[first:after] = tier(x, modes[first:after], entering, own.start)
            if after == stop and i < len(held):
                slots = held[i].permute(2, 0, 1)
                if steps:
                    slots = torch.cat((slots, tier.end(x)), 2)  # type: ignore[operator]
                held[i] = slots[:, :, -config.ratios[i] :].permute(1, 2, 0)
                x = slots
        clock = (clock + length) % config.frame_sizes[0]
        state = LinearRNNState(joined[:, -past:], tuple(modes), tuple(held), torch.tensor(clock))
        assert x is not None
        if not part.is_last:
            return x, state
        new = self.tiers[-1].end(x)  # type: ignore[operator]
        return self.output(new.flatten(1).t()).unflatten(0, (-1, length)), state
