"""The models that can be played: those in the package, the files in the folder of work, and its runs."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from wavewright.conditioning.facts import as_json
from wavewright.errors import WavewrightError
from wavewright.formats import checkpoint, model_file, run_folder
from wavewright.formats.model_file import About
from wavewright.models.config import ModelConfig
from wavewright.playing.engine import available
from wavewright.playing.mixture import must_agree
from wavewright.playing.native_model import NativeModel
from wavewright.playing.opening import load, shipped_models
from wavewright.quantize import Encoding
from wavewright.studio.children import Children
from wavewright.studio.folder import Folder, Refusal, id_of, missing

SUFFIX = ".safetensors"
TOLD = ("title", "description", "licence", "temperature", "top_p")  # of About
ROOMS = "makes impulse responses, which are no stream; make files with `wavewright generate`"
SLOW = "the native engine is not built; install wavewright again where there is a C++ compiler"


class PushAsked(BaseModel):
    """What is asked of a model that is put on the hub. The account is that of `hf auth login` or HF_TOKEN."""

    model_config = ConfigDict(extra="forbid")

    repository: Annotated[str, Field(max_length=200, pattern=r"^\w[\w.-]*/\w[\w.-]*$")]
    licence: Annotated[str, Field(min_length=1, max_length=80, pattern=r"\S")]
    data: Annotated[str, Field(min_length=1, max_length=4000, pattern=r"\S")]
    public: bool = False


class Shelf:
    """The models of the package and of a folder of work.

    Args:
        folder: the folder of work.
        children: runs `wavewright export`, `page` and `push`.
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

    def open(self, id: str, told: Callable[[str], None]) -> NativeModel:
        """Return the model with this id for the engine. A checkpoint is first exported, by a child.

        Args:
            id: of a model, which for a run is its best checkpoint, or of a checkpoint.
            told: is given a line where it takes a while.

        Raises:
            WavewrightError: there is none, or it cannot be played.
        """
        row, step = self._find(id)
        name = row["name"] if step is None else f"{row['name']}, step {step}"
        if not row["playable"]:
            raise Refusal(409, f"model: {row['name']}: {row['why']}")
        path = self._path(row)
        if row["source"] == "run":
            folder = checkpoint.find(path, "best" if step is None else f"{step}")
            path = self._exported(path, folder, lambda: told(f"{name} is made ready to be played, for the first time"))
        return replace(load(path), path=Path(name))  # by which messages call it

    def push(self, id: str, asked: PushAsked) -> dict[str, str]:
        """Put a model file on the Hugging Face hub, by `wavewright push`, and return the address of its page.

        Raises:
            Refusal: there is no such model, it is no file of the folder of work, or the command refuses.
        """
        options = [f"--licence={asked.licence}", f"--data={asked.data}", *(["--public"] if asked.public else [])]
        said = self.children.run("push", str(self.file(self._own(id))), asked.repository, *options)
        return {"address": said.rpartition(" ")[2]}

    def page(self, id: str) -> dict[str, str]:
        """Write the web page of a model file, by `wavewright page`, and return its place in the folder of work.

        Raises:
            Refusal: there is no such model, it is no file of the folder of work, or the command refuses.
        """
        name = self._own(id)
        self.children.run("page", str(self.file(name)), f"--out={self._folder / 'pages' / name}")
        return {"folder": f"pages/{name}"}

    def _own(self, id: str) -> str:
        """Return the name of a model file of the folder of work."""
        row = self.row(id)
        if row["source"] != "file":
            raise Refusal(409, f"model: {row['name']} is no model file of yours; export one first")
        return str(row["name"])

    def _exported(self, run: Path, folder: Path, begins: Callable[[], None]) -> Path:
        """Return the model file of a run's checkpoint, and remove those of checkpoints that are gone."""
        exported = self._folder / "logs" / f"{_id_of_run(run.name)}-{folder.name}{SUFFIX}"
        if not exported.is_file():
            begins()
            for old in self._exports(run.name):
                if not (folder.parent / old.stem.partition("-")[2]).exists():
                    old.unlink(missing_ok=True)
            step = f"--checkpoint={int(folder.name.partition('-')[2])}"
            self.children.run("export", str(run), step, f"--out={exported}")
        return exported

    def forget_run(self, name: str) -> None:
        """Remove what was exported of a run so that it could be played."""
        for old in self._exports(name):
            old.unlink(missing_ok=True)

    def _exports(self, name: str) -> list[Path]:
        return [*(self._folder / "logs").glob(f"{_id_of_run(name)}-*{SUFFIX}")]

    def _find(self, id: str) -> tuple[dict[str, Any], int | None]:
        """Return the row of a model, and the step where the id is a checkpoint's."""
        for row in self.rows():
            steps = {each["id"]: each["step"] for each in row["checkpoints"]}
            if id in (row["id"], *steps):
                return row, steps.get(id)
        raise missing("model", id)

    def _path(self, row: dict[str, Any]) -> Path:
        if row["source"] == "package":
            return shipped_models()[row["name"]]
        return self.file(row["name"]) if row["source"] == "file" else self._folder / "runs" / row["name"]

    def _run_row(self, name: str) -> list[dict[str, Any]]:
        run = self._folder / "runs" / name
        try:
            steps = checkpoint.steps(run)
            if not steps:
                return []
            run_folder.check(run)
            begun = run_folder.read_begun(run)
        except WavewrightError:
            return []
        known = {"id": _id_of_run(name), "name": name, "source": "run"}
        checkpoints = [{"id": _id_of_run(f"{name}/{step}"), "step": step} for step in reversed(steps)]
        facts = _facts_of(begun.config.model, begun.config.encoding, begun.rate, begun.config.emphasis)
        return [{**known, **facts, "title": f"{name}, as it is now", "checkpoints": checkpoints}]


def _id_of_run(name: str) -> str:
    return id_of("models", f"runs/{name}")


def _file_row(path: Path, name: str, source: str, known_as: str) -> dict[str, Any]:
    known = {"id": id_of("models", known_as), "name": name, "source": source}
    try:
        return {**known, **_facts(path, path.stat().st_mtime_ns)}
    except (WavewrightError, OSError) as error:
        why = getattr(error, "reason", str(error))
        unknown = dict.fromkeys((*TOLD, "model", "rate", "codes"))
        return {**known, **unknown, "controls": [], "checkpoints": [], "playable": False, "why": why}


@lru_cache(256)
def _facts(path: Path, changed: int) -> dict[str, Any]:
    file = model_file.load(path)
    facts = _facts_of(file.config, file.encoding, file.rate, file.emphasis)
    return {**facts, **{key: getattr(file.about or About(), key) for key in TOLD}}


def _facts_of(config: ModelConfig, encoding: Encoding, rate: int, emphasis: float) -> dict[str, Any]:
    condition = config.condition
    why = SLOW if not available() else ROOMS if condition and condition.decay else None
    return {
        **dict.fromkeys(TOLD),
        "model": config.title,
        "rate": rate,
        "codes": ", ".join(must_agree(config, encoding, rate, emphasis).values()),
        "checkpoints": [],
        "playable": why is None,
        "why": why,
        "controls": [as_json(control) for control in (condition.controls if condition else ())],
    }
