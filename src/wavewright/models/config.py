"""What the configurations of all models share: the types of their fields, and the names and shapes of weights.

A field is bounded by what no sensible model reaches. The bound keeps a slip of the keyboard, or a hostile file, from
asking for more memory than there is. No torch here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from wavewright.models.output import Softmax

if TYPE_CHECKING:
    from wavewright.models.base import Model

Cell = Literal["lstm", "gru"]
Size = Annotated[int, Field(ge=1, le=65536)]
Depth = Annotated[int, Field(ge=1, le=1000)]
Levels = Annotated[int, Field(ge=2, le=65536)]

Shapes = Iterator[tuple[str, tuple[int, ...]]]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class ModelConfig(ABC):
    """The fields of a model; each model has a frozen, validated dataclass of its own, made with `STRICT`.

    Attributes:
        name: what users call the model.
        presets: by their names, fields of a run configuration: `model`, `encoding` and `training`.
        q_levels: Q, the number of codes.
    """

    name: ClassVar[str]
    presets: ClassVar[dict[str, dict[str, Any]]]
    q_levels: int

    def as_dict(self) -> dict[str, Any]:
        """Return the name and the fields, for JSON; `configure` takes them back."""
        return {"name": self.name, **vars(self)}

    @abstractmethod
    def build(self) -> "Model[Any]":
        """Return the torch module with fresh weights, which torch's seed decides."""

    @abstractmethod
    def shapes(self) -> Shapes:
        """Yield the name and shape of every weight, as `state_dict` has them once weight norm is multiplied out.

        They come one at a time: a configuration may ask for more weights than anyone has, which a reader sees at the
        first that is missing.
        """

    @property
    def output(self) -> Softmax:
        """How the model's last vector becomes a distribution over codes."""
        return Softmax(self.q_levels)

    def multiplied_out(self) -> Self:
        """Return the fields of the same model with every weight one plain tensor, as in files and the engine."""
        return self


def linear(name: str, inputs: int, outputs: int) -> Shapes:
    """Yield the weights of `layers.linear`."""
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def recurrent(name: str, cell: Cell, inputs: int, units: int, *, learned_state: bool = False) -> Shapes:
    """Yield the weights of `layers.Recurrent`."""
    gates = 4 if cell == "lstm" else 3
    yield f"{name}.input_weight", (gates * units, inputs)
    yield f"{name}.hidden_weight", (gates * units, units)
    yield f"{name}.input_bias", (gates * units,)
    if cell == "gru":
        yield f"{name}.hidden_bias", (gates * units,)
    if learned_state:
        yield f"{name}.start", (2 if cell == "lstm" else 1, units)


def code_input(kind: Literal["scalar", "embedded"], q_levels: int, width: int) -> Shapes:
    """Yield the weights of `layers.code_input`."""
    if kind == "scalar":
        yield from linear("input", 1, width)
    else:
        yield "input.weight", (q_levels, width)
