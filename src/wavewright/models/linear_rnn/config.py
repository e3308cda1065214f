"""The fields of a LinearRNN (arXiv:2202.09729, arXiv:2303.06349), its presets and its weights. No torch here."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from wavewright.models import presets
from wavewright.models.condition import Condition
from wavewright.models.config import (
    BLOCK,
    STRICT,
    Depth,
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
    remembered,
    vectors,
)
from wavewright.models.prediction import Prediction

if TYPE_CHECKING:
    from wavewright.models.linear_rnn.network import LinearRNN

MOST_TABLES = 1 << 26  # numbers in the engine's tables of codes, 268 MB

Reach = Annotated[int, Field(ge=1, le=1024)]  # the engine has a table for each place

TRAINING = {"batch_size": 8, "length": 512, "warmup_steps": 50}
PRESETS: dict[str, dict[str, Any]] = {
    "large": {
        "model": {"frame_sizes": [16, 4, 1], "widths": [256, 128, 96], "blocks": [4, 4, 4]},
        "training": {**presets.SMALL, **TRAINING, "length": 1024},
    },
    "small": {
        "model": {"frame_sizes": [8, 1], "widths": [128, 64], "blocks": [3, 4]},
        "training": {**presets.SMALL, **TRAINING},
    },
    "tiny": {
        "model": {"frame_sizes": [8, 1], "widths": [48, 32], "blocks": [2, 2]},
        "training": {**TRAINING, "learning_rate": 4e-3, "checkpoint_every": 200},
    },
}


@dataclass(frozen=True, config=STRICT)
class LinearRNNConfig(ModelConfig):
    """The fields of a LinearRNN.

    Attributes:
        frame_sizes: samples in a frame of each tier, the slowest first. Each size divides the one before, and the last
            is 1, the tier that steps at every sample.
        widths: channels of each tier.
        blocks: blocks of each tier.
        modes: complex modes of each channel in every block.
        window: number of past samples that the last tier reads at each step.
        embedding: length of the learned vector of a code.
        q_levels: Q, the number of codes. With split, this is 4096 if it is not given.
        split: draw a code in two parts of sqrt(Q) classes each, for 12 or 16 bits.
        condition: the controls that the model takes.
        prediction: the linear predictor from which the model starts.
    """

    name: ClassVar[str] = "linear-rnn"
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    frame_sizes: Annotated[tuple[Reach, ...], Field(min_length=1, max_length=100)] = (8, 1)
    widths: tuple[Size, ...] = (128, 64)
    blocks: tuple[Depth, ...] = (3, 4)
    modes: Annotated[int, Field(ge=1, le=1024)] = 8
    window: Reach = 4
    embedding: Size = 32
    q_levels: Levels = 256
    split: bool = False
    condition: Condition | None = None
    prediction: Prediction | None = None

    @model_validator(mode="after")
    def _tiers_fit(self) -> "LinearRNNConfig":
        for slow, fast in pairwise(self.frame_sizes):
            if slow % fast:
                raise ValueError(f"frame_sizes: {fast} does not divide {slow}; give sizes that divide one another")
        if self.frame_sizes[-1] != 1:
            raise ValueError(f"frame_sizes: the last is {self.frame_sizes[-1]}; give 1 for the tier of samples")
        for name in ("widths", "blocks"):
            if len(getattr(self, name)) != (tiers := len(self.frame_sizes)):
                raise ValueError(f"{name}: {len(getattr(self, name))} values for {tiers} frame_sizes; give {tiers}")
        wide = (-(-width // BLOCK) * BLOCK for width in self.widths)
        tables = self.output.rows * sum(reach * width for reach, width in zip(self.reaches, wide, strict=True))
        if tables > MOST_TABLES:
            raise ValueError(
                f"frame_sizes: the engine would need {tables:,} numbers to look codes up, and {MOST_TABLES:,} are the"
                " most; take smaller frames, a smaller window or fewer levels"
            )
        return self

    @property
    def ratios(self) -> tuple[int, ...]:
        """Number of steps of the next faster tier that each tier but the last conditions."""
        return tuple(slow // fast for slow, fast in pairwise(self.frame_sizes))

    @property
    def reaches(self) -> tuple[int, ...]:
        """Number of past samples that each tier reads at a step."""
        return (*self.frame_sizes[:-1], self.window)

    @property
    def title(self) -> str:
        """See ModelConfig."""
        return f"LinearRNN {'/'.join(map(str, self.widths))}, {'/'.join(map(str, self.frame_sizes))}"

    @property
    def state_bytes(self) -> int:
        """See ModelConfig. A block holds its modes, and a tier its output for the faster one."""
        modes = sum(vectors(2 * self.modes * n, width) for n, width in zip(self.blocks, self.widths, strict=True))
        held = sum(vectors(ratio, width) for ratio, width in zip(self.ratios, self.widths[1:], strict=True))
        return modes + held + 4 * max(self.reaches) + remembered(self.prediction)

    def build(self) -> "LinearRNN":
        """See ModelConfig."""
        from wavewright.models.linear_rnn.network import LinearRNN

        return LinearRNN(self)

    def shapes(self) -> Shapes:
        """See ModelConfig."""
        yield from encoder(self.condition)
        yield from embedding("embedding", self.output, self.embedding)
        yield from forecast_entry("forecast", self.prediction, self.q_levels, self.widths[-1])
        last = len(self.widths) - 1
        for i, (reach, width) in enumerate(zip(self.reaches, self.widths, strict=True)):
            yield from linear(f"tiers.{i}.input", reach * self.embedding, width)
            for j in range(self.blocks[i]):
                name = f"tiers.{i}.blocks.{j}"
                yield f"{name}.diagonal.nu", (width, self.modes)
                yield f"{name}.diagonal.theta", (width, self.modes)
                yield f"{name}.diagonal.kappa", (width, self.modes, 2)
                yield f"{name}.diagonal.delta", (width,)
                yield from linear(f"{name}.gate", width, 2 * width)
                yield from entry(f"{name}.condition", self.condition, 2 * width)
                if i < last:
                    yield from linear(f"{name}.hidden", width, 2 * width)
                    yield from linear(f"{name}.output", 2 * width, width)
            if i < last:
                yield from linear(f"tiers.{i}.upsample", width, self.ratios[i] * self.widths[i + 1])
        yield from linear("output", self.widths[-1], self.outputs)
        yield from fine_output(self.output)
