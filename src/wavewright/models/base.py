"""The contract of every model, with `B` streams, `T` samples and `Q` levels. Codes are integers in [0, Q).

    state = model.initial_state(B)
    outputs, state = model(codes, state)      # codes (B, T) -> (B, T, S); position t predicts sample t + 1
    outputs, state = model.step(code, state)  # code (B,)    -> (B, S)
    logits = model.logits(outputs, codes)     # of the codes (B, T) that are predicted

Where a code is drawn at once, S is Q, and the outputs are the logits of all codes. With `split`, a code is drawn in two
parts. The logits of the second depend on the first, and are computed from the outputs once that is known.

T is 1 or more. Forward over a whole sequence gives the same outputs and state as forward over any chunks of it, and as
`step` repeated. The whole memory of a stream is in its state. A module holds nothing mutable but parameters.

The first code of a stream is the silence code, which predicts the first sample. A section of S samples is thus S inputs
(silence, then all samples but the last) and S targets, and every sample is predicted exactly once.

A model with a condition (`models/condition.py`) takes control frames (B, M, F) as well, one for each `hop` samples that
it predicts. Frame m of a stream holds for the predicted samples m hop to (m + 1) hop - 1. A window that begins inside a
frame begins with that frame. Without frames, the frame in progress goes on, and in those that follow every control is
absent.
"""

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar, final

import torch
from torch import Tensor, nn

from wavewright.errors import ConfigError
from wavewright.models.forecast import Forecast, Predictor
from wavewright.models.layers import ControlFrames, Encoder, FineOutput
from wavewright.models.pieces import WHOLE, Part, Piece, count_weights


@dataclasses.dataclass(frozen=True)
class State:
    """A dataclass of tensors or tuples of tensors. The batch is dimension 0, and a clock has no dimensions.

    Attributes:
        phase: () int64, samples of the control frame in progress that have gone by. None without a condition.
        control: (B, width), the encoded control frame in progress. None without a condition.
        forecast: (B, S) float64 on the CPU, what the linear predictor remembers. None without prediction.
    """

    phase: Tensor | None = dataclasses.field(default=None, kw_only=True)
    control: Tensor | None = dataclasses.field(default=None, kw_only=True)
    forecast: Tensor | None = dataclasses.field(default=None, kw_only=True)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply `function` to every tensor that has a batch. Clocks stay as they are."""

        def apply(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(apply(item) for item in value)
            return function(value) if value is not None and value.dim() else value

        return type(self)(**{field.name: apply(getattr(self, field.name)) for field in dataclasses.fields(self)})

    def detach(self) -> Self:
        """Return a copy of the values, detached from the graph, where truncated BPTT truncates.

        The copy shares no memory. A state consists of views of a window's activations, and a view would keep all of
        them until the next step.
        """
        return self.map(lambda tensor: tensor.detach().clone(memory_format=torch.contiguous_format))

    def clone(self) -> Self:
        """Return a copy that shares no memory, with which to fork a stream."""
        return self.map(Tensor.clone)

    def lanes(self, which: slice) -> Self:
        """Return the state of some of the streams."""
        return self.map(lambda tensor: tensor[which])

    @staticmethod
    def join(states: "Sequence[S]") -> "S":
        """Return the state of all streams, for states of some each that have one clock."""
        if len(states) == 1:
            return states[0]
        first, *others = (state.flat() for state in states)
        return states[0].unflatten(
            {
                name: torch.cat([value, *(other[name] for other in others)]) if value.dim() else value
                for name, value in first.items()
            }
        )

    def flat(self) -> dict[str, Tensor]:
        """Return every tensor under its name, such as `hidden.0`, for saving."""
        named: dict[str, Tensor] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                named.update({f"{field.name}.{i}": tensor for i, tensor in enumerate(value)})
            elif value is not None:
                named[field.name] = value
        return named

    def unflatten(self, named: dict[str, Tensor]) -> Self:
        """Return a state of the same structure with the tensors of `named`, as from `flat`."""
        values: dict[str, Tensor | tuple[Tensor, ...]] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                values[field.name] = tuple(named[f"{field.name}.{i}"] for i in range(len(value)))
            elif value is not None:
                values[field.name] = named[field.name]
        return type(self)(**values)  # type: ignore[arg-type]


S = TypeVar("S", bound=State)


class Model(nn.Module, Generic[S]):
    """A distribution over the next sample given all before it: p(x) = prod p(x_t | x_<t) over Q classes."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.encoder = None if config.condition is None else Encoder(config.condition)
        self.predictor = None
        if config.prediction is not None:
            self.predictor = Predictor(config.prediction, config.q_levels, config.condition)
        self.fine = FineOutput(config.output) if config.split else None

    @property
    def name(self) -> str:
        """Name of the model for users."""
        name: str = self.config.name
        return name

    @property
    def receptive_field(self) -> float:
        """See ModelConfig."""
        reach: float = self.config.receptive_field
        return reach

    @abstractmethod
    def start(self, batch: int) -> S:
        """Return what `initial_state` does, without what belongs to a condition or a prediction."""

    @abstractmethod
    def pieces(self) -> Sequence[Piece]:
        """Return the pieces that devices can share, in the order in which they are computed.

        What several pieces use has no piece, such as a history of codes. All devices have the same of it.
        """

    @abstractmethod
    def predict(
        self,
        codes: Tensor,
        state: S,
        control: ControlFrames | None,
        forecast: Forecast | None,
        part: Part = WHOLE,
    ) -> tuple[Tensor, S]:
        """Do what `forward` does, for arguments that have been checked: codes (B, T) -> (B, T, S) and the next state.

        `control` is None exactly where the model has no condition, and `forecast` where it has no prediction. With a
        prediction, the result is what `Predictor.logits` takes (B, T, Q + 1). The state's own fields for both are not
        looked at.

        A part of the pieces turns what the pieces before it handed on into what those after it are handed. It leaves
        alone what the state holds of other pieces.
        """

    @final
    def initial_state(self, batch: int) -> S:
        """Return the state of `batch` streams after endless silence, at the start of a control frame."""
        state = self.start(batch)
        if self.predictor is not None:
            state = dataclasses.replace(state, forecast=self.predictor.initial_state(batch))
        if self.encoder is None:
            return state
        control = torch.zeros(batch, self.config.condition.width, dtype=self.dtype, device=self.device)
        return dataclasses.replace(state, phase=torch.tensor(0), control=control)

    def forward(
        self, codes: Tensor, state: S | None = None, condition: Tensor | None = None, part: Part = WHOLE
    ) -> tuple[Tensor, S]:
        """Return the outputs for the sample after each of `codes`, and the state after the last.

        Args:
            codes: (B, T) integers in [0, Q), T >= 1.
            state: state of the streams. None means the initial state.
            condition: control frames (B, M, F) that the T predicted samples touch, the one in progress first. None lets
                that one go on, and every control be absent after it.
            part: the pieces to compute.

        Returns:
            Outputs (B, T, S), or what the part hands on, and the next state. `state` itself is left as it was.

        Raises:
            ConfigError: codes or a condition of another shape, or a condition for a model that takes none.
        """
        if codes.dim() != 2 or codes.shape[1] < 1:
            raise ConfigError(f"codes: shape {tuple(codes.shape)}; give (streams, samples), one sample at least")
        state = self.initial_state(codes.shape[0]) if state is None else state
        control = self._control(state, codes.shape[0], codes.shape[1], condition)
        return self._go_on(functools.partial(self.predict, part=part), codes, state, control, condition, part=part)

    @final
    def next_logits(self, outputs: Tensor, *drawn: Tensor) -> Tensor:
        """Return the logits (..., n) of a code's next draw, for outputs (..., S) and what was `drawn` of it (...)."""
        if self.fine is None:
            return outputs
        coarse = self.config.output.coarse
        logits: Tensor = self.fine(outputs[..., coarse:], *drawn) if drawn else outputs[..., :coarse]
        return logits

    @final
    def logits(self, outputs: Tensor, codes: Tensor) -> Tensor:
        """Return the logits (..., L) of the codes (...) that outputs (..., S) predict, as `config.output` takes them.

        A code may be IGNORED. Its logits then mean nothing.
        """
        if self.fine is None:
            return outputs
        coarse = codes.clamp(min=0).div(self.config.output.fine, rounding_mode="floor")
        return torch.cat((self.next_logits(outputs), self.next_logits(outputs, coarse)), -1)

    @final
    def step(self, codes: Tensor, state: S, condition: Tensor | None = None) -> tuple[Tensor, S]:
        """Return the outputs (B, S) for the sample after `codes` (B,), and the next state.

        `condition` (B, F) is as in `forward`. The state given is consumed, since its memory may serve the next state.
        To fork a stream, `clone()` it first.
        """
        frame = None if condition is None else condition[:, None]
        control = self._control(state, codes.shape[0], 1, frame)
        outputs, after = self._go_on(self.predict_one, codes[:, None], state, control, frame)
        return outputs[:, 0], after

    def predict_one(
        self, codes: Tensor, state: S, control: ControlFrames | None, forecast: Forecast | None
    ) -> tuple[Tensor, S]:
        """Do what `predict` does for one sample, with a state that may be consumed. Models may override this."""
        return self.predict(codes, state, control, forecast)

    def _control(self, state: S, streams: int, samples: int, condition: Tensor | None) -> ControlFrames | None:
        """Check the condition of a window and encode it."""
        if self.encoder is None:
            if condition is not None:
                raise ConfigError(f"condition: this {self.name} was made without one; leave it out")
            return None
        assert state.phase is not None
        assert state.control is not None
        given, phase = self.config.condition, int(state.phase)
        due = (streams, given.frames(samples, phase), given.features)
        if condition is None:
            absent = torch.from_numpy(given.absent(1)).to(self.device, self.dtype)
            vectors = self.encoder(absent).expand(streams, due[1], -1)
            if phase:
                vectors = torch.cat((state.control[:, None], vectors[:, 1:]), 1)
        elif tuple(condition.shape) != due:
            raise ConfigError(
                f"condition: shape {tuple(condition.shape)}; give (streams, frames, features), here {due}"
            )
        else:
            vectors = self.encoder(condition)
        return ControlFrames(vectors, given.hop, phase)

    def _go_on(
        self,
        predict: Callable[..., tuple[Tensor, S]],
        codes: Tensor,
        state: S,
        control: ControlFrames | None,
        condition: Tensor | None,
        *,
        part: Part = WHOLE,
    ) -> tuple[Tensor, S]:
        """Return the outputs for the sample after each of `codes` (B, T), and the next state."""
        if self.predictor is None:
            outputs, after = predict(codes, state, control, None)
        else:
            phase = control.phase if control else 0
            forecast, remembered = self.predictor(codes, state.forecast, condition, phase)
            outputs, after = predict(codes, state, control, forecast)
            if part.is_last:
                outputs = self.predictor.logits(forecast, outputs)
            after = dataclasses.replace(after, forecast=remembered)
        if control is not None:
            phase = (control.phase + codes.shape[1]) % control.hop
            after = dataclasses.replace(after, phase=torch.tensor(phase), control=control.vectors[:, -1])
        return outputs, after

    def learning_rate_factor(self, name: str) -> float:
        """Return by what the learning rate of the parameter `name` is multiplied."""
        return 1.0

    def scalars(self, codes: Tensor) -> Tensor:
        """Return codes of any shape as numbers in (-1, 1), the centres of Q equal bins."""
        levels: int = self.config.q_levels
        return (2 * codes + 1).to(self.dtype) / levels - 1

    @property
    def dtype(self) -> torch.dtype:
        """Type of the parameters."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    def parameter_count(self) -> int:
        """Return the number of learned parameters."""
        return count_weights(self)
