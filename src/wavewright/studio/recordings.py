"""Recordings: what is uploaded, the verdict on each, and the pictures of its sound."""

import asyncio
import contextlib
import os
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from wavewright.corpus import inspection, isolate
from wavewright.corpus.copies import find_copies
from wavewright.corpus.scores import is_score, match_recording, not_used
from wavewright.errors import AudioError, WavewrightError, printable
from wavewright.files import disk_errors, sync_folder
from wavewright.studio.folder import ID, Folder, Refusal, missing, remove_hidden, remove_tree
from wavewright.studio.store import Store

PATIENCE = 5  # seconds for a recording that is being examined at the end
AT_ONCE = 4  # uploads
PIECE = 1 << 20  # bytes that are written at a time
LONGEST_STEM = 180  # bytes
PART = ".part"
PLAYED = {  # by browsers
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
}


def clean(name: str) -> str:
    """Return a name for the file of an upload: letters, digits and common signs, in NFC, and of moderate length.

    The stem does not depend on the suffix, so a score keeps the stem of its recording.
    """
    stem, dot, suffix = unicodedata.normalize("NFC", name).rpartition(".")
    stem, suffix = (stem, suffix.lower()) if dot and re.fullmatch(r"[A-Za-z0-9]{1,8}", suffix) else (name, "")
    kept = "".join(c if c.isalnum() or c in " _-+#,()." else "_" for c in stem)
    kept = kept.encode()[:LONGEST_STEM].decode(errors="ignore").strip(" .-") or "recording"
    return f"{kept}.{suffix}" if suffix else kept


def check_file_name(name: str) -> None:
    """Check the name of an upload.

    Raises:
        Refusal: it is no file's name.
    """
    if not name or len(name.encode(errors="replace")) > 255 or set(name) & set("/\\\0") or name in (".", ".."):
        raise Refusal(422, f"name: {printable(name)[:60]!r}; give a file's name of 1 to 255 bytes, without folders")


class Recordings:
    """The recordings of a folder of work.

    Args:
        folder: the folder of work.
        store: the index.
        changed: called after every change, from any thread.
    """

    def __init__(self, folder: Folder, store: Store, changed: Callable[[], None]) -> None:
        self._folder, self._store, self._changed = folder, store, changed
        self._uploads = asyncio.Semaphore(AT_ONCE)
        self._work = threading.Event()
        self._over = False
        self._recover()
        self._thread = threading.Thread(target=self._examine_all, name="examine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop examining. What was not examined is examined at the next start."""
        self._over = True
        self._work.set()
        self._thread.join(PATIENCE)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all recordings, the oldest first."""
        rows = [_row(row) for row in self._store.rows("recordings")]
        stems = {_stem(row["name"]) for row in rows if not is_score(Path(row["name"]))}
        prints = {(row["name"], row["id"]): (row["rate"], row.pop("sha256")) for row in rows}
        known = {"\0".join(names): one for names, one in prints.items() if one[1]}  # the shortest name stands for all
        by_id = {row["id"]: row for row in rows}
        for copy, same in find_copies(known).items():
            name, id = same.split("\0")[0], copy.split("\0")[1]
            by_id[id]["notes"].append(f"the same samples as {printable(name)}, so a corpus leaves it out")
        return [row for row in rows if not (is_score(Path(row["name"])) and _stem(row["name"]) in stems)]

    def path(self, id: str) -> Path:
        """Return the file of a recording.

        Raises:
            Refusal: there is none.
        """
        row = self._store.row("recordings", id=id)
        path = self._path(id, row["file"]) if row else None
        if path is None or not os.path.isfile(path) or os.path.islink(path):
            raise missing("recording", id)
        return path

    async def receive(self, name: str, body: AsyncIterator[bytes]) -> dict[str, Any]:
        """Keep an upload and return its row, once both are on disk.

        Raises:
            Refusal: the name is no file's name, the disk is nearly full, or others are being received.
        """
        check_file_name(name)
        if self._uploads.locked():
            raise Refusal(503, f"uploads: {AT_ONCE} are on their way; send this one after them")
        async with self._uploads:
            self._folder.check_room()
            id, file = secrets.token_hex(8), clean(name)
            size = await self._keep(self._path(id, file), body)
            row: dict[str, Any] = {
                "id": id,
                "name": name,
                "file": file,
                "bytes": size,
                "added": time.time(),
                "state": "examining",
            }
            await asyncio.to_thread(self._store.put, "recordings", **row, facts={})
        self._work.set()
        self._changed()
        return {name: value for name, value in _row({**row, "facts": {}}).items() if name != "sha256"}

    def delete(self, id: str) -> None:
        """Remove a recording.

        Raises:
            Refusal: there is none.
        """
        path = self.path(id)
        remove_tree(path.parent)  # hidden at once, and a start removes rows without a folder
        self._store.remove("recordings", id)
        self._changed()

    def scores(self, path: Path) -> list[Path]:
        """Return the scores of a recording, which have its stem."""
        rows = [row for row in self._store.rows("recordings") if is_score(Path(row["file"]))]
        return [self._path(row["id"], row["file"]) for row in rows if _stem(row["file"]) == _stem(path.name)]

    def _path(self, id: str, file: str) -> Path:
        return self._folder / "recordings" / id / file

    async def _keep(self, path: Path, body: AsyncIterator[bytes]) -> int:
        """Write a body to `path.part`, flush it to disk and rename it. Return its length."""
        part, size = path.with_name(path.name + PART), 0
        try:
            with disk_errors(part):
                path.parent.mkdir()
                with part.open("xb") as file:
                    async for piece in _pieces(body):
                        size += len(piece)
                        await asyncio.to_thread(_write, file, piece)
                        if size % (64 * PIECE) < PIECE:
                            self._folder.check_room()
                    await asyncio.to_thread(os.fsync, file.fileno())
                if not size:
                    raise Refusal(422, f"{printable(path.name)}: an empty file; leave it out")
                part.rename(path)
                await asyncio.to_thread(sync_folder, path.parent)
                await asyncio.to_thread(sync_folder, path.parent.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                path.parent.rmdir()
            raise
        return size

    def _recover(self) -> None:
        """Bring folders and index together after a kill.

        A cut upload is removed. A whole file that the index does not know is taken in, since nothing that may be
        somebody's only copy is removed. Rows without a file are removed.
        """
        top = self._folder / "recordings"
        remove_hidden(top)
        for id in [name for name in self._folder.names("recordings") if re.fullmatch(ID, name)]:
            files = [file for file in (top / id).iterdir() if file.is_file() and not file.is_symlink()]
            for part in [file for file in files if file.name.endswith(PART)]:
                part.unlink()
                files.remove(part)
            if not files:
                with contextlib.suppress(OSError):
                    (top / id).rmdir()
            elif self._store.row("recordings", id=id) is None:
                found = files[0].stat()
                names: dict[str, Any] = {"id": id, "name": files[0].name, "file": files[0].name}
                numbers = {"bytes": found.st_size, "added": found.st_mtime}
                self._store.put("recordings", **names, **numbers, state="examining", facts={})
        for row in self._store.rows("recordings"):
            if not self._path(row["id"], row["file"]).is_file():
                self._store.remove("recordings", row["id"])

    def _examine_all(self) -> None:
        self._work.set()
        while not self._over:
            self._work.wait()
            self._work.clear()
            if self._over:
                return
            for row in self._store.rows("recordings", state="examining"):
                path = self._path(row["id"], row["file"])
                state, facts = ("ready", {}) if is_score(path) else _verdict(path, self.scores(path))
                if self._over:
                    return
                self._store.change("recordings", row["id"], state=state, facts=facts)
                if is_score(path):
                    self._examine_again(path)
                self._changed()

    def _examine_again(self, score: Path) -> None:
        """Let the recordings be examined again that a new score belongs to."""
        for row in self._store.rows("recordings", state="ready"):
            if _stem(row["file"]) == _stem(score.name) and not is_score(Path(row["file"])):
                self._store.change("recordings", row["id"], state="examining")
                self._work.set()


def _row(row: dict[str, Any]) -> dict[str, Any]:
    facts, alone = row["facts"], is_score(Path(row["name"])) and row["state"] == "ready"
    measures = ("seconds", "rate", "channels", "format", "peak", "rms_dbfs", "dc", "clipped", "silence_seconds")
    return {
        **{key: row[key] for key in ("id", "name", "bytes", "added")},
        "state": "refused" if alone else row["state"],
        "reason": "a score without a recording of the same name; add it" if alone else facts.get("reason"),
        **{key: facts.get(key) for key in measures},
        "notes": list(facts.get("notes", ())),
        "score": facts.get("score"),
        "sha256": facts.get("sha256"),
    }


def _stem(name: str) -> str:
    return Path(clean(name)).stem.casefold()


def _verdict(path: Path, scored: Sequence[Path]) -> tuple[str, dict[str, Any]]:
    """Return the state and the facts of a recording, which is read in processes that may die."""
    try:
        report = inspection.inspect([path])
        if not report.files:
            reason = report.refused[0].reason if report.refused else "no recording; leave it out"
            return "refused", {"reason": reason}
        facts = {**asdict(report.files[0]), "score": None}
        if scored:
            facts |= _fit(path, scored, facts["notes"])
        return "ready", facts
    except (WavewrightError, OSError) as error:  # not the file's fault; the next start examines it again
        return "refused", {"reason": printable(error)}


def _fit(path: Path, scored: Sequence[Path], notes: tuple[str, ...]) -> dict[str, Any]:
    """Return how the score of a recording fits, or why it is not used."""
    try:
        matched = isolate.one(match_recording, scored[0], path, scored[1:])
    except AudioError as error:
        return {"notes": (*notes, not_used(scored[0], error.reason))}
    score = {"notes": len(matched.score.strikes), "fit": matched.alignment.fit}
    return {"notes": (*notes, *matched.notes()), "score": score}


async def _pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a body in larger pieces."""
    held = bytearray()
    async for chunk in body:
        held += chunk
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _write(file: BinaryIO, piece: bytes) -> None:
    file.write(piece)
    file.flush()
