"""Run tasks on files in processes of their own.

A hostile file that crashes, hangs or takes too much memory is refused in one line, and the program goes on. A task is
a generator function `task(path, *args)`, importable by name. Each yield only shows that the task is alive, and the
returned value is its result. An `AudioError` or OSError from the task is raised here.
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

STALL_SECONDS = 8.0  # a task that yields nothing for this long is taken to hang
START_SECONDS = 60.0  # the limit for a fresh process, which first imports numpy and soundfile
MEMORY_BYTES = 400 << 20  # memory limit of a process, where the system has such limits (Linux)


class Decoder:
    """One process for tasks, started when first needed and again after it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def call(self, task: Task[T], path: Path, *args: Any) -> T:
        """Return the result of `task(path, *args)`.

        Raises:
            AudioError: the task raised one, crashed, hung or needed too much memory.
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
        # multiprocessing's spawn would run the caller's main script again, which not every script allows.
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
        process.kill()  # a process that is already dead keeps its own status
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
    """Return the result of `task(*job)`, or the error, for every job in the order of `jobs`.

    Each job is `(path, *args)`. `workers` processes share the jobs, and `done` is called after each job.
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
    finally:  # no process may outlive this call, not even after Ctrl-C
        threads.shutdown(wait=False, cancel_futures=True)
        for _ in range(2):  # the second time for a process that a thread started before it ended
            for decoder in decoders:
                decoder.close()
            threads.shutdown()
    return results


def serve(descriptor: int) -> None:
    """Run a decoder process, which takes tasks and sends results until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C, the parent closes this process
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
    """End this process soon after `parent` was killed, even while a decoder hangs."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
