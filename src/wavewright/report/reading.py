"""Read and check experiments' folders: what ran, how each trial learned, and its sounds."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveFloat, TypeAdapter, ValidationError

from wavewright.corpus import isolate
from wavewright.corpus.decoding import mix
from wavewright.errors import AudioError, WavewrightError, explain, printable
from wavewright.files import parse_json, read_json
from wavewright.formats import run_folder
from wavewright.measuring.free_play import FreePlay
from wavewright.measuring.speed import Row

Floats = NDArray[np.float64]
REMEDY = "make the folder again with `wavewright experiment`, or leave it out"
WINDOW = 10  # steps of the rolling mean, as in the thesis
LONGEST = 1 << 23  # samples of a sound, over three minutes at 44.1 kHz; an experiment's takes last one at most
BUCKETS = 400  # of a drawn curve, each with its lowest and highest point


class Data(BaseModel):
    """The recordings of an experiment."""

    files: list[str]
    rate: int | None
    seconds: float | None
    facts: str


class Header(BaseModel):
    """The contents of experiment.json."""

    format: Literal[1]
    experiment: Literal["overfit", "variations", "search", "piano", "piano-roll", "rooms", "speed"]
    scale: Literal["quick", "medium", "full"]
    commands: list[str]
    data: Data
    made_by: dict[str, str]


class Thesis(BaseModel):
    """The thesis's figures for a trial, and their place in the thesis."""

    steps: float | None = None
    seconds: float | None = None
    nats: float | None = None
    where: str | None = None


class SoundFile(BaseModel):
    """A generated sound. `file` is relative to the trial's folder."""

    file: str
    title: str
    step: int | None = None
    minutes: float | None = None


class Context(BaseModel):
    """Bits per sample where the model's state is reset every `seconds`."""

    seconds: PositiveFloat
    bits: float


class Result(BaseModel):
    """The contents of result.json, which every finished trial has."""

    name: str
    title: str
    model: str
    parameters: int
    steps: int
    seconds: float
    nats: float | None
    thesis: Thesis | None
    note: str | None
    sounds: list[SoundFile]
    measures: dict[str, float | None]
    context: list[Context] = []
    free_play: FreePlay | None = None


class SearchTrial(BaseModel):
    """A trial in search.json. `value` is its validation bits."""

    number: int
    state: str
    value: float | None
    parameters: dict[str, Any]
    seconds: float | None


class Search(BaseModel):
    """The contents of search.json."""

    trials: list[SearchTrial]
    importances: dict[str, float]


@dataclass(frozen=True)
class Sound:
    """Samples (n,) in [-1, 1] with their origin."""

    title: str
    rate: int
    samples: NDArray[np.float32]
    step: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Curve:
    """The course of a run.

    Attributes:
        steps: step numbers (n,).
        nats: rolling mean of the loss (n,), NaN where a step had none.
        samples: samples read (n,).
        minutes: time spent (n,).
        validations: steps with a validation.
        validation_bits: bits per sample of each validation.
    """

    steps: Floats
    nats: Floats
    samples: Floats
    minutes: Floats
    validations: list[int]
    validation_bits: list[float]

    def thinned(self) -> tuple[Floats, Floats]:
        """Return steps and nats for drawing, the lowest and highest point of each bucket, so that spikes stay."""
        if len(self.nats) <= 2 * BUCKETS:
            return self.steps, self.nats
        kept: list[int] = []
        for part in np.array_split(np.arange(len(self.nats)), BUCKETS):
            if not np.isnan(self.nats[part]).all():
                kept += sorted({int(part[np.nanargmin(self.nats[part])]), int(part[np.nanargmax(self.nats[part])])})
        return self.steps[kept], self.nats[kept]

    @property
    def learned(self) -> bool:
        """Whether the run has any loss to show."""
        return bool(np.isfinite(self.nats).any())

    def at(self, step: int) -> int:
        """Return the place of a step."""
        return min(int(np.searchsorted(self.steps, step)), len(self.steps) - 1)

    def reaches(self, nats: float) -> int | None:
        """Return the first place where the mean is at most `nats`."""
        below = np.flatnonzero(self.nats <= nats)
        return int(below[0]) if len(below) else None


@dataclass(frozen=True)
class Trial:
    """A finished trial."""

    folder: Path
    result: Result
    config: dict[str, Any]

    @cached_property
    def curve(self) -> Curve:
        """The course of the trial's run."""
        return _read_curve(self.folder / "run" / "metrics.jsonl")

    @cached_property
    def sounds(self) -> list[Sound]:
        """Sounds that the trial generated."""
        files = self.result.sounds
        sounds = read_sounds([self._path(file) for file in files])
        return [Sound(file.title, *sound, file.step, file.minutes) for file, sound in zip(files, sounds, strict=True)]

    def _path(self, file: SoundFile) -> Path:
        path = self.folder / file.file
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise WavewrightError(f"{printable(path)}: lies outside its trial's folder; {REMEDY}")
        return path

    def field(self, group: str, name: str) -> Any:
        """Return a field of the trial's configuration, such as ("model", "units"), or None."""
        fields = self.config.get(group)
        return fields.get(name) if isinstance(fields, dict) else None


@dataclass(frozen=True)
class Experiment:
    """An experiment's folder. `unfinished` names the trials without a result."""

    folder: Path
    header: Header
    original: Sound | None
    trials: list[Trial]
    unfinished: list[str]
    rows: list[Row]
    search: Search | None


def read(folder: Path) -> Experiment:
    """Read an experiment's folder.

    Raises:
        WavewrightError: the folder is no experiment, of another format, or damaged.
    """
    if not (folder / "experiment.json").is_file():
        raise WavewrightError(f"{printable(folder)}: not an experiment (no experiment.json); {REMEDY}")
    header = _checked(Header, folder / "experiment.json")
    folders = sorted(path for path in (folder / "trials").glob("*") if path.is_dir())
    finished = [path for path in folders if (path / "result.json").is_file()]
    original = folder / "original.wav"
    return Experiment(
        folder=folder,
        header=header,
        original=Sound("original", *read_sounds([original])[0]) if original.is_file() else None,
        trials=[_trial(path) for path in finished],
        unfinished=[path.name for path in folders if path not in finished],
        rows=_checked(list[Row], folder / "rows.json") if header.experiment == "speed" else [],
        search=_checked(Search, folder / "search.json") if header.experiment == "search" else None,
    )


def read_sounds(paths: Sequence[Path]) -> list[tuple[int, NDArray[np.float32]]]:
    """Return the rate and the samples of sound files, mixed to one channel.

    Raises:
        AudioError: a file cannot be read whole, or is longer than LONGEST.
    """
    with tempfile.TemporaryDirectory(prefix="wavewright-") as folder:
        jobs = [(path, Path(folder) / f"{i}.f32", LONGEST) for i, path in enumerate(paths)]
        sounds = []
        for (_, mixed, _), rate in zip(jobs, isolate.each(mix, jobs, workers=1), strict=True):
            if isinstance(rate, AudioError):
                raise rate
            sounds.append((rate, np.fromfile(mixed, np.float32)))
        return sounds


def _trial(folder: Path) -> Trial:
    run_folder.check(folder / "run")
    config = folder / "run" / "config.json"
    return Trial(folder, _checked(Result, folder / "result.json"), _checked(dict[str, Any], config))


def _checked(kind: Any, path: Path) -> Any:
    """Return a JSON file as `kind`, or raise an error of one line."""
    try:
        return TypeAdapter(kind).validate_python(read_json(path))
    except ValidationError as error:
        problem = printable(explain(error, "").lstrip("."))
        raise WavewrightError(f"{printable(path)}: {problem[:300]}; {REMEDY}") from None


def _read_curve(path: Path) -> Curve:
    steps: list[dict[str, Any]] = []
    validations: list[dict[str, Any]] = []
    for record in _records(path):
        if "event" not in record:
            steps.append(record)
        elif record["event"] == "validation":  # other events are rollbacks
            validations.append(record)
    try:
        if not steps:
            raise ValueError("no steps")
        loss = np.array([np.nan if record["loss"] is None else record["loss"] for record in steps], float)
        window = min(WINDOW, len(steps))
        whole = steps[window - 1 :]  # the steps whose rolling mean is complete
        return Curve(
            steps=np.array([record["step"] for record in whole], float),
            nats=np.convolve(loss, np.full(window, 1 / window), "valid"),
            samples=np.array([record["samples"] for record in whole], float),
            minutes=np.array([record["time"]["seconds"] for record in whole], float) / 60,
            validations=[int(record["step"]) for record in validations],
            validation_bits=[float(record["bits"]) for record in validations],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WavewrightError(f"{printable(path)}: not what training writes ({error!r}); {REMEDY}") from None


def _records(path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 (the message needs it)
                record = parse_json(line)
                if not isinstance(record, dict):
                    raise ValueError("not an object")
                yield record
    except (OSError, ValueError) as error:
        raise WavewrightError(f"{printable(path)}: line {number} is not readable ({error}); {REMEDY}") from None
    if not number:
        raise WavewrightError(f"{printable(path)}: empty; {REMEDY}")
