"""The fields of a SampleRNN (thesis, section 3.2; arXiv:1612.07837), its presets and its weights. No torch here."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from wavewright.models import presets
from wavewright.models.condition import Condition
from wavewright.models.config import (
    STRICT,
    Bias,
    Cell,
    Depth,
    Factor,
    Levels,
    ModelConfig,
    Shapes,
    Size,
    embedding,
    encoder,
    entry,
    fine_output,
    forecast_entry,
    linear,
    recurrent,
    remembered,
    vectors,
)
from wavewright.models.prediction import Prediction

if TYPE_CHECKING:
    from wavewright.models.sample_rnn.network import SampleRNN

PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {
        "model": {
            "frame_sizes": [8, 2],
            "window": 2,
            "units": 512,
            "input": "scalar",
            "frame_scale": 1.0,
        },
        "encoding": "linear",
        "training": {**presets.THESIS, "length": 512, "clip": "value"},
    },
    "paper": {
        "model": {
            "frame_sizes": [8, 2],
            "units": 1024,
            "cell": "gru",
            "learned_state": True,
            "weight_norm": True,
            "forget_bias": 3.0,
        },
        "encoding": "linear",
        "training": {**presets.THESIS, "length": 512, "clip": "value"},
    },
    "small": {
        "model": {"frame_sizes": [8, 4, 2], "units": 128},
        "training": {**presets.SMALL, "learning_rate": 1.4e-3, "length": 256},
    },
    "tiny": {
        "model": {"frame_sizes": [8, 2], "units": 64, "embedding": 32},
        "training": {"batch_size": 8, "length": 512, "learning_rate": 3e-3, "checkpoint_every": 200},
    },
}


@dataclass(frozen=True, config=STRICT)
class SampleRNNConfig(ModelConfig):
    """The fields of a SampleRNN.

    Attributes:
        frame_sizes: samples in a frame of each recurrent tier, the slowest first. Each size divides the one before.
            (8, 2) is the 3-tier model of the thesis and the paper, (16,) the paper's 2-tier model.
        window: number of past samples at the sample tier. None means the smallest frame size.
        units: width of every tier.
        n_rnn: recurrent layers in each tier.
        cell: `lstm` or `gru`.
        input: input of the sample tier. `scalar` is the thesis's number. `embedded` is the paper's learned vector for
            each code, worth 0.17 bits on speech (docs/models.md).
        embedding: length of the learned vectors.
        frame_scale: range of the frames, [-frame_scale, frame_scale], with 1 in the thesis and 2 in the paper's code.
        learned_state: learn the initial state of the recurrent layers, instead of zeros.
        weight_norm: learn the length and the direction of each matrix row apart.
        forget_bias: initial bias of an LSTM's forget gates, 1 in the thesis and 3 in the paper's code.
        q_levels: Q, the number of codes. With split, this is 4096 if it is not given.
        split: draw a code in two parts of sqrt(Q) classes each, for 12 or 16 bits.
        condition: the controls that the model takes.
        prediction: the linear predictor from which the model starts.
    """

    name: ClassVar[str] = "sample-rnn"
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    frame_sizes: Annotated[tuple[int, ...], Field(max_length=100)] = (8, 2)
    window: Annotated[int, Field(ge=1, le=1024)] | None = None  # the engine has a table for each place
    units: Size = 512
    n_rnn: Depth = 1
    cell: Cell = "lstm"
    input: Literal["scalar", "embedded"] = "embedded"
    embedding: Size = 256
    frame_scale: Factor = 2.0
    learned_state: bool = False
    weight_norm: bool = False
    forget_bias: Bias = 1.0
    q_levels: Levels = 256
    split: bool = False
    condition: Condition | None = None
    prediction: Prediction | None = None

    @field_validator("frame_sizes", mode="before")
    @classmethod
    def _one_frame_size(cls, value: object) -> object:
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _frames_divide(self) -> "SampleRNNConfig":
        if not self.frame_sizes or min(self.frame_sizes) < 1 or max(self.frame_sizes) > 65536:
            raise ValueError("frame_sizes: give one frame size at least, each 1 or more and 65536 at most")
        for slow, fast in pairwise(self.frame_sizes):
            if slow % fast:
                raise ValueError(f"frame_sizes: {fast} does not divide {slow}; give sizes that divide one another")
        return self

    @property
    def ratios(self) -> tuple[int, ...]:
        """Number of steps of the next faster tier that each tier conditions. The fastest conditions the sample tier."""
        return tuple(slow // fast for slow, fast in pairwise((*self.frame_sizes, 1)))

    @property
    def reach(self) -> int:
        """Number of past samples at the sample tier."""
        return self.window or self.frame_sizes[-1]

    @property
    def title(self) -> str:
        """See ModelConfig."""
        return f"SampleRNN {self.units}, {'/'.join(map(str, self.frame_sizes))}"

    @property
    def state_bytes(self) -> int:
        """See ModelConfig. A tier holds its layers' state, its output, and its input from the slower tier."""
        layers = (2 if self.cell == "lstm" else 1) * self.n_rnn * len(self.frame_sizes)
        gates = (4 if self.cell == "lstm" else 3) * self.units
        codes = 4 * max(self.frame_sizes[0], self.reach) + remembered(self.prediction)
        return vectors(layers + sum(self.ratios), self.units) + vectors(sum(self.ratios[:-1]), gates) + codes

    def build(self) -> "SampleRNN":
        """See ModelConfig."""
        from wavewright.models.sample_rnn.network import SampleRNN

        return SampleRNN(self)

    def multiplied_out(self) -> Self:
        """See ModelConfig."""
        return replace(self, weight_norm=False)

    def shapes(self) -> Shapes:
        """See ModelConfig."""
        units, embedded = self.units, self.input == "embedded"
        yield from encoder(self.condition)
        for i, (frame, ratio) in enumerate(zip(self.frame_sizes, self.ratios, strict=True)):
            if i:
                yield from linear(f"tiers.{i}.frame_input", frame, units)
                yield from entry(f"tiers.{i}.condition", self.condition, units)
            for j in range(self.n_rnn):
                inputs = frame if i == j == 0 else units
                name = f"tiers.{i}.layers.{j}"
                condition = self.condition if i == j == 0 else None
                yield from recurrent(
                    name, self.cell, inputs, units, learned_state=self.learned_state, condition=condition
                )
            yield from linear(f"tiers.{i}.upsample", units, ratio * units)
        if embedded:
            yield from embedding("embedding", self.output, self.embedding)
        yield from linear("sample_input", self.reach * (self.embedding if embedded else 1), units)
        yield from entry("condition", self.condition, units)
        yield from forecast_entry("forecast", self.prediction, self.q_levels, units)
        yield from linear("hidden.0", units, units)
        yield from linear("hidden.1", units, units)
        yield from linear("output", units, self.outputs)
        yield from fine_output(self.output)
