"""Write files and folders atomically, read strict JSON and lock folders.

An atomic write goes to a temporary file, is flushed to disk and renamed.
"""

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import logging
import math
import os
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavewright.errors import WavewrightError

log = logging.getLogger(__name__)


UNCHANGED = "nothing was changed"
WRITTEN = "the new content is there, but a power cut could lose it"
LOCK = ".lock"  # in a folder that one process at a time may write to
LONG_NAME = 200  # bytes; most file systems end at 255, and hidden names add up to 14


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename in it survives a power cut, where the drive can flush folders.

    Raises:
        OSError: the drive says that it lost what was written.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:  # many network drives cannot, and say so in many ways
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise


def sync_file(path: Path) -> None:
    """Flush a file's contents to disk, where the drive can flush files."""
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
                raise


@contextlib.contextmanager
def disk_errors(path: Path, state: str = "") -> Iterator[None]:
    """Turn the operating system's error on a write (disk full, no permission) into one line for the user.

    `state` says what has become of what was there before.
    """
    try:
        yield
    except OSError as error:
        raise WavewrightError(f"{path}: cannot write: {error.strerror or error}{state and '; '}{state}") from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        OSError: a folder cannot be made. Where a file is in the way, the reason names the file.
        WavewrightError: the name has bytes that are no text.
    """
    check_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next((place for place in (folder, *folder.parents) if place.is_file()), folder)
        raise NotADirectoryError(errno.ENOTDIR, f"{file} is a file, not a folder") from error


def check_name(path: Path) -> None:
    """Check that a name is text, since not every library can open a file whose name has other bytes.

    Raises:
        WavewrightError: the name has bytes that are no text.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise WavewrightError(f"{path}: the name is not {encoding}; rename it, or choose another name") from None


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is flushed and renamed on success, and removed on failure."""
    with disk_errors(path, UNCHANGED):
        check_name(path)
        make_folder(path.parent)
        if path.is_dir():  # said now, not after the work
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        _remove_leftovers(path)
        temporary = _temporary(path)
        temporary.touch()
        try:
            with _held(temporary):
                yield temporary
                sync_file(temporary)
                os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    with disk_errors(path, WRITTEN):
        sync_folder(path.parent)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files beside `path` that killed processes left, and none that another is writing.

    On a drive without locks they stay, since another process may be writing them.
    """
    for leftover in path.parent.glob(f"{glob.escape(_hidden(path))}.????????.tmp"):
        with contextlib.suppress(OSError):  # held by another process, or gone
            if leftover.is_file():
                with _held(leftover) as is_locked:
                    if is_locked:
                        leftover.unlink()


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which is flushed and replaces `path` on success.

    A rename cannot replace a folder that holds files, so the old folder is first renamed to `.NAME.old`. After a kill
    between the two renames, `recover_folder` puts it back.
    """
    with disk_errors(path, UNCHANGED):
        check_name(path)
        make_folder(path.parent)
        recover_folder(path)
        old = _old(path)
        temporary = _temporary(path)
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
                try:
                    os.replace(temporary, path)
                except OSError:
                    if old.exists():
                        os.replace(old, path)
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    with disk_errors(path, WRITTEN):
        sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Put back the folder that a killed `atomic_folder` had renamed, and remove leftovers.

    On a drive without locks, leftovers stay, since another process may be writing them.
    """
    try:
        for leftover in path.parent.glob(f"{glob.escape(_hidden(path))}.????????.tmp/"):
            with _held(leftover) as is_locked:
                if is_locked:
                    shutil.rmtree(leftover, ignore_errors=True)
    except BlockingIOError:  # another process is writing this folder now
        return
    old = _old(path)
    if old.exists() and not path.exists():
        os.replace(old, path)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Hold a lock on `path` that ends with this process, so that others can recognise a dead run's leftovers.

    Yield whether there is a lock, as in `_lock`.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open file or folder, and return False where the drive has no locks, as some network drives.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _old(path: Path) -> Path:
    return path.with_name(f"{_hidden(path)}.old")


def _temporary(path: Path) -> Path:
    return path.with_name(f"{_hidden(path)}.{uuid.uuid4().hex[:8]}.tmp")


def _hidden(path: Path) -> str:
    """Return the beginning of the names of hidden files beside `path`, short enough for a file system."""
    name = os.fsencode(path.name)
    return f".{path.name}" if len(name) <= LONG_NAME else f".{hashlib.sha256(name).hexdigest()[:32]}"


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN) atomically, with keys in their order.

    A byte of a file name that is no UTF-8 becomes a JSON escape, which `read_json` turns back.
    """
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path) -> Any:
    """Read strict JSON.

    Raises:
        WavewrightError: the file is missing, no regular file or not strict JSON. The line names the file.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise ValueError("not a regular file")
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

    While it is held, the lock's file names the process, see `holder`. Where the drive has no locks, the log warns.

    Raises:
        WavewrightError: another process holds the lock.
    """
    with disk_errors(folder, UNCHANGED):
        make_folder(folder)
        file = (folder / LOCK).open("a+")
    with file:
        if not _lock_patiently(file.fileno(), folder):
            log.warning(f"{folder}: this drive has no locks; start no other command that writes to this folder")
        with disk_errors(folder, UNCHANGED):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


def _lock_patiently(descriptor: int, folder: Path) -> bool:
    """Do what `_lock` does for the lock of `folder`, which `holder` may hold for a moment.

    Raises:
        WavewrightError: another process holds the lock.
    """
    for wait in (0.02, 0.1, None):
        try:
            return _lock(descriptor)
        except BlockingIOError:
            if wait is not None:
                time.sleep(wait)
    raise WavewrightError(f"{folder}: in use by another wavewright process; wait for it or choose another folder")


def holder(lock: Path) -> int | None:
    """Return the number of the process that holds a lock on a file, 0 if the file does not name it, and None if none.

    Where the drive has no locks, none is held.
    """
    try:
        with lock.open() as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                number = file.read(20)
                return int(number) if number.isdecimal() else 0
    except OSError:
        pass
    return None
