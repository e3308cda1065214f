"""The contract that every model keeps. `B` streams, `T` samples, `Q` levels; codes are integers in [0, Q).

    state = model.initial_state(B)
    logits, state = model(codes, state)       # codes (B, T) -> logits (B, T, Q); position t predicts sample t + 1
    logits, state = model.step(code, state)   # code (B,)    -> logits (B, Q)

Any T from 1 up: forward over a whole sequence equals forward over any chunking of it equals `step` repeated, state
and all. Everything that a stream remembers is in its state; a module holds nothing mutable but parameters.

The first code of a stream is the silence code, which predicts its first sample; so a section of S samples is S inputs
(silence, then all but its last sample) and S targets, and every sample of it is predicted exactly once.
"""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, final

import torch
from torch import Tensor, nn

from wavewright.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class State:
    """A plain dataclass of tensors (or tuples of them). The batch is dimension 0; a clock has no dimensions."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The state with `function` applied to every tensor that has a batch; clocks stay as they are."""

        def apply(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(apply(item) for item in value)
            return function(value) if value.dim() else value

        return type(self)(*(apply(getattr(self, field.name)) for field in dataclasses.fields(self)))

    def detach(self) -> Self:
        """The same values, cut off from the graph, where truncated BPTT truncates, and from the memory of a window's
        activations, of which a state is a few views: a view would keep them all until the next step.
        """
        return self.map(lambda tensor: tensor.detach().clone(memory_format=torch.contiguous_format))

    def clone(self) -> Self:
        """A copy that shares no memory: to fork a stream."""
        return self.map(Tensor.clone)

    def flat(self) -> dict[str, Tensor]:
        """Every tensor under its name, such as `hidden.0`: to save."""
        named: dict[str, Tensor] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            items = enumerate(value) if isinstance(value, tuple) else [(None, value)]
            named.update({field.name if i is None else f"{field.name}.{i}": tensor for i, tensor in items})
        return named

    def unflatten(self, named: dict[str, Tensor]) -> Self:
        """The state of this one's structure with the tensors of `named`, as `flat` gave them."""
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
        """What users call the model."""
        name: str = self.config.name
        return name

    @property
    def receptive_field(self) -> float:
        """How many past samples can reach a prediction; infinite for recurrent models."""
        return math.inf

    @abstractmethod
    def initial_state(self, batch: int) -> S:
        """The state of `batch` streams that have heard nothing but silence."""

    @abstractmethod
    def predict(self, codes: Tensor, state: S) -> tuple[Tensor, S]:
        """What `forward` does, for codes that have been checked: (B, T) -> (B, T, Q) and the state after them."""

    def forward(self, codes: Tensor, state: S | None = None, condition: Tensor | None = None) -> tuple[Tensor, S]:
        """Logits for the sample after each of `codes`, and the state after the last.

        Args:
            codes: (B, T) integers in [0, Q), T >= 1.
            state: where the streams stand; none means their beginning.
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
        """Return logits (B, Q) for the sample after `codes` (B,), and the next state; arguments as in `forward`.

        The state given is consumed: its memory may serve the next one. `clone()` it first to fork a stream.
        """
        self._check(condition)
        return self.predict_one(codes, state)

    def predict_one(self, codes: Tensor, state: S) -> tuple[Tensor, S]:
        """Do what `step` does, for arguments that have been checked; models override this where it can be faster."""
        logits, state = self.predict(codes[:, None], state)
        return logits[:, 0], state

    def _check(self, condition: Tensor | None) -> None:
        if condition is not None:
            raise ConfigError(f"condition: {self.name} takes none; leave it out")

    def scalars(self, codes: Tensor) -> Tensor:
        """Codes of any shape as numbers in (-1, 1), the centres of Q equal bins."""
        levels: int = self.config.q_levels
        return (2 * codes + 1).to(self.dtype) / levels - 1

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())
