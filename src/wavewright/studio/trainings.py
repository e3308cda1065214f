"""Trainings: each is `wavewright train` in a child. One trains at a time, the others wait in a queue.

The truth about a run is in its folder. Whether it trains is known by its lock, how far it is by its metrics and
checkpoints. So a training goes on without the server, and one that was started in a terminal is found, too.
"""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from wavewright.errors import WavewrightError, printable, unknown
from wavewright.files import LOCK, holder, write_json
from wavewright.formats import checkpoint, run_folder
from wavewright.models import CONFIGS
from wavewright.studio import metrics
from wavewright.studio.corpora import Corpora
from wavewright.studio.folder import Folder, Refusal, check_name, id_of, missing, remove_tree, size_of
from wavewright.studio.shelf import Shelf
from wavewright.studio.store import Store
from wavewright.studio.takes import wav_seconds

MOST_MINUTES = 60 * 24 * 30.0
Minutes = Annotated[float, Field(gt=0, le=MOST_MINUTES, allow_inf_nan=False)]
Told = Annotated[str, Field(min_length=1, max_length=200)] | None
ACTIVE = ("running", "stopping")


class RunAsked(BaseModel):
    """What is asked of a new run."""

    model_config = ConfigDict(extra="forbid")

    name: str
    corpus: str
    model: str
    preset: str = "small"
    minutes: Minutes = 30.0
    from_: Annotated[str | None, Field(alias="from")] = None
    condition: Annotated[str, Field(max_length=1000, pattern=r"^[^\s=:-][^\s=:]*$")] | None = None


class ResumeAsked(BaseModel):
    """How many minutes more a run is given."""

    model_config = ConfigDict(extra="forbid")

    minutes: Minutes | None = None


class ExportAsked(BaseModel):
    """What is asked of a model file that is made of a run."""

    model_config = ConfigDict(extra="forbid")

    name: str
    title: Told = None
    author: Told = None
    licence: Told = None
    precision: Annotated[str, Field(pattern="^(float32|bfloat16|int8)$")] = "float32"


HELP = {
    "linear-rnn": "Learns much in minutes. New.",
    "naive-rnn": "Suits a steady texture.",
    "sample-rnn": "Suits long notes and dynamics.",
    "wavenet": "Suits timbre and detail.",
}
"""What each model is good for, in a line."""


class Trainings:
    """The runs of a folder of work.

    Args:
        folder: the folder of work.
        store: the queue.
        corpora: what runs train on.
        shelf: what runs can start from, and where exported models go.
        changed: called after every change, from any thread.
    """

    def __init__(
        self, folder: Folder, store: Store, corpora: Corpora, shelf: Shelf, changed: Callable[[], None]
    ) -> None:
        self._folder, self._store, self._children = folder, store, shelf.children
        self._corpora, self._shelf, self._changed = corpora, shelf, changed
        self._turn = threading.RLock()  # one thread at a time begins, stops and starts
        self._stopping: dict[str, bool] = {}  # runs that were asked to stop, and whether they were signalled

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all runs."""
        jobs = {job["name"]: job for job in self._store.rows("jobs", kind="run")}
        return [self._row(name, jobs.get(name)) for name in dict.fromkeys([*jobs, *self._folder.names("runs")])]

    def states(self) -> dict[str, str]:
        """Return the state of each run by its id, which costs little."""
        jobs = {job["name"]: job for job in self._store.rows("jobs", kind="run")}
        return {
            id_of("runs", name): self._state(name, jobs.get(name))[0] for name in {*jobs, *self._folder.names("runs")}
        }

    def active(self) -> list[tuple[str, Path]]:
        """Return the id and the folder of each run that trains. The folder may not be there yet."""
        names = dict.fromkeys(
            [*(job["name"] for job in self._store.rows("jobs", kind="run")), *self._folder.names("runs")]
        )
        states = self.states()
        return [(id, self._folder / "runs" / name) for name in names if states.get(id := id_of("runs", name)) in ACTIVE]

    def row(self, id: str) -> dict[str, Any]:
        """Return the row of a run.

        Raises:
            Refusal: there is none.
        """
        name, job = self._find(id)
        return self._row(name, job)

    def path(self, id: str) -> Path:
        """Return the folder of a run, which is not there yet while the run waits.

        Raises:
            Refusal: there is no such run.
        """
        return self._folder / "runs" / self._find(id)[0]

    def begin(self, asked: RunAsked) -> dict[str, Any]:
        """Put a new run into the queue, start it if none trains, and return its row.

        Raises:
            Refusal: a value is out of range, or there is a run of this name.
        """
        name = check_name(asked.name)
        id = id_of("runs", name)
        self._corpora.path(asked.corpus)
        if asked.model not in CONFIGS:
            raise Refusal(422, f"model: {printable(asked.model)[:40]}; {unknown(asked.model, CONFIGS)}")
        if asked.preset not in (presets := CONFIGS[asked.model].presets):
            raise Refusal(422, f"preset: {printable(asked.preset)[:40]}; {unknown(asked.preset, presets)}")
        if asked.from_ is not None:
            self._shelf.path(asked.from_)
        self._folder.check_room()
        with self._turn:
            if (self._folder / "runs" / name).exists() or self._store.row("jobs", id=id):
                raise Refusal(409, f"name: there is a run {name}; give another name, or remove it")
            facts = {**asked.model_dump(by_alias=True), "begun": time.time()}
            self._queue(id, name, facts)
        return self.row(id)

    def stop(self, id: str) -> dict[str, Any]:
        """Let a run save a checkpoint and stop, or take it out of the queue.

        Raises:
            Refusal: there is no such run, or it does not train.
        """
        with self._turn:
            name, job = self._find(id)
            state, _ = self._state(name, job)
            if state == "queued" and job:
                self._store.change("jobs", id, state="stopped")
            elif state == "running":
                self._stopping[name] = False
                if job:
                    self._store.change("jobs", id, state="stopping")
                self._signal()
            elif state != "stopping":
                raise Refusal(409, f"run: {name} is {state}; there is nothing to stop")
        self._changed()
        return self.row(id)

    def resume(self, id: str, asked: ResumeAsked) -> dict[str, Any]:
        """Put a run into the queue again, with more minutes if some are given.

        Raises:
            Refusal: there is no such run, it trains, its corpus is gone, or its minutes are used up.
        """
        with self._turn:
            row = self.row(id)
            name, job = self._find(id)
            if row["state"] in ("queued", *ACTIVE):
                raise Refusal(409, f"run: {name} is {row['state']}; stop it first")
            if row["corpus"] is None:
                raise Refusal(409, f"run: the corpus of {name} is not here; resume it in a terminal")
            used = (row["seconds"] or 0) / 60
            total = (row["minutes"] or used) + (asked.minutes or 0)
            if total <= used:
                raise Refusal(409, f"minutes: the {total:g} of {name} are used up; give more")
            facts = job["asked"] if job else self._adopted(id, name, row)
            self._queue(id, name, {**facts, "minutes": total})
        return self.row(id)

    def delete(self, id: str) -> None:
        """Remove a run.

        Raises:
            Refusal: there is none, or it trains.
        """
        with self._turn:
            name, job = self._find(id)
            state, _ = self._state(name, job)
            if state in ACTIVE:
                raise Refusal(409, f"run: {name} is {state}; stop it first")
            if (self._folder / "runs" / name).exists():
                remove_tree(self._folder / "runs" / name)
            self._shelf.forget_run(name)
            self._store.remove("jobs", id)
            self._children.forget(id)
        self._changed()

    def delete_corpus(self, id: str) -> None:
        """Remove a corpus.

        Raises:
            Refusal: there is none, it is being made, or a run trains on it or waits for it.
        """
        with self._turn:
            for row in self.rows():
                if row["corpus"] == id and row["state"] in ("queued", *ACTIVE):
                    raise Refusal(409, f"corpus: the run {row['name']} is {row['state']} on it; stop the run first")
            self._corpora.delete(id)

    def export(self, id: str, asked: ExportAsked) -> dict[str, Any]:
        """Write a run's best checkpoint as a model file, and return the model's row.

        Raises:
            Refusal: there is no such run, or a model of this name, or the run has no checkpoint.
        """
        run, out = self.path(id), self._shelf.file(check_name(asked.name))
        if out.exists():
            raise Refusal(409, f"name: there is a model {asked.name}; give another name")
        told = asked.model_dump(exclude={"name"}, exclude_none=True)
        self._children.run("export", str(run), f"--out={out}", *(f"--{field}={value}" for field, value in told.items()))
        return self._shelf.row(id_of("models", asked.name))

    def samples(self, id: str) -> list[dict[str, Any]]:
        """Return the listening samples of a run, the oldest first."""
        found = (re.fullmatch(r"step-(\d{8,})\.wav", name) for name in _names(self.path(id) / "samples"))
        steps = sorted(int(match[1]) for match in found if match)
        return [{"step": step, "seconds": wav_seconds(self.sample(id, step))} for step in steps]

    def sample(self, id: str, step: int) -> Path:
        """Return the file of a listening sample.

        Raises:
            Refusal: there is none.
        """
        path = self.path(id) / "samples" / f"{checkpoint.step_name(step)}.wav"
        if not path.is_file() or path.is_symlink() or path.parent.is_symlink():
            raise missing("sample", str(step))
        return path

    def tick(self) -> None:
        """Start what waits in the queue, and stop what was asked to stop. To be called often."""
        with self._turn:
            states, jobs = self.states(), self._store.rows("jobs", kind="run")
            for job in jobs:
                if job["state"] == "queued" and states[job["id"]] == "running":  # the server was killed right after
                    self._store.change("jobs", job["id"], state="started")
            self._signal()
            if any(state in ACTIVE for state in states.values()):
                return
            waiting = [job for job in jobs if states[job["id"]] == "queued"]
            if waiting:
                self._start(min(waiting, key=lambda job: job["number"]))

    def _queue(self, id: str, name: str, facts: dict[str, Any]) -> None:
        number = 1 + max((job["number"] for job in self._store.rows("jobs")), default=0)
        self._store.put("jobs", id=id, kind="run", name=name, state="queued", asked=facts, number=number)
        self._children.forget(id)
        self.tick()
        self._changed()

    def _start(self, job: dict[str, Any]) -> None:
        """Start a run's child. It resumes where there is a run, so that starting it twice does no harm."""
        asked, id = job["asked"], job["id"]
        try:
            arguments = [str(self._corpora.path(asked["corpus"])), f"--model={asked['model']}", "--resume"]
            arguments += [f"--out={self._folder / 'runs' / job['name']}", f"--minutes={asked['minutes']!r}"]
            arguments += [f"--preset={asked['preset']}"] if asked["preset"] else [f"--config={self._config(id)}"]
            arguments += [f"--from={self._shelf.path(asked['from'])}"] if asked["from"] else []
            arguments += [f"--condition={asked['condition']}"] if asked["condition"] else []
            self._children.start(id, "train", *arguments)
            self._store.change("jobs", id, state="started")
        except WavewrightError as error:  # such as a corpus that was removed meanwhile
            self._store.change("jobs", id, state="refused", asked={**asked, "reason": str(error)})
        self._changed()

    def _signal(self) -> None:
        """Send SIGINT once to each run that was asked to stop and has begun. Sent twice, it would lose work."""
        for name, done in [*self._stopping.items()]:
            process = holder(self._folder / "runs" / name / LOCK)
            if process and not done:
                os.kill(process, signal.SIGINT)
                self._stopping[name] = True
            elif process is None and not self._children.lives(id_of("runs", name)):
                del self._stopping[name]

    def _adopted(self, id: str, name: str, row: dict[str, Any]) -> dict[str, Any]:
        """Return what a run asks for that was started in a terminal, and keep its configuration for the command."""
        values = run_folder.read_begun(self._folder / "runs" / name).config.as_dict()
        write_json(self._config(id), json.loads(json.dumps(values)))
        facts = {"corpus": row["corpus"], "model": values["model"]["name"], "preset": None}
        return {**facts, "from": None, "condition": None, "begun": row["started"]}

    def _config(self, id: str) -> Path:
        return self._folder / "logs" / f"{id}.json"

    def _find(self, id: str) -> tuple[str, dict[str, Any] | None]:
        job = self._store.row("jobs", id=id, kind="run")
        return (job["name"] if job else self._folder.named("runs", id)), job

    def _state(self, name: str, job: dict[str, Any] | None) -> tuple[str, str | None]:
        """Return the state of a run, and the reason where it failed."""
        id, run, wanted = id_of("runs", name), self._folder / "runs" / name, job["state"] if job else None
        if self._children.lives(id) or holder(run / LOCK) is not None:
            return ("stopping" if wanted == "stopping" or name in self._stopping else "running"), None
        if wanted == "queued":
            return "queued", None
        reason = job["asked"].get("reason") if job and wanted == "refused" else self._children.reason(id)
        try:
            steps = checkpoint.steps(run)
            facts = checkpoint.read_facts(checkpoint.path(run, steps[-1])) if steps else None
        except WavewrightError as error:
            return "failed", printable(error)
        minutes = job["asked"]["minutes"] if job else None
        if reason:
            return "failed", reason
        if facts is None:
            return ("stopped", None) if wanted in ("stopping", "stopped") else ("failed", "ended before it began")
        done = _is_used_up(60 * minutes, facts.seconds) if minutes else metrics.is_concluded(run, facts)
        return ("finished" if done else "stopped"), None

    def _row(self, name: str, job: dict[str, Any] | None) -> dict[str, Any]:
        id, run = id_of("runs", name), self._folder / "runs" / name
        state, reason = self._state(name, job)
        asked = job["asked"] if job else {}
        row: dict[str, Any] = {"id": id, "name": name, "state": state, "reason": reason}
        row |= {key: asked.get(key) for key in ("model", "preset", "corpus", "minutes")}
        row |= {**metrics.latest(run), "entropy": None, "eta": None}
        row |= {"started": asked.get("begun"), "bytes": 0}
        try:
            begun = run_folder.read_begun(run)
            if steps := checkpoint.steps(run):
                saved = checkpoint.read_facts(checkpoint.path(run, steps[-1])).best
                found = [] if row["best"] is None else [row["best"]]
                row["best"] = min([*found, saved.bits] if saved else found, default=None)
        except WavewrightError:
            return row
        row["bytes"] = size_of(run)
        row["model"] = begun.config.model.name
        row["started"] = row["started"] or (run / run_folder.CONFIG).stat().st_mtime
        row["corpus"] = self._corpora.with_index(begun.values["corpus"].get("sha256", ""))
        row["entropy"] = metrics.entropy(begun, self._corpora, row["corpus"])
        if state in ACTIVE and row["minutes"]:
            row["eta"] = max(0.0, 60 * row["minutes"] - (row["seconds"] or 0))
        return row


def _is_used_up(budget: float, seconds: float) -> bool:
    """Return whether a run's seconds are used up, as its last checkpoint tells.

    A checkpoint takes time of its own, in which the budget can end. Then it tells of a little less.
    """
    return budget - seconds <= max(1.0, 0.01 * budget)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
