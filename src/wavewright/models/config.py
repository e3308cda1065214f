"""The base of all models' configurations, the types of their fields, and the names and shapes of weights.

Every field has a bound that no sensible model reaches. The bound keeps a typing mistake or a hostile file from asking
for too much memory. No torch here.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from wavewright.models.output import Softmax

if TYPE_CHECKING:
    from wavewright.models.base import Model
    from wavewright.models.condition import Condition

Cell = Literal["lstm", "gru"]
Size = Annotated[int, Field(ge=1, le=65536)]
Depth = Annotated[int, Field(ge=1, le=1000)]
Levels = Annotated[int, Field(ge=2, le=65536)]

Shapes = Iterator[tuple[str, tuple[int, ...]]]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class ModelConfig(ABC):
    """The fields of a model. Each model has a frozen, validated dataclass of its own, made with `STRICT`.

    Attributes:
        name: name of the model for users.
        presets: fields of a run configuration (`model`, `encoding`, `training`) by the preset's name.
        q_levels: Q, the number of codes.
        condition: the controls that the model takes, or None.
    """

    name: ClassVar[str]
    presets: ClassVar[dict[str, dict[str, Any]]]
    q_levels: int
    condition: "Condition | None"

    def as_dict(self) -> dict[str, Any]:
        """Return the name and the fields as JSON values, which `configure` takes back."""
        fields = {"name": self.name, **dataclasses.asdict(self)}  # type: ignore[call-overload]
        if self.condition is None:  # as in files of models that were made before there were controls
            del fields["condition"]
        return fields

    @abstractmethod
    def build(self) -> "Model[Any]":
        """Return the torch module with fresh weights, which torch's seed decides."""

    @abstractmethod
    def shapes(self) -> Shapes:
        """Yield the name and shape of every weight, as in `state_dict` with weight norm multiplied out.

        A generator needs little memory, even for a hostile configuration with far too many weights. A reader stops at
        the first missing weight.
        """

    @property
    def output(self) -> Softmax:
        """The distribution over codes that the model's last vector stands for."""
        return Softmax(self.q_levels)

    def multiplied_out(self) -> Self:
        """Return the fields of the same model with every weight one plain tensor, as in model files and the engine."""
        return self


def linear(name: str, inputs: int, outputs: int) -> Shapes:
    """Yield the weights of `layers.linear`."""
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def recurrent(
    name: str,
    cell: Cell,
    inputs: int,
    units: int,
    *,
    learned_state: bool = False,
    condition: "Condition | None" = None,
) -> Shapes:
    """Yield the weights of `layers.Recurrent`."""
    gates = 4 if cell == "lstm" else 3
    yield f"{name}.input_weight", (gates * units, inputs)
    yield f"{name}.hidden_weight", (gates * units, units)
    yield f"{name}.input_bias", (gates * units,)
    if cell == "gru":
        yield f"{name}.hidden_bias", (gates * units,)
    yield from entry(f"{name}.condition", condition, gates * units)
    if learned_state:
        yield f"{name}.start", (2 if cell == "lstm" else 1, units)


def encoder(condition: "Condition | None") -> Shapes:
    """Yield the weights of `layers.Encoder`, if there is a condition."""
    if condition is not None:
        yield from linear("encoder.input", condition.features, condition.width)
        yield from linear("encoder.output", condition.width, condition.width)


def entry(name: str, condition: "Condition | None", outputs: int) -> Shapes:
    """Yield the matrix of `layers.entry`, if there is a condition."""
    if condition is not None:
        yield f"{name}.weight", (outputs, condition.width)


def code_input(kind: Literal["scalar", "embedded"], q_levels: int, width: int) -> Shapes:
    """Yield the weights of `layers.code_input`."""
    if kind == "scalar":
        yield from linear("input", 1, width)
    else:
        yield "input.weight", (q_levels, width)
