"""Two workers on one study: each trial once, a killed worker's taken up again; on SQLite and a private PostgreSQL."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from conftest import HANGS
from wavewright.errors import WavewrightError
from wavewright.experiments import study

pytestmark = pytest.mark.slow

NAMES = [f"trial-{i}" for i in range(6)]

# A worker that writes down what it begins and ends; what it does takes a while.
WORKER = """
import os, sys, time
from pathlib import Path
from wavewright.experiments import study

storage, log, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
names = sys.argv[4:]

def note(text):
    with log.open("a") as file:
        file.write(f"{os.getpid()} {text}\\n")

def objective(trial):
    name = study.declared(trial, names)
    note(f"begins {name}")
    time.sleep(seconds)
    note(f"ends {name}")
    return 1.0

opened = study.open_study(storage, str(log), heartbeat=2)
study.declare(opened, names)
study.work(opened, objective, poll=0.1)
"""


def worker(storage: str, log: Path, seconds: float, names: list[str] = NAMES) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WORKER, storage, str(log), str(seconds), *names]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def lines(log: Path, word: str) -> list[list[str]]:
    found = log.read_text().splitlines() if log.exists() else []
    return [line.split() for line in found if line.split()[1] == word]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """A server of our own in a temporary folder, reached through a socket there; it dies with the tests.

    The folder is not pytest's, which another session of pytest may close to other users.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "").parent]
    programs = found[-1]
    if not (programs / "initdb").is_file():
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="wavewright-pg-"))
    user: dict[str, object] = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to be
        user = {"user": "nobody"}
        shutil.chown(folder, "nobody")

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)  # type: ignore[call-overload]

    data = folder / "data"
    run(str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "wavewright", "--no-sync")
    options = f"-c listen_addresses='' -k {folder} -c fsync=off"
    run(str(programs / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://wavewright@/postgres?host={folder}"
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    return str(request.getfixturevalue("postgresql"))


def test_two_workers_do_each_trial_once_and_take_up_a_dead_ones(storage: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    doomed = worker(storage, log, 60)
    deadline = time.monotonic() + 60
    while not lines(log, "begins") and time.monotonic() < deadline:
        time.sleep(0.05)
    (_, _, orphan), *_ = lines(log, "begins")
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    workers = [worker(storage, log, 0.3) for _ in range(2)]
    for one in workers:
        _, errors = one.communicate(timeout=HANGS)
        assert one.returncode == 0, errors
    assert sorted(name for _, _, name in lines(log, "ends")) == NAMES  # each once, the orphan too
    assert [name for _, _, name in lines(log, "begins")].count(orphan) == 2
    assert len({process for process, _, _ in lines(log, "ends")}) == 2  # both had work to do


def test_a_worker_that_dies_before_its_first_heartbeat_leaves_its_trial_to_others(tmp_path: Path) -> None:
    opened, calls = study.open_study(f"sqlite:///{tmp_path}/study.db", "test", heartbeat=1), []
    study.declare(opened, NAMES)
    opened.ask()  # as a worker does that is killed then

    def objective(trial: object) -> float:
        calls.append(study.declared(trial, NAMES))  # type: ignore[arg-type]
        return 1.0

    study.work(opened, objective, poll=0.1)
    assert sorted(calls) == NAMES


def test_a_worker_that_was_suspended_goes_on_with_another_trial(tmp_path: Path) -> None:
    """Its trial was taken for stale meanwhile, and is done again."""
    opened, calls = study.open_study(f"sqlite:///{tmp_path}/study.db", "test"), []
    study.declare(opened, NAMES)

    def suspended(trial: optuna.Trial) -> float:
        calls.append(study.declared(trial, NAMES))
        if len(calls) == 1:
            opened._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
            optuna.storages.RetryHeartbeatStaleTrialCallback()(opened, opened.trials[trial.number])
        return 1.0

    study.work(opened, suspended)
    assert sorted(calls) == sorted([*NAMES, calls[0]])
    assert [trial.state.name for trial in opened.trials].count("COMPLETE") == len(NAMES)


def test_workers_that_reach_for_the_same_trial_do_it_once(storage: str, tmp_path: Path) -> None:
    log, names = tmp_path / "log", [f"trial-{i}" for i in range(40)]
    for one in [worker(storage, log, 0, names) for _ in range(3)]:
        _, errors = one.communicate(timeout=HANGS)
        assert one.returncode == 0, errors
    assert sorted(name for _, _, name in lines(log, "ends")) == sorted(names)


def test_what_is_done_stays_done_and_what_failed_is_done_again(tmp_path: Path) -> None:
    storage, calls = f"sqlite:///{tmp_path}/study.db", []

    def stopped(trial: object) -> float:
        calls.append(study.declared(trial, NAMES))  # type: ignore[arg-type]
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 1.0

    for _ in range(2):
        opened = study.open_study(storage, "test")
        study.declare(opened, NAMES)
        try:
            study.work(opened, stopped)
        except KeyboardInterrupt:
            assert len(calls) == 3
    assert sorted(calls) == sorted([*NAMES, calls[2]])
    states = [trial.state for trial in opened.trials]
    assert states.count(TrialState.COMPLETE) == len(NAMES)
    retried = next(trial for trial in opened.trials if trial.system_attrs.get("retry_history"))
    assert study.origin(retried) == 2  # it goes on in the first one's folder


def test_a_name_that_two_workers_queued_is_done_once(tmp_path: Path) -> None:
    opened, calls = study.open_study(f"sqlite:///{tmp_path}/study.db", "test"), []
    for _ in range(2):
        for name in NAMES:
            opened.enqueue_trial({study.NAME: name})

    def objective(trial: object) -> float:
        calls.append(study.declared(trial, NAMES))  # type: ignore[arg-type]
        return 1.0

    study.work(opened, objective)
    assert calls == NAMES


def test_new_trials_up_to_a_total(tmp_path: Path) -> None:
    opened, calls = study.open_study(f"sqlite:///{tmp_path}/study.db", "test"), []
    study.work(opened, lambda trial: calls.append(trial.number) or trial.suggest_float("x", 0, 1), total=4)
    study.work(opened, lambda trial: calls.append(trial.number) or 0.0, total=4)
    assert calls == [0, 1, 2, 3]


@pytest.mark.parametrize("storage", ["nonsense", "postgresql+psycopg://nobody@127.0.0.1:1/none"])
def test_a_database_that_cannot_be_had_is_one_line(storage: str) -> None:
    with pytest.raises(WavewrightError, match="--storage") as caught:
        study.open_study(storage, "test")
    assert "\n" not in str(caught.value)
