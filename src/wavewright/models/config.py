"""The fields of every model, validated, and the weights that follow from them. No torch here.

What bounds a field is what no sensible model reaches: it keeps a slip of the keyboard, or a hostile file, from asking
for more memory than there is.
"""

from collections.abc import Iterator
from itertools import cycle, islice, pairwise
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass as validated

from wavewright.errors import ConfigError

Cell = Literal["lstm", "gru"]
Size = Annotated[int, Field(ge=1, le=65536)]
Depth = Annotated[int, Field(ge=1, le=1000)]
Levels = Annotated[int, Field(ge=2, le=65536)]
LONGEST = 1 << 20  # receptive field, in samples

Shapes = Iterator[tuple[str, tuple[int, ...]]]


@validated(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class NaiveRNNConfig:
    """The fields of a NaiveRNN.

    Attributes:
        layers: LSTM layers, each with its input added to its output.
        units: hidden units of each.
        input: `scalar`, the thesis's linear image of one number, or `embedded`, a learned vector for each code.
        forget_bias: where the forget gates' biases start; TensorFlow's LSTM cell has 1.
        q_levels: Q, the number of codes.
    """

    layers: Depth = 2
    units: Size = 512
    input: Literal["scalar", "embedded"] = "embedded"
    forget_bias: float = 1.0
    q_levels: Levels = 256


@validated(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class SampleRNNConfig:
    """The fields of a SampleRNN.

    Attributes:
        frame_sizes: samples in a frame of each recurrent tier, the slowest first; each divides the one before it.
            (8, 2) is the thesis's and the paper's 3-tier model, (16,) the paper's 2-tier model.
        window: how many past samples the sample tier sees; none means the smallest frame size.
        units: width of every tier.
        n_rnn: recurrent layers in each tier.
        cell: `lstm` or `gru`.
        input: `scalar`, the thesis's numbers, or `embedded`, a learned vector for each code, at the sample tier (the
            paper's; worth 0.17 bits, see ANCHORS.md).
        embedding: length of those vectors.
        frame_scale: frames are real numbers in [-frame_scale, frame_scale]; 1 in the thesis, 2 in the paper's code.
        learned_state: learn where the recurrent layers start, instead of zeros.
        weight_norm: learn each matrix row's length and direction apart.
        forget_bias: where an LSTM's forget gates start; 1 in the thesis, 3 in the paper's code.
        q_levels: Q, the number of codes.
    """

    frame_sizes: tuple[int, ...] = (8, 2)
    window: Size | None = None
    units: Size = 512
    n_rnn: Depth = 1
    cell: Cell = "lstm"
    input: Literal["scalar", "embedded"] = "embedded"
    embedding: Size = 256
    frame_scale: float = Field(default=2.0, gt=0)
    learned_state: bool = False
    weight_norm: bool = False
    forget_bias: float = 1.0
    q_levels: Levels = 256

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
        """How many steps of the next faster tier each tier conditions; for the last, the sample tier's."""
        return tuple(slow // fast for slow, fast in pairwise((*self.frame_sizes, 1)))

    @property
    def reach(self) -> int:
        """How many past samples the sample tier sees."""
        return self.window or self.frame_sizes[-1]


@validated(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class WaveNetConfig:
    """The fields of a WaveNet.

    Attributes:
        blocks: how often the dilations 1, 2, 4 ... are gone through.
        layers: dilated layers in a block; dilation filter_width ** i.
        channels: width of every layer.
        skip_channels: width of the gated form's skip path and output network; none means `channels`.
        filter_width: taps of each convolution.
        form: `plain` (the thesis's) or `gated` (the paper's).
        input: `scalar`, one real channel, or `embedded`, a learned vector for each code (gated form only).
        gain: standard deviation of the plain form's weights over He's sqrt(2 / fan_in); fast-wavenet had sqrt(1/2), by
            which 40 layers shrink the signal 2^-20 times and do not learn (docs/models.md).
        q_levels: Q, the number of codes.
    """

    blocks: Depth = 2
    layers: Depth = 10
    channels: Size = 128
    skip_channels: Size | None = None
    filter_width: int = Field(default=2, ge=2, le=65536)
    form: Literal["plain", "gated"] = "gated"
    input: Literal["scalar", "embedded"] = "embedded"
    gain: float = Field(default=1.0, gt=0)
    q_levels: Levels = 256

    def __post_init__(self) -> None:
        if self.form == "plain" and (self.input == "embedded" or self.skip_channels):
            raise ValueError("form: plain has a scalar input and no skip path; set input=scalar, skip_channels=null")
        if self.receptive_field > LONGEST:
            raise ValueError(f"layers: a receptive field of more than {LONGEST} samples; take fewer layers or blocks")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of every layer, from the input on."""
        block = [self.filter_width**i for i in range(self.layers)]
        return tuple(islice(cycle(block), self.blocks * self.layers))

    @property
    def receptive_field(self) -> int:
        """1 + (filter_width - 1) * the sum of the dilations, in samples."""
        return 1 + self.blocks * (self.filter_width**self.layers - 1)


ModelConfig = NaiveRNNConfig | SampleRNNConfig | WaveNetConfig

CONFIGS: dict[str, type[ModelConfig]] = {
    "naive-rnn": NaiveRNNConfig,
    "sample-rnn": SampleRNNConfig,
    "wavenet": WaveNetConfig,
}


def configure(name: str, **fields: Any) -> ModelConfig:
    """The validated configuration of a model.

    Raises:
        ConfigError: an unknown name or field, or values that contradict one another.
    """
    if name not in CONFIGS:
        raise ConfigError(f"model: {name!r} is not one of {', '.join(CONFIGS)}")
    try:
        return CONFIGS[name](**fields)
    except ValidationError as error:
        raise ConfigError(explain(error, "model")) from None


def explain(error: ValidationError, prefix: str) -> str:
    """The first of pydantic's complaints as one line: field, what is wrong, value."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    field = ".".join([prefix, *(str(part) for part in first["loc"])])
    value = "" if isinstance(first["input"], dict) or first["type"] == "value_error" else f" (got {first['input']!r})"
    return f"{field}: {message}{value}"


def shapes(config: ModelConfig) -> Shapes:
    """Name and shape of every weight, as the model's `state_dict` has them once weight norm is multiplied out.

    One at a time: a configuration may ask for more weights than anyone has, which a reader sees at the first missing.
    """
    if isinstance(config, NaiveRNNConfig):
        return _naive_rnn(config)
    return _sample_rnn(config) if isinstance(config, SampleRNNConfig) else _wavenet(config)


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _recurrent(name: str, cell: Cell, inputs: int, units: int, *, learned_state: bool = False) -> Shapes:
    gates = 4 if cell == "lstm" else 3
    yield f"{name}.input_weight", (gates * units, inputs)
    yield f"{name}.hidden_weight", (gates * units, units)
    yield f"{name}.input_bias", (gates * units,)
    if cell == "gru":
        yield f"{name}.hidden_bias", (gates * units,)
    if learned_state:
        yield f"{name}.start", (2 if cell == "lstm" else 1, units)


def _input(config: NaiveRNNConfig | WaveNetConfig, width: int) -> Shapes:
    if config.input == "scalar":
        yield from _linear("input", 1, width)
    else:
        yield "input.weight", (config.q_levels, width)


def _naive_rnn(config: NaiveRNNConfig) -> Shapes:
    yield from _input(config, config.units)
    for i in range(config.layers):
        yield from _recurrent(f"layers.{i}", "lstm", config.units, config.units)
    yield from _linear("output", config.units, config.q_levels)


def _sample_rnn(config: SampleRNNConfig) -> Shapes:
    units = config.units
    for i, (frame, ratio) in enumerate(zip(config.frame_sizes, config.ratios, strict=True)):
        if i:
            yield from _linear(f"tiers.{i}.frame_input", frame, units)
        for j in range(config.n_rnn):
            inputs = frame if i == j == 0 else units
            name = f"tiers.{i}.layers.{j}"
            yield from _recurrent(name, config.cell, inputs, units, learned_state=config.learned_state)
        yield from _linear(f"tiers.{i}.upsample", units, ratio * units)
    if config.input == "embedded":
        yield "embedding.weight", (config.q_levels, config.embedding)
    yield from _linear("sample_input", config.reach * (config.embedding if config.input == "embedded" else 1), units)
    yield from _linear("hidden.0", units, units)
    yield from _linear("hidden.1", units, units)
    yield from _linear("output", units, config.q_levels)


def _wavenet(config: WaveNetConfig) -> Shapes:
    width, skip, taps = config.channels, config.skip_channels or config.channels, config.filter_width
    if config.form == "plain":
        for i in range(config.blocks * config.layers):
            yield f"layers.{i}.weight", (width, width if i else 1, taps)
        yield from _linear("output", width, config.q_levels)
        return
    yield from _input(config, width)
    for i in range(config.blocks * config.layers):
        yield f"layers.{i}.weight", (2 * width, width, taps)
        yield f"layers.{i}.bias", (2 * width,)
        yield f"layers.{i}.out_weight", (width + skip, width, 1)
        yield f"layers.{i}.out_bias", (width + skip,)
    yield from _linear("output.1", skip, skip)
    yield from _linear("output.3", skip, config.q_levels)
