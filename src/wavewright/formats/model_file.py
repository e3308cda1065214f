"""Save and load one model as one file that holds all that playing needs. docs/model-file.md specifies the format.

No torch here. Any program that reads safetensors and JSON can read the file.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass as validated

from wavewright.corpus.settings import parse_levelling
from wavewright.errors import ModelFileError, WavewrightError, explain
from wavewright.files import parse_json
from wavewright.formats import tensor_file
from wavewright.formats.config import Emphasis, differences
from wavewright.formats.precision import Precision, pack, stored, unpack
from wavewright.formats.tensor_file import Shape
from wavewright.models import configure
from wavewright.models.config import ModelConfig
from wavewright.quantize import Encoding, Quantizer
from wavewright.sampling import Controls

FORMAT = 3  # the latest, raised when an older reader would misread the file
KEY = "wavewright"  # of the safetensors metadata
PARITY = 64  # codes of the parity pair
LONGEST_LINE, LONGEST_DESCRIPTION = 200, 1000  # characters of what a maker says of a model
REMEDY = "get another copy of the file, or export it again"
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Count = Annotated[int, Field(ge=0)]
Weights = dict[str, NDArray[np.float32]]


@validated(frozen=True, config=STRICT)
class Training:
    """The origin of a model. Playing does not depend on any of these fields.

    Attributes:
        run: name of the run's folder.
        step: updates made until the checkpoint.
        samples: training samples read until the checkpoint.
        best_bits: the best validation until then, in bits per sample, or None without a validation.
        wavewright, torch: versions that trained the model.
    """

    run: str
    step: Count
    samples: Count
    best_bits: float | None
    wavewright: str
    torch: str


@validated(frozen=True, config=STRICT)
class About:
    """What its maker says of a model, each in one line. None means nothing.

    Attributes:
        title: name of the model for a reader.
        author: who made the model.
        licence: terms under which the model may be used.
        description: what the model was made from, and what it is good for.
        temperature: temperature at which it plays best.
        top_p: the same for top-p.
    """

    title: str | None = None
    author: str | None = None
    licence: str | None = None
    description: str | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None

    @field_validator("title", "author", "licence", "description")
    @classmethod
    def _is_short_line(cls, value: str | None, info: ValidationInfo) -> str | None:
        most = LONGEST_DESCRIPTION if info.field_name == "description" else LONGEST_LINE
        if value is not None and not (1 <= len(value) <= most and value.strip() and value.isprintable()):
            raise ValueError(f"{len(value)} characters; give one line of 1 to {most} that can be printed")
        return value


@dataclass(frozen=True)
class ModelFacts:
    """All facts of a trained model but its weights.

    Attributes:
        config: fields of the model.
        encoding: encoding of the codes.
        rate: sample rate, in Hz.
        levelling: see Corpus.levelling.
        training: origin of the model.
        emphasis: emphasis of the codes.
        about: what its maker says of the model, if anything.
    """

    config: ModelConfig
    encoding: Encoding
    rate: int
    levelling: dict[str, Any]
    training: Training
    emphasis: float = field(default=0.0, kw_only=True)
    about: About | None = field(default=None, kw_only=True)

    @property
    def quantizer(self) -> Quantizer:
        """The quantiser between amplitudes and the model's codes."""
        return Quantizer(self.config.q_levels, self.encoding, self.emphasis)

    @property
    def draw(self) -> Controls:
        """How codes are drawn where a player is not told: as the model's maker says, or from its own distribution."""
        about = self.about or About()
        return Controls(1.0 if about.temperature is None else about.temperature, top_p=about.top_p)

    def facts(self) -> dict[str, Any]:
        """Return these fields by their names, for another kind of model with the same facts."""
        return {name: getattr(self, name) for name in ModelFacts.__dataclass_fields__}

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values. Fields of later formats are left out where they say nothing."""
        facts = {
            "model": self.config.as_dict(),
            "encoding": self.encoding,
            **({"emphasis": self.emphasis} if self.emphasis else {}),
            "rate": self.rate,
            "levelling": self.levelling,
            "training": asdict(self.training),
        }
        about = {} if self.about is None else asdict(self.about)
        for name in ("temperature", "top_p"):  # left out as in files that were made before there were any
            if about.get(name, 0) is None:
                del about[name]
        return facts | ({"about": about} if about else {})


@dataclass(frozen=True)
class Parity:
    """Logits (T, L) after each of codes (T,), T = 64, by which another program checks that it computes the same.

    Each row is that of the code that follows. The first code follows the last.

    For a model with a condition, `condition` holds the control frames (M, F) that the T predicted samples touch.
    """

    codes: NDArray[np.int32]
    logits: NDArray[np.float32]
    condition: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ModelFile(ModelFacts):
    """The contents of a model file.

    Attributes:
        path: where the file is.
        precision: precision of the weights in the file.
        weights: float32 in any precision, by their names in the torch model's `state_dict`.
        parity: codes and logits of the model with these weights.
    """

    path: Path
    precision: Precision
    weights: Weights = field(repr=False)
    parity: Parity = field(repr=False)


@validated(frozen=True, config=STRICT)
class _Metadata:
    """The JSON in the file."""

    format: Literal[1, 2, 3]
    model: dict[str, Any]
    encoding: Encoding
    rate: int
    levelling: dict[str, Any]
    training: Training
    precision: Precision
    sha256: str
    emphasis: Emphasis = 0.0
    about: About | None = None


def save(path: Path, facts: ModelFacts, precision: Precision, weights: Weights, parity: Parity) -> None:
    """Write a model file. The same model gives the same bytes.

    Args:
        path: where to write. For an atomic write, use `files.atomic_file`.
        facts: all facts of the model but its weights.
        precision: precision to which the weights are rounded.
        weights: weights by the names of `facts.config.shapes()`.
        parity: codes, condition and logits of the model with its weights rounded by `precision.rounded`.
    """
    tensors: dict[str, tensor_file.Array] = {}
    for name, _ in facts.config.shapes():
        tensors |= pack(name, weights[name], precision)
    tensors |= {"parity.codes": parity.codes, "parity.logits": parity.logits}
    if parity.condition is not None:
        tensors["parity.condition"] = parity.condition
    metadata = _as_json(facts, precision, tensor_file.digest(tensors))
    tensor_file.write(path, tensors, {KEY: json.dumps(metadata, allow_nan=False)})


def load(path: Path) -> ModelFile:
    """Read a model file. The size of the file bounds all memory allocated.

    Raises:
        ModelFileError: the file is no model file, is damaged, contradicts itself, or is of a later version.
    """
    if not path.is_file():
        raise ModelFileError(path, "not a file; name a .safetensors file" if path.exists() else "no such file")
    try:
        with path.open("rb") as file:
            header = tensor_file.read_header(file)
            facts, precision, sha256 = _facts(path, header.metadata)
            tensor_file.check(header, _expected(facts.config, precision))
            tensors = tensor_file.read(file, header, sha256)
        with np.errstate(over="ignore"):  # a hostile scale overflows here and is refused below
            weights = {name: unpack(name, tensors, precision) for name, _ in facts.config.shapes()}
        numbers = weights | {
            name: tensors[name].astype(np.float32) for name in ("parity.logits", "parity.condition") if name in tensors
        }
        _check_values(numbers, tensors)
        codes, condition = tensors["parity.codes"].astype(np.int32), numbers.get("parity.condition")
        parity = Parity(codes, numbers["parity.logits"], condition)
        if parity.codes.min() < 0 or parity.codes.max() >= facts.config.q_levels:
            raise WavewrightError(f"tensor parity.codes: a code beyond 0 to {facts.config.q_levels - 1}")
    except ModelFileError:
        raise
    except OSError as error:
        raise ModelFileError(path, f"not readable ({error.strerror or error})") from None
    except WavewrightError as error:
        raise ModelFileError(path, str(error), REMEDY) from None
    return ModelFile(**vars(facts), path=path, precision=precision, weights=weights, parity=parity)


def _expected(config: ModelConfig, precision: Precision) -> Iterator[tuple[str, str, Shape]]:
    """Yield the name, dtype and shape of every tensor of the file."""
    yield "parity.codes", "I32", (PARITY,)
    yield "parity.logits", "F32", (PARITY, config.output.classes)
    if config.condition is not None:
        yield "parity.condition", "F32", (config.condition.frames(PARITY), config.condition.features)
    for name, shape in config.shapes():
        yield from stored(name, shape, precision)


def _as_json(facts: ModelFacts, precision: Precision, sha256: str) -> dict[str, Any]:
    return {"format": _format_of(facts), **facts.as_dict(), "precision": precision, "sha256": sha256}


def _format_of(facts: ModelFacts) -> int:
    """Return the earliest format that can hold a model."""
    if facts.about is not None or facts.emphasis or facts.config.prediction is not None or facts.config.split:
        return 3
    return 1 if facts.config.condition is None else 2


def _facts(path: Path, metadata: Any) -> tuple[ModelFacts, Precision, str]:
    """Return the facts and the precision in the metadata, and the SHA-256 of the tensors.

    Raises:
        WavewrightError: the metadata is wrong. The message has no path.
        ModelFileError: the metadata is wrong, and another copy would not help.
    """
    if not isinstance(metadata, dict) or list(metadata) != [KEY] or not isinstance(metadata[KEY], str):
        raise ModelFileError(path, "not a model file (no wavewright metadata)", "make one with `wavewright export`")
    try:
        values = parse_json(metadata[KEY])
    except ValueError as error:
        raise WavewrightError(f"metadata: not strict JSON ({error})") from None
    version = values.get("format") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise ModelFileError(path, f"format {version}: made by a later wavewright", "update wavewright")
    try:
        known = TypeAdapter(_Metadata).validate_python(values)
    except ValidationError as error:
        raise WavewrightError(explain(error, "metadata")) from None
    fields = dict(known.model)
    config = configure(str(fields.pop("name", None)), **fields)
    later = {name: getattr(known, name) for name in ("about", "emphasis")}
    facts = ModelFacts(config, known.encoding, known.rate, known.levelling, known.training, **later)
    if known.format != (due := _format_of(facts)):
        raise WavewrightError(f"format: {known.format}, but this model is written in format {due}")
    if config.prediction is not None and config.prediction.encoding != known.encoding:
        raise WavewrightError(
            f"encoding: {known.encoding}, but model.prediction.encoding is {config.prediction.encoding}"
        )
    strings = config.prediction.strings if config.prediction else None
    if strings and strings.rate != known.rate:
        raise WavewrightError(f"rate: {known.rate}, but model.prediction.strings.rate is {strings.rate}")
    settings, _ = parse_levelling(known.levelling)
    if settings.rate != known.rate:
        raise WavewrightError(f"rate: {known.rate}, but levelling.rate is {settings.rate}")
    plain = config.multiplied_out().as_dict()
    for key, value in config.as_dict().items():
        if value != plain[key]:
            raise WavewrightError(f"model.{key}: {json.dumps(value)}, but a model file has it multiplied out")
    written = json.loads(json.dumps(_as_json(facts, known.precision, known.sha256)))
    if odd := differences(values, written):
        raise WavewrightError(f"{odd[0].partition(':')[0]}: missing, or not of its type")
    return facts, known.precision, known.sha256


def _check_values(numbers: Weights, tensors: dict[str, tensor_file.Array]) -> None:
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            raise WavewrightError(f"tensor {name}: holds numbers that are not finite")
    for name, tensor in tensors.items():
        if tensor.dtype == np.int8 and tensor.min() < -127:
            raise WavewrightError(f"tensor {name}: holds -128, beyond -127 to 127")
