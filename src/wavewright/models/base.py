"""The contract of every model, with `B` streams, `T` samples and `Q` levels. Codes are integers in [0, Q).

    state = model.initial_state(B)
    logits, state = model(codes, state)       # codes (B, T) -> logits (B, T, Q); position t predicts sample t + 1
    logits, state = model.step(code, state)   # code (B,)    -> logits (B, Q)

T is 1 or more. Forward over a whole sequence gives the same logits and state as forward over any chunks of it, and as
`step` repeated. The whole memory of a stream is in its state. A module holds nothing mutable but parameters.

The first code of a stream is the silence code, which predicts the first sample. A section of S samples is thus S inputs
(silence, then all samples but the last) and S targets, and every sample is predicted exactly once.
"""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, final

import torch
from torch import Tensor, nn

from wavewright.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class State:
    """A dataclass of tensors or tuples of tensors. The batch is dimension 0, and a clock has no dimensions."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply `function` to every tensor that has a batch. Clocks stay as they are."""

        def apply(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(apply(item) for item in value)
            return function(value) if value.dim() else value

        return type(self)(*(apply(getattr(self, field.name)) for field in dataclasses.fields(self)))

    def detach(self) -> Self:
        """Return a copy of the values, detached from the graph, where truncated BPTT truncates.

        The copy shares no memory. A state consists of views of a window's activations, and a view would keep all of
        them until the next step.
        """
        return self.map(lambda tensor: tensor.detach().clone(memory_format=torch.contiguous_format))

    def clone(self) -> Self:
        """Return a copy that shares no memory, with which to fork a stream."""
        return self.map(Tensor.clone)

    def flat(self) -> dict[str, Tensor]:
        """Return every tensor under its name, such as `hidden.0`, for saving."""
        named: dict[str, Tensor] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            items = enumerate(value) if isinstance(value, tuple) else [(None, value)]
            named.update({field.name if i is None else f"{field.name}.{i}": tensor for i, tensor in items})
        return named

    def unflatten(self, named: dict[str, Tensor]) -> Self:
        """Return a state of the same structure with the tensors of `named`, as from `flat`."""
        values: list[Tensor | tuple[Tensor, ...]] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                values.append(tuple(named[f"{field.name}.{i}"] for i in range(len(value))))
            else:
                values.append(named[field.name])
        return type(self)(*values)


S = TypeVar("S", bound=State)


class Model(nn.Module, Generic[S]):
    """A distribution over the next sample given all before it: p(x) = prod p(x_t | x_<t) over Q classes."""

    config: Any

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
    def initial_state(self, batch: int) -> S:
        """Return the state of `batch` streams after endless silence."""

    @abstractmethod
    def predict(self, codes: Tensor, state: S) -> tuple[Tensor, S]:
        """Do what `forward` does, for codes that have been checked: (B, T) -> (B, T, Q) and the next state."""

    def forward(self, codes: Tensor, state: S | None = None, condition: Tensor | None = None) -> tuple[Tensor, S]:
        """Return logits for the sample after each of `codes`, and the state after the last.

        Args:
            codes: (B, T) integers in [0, Q), T >= 1.
            state: state of the streams. None means the initial state.
            condition: none of today's models takes one.

        Returns:
            Logits (B, T, Q) and the next state. `state` itself is left as it was.
        """
        self._check(condition)
        if codes.dim() != 2 or codes.shape[1] < 1:
            raise ConfigError(f"codes: shape {tuple(codes.shape)}; give (streams, samples), one sample at least")
        return self.predict(codes, self.initial_state(codes.shape[0]) if state is None else state)

    @final
    def step(self, codes: Tensor, state: S, condition: Tensor | None = None) -> tuple[Tensor, S]:
        """Return logits (B, Q) for the sample after `codes` (B,), and the next state. Arguments are as in `forward`.

        The state given is consumed, since its memory may serve the next state. To fork a stream, `clone()` it first.
        """
        self._check(condition)
        return self.predict_one(codes, state)

    def predict_one(self, codes: Tensor, state: S) -> tuple[Tensor, S]:
        """Do what `step` does, for arguments that have been checked. Models override this to be faster."""
        logits, state = self.predict(codes[:, None], state)
        return logits[:, 0], state

    def _check(self, condition: Tensor | None) -> None:
        if condition is not None:
            raise ConfigError(f"condition: {self.name} takes none; leave it out")

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
        return sum(parameter.numel() for parameter in self.parameters())
