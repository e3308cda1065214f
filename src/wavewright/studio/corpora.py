"""Corpora: what `wavewright prepare` makes of the recordings, in a child."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from wavewright.conditioning.controls import in_words
from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.corpus.scores import is_score
from wavewright.corpus.settings import DESCRIPTIONS, SPLITS
from wavewright.errors import WavewrightError, printable, unknown
from wavewright.files import disk_errors, sha256
from wavewright.studio.children import Children
from wavewright.studio.folder import Folder, Refusal, check_name, id_of, missing, remove_tree, size_of
from wavewright.studio.recordings import Recordings
from wavewright.studio.store import Store

PRESETS = {"music": "default", "one-shots": "one-shots", "impulse-responses": "impulse-responses", "thesis": "thesis"}
"""The presets of `wavewright prepare`, by their names on the page."""


class CorpusAsked(BaseModel):
    """What is asked of a new corpus."""

    model_config = ConfigDict(extra="forbid")

    name: str
    recordings: list[str] | Literal["all"] = "all"
    preset: str = "music"
    rate: Annotated[int, Field(ge=1000, le=192_000)] | None = None
    section_seconds: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)] | None = None
    labels: Annotated[str, Field(max_length=200)] | None = None
    describe: list[str] = []


class Corpora:
    """The corpora of a folder of work.

    Args:
        folder: the folder of work.
        store: keeps what was asked.
        children: runs `wavewright prepare`.
        recordings: what corpora are made of.
        changed: called after every change, from any thread.
    """

    def __init__(
        self, folder: Folder, store: Store, children: Children, recordings: Recordings, changed: Callable[[], None]
    ) -> None:
        self._folder, self._store, self._children = folder, store, children
        self._recordings, self._changed = recordings, changed

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all corpora."""
        asked = {job["name"]: job for job in self._store.rows("jobs", kind="corpus")}
        return [self._row(name) for name in dict.fromkeys([*asked, *self._folder.names("corpora")])]

    def states(self) -> dict[str, str]:
        """Return the state of each corpus by its id, which costs little."""
        names = [job["name"] for job in self._store.rows("jobs", kind="corpus")]
        return {id_of("corpora", name): self._state(name) for name in {*names, *self._folder.names("corpora")}}

    def path(self, id: str) -> Path:
        """Return the folder of a corpus.

        Raises:
            Refusal: there is none, or it is not ready.
        """
        name = self._folder.named("corpora", id)
        if self._state(name) != "ready":
            raise Refusal(409, f"corpus: {name} is not ready; wait for it, or prepare it again")
        return self._folder / "corpora" / name

    def with_index(self, digest: str) -> str | None:
        """Return the id of the corpus whose index has this SHA-256, if there is one."""
        for name in self._folder.names("corpora"):
            index = self._folder / "corpora" / name / INDEX
            with contextlib.suppress(OSError):
                if _sha256(index, index.stat().st_mtime_ns) == digest:
                    return id_of("corpora", name)
        return None

    def make(self, asked: CorpusAsked) -> dict[str, Any]:
        """Begin to make a corpus, and return its row.

        Raises:
            Refusal: a value is out of range, or there is a corpus of this name.
        """
        name = check_name(asked.name)
        id = id_of("corpora", name)
        if (self._folder / "corpora" / name).exists() or self._children.lives(id):
            raise Refusal(409, f"name: there is a corpus {name}; give another name, or remove it")
        self._folder.check_room()
        arguments = _arguments(asked)
        inbox = self._collect(id, asked.recordings)
        facts = {**asked.model_dump(), "made": time.time()}
        self._store.put("jobs", id=id, kind="corpus", name=name, state="started", asked=facts, number=0)
        self._children.start(id, "prepare", str(inbox), f"--out={self._folder / 'corpora' / name}", *arguments)
        self._changed()
        return self._row(name)

    def delete(self, id: str) -> None:
        """Remove a corpus.

        Raises:
            Refusal: there is none, or it is being made.
        """
        job = self._store.row("jobs", id=id)
        name = job["name"] if job and job["kind"] == "corpus" else self._folder.named("corpora", id)
        if self._children.lives(id):
            raise Refusal(409, f"corpus: {name} is being made; wait for it")
        path = self._folder / "corpora" / name
        if path.exists():
            remove_tree(path)
        self._forget_inbox(id)
        self._store.remove("jobs", id)
        self._children.forget(id)
        self._changed()

    def tidy(self) -> None:
        """Remove the links to recordings of which a corpus has been made."""
        for job in self._store.rows("jobs", kind="corpus"):
            if not self._children.lives(job["id"]):
                self._forget_inbox(job["id"])

    def _inbox(self, id: str) -> Path:
        return self._folder / "logs" / f"{id}.recordings"

    def _forget_inbox(self, id: str) -> None:
        shutil.rmtree(self._inbox(id), ignore_errors=True)

    def _collect(self, id: str, chosen: list[str] | str) -> Path:
        """Put the recordings, and the scores that belong to them, side by side in a folder, and return it."""
        rows = [row for row in self._recordings.rows() if row["state"] == "ready"]
        if chosen != "all":
            for one in chosen:
                if all(row["id"] != one for row in rows):
                    raise missing("recording", one)
            rows = [row for row in rows if row["id"] in chosen]
        if not rows:
            raise Refusal(422, "recordings: none can be read; add some first")
        inbox = self._inbox(id)
        shutil.rmtree(inbox, ignore_errors=True)
        with disk_errors(inbox):
            for row in rows:
                path = self._recordings.path(row["id"])
                taken = (inbox / path.name).exists() or any(
                    file.stem.casefold() == path.stem.casefold() for file in inbox.glob("*") if not is_score(file)
                )
                to = inbox / row["id"] if taken else inbox  # since scores go by the stem
                to.mkdir(parents=True, exist_ok=True)
                for file in (path, *self._recordings.scores(path)):
                    with contextlib.suppress(FileExistsError):
                        os.link(file, to / file.name)
        return inbox

    def _state(self, name: str) -> str:
        if self._children.lives(id_of("corpora", name)):
            return "preparing"
        return "ready" if (self._folder / "corpora" / name / INDEX).is_file() else "failed"

    def _row(self, name: str) -> dict[str, Any]:
        id, path, state = id_of("corpora", name), self._folder / "corpora" / name, self._state(name)
        row: dict[str, Any] = {"id": id, "name": name, "state": state, "reason": None, "rate": None}
        row |= {"minutes": dict.fromkeys(SPLITS, 0.0), "recordings": 0, "left_out": [], "controls": [], "bytes": 0}
        if state == "failed":
            row["reason"] = self._children.reason(id) or "ended before the corpus was made; prepare it again"
        elif state == "ready":
            try:
                row |= _facts(path, (path / INDEX).stat().st_mtime_ns)
            except (WavewrightError, OSError) as error:
                row |= {"state": "failed", "reason": printable(error)}
        return row


@lru_cache(256)
def _facts(path: Path, changed: int) -> dict[str, Any]:
    corpus = Corpus.open(path)
    left_out = [{"name": one.name, "why": one.reason} for one in corpus.refused]
    left_out += [{"name": one.name, "why": f"the same samples as {one.same_as}"} for one in corpus.contents.copies]
    return {
        "rate": corpus.rate,
        "minutes": {split: corpus.contents.frames.get(split, 0) / corpus.rate / 60 for split in SPLITS},
        "recordings": len({track.name for track in corpus.tracks}),
        "left_out": left_out,
        "controls": [{"name": control.name, "text": in_words(control)} for control in corpus.controls],
        "bytes": size_of(path),
    }


@lru_cache(256)
def _sha256(index: Path, changed: int) -> str:
    return sha256(index)


def _arguments(asked: CorpusAsked) -> list[str]:
    """Return the options of `wavewright prepare`."""
    if asked.preset not in PRESETS:
        raise Refusal(422, f"preset: {printable(asked.preset)[:40]}; {unknown(asked.preset, PRESETS)}")
    for name in asked.describe:
        if name not in DESCRIPTIONS:
            raise Refusal(422, f"describe: {printable(name)[:40]}; {unknown(name, DESCRIPTIONS)}")
    if asked.labels is not None and ("{" not in asked.labels or asked.labels.lower().endswith((".csv", ".sfz"))):
        line = f"labels: {printable(asked.labels)[:60]}; give a pattern over the names, such as {{layer}}_{{note}}"
        raise Refusal(422, line)
    arguments = [f"--preset={PRESETS[asked.preset]}", "--workers=1"]
    arguments += [f"--rate={asked.rate}"] if asked.rate else []
    arguments += [f"--section-seconds={asked.section_seconds!r}"] if asked.section_seconds else []
    arguments += [f"--labels={asked.labels}"] if asked.labels else []
    return arguments + ([f"--describe={','.join(asked.describe)}"] if asked.describe else [])
