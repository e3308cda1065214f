"""Trials in one database: each claimed once by any number of workers, a dead worker's taken up again (Optuna)."""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import IntegrityError

from wavewright.errors import WavewrightError

ATTEMPTS = 5  # to open a database that several workers make at once
HEARTBEAT = 20  # seconds between a worker's signs of life; three without one and its trial is taken up
NAME = "trial"  # the parameter that says which of an experiment's declared trials one is
VOID = (TrialState.FAIL, TrialState.PRUNED)  # of declared trials: to be done again, or another's

warnings.filterwarnings(
    "ignore", category=optuna.exceptions.ExperimentalWarning
)  # the retrying of dead workers' trials
optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study(storage: str, name: str, *, heartbeat: int = HEARTBEAT, **options: Any) -> optuna.Study:
    """The study of that name, made where there is none.

    Args:
        storage: a database's URL, such as sqlite:///runs/study.db or postgresql+psycopg://host/name.
        name: of the study.
        heartbeat: see HEARTBEAT.
        options: Optuna's sampler and pruner.

    Raises:
        WavewrightError: the database cannot be reached.
    """
    retry = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
    for attempt in range(ATTEMPTS):
        try:
            kept = RDBStorage(
                storage,
                heartbeat_interval=heartbeat,
                grace_period=3 * heartbeat,
                heartbeat_stale_trial_callback=retry,
            )
            return optuna.create_study(storage=kept, study_name=name, load_if_exists=True, **options)
        except Exception as error:  # SQLAlchemy's, a driver's, a missing module
            beaten = isinstance(error, IntegrityError) or "already exists" in str(error)
            if beaten and attempt < ATTEMPTS - 1:  # another worker makes the same tables at this moment
                time.sleep(0.2 * 2**attempt)
                continue
            reason = str(error).strip().splitlines()
            raise WavewrightError(f"--storage {storage}: cannot be used ({reason[0] if reason else error!r})") from None
    raise AssertionError("the last attempt returns or raises")


def declare(study: optuna.Study, names: Sequence[str]) -> None:
    """Queue each of the named trials that is not done, waiting or running; a failed one is thus tried again."""
    there = {_name(trial) for trial in study.trials if trial.state not in VOID}
    for name in names:
        if name not in there:
            study.enqueue_trial({NAME: name})


def work(study: optuna.Study, objective: Callable[[Trial], float], total: int = 0, poll: float = 1.0) -> None:
    """Do what is queued, then new trials up to `total` in all, until nothing runs elsewhere that might come back.

    What the objective raises ends the work; its trial is queued again first, and its run folder resumed.
    """
    while True:
        optuna.storages.fail_stale_trials(study)
        states = [trial.state for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
        if TrialState.WAITING in states or len(states) < total:
            _one(study, objective)
        elif TrialState.RUNNING in states:
            time.sleep(poll)
        else:
            return


def _one(study: optuna.Study, objective: Callable[[Trial], float]) -> None:
    """Do one trial: a waiting one where there is one, else a new one."""
    taken: list[int] = []

    def noted(trial: Trial) -> float:
        taken.append(trial.number)
        return objective(trial)

    try:
        study.optimize(noted, n_trials=1)
    except BaseException:
        for number in taken:
            RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)(study, study.trials[number])
        raise


def declared(trial: Trial, names: Sequence[str]) -> str:
    """The name of the declared trial that this one is.

    Raises:
        TrialPruned: another worker has it. Two workers that start at once may both have queued it, and one that finds
            the queue empty is given a name by chance: the trial of the lowest number is the one that counts.
    """
    name = str(trial.suggest_categorical(NAME, list(names)))
    for other in trial.study.trials[: trial.number]:
        if other.state not in VOID and _name(other) == name:
            raise optuna.TrialPruned(f"{name} is trial {other.number}")
    return name


def origin(trial: Trial | FrozenTrial) -> int:
    """The number under which a trial was first begun: a retried one goes on in the same folder."""
    frozen = trial if isinstance(trial, FrozenTrial) else trial.study.trials[trial.number]
    number = RetryHeartbeatStaleTrialCallback.retried_trial_number(frozen)
    return frozen.number if number is None else number


def _name(trial: FrozenTrial) -> Any:
    return trial.params.get(NAME) or trial.system_attrs.get("fixed_params", {}).get(NAME)
