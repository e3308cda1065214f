"""Tasks that try to take the program down, and processes that are stopped or killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from wavewright.corpus import isolate
from wavewright.errors import AudioError, WavewrightError


def double(path: Path, number: int) -> Iterator[None]:
    yield
    return 2 * number


def crash(path: Path) -> Iterator[None]:
    yield
    os.kill(os.getpid(), signal.SIGSEGV)


def spin(path: Path) -> Iterator[None]:
    yield
    while True:
        pass


def hang(path: Path) -> Iterator[None]:
    yield
    time.sleep(3600)


def once(path: Path, sent: signal.Signals) -> Iterator[None]:
    """Send this process a signal on the first call only. `path` remembers it."""
    yield
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), sent)
    yield
    return path


def attempt(folder: Path) -> Iterator[None]:
    """Count the attempts, and take a while."""
    yield
    (folder / str(os.getpid())).touch()
    time.sleep(1)
    yield
    return f"{len(list(folder.iterdir()))} attempt"


def killed(path: Path, sent: signal.Signals) -> Iterator[None]:
    yield
    os.kill(os.getpid(), sent)


def rest(path: Path) -> Iterator[None]:
    """Take longer than STEP_SECONDS of wall time, and hardly any processor time."""
    yield
    time.sleep(2)
    return path


def swallow(path: Path) -> Iterator[None]:
    hoard = []
    while True:
        hoard.append(np.ones(1 << 20))
        yield


def fill_the_disk(path: Path) -> Iterator[None]:
    yield
    with open("/dev/full", "wb") as file:
        file.write(b"x")


def any_task(path: Path, task: Callable[..., Iterator[None]], *args: int) -> Iterator[None]:
    return (yield from task(path, *args))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_hostile_tasks_are_refused_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(isolate, "STEP_SECONDS", 1.0)
    path = Path("x.wav")
    jobs = [
        (path, double, 1),
        (path, crash),
        (path, spin),
        (path, swallow),
        (path, double, 2),
        (path, double, 3),
    ]
    done: list[None] = []
    results = isolate.each(any_task, jobs, workers, lambda: done.append(None))
    assert [r for r in results if isinstance(r, int)] == [2, 4, 6]
    crashed, spun, swallowed = (str(r) for r in results[1:4])
    assert "SIGSEGV" in crashed
    assert "1 s without result; the file is damaged" in spun
    assert "memory" in swallowed
    assert len(done) == len(jobs)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM, 40])
def test_a_process_stopped_or_killed_once_costs_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sent: signal.Signals
) -> None:
    monkeypatch.setattr(isolate, "WAIT_SECONDS", 10)
    paths = [tmp_path / "1", tmp_path / "2"]
    paths[1].touch()
    assert isolate.each(once, [(path, sent) for path in paths], 1) == paths


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGSTOP, signal.SIGKILL])
def test_a_process_stopped_or_killed_twice_ends_the_command_and_blames_no_file(
    monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    monkeypatch.setattr(isolate, "WAIT_SECONDS", 5)
    with pytest.raises(WavewrightError, match=r"x\.wav: its decoder .* twice.* again") as caught:
        isolate.each(any_task, [(Path("x.wav"), killed, sent), (Path("y.wav"), double, 1)], 1)
    assert not isinstance(caught.value, AudioError)
    assert "damage" not in str(caught.value)


def hold(path: Path, megabytes: int) -> Iterator[None]:
    """Ask for memory without touching it."""
    yield
    return np.zeros(megabytes << 17).nbytes >> 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no memory limits here")
def test_a_task_that_reads_no_strange_file_may_use_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "STEP_SECONDS", 0.1)
    jobs = [(Path("x"), hold, 600), (Path("x"), spin)]
    held, spun = isolate.each(any_task, jobs, 2, limits=isolate.Limits(1.5, 60, 1 << 30))
    assert held == 600
    assert "1.5 s without result" in str(spun)
    (refused,) = isolate.each(any_task, jobs[:1], 1)
    assert "over 400 MB" in str(refused)


def test_waiting_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "STEP_SECONDS", 0.5)
    assert isolate.one(rest, Path("x")) == Path("x")


@pytest.mark.slow
def test_a_program_stopped_for_long_goes_on(tmp_path: Path) -> None:
    """Ctrl-Z for longer than WAIT_SECONDS, and then `fg`."""
    script = (
        "from pathlib import Path; from wavewright.corpus import isolate; import test_isolate\n"
        f"isolate.WAIT_SECONDS = 4; print(isolate.one(test_isolate.attempt, Path({str(tmp_path)!r})))"
    )
    command = [sys.executable, "-c", script]
    program = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(program.pid, signal.SIGSTOP)
    time.sleep(6)
    os.killpg(program.pid, signal.SIGCONT)
    assert program.communicate(timeout=60)[0].strip() == b"1 attempt"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_not_taken_for_a_bad_file() -> None:
    with pytest.raises(OSError, match="No space left"):
        isolate.each(fill_the_disk, [(Path("x.wav"),)], 1)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_program_leaves_no_orphan(sent: signal.Signals) -> None:
    script = (
        "from pathlib import Path; from wavewright.corpus import isolate; import test_isolate\n"
        "isolate.each(test_isolate.hang, [(Path('x'),)] * 2, 2)"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, stderr=subprocess.PIPE, text=True
    )
    family = psutil.Process(program.pid)
    deadline = time.monotonic() + 30
    while len(family.children()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = family.children()
    assert len(children) == 2
    time.sleep(2)
    assert program.poll() is None
    assert all(child.is_running() for child in children)
    program.send_signal(sent)
    program.communicate(timeout=10)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
