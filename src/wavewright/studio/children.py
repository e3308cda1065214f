"""Commands of wavewright in processes of their own, which outlive the server.

A child writes what it says to a log file, and holds a lock on the file for as long as it lives. The server takes the
lock before it starts the child and hands it over with the file. So a server that was killed at any moment and started
again knows by the lock alone whether a child lives.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

from wavewright.errors import WavewrightError, printable
from wavewright.files import disk_errors, holder
from wavewright.studio.folder import Refusal

SAID = "wavewright: "  # how the last line of a command that failed begins
TAIL = 4096  # bytes of a log that are searched for it
NICE = 10  # children give way to players


class Children:
    """The processes of a folder of work, by the ids of what they work on.

    Args:
        logs: folder of the logs.
    """

    def __init__(self, logs: Path) -> None:
        self._logs, self._turn = logs, threading.Lock()
        self._own: list[subprocess.Popen[bytes]] = []

    def start(self, id: str, *arguments: str) -> bool:
        """Start `wavewright ARGUMENTS` for `id`, and return False where a child of this id lives.

        Raises:
            WavewrightError: the log cannot be written, or no process can be started.
        """
        log = self._log(id)
        with self._turn, disk_errors(log), log.open("ab") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            file.truncate(0)
            child = subprocess.Popen(
                _command(arguments), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
            _give_way(child.pid)
            self._own.append(child)
        return True

    def lives(self, id: str) -> bool:
        """Tell whether a child of this id lives, whichever server started it."""
        with self._turn:
            self._own = [child for child in self._own if child.poll() is None]  # else they would stay as zombies
            return holder(self._log(id)) is not None

    def reason(self, id: str) -> str | None:
        """Return the line with which the last child of this id refused or failed, if it did."""
        try:
            with self._log(id).open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return None
        return _reason(lines)

    def forget(self, id: str) -> None:
        """Remove the log of this id."""
        self._log(id).unlink(missing_ok=True)

    def run(self, *arguments: str) -> str:
        """Run `wavewright ARGUMENTS` to its end, and return the last line that it said.

        Raises:
            Refusal: it failed. The line is its own.
        """
        done = subprocess.run(
            _command(arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        said = done.stderr.strip().splitlines()
        if done.returncode:
            raise Refusal(422, _reason(said) or f"{arguments[0]}: ended by itself")
        return said[-1] if said else ""

    def _log(self, id: str) -> Path:
        return self._logs / f"{id}.log"


def _give_way(pid: int) -> None:
    """Lower the priority of a process that leads a session of its own.

    Where Linux shares the processors out by sessions first (autogroup, see sched(7)), niceness counts only among the
    processes of one session. So the session is given the same niceness.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(f"{NICE}")


def _command(arguments: tuple[str, ...]) -> list[str]:
    for argument in arguments:
        if "\0" in argument:
            raise WavewrightError(f"{printable(argument)[:60]}: a zero byte; leave it out")
    return [sys.executable, "-P", "-m", "wavewright", *arguments]


def _reason(lines: list[str]) -> str | None:
    last = printable(lines[-1]) if lines else ""
    if last.startswith(SAID):
        return last.removeprefix(SAID)
    return last if any(line.startswith("Traceback") for line in lines) else None
