"""The fields of a WaveNet (thesis, section 3.3; arXiv:1609.03499), its presets and its weights. No torch here."""

from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from wavewright.models import presets
from wavewright.models.condition import Condition
from wavewright.models.config import (
    STRICT,
    Depth,
    Factor,
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
    remembered,
    vectors,
)
from wavewright.models.prediction import Prediction

LONGEST = 1 << 20  # receptive field, in samples

if TYPE_CHECKING:
    from wavewright.models.wavenet.network import WaveNet

PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {
        "model": {"blocks": 2, "layers": 12, "channels": 128, "form": "plain", "input": "scalar"},
        "encoding": "linear",
        "training": {**presets.THESIS, "length": 14700, "batch_size": 16},
    },
    "paper": {
        "model": {"blocks": 4, "layers": 10, "channels": 128, "skip_channels": 256},
        "training": {"batch_size": 8, "length": 14700, "clip": "none"},
    },
    "small": {
        "model": {"blocks": 2, "layers": 10, "channels": 32, "skip_channels": 64},
        # With a constant rate, WaveNet falls silent (docs/log/2026-11-25-wavenet-silence.md). With a falling rate,
        # SampleRNN does (docs/log/2026-11-25-samplernn-falling-rate.md).
        "training": {
            **presets.SMALL,
            "batch_size": 4,
            "length": 2048,
            "schedule": "cosine",
            "schedule_steps": 10_000,
        },
    },
    "tiny": {
        "model": {"blocks": 1, "layers": 8, "channels": 24},
        "training": {"batch_size": 4, "length": 2048, "learning_rate": 3e-3, "checkpoint_every": 200},
    },
}


@dataclass(frozen=True, config=STRICT)
class WaveNetConfig(ModelConfig):
    """The fields of a WaveNet.

    Attributes:
        blocks: how often the dilations 1, 2, 4 ... are repeated.
        layers: dilated layers in a block, with dilation filter_width ** i.
        channels: width of every layer.
        skip_channels: width of the gated form's skip path and output network. None means `channels`.
        filter_width: taps of each convolution.
        form: `plain` (the thesis's) or `gated` (the paper's).
        input: `scalar`, one real channel, or `embedded`, a learned vector for each code (gated form only).
        gain: initial standard deviation of the plain form's weights over He's sqrt(2 / fan_in). With fast-wavenet's
            sqrt(1/2), 40 layers shrink the signal by 2^-20 and do not learn (docs/log/2026-11-22-wavenet-4x10.md).
        q_levels: Q, the number of codes. With split, this is 4096 if it is not given.
        split: draw a code in two parts of sqrt(Q) classes each, for 12 or 16 bits.
        condition: the controls that the model takes.
        prediction: the linear predictor from which the model starts.
    """

    name: ClassVar[str] = "wavenet"
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    blocks: Depth = 2
    layers: Depth = 10
    channels: Size = 128
    skip_channels: Size | None = None
    filter_width: int = Field(default=2, ge=2, le=65536)
    form: Literal["plain", "gated"] = "gated"
    input: Literal["scalar", "embedded"] = "embedded"
    gain: Factor = 1.0
    q_levels: Levels = 256
    split: bool = False
    condition: Condition | None = None
    prediction: Prediction | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form == "plain" and (self.input == "embedded" or self.skip_channels):
            raise ValueError("form: plain has a scalar input and no skip path; set input=scalar, skip_channels=null")
        if self.receptive_field > LONGEST:
            raise ValueError(f"layers: a receptive field of more than {LONGEST} samples; take fewer layers or blocks")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of every layer, from the input on."""
        block = [self.filter_width**i for i in range(self.layers)]
        return tuple(islice(cycle(block), self.blocks * self.layers))

    @property
    def filters(self) -> int:
        """Outputs of each convolution, which the gated form splits into filter and gate."""
        return self.channels if self.form == "plain" else 2 * self.channels

    @property
    def receptive_field(self) -> int:
        """Receptive field in samples, 1 + (filter_width - 1) * the sum of the dilations."""
        return 1 + self.blocks * (self.filter_width**self.layers - 1)

    @property
    def title(self) -> str:
        """See ModelConfig."""
        return f"WaveNet {self.blocks}x{self.layers}, {self.channels} channels"

    @property
    def state_bytes(self) -> int:
        """See ModelConfig. Each layer keeps the inputs that its filter reaches, and a new one."""
        count = len(self.dilations)
        kept = self.receptive_field - 1 + count
        if self.form == "gated":
            return vectors(kept, self.channels) + remembered(self.prediction)
        first = self.filter_width  # the first layer has one channel
        return vectors(first, 1) + vectors(kept - first, self.channels) + remembered(self.prediction)

    def build(self) -> "WaveNet":
        """See ModelConfig."""
        from wavewright.models.wavenet.network import WaveNet

        return WaveNet(self)

    def shapes(self) -> Shapes:
        """See ModelConfig."""
        width, skip, taps = self.channels, self.skip_channels or self.channels, self.filter_width
        yield from encoder(self.condition)
        yield from entry("condition", self.condition, len(self.dilations) * self.filters)
        yield from forecast_entry("forecast", self.prediction, self.q_levels, self.filters)
        if self.form == "plain":
            for i in range(self.blocks * self.layers):
                yield f"layers.{i}.weight", (width, width if i else 1, taps)
            yield from linear("output", width, self.outputs)
            yield from fine_output(self.output)
            return
        yield from code_input(self.input, self.output, width)
        for i in range(self.blocks * self.layers):
            yield f"layers.{i}.weight", (2 * width, width, taps)
            yield f"layers.{i}.bias", (2 * width,)
            yield f"layers.{i}.out_weight", (width + skip, width, 1)
            yield f"layers.{i}.out_bias", (width + skip,)
        yield from linear("output.1", skip, skip)
        yield from linear("output.3", skip, self.outputs)
        yield from fine_output(self.output)
