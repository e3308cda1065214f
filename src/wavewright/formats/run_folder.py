"""Read a run folder that may come from a stranger: what lies in it, and what its config.json says."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from wavewright.corpus.settings import parse_levelling
from wavewright.errors import ConfigError, WavewrightError, explain, printable
from wavewright.files import read_json
from wavewright.formats import checkpoint
from wavewright.formats.config import RunConfig

CONFIG = "config.json"


def check(run: Path) -> None:
    """Refuse a run folder in which a file or folder of a run is a link, a pipe or a device.

    Writing through a link would change files elsewhere, and reading a pipe would wait for ever. The run folder itself
    may be a link.

    Raises:
        WavewrightError: there is such a file. The line names it.
    """
    for path, is_right, right in _places(run):
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not is_right(mode):
            what = "a link" if stat.S_ISLNK(mode) else "something else"
            raise WavewrightError(f"{path}: {what} where a run has a {right}; put a {right} in its place or remove it")


def _places(run: Path) -> Iterator[tuple[Path, Callable[[int], bool], str]]:
    """Yield what is written or read in a run, the check of its mode, and the word for what it is."""
    for name in (".lock", CONFIG, "metrics.jsonl"):
        yield run / name, stat.S_ISREG, "file"
    for name in ("corpus", "samples", "checkpoints"):
        yield run / name, stat.S_ISDIR, "folder"
    for pattern in ("step-*", ".step-*"):
        for folder in (run / "checkpoints").glob(pattern):
            yield folder, stat.S_ISDIR, "folder"
            for name in (*checkpoint.FILES, checkpoint.FACTS):
                yield folder / name, stat.S_ISREG, "file"


@validated(frozen=True, config=ConfigDict(allow_inf_nan=False))
class _Corpus:
    rate: Annotated[int, Field(ge=1000, le=192000)]
    levelling: dict[str, Any]


@validated(frozen=True)
class _MadeBy:
    wavewright: str
    torch: str


@dataclass(frozen=True)
class Begun:
    """What a run was begun with.

    Attributes:
        config: the run's configuration.
        rate: sample rate of its corpus, in Hz.
        levelling: see Corpus.levelling.
        versions: versions of wavewright and torch.
        values: all that config.json holds.
    """

    config: RunConfig
    rate: int
    levelling: dict[str, Any]
    versions: dict[str, str]
    values: dict[str, Any]


def read_begun(run: Path) -> Begun:
    """Return the validated contents of a run's config.json.

    Raises:
        WavewrightError: the file is damaged, or a field is missing or out of range. The line names the file.
    """
    path = run / CONFIG
    values = read_json(path)
    try:
        if not isinstance(values, dict):
            raise ConfigError("holds no fields")
        settled = {key: values.get(key) for key in ("model", "encoding", "training")}
        config = RunConfig.from_dict({**settled, "emphasis": values.get("emphasis", 0.0)})  # not in older runs
        corpus: _Corpus = _part(_Corpus, values, "corpus")
        made_by: _MadeBy = _part(_MadeBy, values, "made_by")
        settings, _ = parse_levelling(corpus.levelling)
        if settings.rate != corpus.rate:
            raise ConfigError(f"corpus.rate: {corpus.rate}, but corpus.levelling.rate is {settings.rate}")
    except ConfigError as error:
        raise WavewrightError(f"{path}: {printable(error)[:300]}; restore it from a copy") from None
    return Begun(config, corpus.rate, corpus.levelling, vars(made_by), values)


def _part(kind: Any, values: dict[str, Any], key: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(values.get(key))
    except ValidationError as error:
        raise ConfigError(explain(error, key)) from None
