"""A learning rate that comes down until the end of the budget, whatever the budget counts."""

import signal
from pathlib import Path
from typing import Any

import pytest

from support.tiny import hashes, records, tiny
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError
from wavewright.formats import checkpoint
from wavewright.formats.checkpoint import Pace
from wavewright.training import loop
from wavewright.training.loop import Budget
from wavewright.training.run import train
from wavewright.training.trainer import Trainer

pytestmark = pytest.mark.slow

FIELDS: dict[str, Any] = {"schedule": "cosine", "minimum_rate": 0.1, "sample_seconds": 0, "ema": 0.9}
SETTINGS = tiny("naive-rnn", **FIELDS)
RATE, LEAST = SETTINGS.training.learning_rate, 0.1 * SETTINGS.training.learning_rate
MINUTE = Budget(minutes=1)


class Clock:
    """A clock that training steps and validations move, by seconds that depend on the step alone.

    Attributes:
        now: seconds.
        factor: how much longer everything takes.
        stops: steps at which a signal comes.
        kill: step that is never finished, the first time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.factor, self.stops, self.kill = 0.0, 1, list[int](), -1
        train_step, validate = Trainer.train_step, Trainer.validate

        def step(trainer: Trainer) -> Any:
            self.now += self.factor * (1.0 if trainer.step < 20 else 0.5)
            if trainer.step in self.stops:
                signal.raise_signal(signal.SIGINT)
            if trainer.step == self.kill:
                self.kill = -1
                raise InterruptedError
            return train_step(trainer)

        def validation(trainer: Trainer, *arguments: Any) -> Any:
            self.now += self.factor * 3
            return validate(trainer, *arguments)

        monkeypatch.setattr(loop.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(Trainer, "train_step", step)
        monkeypatch.setattr(Trainer, "validate", validation)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def rates(run: Path) -> list[float]:
    return [record["rate"] for record in records(run) if "rate" in record]


def go(corpus: Corpus, run: Path, budget: Budget, settings: Any = SETTINGS) -> int:
    return train(settings, corpus, run, budget, resume=True, device="cpu").step


def test_the_end_of_a_budget_in_closed_form() -> None:
    pace = Pace(step=100, made=150, epochs=2.5, seconds=300.0)
    assert Budget(steps=7).end(None) == Budget(steps=7).end(pace) == 7
    assert Budget(epochs=5).end(pace) == 200
    assert Budget(minutes=10).end(pace) == 100 + 300 * 0.5  # at two seconds a step, whatever roll-backs have undone
    assert Budget(minutes=5).end(pace) == 100
    assert Budget(steps=1000, epochs=5, minutes=10).end(pace) == 200
    assert Budget(epochs=5, minutes=10).end(None) is None
    assert Budget(loss=1.0).end(pace) is None


def test_steps_are_an_end_of_the_schedules_own(corpus: Corpus, tmp_path: Path) -> None:
    go(corpus, tmp_path / "run", Budget(steps=25))
    go(corpus, tmp_path / "own", Budget(steps=25), tiny("naive-rnn", **FIELDS, schedule_steps=25))
    assert records(tmp_path / "run") == records(tmp_path / "own")
    assert rates(tmp_path / "run")[-1] == pytest.approx(LEAST, rel=0.05)


def test_epochs_end_at_the_least_rate(corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert go(corpus, run, Budget(epochs=2)) == len(rates(run))
    assert rates(run)[-1] == pytest.approx(LEAST, rel=0.05)
    assert rates(run)[len(rates(run)) // 2] == pytest.approx((RATE + LEAST) / 2, rel=0.1)


def test_minutes_end_at_the_least_rate_though_the_speed_changes(corpus: Corpus, tmp_path: Path, clock: Clock) -> None:
    """20 steps of a second, then of half a second, and a validation of 3 seconds every 7 steps."""
    run = tmp_path / "run"
    steps = go(corpus, run, MINUTE)
    assert 50 < steps < 60
    found = rates(run)
    assert found[6] == RATE > found[7]  # the pace is first measured at the first checkpoint
    assert found[-1] == pytest.approx(LEAST, rel=0.1)
    assert min(found) >= LEAST
    half = next(i for i, record in enumerate(records(run)) if record.get("rate", RATE) < (RATE + LEAST) / 2)
    assert 15 < half < 35


def test_a_run_that_was_stopped_takes_the_path_of_an_uninterrupted_one(
    corpus: Corpus, tmp_path: Path, clock: Clock
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    steps = go(corpus, whole, MINUTE)
    clock.now, clock.stops = 0, [3, 17, 26, 44]
    assert [go(corpus, run, MINUTE) for _ in range(5)] == [4, 18, 27, 45, steps]
    assert records(run) == records(whole)
    assert hashes(run, steps) == hashes(whole, steps)


def test_a_run_that_was_killed_has_the_same_bits_until_the_pace_is_measured_again(
    corpus: Corpus, tmp_path: Path, clock: Clock
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    go(corpus, whole, MINUTE)
    clock.now, clock.kill = 0, 26
    with pytest.raises(InterruptedError):
        go(corpus, run, MINUTE)
    assert checkpoint.steps(run)[-1] == 21
    clock.factor = 2
    go(corpus, run, MINUTE)
    until, after = ([[r for r in records(folder) if r["step"] <= last] for folder in (run, whole)] for last in (28, 29))
    assert until[0] == until[1]
    assert after[0] != after[1]
    assert rates(run)[-1] == pytest.approx(LEAST, rel=0.1)


def test_a_longer_budget_at_a_resume_moves_the_end(corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    go(corpus, run, Budget(steps=14))
    go(corpus, run, Budget(steps=28))
    assert rates(run)[13] == pytest.approx(LEAST, rel=0.2)
    assert rates(run)[14] == pytest.approx((RATE + LEAST) / 2)
    assert rates(run)[-1] == pytest.approx(LEAST, rel=0.2)


def test_a_budget_without_an_end_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training.schedule: cosine needs an end; set training.schedule_steps"):
        go(corpus, tmp_path / "run", Budget(loss=1.0))
    assert not (tmp_path / "run").exists() or not checkpoint.steps(tmp_path / "run")
