"""One model in one file that tells all it takes to play it: docs/model-file.md is its specification.

No torch here: numpy reads it, and whatever reads safetensors and JSON.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from wavewright.corpus.settings import parse_levelling
from wavewright.errors import ModelFileError, WavewrightError, explain
from wavewright.files import parse_json
from wavewright.formats import tensor_file
from wavewright.formats.config import differences
from wavewright.formats.precision import Precision, pack, stored, unpack
from wavewright.formats.tensor_file import Shape
from wavewright.models import configure
from wavewright.models.config import ModelConfig
from wavewright.quantize import Encoding, Quantizer

FORMAT = 1  # raised when an older reader would misread the file
KEY = "wavewright"  # of the safetensors metadata
PARITY = 64  # codes of the parity pair
REMEDY = "get another copy of the file, or export it again"
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Count = Annotated[int, Field(ge=0)]
Weights = dict[str, NDArray[np.float32]]


@validated(frozen=True, config=STRICT)
class Training:
    """Where a model comes from; nothing that plays it depends on these.

    Attributes:
        run: name of the run's folder.
        step, samples: of the checkpoint: updates made, training samples heard.
        best_bits: the best validation until then, in bits per sample; none where there was none.
        wavewright, torch: the versions that trained it.
    """

    run: str
    step: Count
    samples: Count
    best_bits: float | None
    wavewright: str
    torch: str


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a trained model, its weights apart.

    Attributes:
        config: its fields.
        encoding: of its codes.
        rate: of its sound, in Hz.
        levelling: see Corpus.levelling.
    """

    config: ModelConfig
    encoding: Encoding
    rate: int
    levelling: dict[str, Any]
    training: Training

    @property
    def quantizer(self) -> Quantizer:
        """What turns amplitudes into the model's codes."""
        return Quantizer(self.config.q_levels, self.encoding)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": self.config.as_dict(),
            "encoding": self.encoding,
            "rate": self.rate,
            "levelling": self.levelling,
            "training": asdict(self.training),
        }


@dataclass(frozen=True)
class Parity:
    """By which another program knows that it computes the same: logits (T, Q) after each of codes (T,), T = 64."""

    codes: NDArray[np.int32]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class ModelFile(ModelFacts):
    """What a model file holds.

    Attributes:
        precision: of the weights in the file.
        weights: float32, whatever the precision, by their names in the torch model's `state_dict`.
        parity: of the model with these weights.
    """

    path: Path
    precision: Precision
    weights: Weights = field(repr=False)
    parity: Parity = field(repr=False)


@validated(frozen=True, config=STRICT)
class _Metadata:
    """The JSON in the file."""

    format: Literal[1]
    model: dict[str, Any]
    encoding: Encoding
    rate: int
    levelling: dict[str, Any]
    training: Training
    precision: Precision
    sha256: str


def save(path: Path, facts: ModelFacts, precision: Precision, weights: Weights, parity: Parity) -> None:
    """Write a model file; the same model is the same bytes.

    Args:
        path: see `files.atomic_file` for a write that is whole or not at all.
        facts: of the model.
        precision: to which the weights are rounded.
        weights: those of `facts.config.shapes()`.
        parity: of the model with the weights as `precision.rounded` gives them.
    """
    tensors: dict[str, tensor_file.Array] = {}
    for name, _ in facts.config.shapes():
        tensors |= pack(name, weights[name], precision)
    tensors |= {"parity.codes": parity.codes, "parity.logits": parity.logits}
    metadata = _as_json(facts, precision, tensor_file.digest(tensors))
    tensor_file.write(path, tensors, {KEY: json.dumps(metadata, allow_nan=False)})


def load(path: Path) -> ModelFile:
    """Read a model file. Nothing is allocated that the size of the file does not bound.

    Raises:
        ModelFileError: it is not one, damaged, contradicts itself, or was made by a later version.
    """
    if not path.is_file():
        raise ModelFileError(path, "not a file; name a .safetensors file" if path.exists() else "no such file")
    try:
        with path.open("rb") as file:
            header = tensor_file.read_header(file)
            facts, precision, sha256 = _facts(path, header.metadata)
            tensor_file.check(header, _expected(facts.config, precision))
            tensors = tensor_file.read(file, header, sha256)
        with np.errstate(over="ignore"):  # of a hostile scale: what is not finite is refused below
            weights = {name: unpack(name, tensors, precision) for name, _ in facts.config.shapes()}
        parity = Parity(tensors["parity.codes"].astype(np.int32), tensors["parity.logits"].astype(np.float32))
        _check_values({**weights, "parity.logits": parity.logits}, tensors)
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
    """Name, dtype and shape of every tensor of the file."""
    yield "parity.codes", "I32", (PARITY,)
    yield "parity.logits", "F32", (PARITY, config.q_levels)
    for name, shape in config.shapes():
        yield from stored(name, shape, precision)


def _as_json(facts: ModelFacts, precision: Precision, sha256: str) -> dict[str, Any]:
    return {"format": FORMAT, **facts.as_dict(), "precision": precision, "sha256": sha256}


def _facts(path: Path, metadata: Any) -> tuple[ModelFacts, Precision, str]:
    """What the metadata says, with the SHA-256 of the tensors.

    Raises:
        WavewrightError: what is wrong with it, without the path.
        ModelFileError: where another copy would not help.
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
    facts = ModelFacts(config, known.encoding, known.rate, known.levelling, known.training)
    settings, _ = parse_levelling(known.levelling)
    if settings.rate != known.rate:
        raise WavewrightError(f"rate: {known.rate}, but levelling.rate is {settings.rate}")
    plain = config.multiplied_out().as_dict()
    for field, value in config.as_dict().items():
        if value != plain[field]:
            raise WavewrightError(f"model.{field}: {json.dumps(value)}, but a model file has it multiplied out")
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
