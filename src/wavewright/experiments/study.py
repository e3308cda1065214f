"""Share trials among workers through one database (Optuna). Each trial is done once, also after a worker has died."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import IntegrityError

from wavewright.errors import WavewrightError

log = logging.getLogger(__name__)

ATTEMPTS = 5  # to open a database that several workers make at once
HEARTBEAT = 20  # seconds between a worker's heartbeats; after three missed ones its trial is queued again
NAME = "trial"  # the parameter that holds the name of a declared trial
VOID = (TrialState.FAIL, TrialState.PRUNED)  # states of declared trials that failed or that another worker has

warnings.filterwarnings(
    "ignore", category=optuna.exceptions.ExperimentalWarning
)  # raised for retrying the trials of dead workers
optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study(storage: str, name: str, *, heartbeat: int = HEARTBEAT, **options: Any) -> optuna.Study:
    """Open the study of that name, or make one.

    Args:
        storage: a database's URL, such as sqlite:///runs/study.db or postgresql+psycopg://host/name.
        name: name of the study.
        heartbeat: seconds between a worker's heartbeats.
        options: Optuna's sampler and pruner.

    Raises:
        WavewrightError: the database cannot be reached.
    """
    sqlite = storage.startswith("sqlite")
    retry = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
    for attempt in range(ATTEMPTS):
        try:
            kept = RDBStorage(
                storage,
                engine_kwargs={"connect_args": {"isolation_level": None, "timeout": 60}} if sqlite else None,
                heartbeat_interval=heartbeat,
                grace_period=3 * heartbeat,
                heartbeat_stale_trial_callback=retry,
            )
            if sqlite:
                sqlalchemy.event.listen(kept.engine, "begin", _begin_alone)
            return optuna.create_study(storage=kept, study_name=name, load_if_exists=True, **options)
        except Exception as error:  # from SQLAlchemy, a driver or a missing module
            beaten = isinstance(error, IntegrityError) or "already exists" in str(error)
            if beaten and attempt < ATTEMPTS - 1:  # another worker is making the same tables now
                time.sleep(0.2 * 2**attempt)
                continue
            reason = str(error).strip().splitlines()
            raise WavewrightError(f"--storage {storage}: cannot be used ({reason[0] if reason else error!r})") from None
    raise AssertionError("the last attempt returns or raises")


def _begin_alone(connection: sqlalchemy.Connection) -> None:
    """Let one worker at a time read and write: SQLite has no row locks, so two could take the same waiting trial."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def declare(study: optuna.Study, names: Sequence[str]) -> None:
    """Queue each of the named trials that is not done, waiting or running. Failed trials are thus tried again."""
    there = {_name(trial) for trial in study.trials if trial.state not in VOID}
    for name in names:
        if name not in there:
            study.enqueue_trial({NAME: name})


def work(study: optuna.Study, objective: Callable[[Trial], float], total: int = 0, poll: float = 1.0) -> None:
    """Do the queued trials, then new ones up to `total` in all, and wait for trials of other workers.

    A trial whose worker dies is done here. An error in the objective ends the work, after its trial is queued again.
    """
    watched: set[int] = set()
    while True:
        optuna.storages.fail_stale_trials(study)
        states = [trial.state for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
        if TrialState.WAITING in states or len(states) < total:
            _one(study, objective)
        elif TrialState.RUNNING in states:
            _watch(study, watched)
            time.sleep(poll)
        else:
            return


def _watch(study: optuna.Study, watched: set[int]) -> None:
    """Record a first heartbeat for every running trial that is not in `watched`, and add it there.

    A worker that dies before its own first heartbeat leaves a trial that Optuna would never take for stale.
    """
    storage: Any = study._storage
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.number not in watched:
            storage.record_heartbeat(trial._trial_id)
            watched.add(trial.number)


def _one(study: optuna.Study, objective: Callable[[Trial], float]) -> None:
    """Do one trial, a waiting one where there is one, else a new one."""
    taken: list[int] = []
    done: list[float] = []

    def noted(trial: Trial) -> float:
        taken.append(trial.number)
        done.append(objective(trial))
        return done[0]

    try:
        study.optimize(noted, n_trials=1)
    except BaseException:
        trial = study.trials[taken[0]] if taken else None
        if done and trial and trial.state == TrialState.FAIL:
            log.warning(f"trial {trial.number} was given to another worker, since this one gave no sign of life")
            return
        if trial:
            RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)(study, trial)
        raise


def declared(trial: Trial, names: Sequence[str]) -> str:
    """Return the name of the declared trial that Optuna's `trial` stands for.

    Raises:
        TrialPruned: another worker has the declared trial. Two workers that start at once may both queue it, and a
            worker with an empty queue draws a name by chance. The trial with the lowest number counts.
    """
    name = str(trial.suggest_categorical(NAME, list(names)))
    for other in trial.study.trials[: trial.number]:
        if other.state not in VOID and _name(other) == name:
            raise optuna.TrialPruned(f"{name} is trial {other.number}")
    return name


def origin(trial: Trial | FrozenTrial) -> int:
    """Return the number under which a trial first began, since a retried trial goes on in the same folder."""
    frozen = trial if isinstance(trial, FrozenTrial) else trial.study.trials[trial.number]
    number = RetryHeartbeatStaleTrialCallback.retried_trial_number(frozen)
    return frozen.number if number is None else number


def _name(trial: FrozenTrial) -> Any:
    return trial.params.get(NAME) or trial.system_attrs.get("fixed_params", {}).get(NAME)
