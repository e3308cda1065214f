"""Write files and folders atomically, read strict JSON and lock folders.

An atomic write goes to a temporary file, is flushed to disk and renamed.
"""

import contextlib
import fcntl
import glob
import hashlib
import json
import math
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavewright.errors import WavewrightError


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Flush a file's contents to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's error on a write (disk full, no permission) into one line for the user."""
    try:
        yield
    except OSError as error:
        raise WavewrightError(f"{path}: cannot write: {error.strerror or error}; nothing was changed") from error


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is flushed and renamed on success, and removed on failure."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.touch()
        try:
            with _held(temporary):
                yield temporary
                sync_file(temporary)
                os.replace(temporary, path)
                sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files beside `path` that killed processes left, and none that another is writing."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        with contextlib.suppress(OSError):  # held by another process, or gone
            if leftover.is_file():
                with _held(leftover):
                    leftover.unlink()


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which is flushed and replaces `path` on success.

    A rename cannot replace a folder that holds files, so the old folder is first renamed to `.NAME.old`. After a kill
    between the two renames, `recover_folder` puts it back.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        old = _old(path)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.mkdir()
        try:
            with _held(temporary):
                yield temporary
                for file in temporary.rglob("*"):
                    if file.is_file():
                        sync_file(file)
                sync_folder(temporary)
                if path.exists():
                    os.replace(path, old)
                os.replace(temporary, path)
                sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Put back the folder that a killed `atomic_folder` had renamed, and remove leftovers."""
    try:
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp/"):
            with _held(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
    except BlockingIOError:  # another process is writing this folder now
        return
    old = _old(path)
    if old.exists() and not path.exists():
        os.replace(old, path)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold a lock on `path` that ends with this process, so that others can recognise a dead run's leftovers."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN) atomically, with keys in their order."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read strict JSON.

    Raises:
        WavewrightError: the file is missing or not strict JSON. The line names the file.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WavewrightError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise WavewrightError(f"{path}: not readable as JSON ({error})") from None


def parse_json(text: str) -> Any:
    """Parse strict JSON, in which no object has a key twice and every number is finite.

    Raises:
        ValueError: `text` is no strict JSON.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            raise ValueError(f"the key {Counter(key for key, _ in pairs).most_common(1)[0][0]!r} twice")
        return value

    def finite(number: str) -> float:
        if not math.isfinite(value := float(number)):
            raise ValueError(f"{number} is not a finite number")
        return value

    try:
        return json.loads(text, object_pairs_hook=once, parse_float=finite, parse_constant=finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock `folder` for this process. The lock ends with the process, however the process ends.

    Raises:
        WavewrightError: another process holds the lock.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WavewrightError(
                f"{folder}: in use by another wavewright process; wait for it or choose another folder"
            ) from None
        yield
