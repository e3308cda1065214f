"""The models that can be played: those in the package, the files in the folder of work, and its runs."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from wavewright.conditioning.controls import in_words
from wavewright.errors import WavewrightError
from wavewright.formats import checkpoint, model_file, run_folder
from wavewright.formats.model_file import About
from wavewright.models.condition import Category, Control, Decay, Notes, Number, Time
from wavewright.models.config import ModelConfig
from wavewright.playing.engine import available
from wavewright.playing.native_model import NativeModel
from wavewright.playing.opening import load, shipped_models
from wavewright.studio.children import Children
from wavewright.studio.folder import Folder, Refusal, id_of, missing

SUFFIX = ".safetensors"
UNITS = {"loudness": "dBFS", "brightness": "MIDI key", "pitch": "MIDI key"}  # of what `prepare --describe` measures
TOLD = ("title", "description", "licence", "temperature", "top_p")  # of About
ROOMS = "makes impulse responses, which are no stream; make files with `wavewright generate`"
SLOW = "the native engine is not built; install wavewright again where there is a C++ compiler"


class Shelf:
    """The models of the package and of a folder of work.

    Args:
        folder: the folder of work.
        children: runs `wavewright export`.
    """

    def __init__(self, folder: Folder, children: Children) -> None:
        self._folder, self.children = folder, children

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all models: those of the package, files, runs that have a checkpoint."""
        rows = [_file_row(path, name, "package", f"package/{name}") for name, path in shipped_models().items()]
        for name in self._folder.names("models", SUFFIX):
            rows.append(_file_row(self.file(name), name, "file", name))
        for name in self._folder.names("runs"):
            rows += self._run_row(name)
        return rows

    def row(self, id: str) -> dict[str, Any]:
        """Return the row of the model with this id.

        Raises:
            Refusal: there is none.
        """
        for row in self.rows():
            if row["id"] == id:
                return row
        raise missing("model", id)

    def file(self, name: str) -> Path:
        """Return the model file of a name in the folder of work."""
        return self._folder / "models" / f"{name}{SUFFIX}"

    def path(self, id: str) -> Path:
        """Return the model file, or the run folder, of the model with this id.

        Raises:
            Refusal: there is none.
        """
        return self._path(self.row(id))

    def open(self, id: str) -> NativeModel:
        """Return the model with this id for the engine. A run's best checkpoint is first exported, by a child.

        Raises:
            WavewrightError: there is none, or it cannot be played.
        """
        row = self.row(id)
        if not row["playable"]:
            raise Refusal(409, f"model: {row['name']}: {row['why']}")
        path = self._path(row)
        if row["source"] == "run":
            step = checkpoint.find(path, "best").name
            exported = self._folder / "logs" / f"{id}-{step}{SUFFIX}"
            if not exported.is_file():
                self.forget_run(row["name"])
                self.children.run("export", str(path), f"--out={exported}")
            path = exported
        return load(path)

    def forget_run(self, name: str) -> None:
        """Remove what was exported of a run so that it could be played."""
        for old in (self._folder / "logs").glob(f"{_id_of_run(name)}-*{SUFFIX}"):
            old.unlink(missing_ok=True)

    def _path(self, row: dict[str, Any]) -> Path:
        if row["source"] == "package":
            return shipped_models()[row["name"]]
        return self.file(row["name"]) if row["source"] == "file" else self._folder / "runs" / row["name"]

    def _run_row(self, name: str) -> list[dict[str, Any]]:
        run = self._folder / "runs" / name
        try:
            if not checkpoint.steps(run):
                return []
            run_folder.check(run)
            begun = run_folder.read_begun(run)
        except WavewrightError:
            return []
        known = {"id": _id_of_run(name), "name": name, "source": "run"}
        return [{**known, **_facts_of(begun.config.model, begun.rate, About(title=f"{name}, as it is now"))}]


def _id_of_run(name: str) -> str:
    return id_of("models", f"runs/{name}")


def _file_row(path: Path, name: str, source: str, known_as: str) -> dict[str, Any]:
    known = {"id": id_of("models", known_as), "name": name, "source": source}
    try:
        return {**known, **_facts(path, path.stat().st_mtime_ns)}
    except (WavewrightError, OSError) as error:
        why = getattr(error, "reason", str(error))
        unknown = dict.fromkeys((*TOLD, "model", "rate"))
        return {**known, **unknown, "controls": [], "playable": False, "why": why}


@lru_cache(256)
def _facts(path: Path, changed: int) -> dict[str, Any]:
    file = model_file.load(path)
    return _facts_of(file.config, file.rate, file.about or About())


def _facts_of(config: ModelConfig, rate: int, about: About) -> dict[str, Any]:
    condition = config.condition
    why = SLOW if not available() else ROOMS if condition and condition.decay else None
    return {
        **{key: getattr(about, key) for key in TOLD},
        "model": config.title,
        "rate": rate,
        "playable": why is None,
        "why": why,
        "controls": [as_json(control) for control in (condition.controls if condition else ())],
    }


def as_json(control: Control) -> dict[str, Any]:
    """Return a control as the page knows it."""
    low: float | None = None
    high: float | None = None
    unit, classes = UNITS.get(control.name), None
    if isinstance(control, Notes | Number):
        low, high = control.low, control.high
    if isinstance(control, Time | Decay):
        unit = "s"
    if isinstance(control, Time):
        low, high = 0.0, control.seconds
    if isinstance(control, Category):
        classes = list(control.classes)
    told = {"name": control.name, "kind": control.kind, "text": in_words(control)}
    return {**told, "low": low, "high": high, "unit": unit, "classes": classes}
