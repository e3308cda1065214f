"""Describe model files: what they hold, what they take, and how fast they play here."""

from dataclasses import asdict, dataclass
from pathlib import Path

from wavewright.formats.model_file import About
from wavewright.measuring.speed import real_time
from wavewright.models.condition import Control
from wavewright.playing.engine import available
from wavewright.playing.opening import load
from wavewright.quantize import Encoding


@dataclass(frozen=True)
class Described:
    """A model file for a reader.

    Attributes:
        name: name of the file without its suffix, by which a model in the package is opened.
        path: where the file is.
        kind: kind and size of the model.
        rate: sample rate, in Hz.
        encoding, emphasis: see Quantizer.
        levels: number of codes.
        controls: the controls that the model takes, each with its range or its classes.
        title, author, licence, description, temperature, top_p: see About.
        precision: precision of the weights.
        parameters: number of weights.
        bytes: size of the file.
        times_real_time: speed of one stream on one thread, over the sample rate. None where the engine is not built.
    """

    name: str
    path: str
    kind: str
    rate: int
    encoding: Encoding
    emphasis: float
    levels: int
    controls: tuple[Control, ...]
    title: str | None
    author: str | None
    licence: str | None
    description: str | None
    temperature: float | None
    top_p: float | None
    precision: str
    parameters: int
    bytes: int
    times_real_time: float | None


def describe(path: Path, seconds: float = 1.0) -> Described:
    """Return the description of a model file, whose speed is measured for about `seconds`.

    Raises:
        ModelFileError: the file is no model file, or is damaged.
    """
    model = load(path)
    condition = model.config.condition
    return Described(
        name=model.path.stem,
        path=str(model.path),
        kind=model.config.title,
        rate=model.rate,
        encoding=model.encoding,
        emphasis=model.emphasis,
        levels=model.config.q_levels,
        controls=condition.controls if condition else (),
        **asdict(model.about or About()),
        precision=model.precision,
        parameters=sum(weight.size for weight in model.weights.values()),
        bytes=model.path.stat().st_size,
        times_real_time=round(real_time(model, seconds), 2) if available() else None,
    )
