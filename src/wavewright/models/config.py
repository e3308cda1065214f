"""The base of all models' configurations, the types of their fields, and the names and shapes of weights.

Every field has a bound that no sensible model reaches. The bound keeps a typing mistake or a hostile file from asking
for too much memory. No torch here.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from wavewright.errors import ConfigError
from wavewright.models.output import HIDDEN, Output, Softmax, Split

if TYPE_CHECKING:
    from wavewright.models.base import Model
    from wavewright.models.condition import Condition
    from wavewright.models.prediction import Prediction

Cell = Literal["lstm", "gru"]
Size = Annotated[int, Field(ge=1, le=65536)]
Depth = Annotated[int, Field(ge=1, le=1000)]
Levels = Annotated[int, Field(ge=2, le=65536)]
Factor = Annotated[float, Field(gt=0, le=1000)]
Bias = Annotated[float, Field(ge=-1000, le=1000)]

BLOCK = 64  # numbers; the engine pads every vector to whole blocks
SPLIT_LEVELS = 4096  # q_levels of split codes, unless it is given
MOST_STATE = 64 << 20  # bytes that one stream may remember, 16 times the largest preset
MOST_STREAMS = 4096  # that one player plays
MOST_STATES = 4 << 30  # bytes that all streams of a player may remember

Shapes = Iterator[tuple[str, tuple[int, ...]]]

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


class ModelConfig(ABC):
    """The fields of a model. Each model has a frozen, validated dataclass of its own, made with `STRICT`.

    Attributes:
        name: name of the model for users.
        presets: fields of a run configuration (`model`, `encoding`, `training`) by the preset's name.
        q_levels: Q, the number of codes.
        split: draw a code in two parts, each of sqrt(Q) classes (`output.Split`), in place of one.
        condition: the controls that the model takes, or None.
        prediction: the linear predictor from which the model starts, or None.
    """

    name: ClassVar[str]
    presets: ClassVar[dict[str, dict[str, Any]]]
    q_levels: int
    split: bool
    condition: "Condition | None"
    prediction: "Prediction | None"

    def __post_init__(self) -> None:
        if self.split and math.isqrt(self.q_levels) ** 2 != self.q_levels:
            raise ValueError(
                f"q_levels: {self.q_levels}; with split, give a square such as {SPLIT_LEVELS} (12 bits) or 65536 (16)"
            )
        if self.split and self.prediction is not None:
            raise ValueError("split: a model with prediction draws a code in one part; leave out split or prediction")

    @property
    def receptive_field(self) -> float:
        """Number of past samples that can reach a prediction, infinite for recurrent models."""
        return math.inf

    @property
    @abstractmethod
    def state_bytes(self) -> int:
        """Bytes of float32 that a stream remembers, as the engine lays them out."""

    def check_streams(self, streams: int) -> None:
        """Check that so many streams can be played side by side.

        Raises:
            ConfigError: there are too few or too many streams, or they would remember too much.
        """
        if not 1 <= streams <= MOST_STREAMS:
            raise ConfigError(f"streams: {streams}; give 1 to {MOST_STREAMS}")
        if streams * self.state_bytes > MOST_STATES:
            each = f"{self.state_bytes / 1e6:.3g} MB each"
            raise ConfigError(
                f"streams: {streams} of {each} are too much; give {MOST_STATES // self.state_bytes} at most"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the name and the fields as JSON values, which `configure` takes back."""
        fields = {"name": self.name, **dataclasses.asdict(self)}  # type: ignore[call-overload]
        for name in ("split", "condition", "prediction"):  # left out as in files that are older than these fields
            if not fields[name]:
                del fields[name]
        return fields

    def with_condition(self, condition: "Condition | None") -> Self:
        """Return the same fields with another condition. Without one, a predictor has no strings."""
        prediction = self.prediction
        if prediction and condition is None:
            prediction = dataclasses.replace(prediction, strings=None)
        return dataclasses.replace(self, condition=condition, prediction=prediction)  # type: ignore[type-var]

    @property
    @abstractmethod
    def title(self) -> str:
        """Name and size of the model for a reader, such as `NaiveRNN 2x512`."""

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
    def outputs(self) -> int:
        """Number of values that the last layer gives: `output.size`, or a logit for each error with a prediction.

        One more changes the spread of the predictor's density where a model starts from that (`forecast.py`).
        """
        return self.output.size + self._has_density

    @property
    def output_gain(self) -> float:
        """Scale of the output's fresh weights, which add next to nothing to a predictor's density."""
        return 0.01 if self._has_density else 1.0

    @property
    def _has_density(self) -> bool:
        return self.prediction is not None and self.prediction.density

    @property
    def output(self) -> Output:
        """The distribution over codes that the model's last vector stands for."""
        if not self.split:
            return Softmax(self.q_levels)
        return Split(math.isqrt(self.q_levels), math.isqrt(self.q_levels))

    def multiplied_out(self) -> Self:
        """Return the fields of the same model with every weight one plain tensor, as in model files and the engine."""
        return self


def vectors(count: int, size: int) -> int:
    """Return the bytes of `count` vectors of `size` float32 numbers in the engine."""
    return 4 * count * -(-size // BLOCK) * BLOCK


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


def forecast_entry(name: str, prediction: "Prediction | None", q_levels: int, outputs: int) -> Shapes:
    """Yield the table of `forecast.forecast_entry`, if there is a prediction."""
    if prediction is not None:
        yield f"{name}.weight", (prediction.rows(q_levels), outputs)


def remembered(prediction: "Prediction | None") -> int:
    """Return the bytes that a predictor remembers of a stream."""
    return 0 if prediction is None else prediction.state_bytes


def embedding(name: str, output: Output, width: int) -> Shapes:
    """Yield the weights of `layers.embedding`."""
    if isinstance(output, Split):
        yield f"{name}.coarse", (output.coarse, width)
        yield f"{name}.fine", (output.fine, width)
        yield f"{name}.amplitude", (width,)
    else:
        yield f"{name}.weight", (output.q_levels, width)


def code_input(kind: Literal["scalar", "embedded"], output: Output, width: int) -> Shapes:
    """Yield the weights of an input of one code."""
    if kind == "scalar":
        yield from linear("input", 1, width)
    else:
        yield from embedding("input", output, width)


def fine_output(output: Output) -> Shapes:
    """Yield the weights of `layers.FineOutput`, if codes are split."""
    if isinstance(output, Split):
        yield "fine.table", (output.coarse, HIDDEN)
        yield from linear("fine.output", HIDDEN, output.fine)
