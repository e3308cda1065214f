"""Run tasks on files in processes of their own.

A hostile file that crashes, spins or takes too much memory is refused in one line, and the program goes on. A process
that was killed, or that waits for too long, says nothing of its file: the task runs once more in a fresh process. A
task is a generator function `task(path, *args)`, importable by name, that may run twice. Each yield only shows that the
task is alive, and the returned value is its result. A WavewrightError or OSError from the task is raised here.
"""

import contextlib
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from wavewright.errors import AudioError, WavewrightError, printable

T = TypeVar("T")
Task = Callable[..., Generator[Any, None, T]]

STEP_SECONDS = 8.0  # processor time for which a task may yield nothing; a stopped or waiting process uses none
WAIT_SECONDS = 300  # wall time for which a task may yield nothing, by a slow drive, a loaded machine or a signal
MEMORY_BYTES = 400 << 20  # memory limit of a process, where the system has such limits (Linux)
SIGNALS = {sent.value: sent.name for sent in signal.Signals}
CRASHED = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS"}


@dataclass(frozen=True)
class Limits:
    """What a task may use.

    Attributes:
        step_seconds: processor time for which it may yield nothing.
        wait_seconds: wall time for which it may yield nothing.
        memory_bytes: memory of its process.
    """

    step_seconds: float
    wait_seconds: int
    memory_bytes: int


def _of_files() -> Limits:
    """Return the limits of a task that reads a file which may be hostile."""
    return Limits(STEP_SECONDS, WAIT_SECONDS, MEMORY_BYTES)


class _Interrupted(Exception):
    """A process that ended before its task, through no fault of the file."""


class Decoder:
    """One process for tasks, started when first needed and again after it has died, until `close`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._closed = False
        self._lock = threading.RLock()  # a process is never started after `close`

    def call(self, task: Task[T], path: Path, *args: Any) -> T:
        """Return the result of `task(path, *args)`.

        Raises:
            AudioError: the task raised one, crashed, spun or needed too much memory.
            WavewrightError: the process was killed or waited for too long, and so was a fresh one.
            OSError: the task could not write.
        """
        with contextlib.suppress(_Interrupted):
            return self._try(task, path, args)
        try:
            return self._try(task, path, args)
        except _Interrupted as why:
            raise WavewrightError(f"{printable(path)}: its decoder {why}, and run the command again") from None

    def _try(self, task: Task[T], path: Path, args: tuple[Any, ...]) -> T:
        answer, waited = self._exchange((task, path, args))
        if answer:
            result: T = _outcome(*answer, path)
            return result
        status = self._stop()
        if waited:
            waited_for = f"{self._limits.wait_seconds} s"
            raise _Interrupted(f"gave no sign for {waited_for}, twice; check the drive and the machine's load")
        name = SIGNALS.get(-status, f"status {status}")
        if name == "SIGPROF":  # the timer of `_answer`
            worked = f"{self._limits.step_seconds:g} s"
            raise AudioError(path, f"its decoder worked for {worked} without result; the file is damaged")
        if name in CRASHED:
            raise AudioError(path, f"its decoder crashed ({name}); the file is damaged")
        raise _Interrupted(f"was ended twice ({name}); free some memory or use fewer --workers")

    def _exchange(self, job: tuple[Any, ...]) -> tuple[tuple[str, Any] | None, bool]:
        """Return the answer to a job if there was one, and whether it was waited for in vain."""
        with contextlib.suppress(EOFError, ConnectionError):
            pipe = self._pipe or self._start()
            pipe.send(job)
            # In short waits: while this program itself is stopped, as by Ctrl-Z, at most one of them runs out.
            while any(pipe.poll(1) for _ in range(self._limits.wait_seconds)):
                answer = pipe.recv()
                if answer[0] != "alive":
                    return answer, False
            return None, True
        return None, False

    def _start(self) -> Connection:
        with self._lock:
            if self._closed:
                raise ConnectionError
            ours, theirs = socket.socketpair()
            serving = f"serve({theirs.fileno()}, {self._limits!r})"
            # multiprocessing's spawn would run the caller's main script again, which not every script allows.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from wavewright.corpus.isolate import Limits, serve; {serving}"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # the codecs' own warnings
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(part or "." for part in sys.path),
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
            theirs.close()
            self._pipe = Connection(ours.detach())
            return self._pipe

    def _stop(self) -> int:
        """Stop the process, if there is one, and return its exit status, or minus the signal that ended it."""
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process = self._pipe = None
            if process is None or pipe is None:
                return 0
            process.kill()  # a process that is already dead keeps its own status
            status = process.wait()
            pipe.close()
            return status

    def close(self) -> None:
        """Stop the process for good."""
        with self._lock:
            self._closed = True
            self._stop()


def _outcome(kind: str, value: Any, path: Path) -> Any:
    if kind == "refused":
        raise AudioError(path, value)
    if kind == "failed":
        raise WavewrightError(value)
    if kind == "system":
        raise OSError(*value)
    if kind == "bug":
        raise RuntimeError(f"a task on {path} failed:\n{value}")
    return value


def each(
    task: Task[T],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    done: Callable[[], None] = lambda: None,
    limits: Limits | None = None,
) -> list[T | AudioError]:
    """Return the result of `task(*job)`, or the error, for every job in the order of `jobs`.

    Each job is `(path, *args)`. `workers` processes share the jobs, and `done` is called after each job. Without
    `limits`, they are those of files that may be hostile.

    Raises:
        WavewrightError: a process was killed or waited for too long, and so was a fresh one, or a task raised it.
        OSError: a task could not write.
    """
    idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
    decoders = [Decoder(limits or _of_files()) for _ in range(max(1, min(workers, len(jobs))))]
    for decoder in decoders:
        idle.put(decoder)

    def work(job: tuple[Any, ...]) -> T | AudioError:
        decoder = idle.get()
        try:
            return decoder.call(task, *job)
        except AudioError as error:
            return error
        finally:
            idle.put(decoder)

    results = []
    threads = ThreadPoolExecutor(len(decoders))
    try:
        for result in threads.map(work, jobs):
            results.append(result)
            done()
    finally:  # no process may outlive this call, not even after Ctrl-C
        threads.shutdown(wait=False, cancel_futures=True)
        for decoder in decoders:
            decoder.close()
        threads.shutdown()
    return results


def one(task: Task[T], path: Path, *args: Any) -> T:
    """Return the result of `task(path, *args)`, run in a process of its own.

    Raises:
        AudioError: as `Decoder.call` does.
    """
    (result,) = each(task, [(path, *args)], workers=1)
    if isinstance(result, AudioError):
        raise result
    return result


def serve(descriptor: int, limits: Limits) -> None:
    """Run a decoder process, which takes tasks and sends results until the other side is gone.

    A task that works for too long without a yield ends the process with SIGPROF.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C, the parent closes this process
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe = Connection(descriptor)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task, path, args = pipe.recv()
            pipe.send(_answer(pipe, task, path, args, limits))


def _answer(pipe: Connection, task: Task[Any], path: Path, args: tuple[Any, ...], limits: Limits) -> tuple[str, Any]:
    steps = task(path, *args)
    try:
        while True:
            pipe.send(("alive", None))
            signal.setitimer(signal.ITIMER_PROF, limits.step_seconds)
            next(steps)
    except StopIteration as end:
        return "done", end.value
    except AudioError as error:
        return "refused", error.reason
    except MemoryError:
        return "refused", f"decoding it takes over {limits.memory_bytes >> 20} MB of memory; the file is damaged"
    except WavewrightError as error:
        return "failed", str(error)
    except ConnectionError:
        raise
    except OSError as error:
        return "system", (error.errno, error.strerror)
    except Exception:
        return "bug", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _end_with(parent: int) -> None:
    """End this process soon after `parent` was killed, even while a decoder hangs."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
