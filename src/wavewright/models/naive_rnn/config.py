"""The fields of a NaiveRNN (thesis, section 3.1), its presets and its weights. No torch here."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from wavewright.models import presets
from wavewright.models.condition import Condition
from wavewright.models.config import (
    STRICT,
    Bias,
    Depth,
    Levels,
    ModelConfig,
    Shapes,
    Size,
    code_input,
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
    from wavewright.models.naive_rnn.network import NaiveRNN

PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {
        "model": {"layers": 2, "units": 512, "input": "scalar"},
        "encoding": "linear",
        "training": {**presets.THESIS, "length": 128},
    },
    "small": {
        "model": {"layers": 2, "units": 192},
        "training": {**presets.SMALL, "length": 256},
    },
    "tiny": {
        "model": {"layers": 1, "units": 64},
        "training": {"batch_size": 8, "length": 128, "learning_rate": 3e-3, "checkpoint_every": 200},
    },
}


@dataclass(frozen=True, config=STRICT)
class NaiveRNNConfig(ModelConfig):
    """The fields of a NaiveRNN.

    Attributes:
        layers: LSTM layers, each with its input added to its output.
        units: hidden units of each layer.
        input: `scalar`, the thesis's linear image of one number, or `embedded`, a learned vector for each code.
        forget_bias: initial bias of the forget gates, 1 in TensorFlow's LSTM cell.
        q_levels: Q, the number of codes. With split, this is 4096 if it is not given.
        split: draw a code in two parts of sqrt(Q) classes each, for 12 or 16 bits.
        condition: the controls that the model takes.
        prediction: the linear predictor from which the model starts.
    """

    name: ClassVar[str] = "naive-rnn"
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    layers: Depth = 2
    units: Size = 512
    input: Literal["scalar", "embedded"] = "embedded"
    forget_bias: Bias = 1.0
    q_levels: Levels = 256
    split: bool = False
    condition: Condition | None = None
    prediction: Prediction | None = None

    @property
    def title(self) -> str:
        """See ModelConfig."""
        return f"NaiveRNN {self.layers}x{self.units}"

    @property
    def state_bytes(self) -> int:
        """See ModelConfig."""
        return vectors(2 * self.layers, self.units) + remembered(self.prediction)

    def build(self) -> "NaiveRNN":
        """See ModelConfig."""
        from wavewright.models.naive_rnn.network import NaiveRNN

        return NaiveRNN(self)

    def shapes(self) -> Shapes:
        """See ModelConfig."""
        yield from encoder(self.condition)
        yield from code_input(self.input, self.output, self.units)
        yield from entry("condition", self.condition, self.units)
        yield from forecast_entry("forecast", self.prediction, self.q_levels, self.units)
        for i in range(self.layers):
            yield from recurrent(f"layers.{i}", "lstm", self.units, self.units)
        yield from linear("output", self.units, self.outputs)
        yield from fine_output(self.output)
