"""SampleRNN, tiers of recurrent layers on one clock, each conditioning the next (thesis 3.2; arXiv:1612.07837).

The clock counts samples from the start of the section. A frame of a tier with frame size f is the f samples before a
multiple of f. The input at position t is sample t - 1. A tier steps at the positions that f divides, where its frame is
complete, and its output conditions the next f predictions. At position 0 the frames hold silence.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wavewright.models.base import Model, State
from wavewright.models.forecast import Forecast, forecast_entry
from wavewright.models.layers import ControlFrames, Recurrent, embedding, entry, linear, normalise_weights
from wavewright.models.pieces import WHOLE, Part, Piece, count_weights
from wavewright.models.sample_rnn.config import SampleRNNConfig
from wavewright.quantize import silence


@dataclass(frozen=True)
class SampleRNNState(State):
    """The state of the tiers. All streams have the same clock.

    Attributes:
        history: (B, max(slowest frame, window)), the last codes read.
        hidden: for each tier (B, n_rnn * S, units).
        held: for each tier (B, ratio, units), the conditioning of the tier below during the current frame.
        clock: () int64, samples read, modulo the slowest frame.
    """

    history: Tensor
    hidden: tuple[Tensor, ...]
    held: tuple[Tensor, ...]
    clock: Tensor


def _steps(frame: int, clock: int, length: int) -> tuple[int, int]:
    """Return the first position of a window at which a tier steps, and how often it does so in the window."""
    start = -clock % frame
    return start, len(range(start, length, frame))


class Tier(nn.Module):
    """A recurrent tier that turns frames and conditioning into `ratio` conditioning vectors a frame."""

    def __init__(self, config: SampleRNNConfig, frame: int, ratio: int, *, slowest: bool) -> None:
        super().__init__()
        self.n_rnn = config.n_rnn
        self.frame_input = None if slowest else linear(frame, config.units)  # the slowest tier takes frames directly
        self.condition = None if slowest else entry(config.condition, config.units)  # there it enters at the gates
        self.layers = nn.ModuleList(
            Recurrent(
                config.cell,
                frame if slowest and i == 0 else config.units,
                config.units,
                forget_bias=config.forget_bias,
                learned_state=config.learned_state,
                condition=config.condition if slowest and i == 0 else None,
            )
            for i in range(config.n_rnn)
        )
        self.upsample = linear(config.units, ratio * config.units)

    def initial_state(self, batch: int) -> Tensor:
        """Return the initial state (B, n_rnn * S, units)."""
        return torch.cat([layer.initial_state(batch) for layer in self.layers], 1)  # type: ignore[operator]

    def forward(
        self, frames: Tensor, above: Tensor | None, hidden: Tensor, vectors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Turn frames (B, K, f) and conditioning (B, K, units) into (B, K * ratio, units) and the next hidden state.

        `vectors` (B, K, width) is the condition of the first sample that each frame predicts.
        """
        x = frames if self.frame_input is None else self.frame_input(frames) + above
        if self.condition is not None:
            x = x + self.condition(vectors)
        after = []
        for layer, before in zip(self.layers, hidden.chunk(self.n_rnn, 1), strict=True):
            x, last = layer(x, before, vectors=vectors)
            after.append(last)
        return self.upsample(x).reshape(x.shape[0], -1, x.shape[2]), torch.cat(after, 1)


class SampleRNN(Model[SampleRNNState]):
    """A model of recurrent tiers over ever smaller frames, and a network over the last `window` samples."""

    def __init__(self, config: SampleRNNConfig) -> None:
        super().__init__(config)
        self.tiers = nn.ModuleList(
            Tier(config, frame, ratio, slowest=i == 0)
            for i, (frame, ratio) in enumerate(zip(config.frame_sizes, config.ratios, strict=True))
        )
        self.embedding = embedding(config.output, config.embedding) if config.input == "embedded" else None
        self.sample_input = linear(config.reach * (config.embedding if self.embedding else 1), config.units)
        self.condition = entry(config.condition, config.units)
        self.forecast = forecast_entry(config.prediction, config.q_levels, config.units)
        self.hidden = nn.ModuleList(linear(config.units, config.units) for _ in range(2))
        self.output = linear(config.units, config.outputs, gain=config.output_gain)
        if config.weight_norm:
            normalise_weights(self)

    def start(self, batch: int) -> SampleRNNState:
        """Return a history of silence, zero or learned hidden states, and the clock at 0."""
        config, like = self.config, self.output.weight
        return SampleRNNState(
            history=torch.full(
                (batch, max(config.frame_sizes[0], config.reach)),
                silence(config.q_levels),
                device=self.device,
            ),
            hidden=tuple(tier.initial_state(batch) for tier in self.tiers),  # type: ignore[operator]
            held=tuple(like.new_zeros(batch, ratio, config.units) for ratio in config.ratios),
            clock=torch.tensor(0),
        )

    def pieces(self) -> list[Piece]:
        """Return the tiers, the slowest first, and the network of samples."""
        samples = ("embedding", "sample_input", "condition", "forecast", "hidden", "output", "fine")
        return [
            *(
                Piece((f"tiers.{i}",), (f"hidden.{i}", f"held.{i}"), count_weights(tier) / frame)
                for i, (tier, frame) in enumerate(zip(self.tiers, self.config.frame_sizes, strict=True))
            ),
            Piece(samples, (), count_weights(self.sample_input, self.hidden, self.output)),
        ]

    def predict(
        self,
        codes: Tensor,
        state: SampleRNNState,
        control: ControlFrames | None,
        forecast: Forecast | None,
        part: Part = WHOLE,
    ) -> tuple[Tensor, SampleRNNState]:
        """See Model.forward. A forecast enters the sample tier."""
        length, clock, past = codes.shape[1], int(state.clock), state.history.shape[1]
        joined = torch.cat((state.history, codes), 1)  # position t is column past + t
        above = part.handed  # the conditioning of the next tier's steps
        hidden, held = list(state.hidden), list(state.held)
        frames, ratios = (*self.config.frame_sizes, 1), self.config.ratios
        for i in range(len(self.tiers))[part.pieces]:
            frame, start, steps = frames[i], *_steps(frames[i], clock, length)
            slots, first_slot = held[i], ((clock - 1) // frame) * ratios[i]  # which of the next tier's, from clock 0 on
            if steps:
                read = joined[:, past + start + 1 - frame :].unfold(1, frame, frame)[:, :steps]
                vectors = None if control is None else control.at(range(start, length, frame))
                scaled = self.scalars(read) * self.config.frame_scale
                new, hidden[i] = self.tiers[i](scaled, above, hidden[i], vectors)
                if start:
                    slots = torch.cat((slots, new), 1)
                else:
                    slots, first_slot = new, (clock // frame) * ratios[i]
            held[i] = slots[:, -ratios[i] :]
            start, steps = _steps(frames[i + 1], clock, length)
            slot = (clock + start) // frames[i + 1] - first_slot
            above = slots[:, slot : slot + steps]
        clock = (clock + length) % self.config.frame_sizes[0]
        after = SampleRNNState(joined[:, -past:], tuple(hidden), tuple(held), torch.tensor(clock))
        assert above is not None
        if not part.is_last:
            return above, after
        if self.condition is not None and control is not None:
            above = above + control.spread(self.condition, length)
        if self.forecast is not None and forecast is not None:
            above = above + self.forecast(forecast)
        return self._samples(joined[:, past + 1 - self.config.reach :], above), after

    def _samples(self, codes: Tensor, above: Tensor) -> Tensor:
        """Compute the sample tier, (B, T + window - 1) codes and conditioning (B, T, units) -> logits (B, T, Q)."""
        length, reach = above.shape[1], self.config.reach
        if self.embedding is None:
            x = self.sample_input(self.scalars(codes).unfold(1, reach, 1)) + above
        elif codes.numel() < self.embedding.num_embeddings:
            x = self.sample_input(self.embedding(codes.unfold(1, reach, 1)).flatten(2)) + above
        else:
            # W [e(a), e(b), ...] + c = (W1 E)[a] + (W2 E)[b] + ... + c needs one table a place, but no wide product a
            # sample. This is faster with more samples than rows in a table.
            x = above + self.sample_input.bias
            for place, weight in enumerate(self.sample_input.weight.chunk(reach, 1)):
                x = x + self.embedding.image(codes[:, place : place + length], weight)
        for layer in self.hidden:
            x = functional.relu(layer(x))
        return self.output(x)
