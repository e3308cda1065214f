"""Tasks on files in processes of their own: a hostile file that crashes, hangs or swallows memory is refused
in one line, and the program goes on.

A task is a generator function `task(path, *args)`, importable by name: what it yields only says that it is
alive, what it returns is its result. An `AudioError` or OSError that it raises is raised here.
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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from wavewright.errors import AudioError

T = TypeVar("T")
Task = Callable[..., Generator[Any, None, T]]

STALL_SECONDS = 8.0  # a task that says nothing for so long is taken to hang
START_SECONDS = 60.0  # the same for a fresh process, which first imports numpy and soundfile
MEMORY_BYTES = 400 << 20  # what a process may allocate, where the system can limit it (Linux)


class Decoder:
    """One process for tasks, started when first needed and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def call(self, task: Task[T], path: Path, *args: Any) -> T:
        """The result of `task(path, *args)`.

        Raises:
            AudioError: the task raised it, crashed, hung or needed too much memory.
            OSError: the task could not write.
        """
        limit = STALL_SECONDS if self._process else START_SECONDS
        pipe = self._pipe or self._start()
        try:
            pipe.send((task, path, args))
            while pipe.poll(limit):
                kind, value = pipe.recv()
                if kind != "alive":
                    result: T = _outcome(kind, value, path)
                    return result
                limit = STALL_SECONDS
        except (EOFError, ConnectionError):
            raise AudioError(path, f"its decoder crashed ({self.close()}); the file is damaged") from None
        self.close()
        raise AudioError(path, f"its decoder hung for {limit:g} s and was stopped; the file is damaged")

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        # Not multiprocessing's spawn: it runs the caller's main script again, which not every script bears.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from wavewright.corpus.isolate import serve; serve({theirs.fileno()})"],
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

    def close(self) -> str:
        """Stop the process, if there is one, and say how it ended."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is None or pipe is None:
            return "never started"
        process.kill()  # one that died by itself keeps its own status
        status = process.wait()
        pipe.close()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _outcome(kind: str, value: Any, path: Path) -> Any:
    if kind == "refused":
        raise AudioError(path, value)
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
) -> list[T | AudioError]:
    """The results of `task(*job)` for every job, or the reason there is none, in the order of `jobs`.

    Each job is `(path, *args)`; `workers` processes share them, and `done` is called after each.
    """
    idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
    decoders = [Decoder() for _ in range(max(1, min(workers, len(jobs))))]
    for decoder in decoders:
        idle.put(decoder)

    def one(job: tuple[Any, ...]) -> T | AudioError:
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
        for result in threads.map(one, jobs):
            results.append(result)
            done()
    finally:  # also on Ctrl-C: nothing goes on without us
        threads.shutdown(wait=False, cancel_futures=True)
        for _ in range(2):  # again after the last thread ended, which may just have started a process
            for decoder in decoders:
                decoder.close()
            threads.shutdown()
    return results


def serve(descriptor: int) -> None:
    """The life of a decoder process: tasks in, results out, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which closes us
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe = Connection(descriptor)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task, path, args = pipe.recv()
            pipe.send(_answer(pipe, task, path, args))


def _answer(pipe: Connection, task: Task[Any], path: Path, args: tuple[Any, ...]) -> tuple[str, Any]:
    steps = task(path, *args)
    try:
        while True:
            pipe.send(("alive", None))
            next(steps)
    except StopIteration as end:
        return "done", end.value
    except AudioError as error:
        return "refused", error.reason
    except MemoryError:
        return "refused", f"decoding it takes over {MEMORY_BYTES >> 20} MB of memory; the file is damaged"
    except ConnectionError:
        raise
    except OSError as error:
        return "system", (error.errno, error.strerror)
    except Exception:
        return "bug", traceback.format_exc()


def _end_with(parent: int) -> None:
    """End this process, even amid a hanging decoder, soon after `parent` was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
