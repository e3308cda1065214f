"""Whole runs under sabotage: they skip, roll back, say so, and learn all the same, or give up and lose nothing."""

import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.tiny import as_arguments, checkpoints, hashes, losses, make_corpus, records, start, tiny
from wavewright.corpus.batches import Batch, Batches
from wavewright.corpus.corpus import Corpus
from wavewright.errors import WavewrightError
from wavewright.formats import checkpoint
from wavewright.playing import opening
from wavewright.training.loop import Budget
from wavewright.training.run import train as start_training
from wavewright.training.trainer import ROLLBACKS, Trainer

STEPS, MOMENT = 150, 70  # of a run, and of the sabotage
FIELDS: dict[str, Any] = {"checkpoint_every": 20, "sample_seconds": 0.0}


def train(run: Path, corpus: Corpus, steps: int = STEPS, **fields: Any) -> list[str]:
    """Train; returns what was said when it rolled back."""
    start_training(tiny("naive-rnn", **FIELDS, **fields), corpus, run, Budget(steps=steps), device="cpu")
    return rollbacks(run)


def rollbacks(run: Path) -> list[str]:
    return [record["reason"] for record in records(run) if record.get("event") == "rollback"]


def end_of(run: Path) -> float:
    """The best of the validations."""
    return min(record["bits"] for record in records(run) if record.get("event") == "validation")


@pytest.fixture(scope="module")
def undisturbed(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> float:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(run, corpus) == []
    assert end_of(run) < 0.9 * math.log2(64)
    return end_of(run)


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Trainer], None]], None]:
    """`sabotage(act)` has `act(trainer)` done once, before step MOMENT."""

    def arrange(act: Callable[[Trainer], None]) -> None:
        ordinary, done = Trainer.train_step, []

        def step(trainer: Trainer) -> dict[str, Any]:
            if trainer.step == MOMENT and not done:
                done.append(act(trainer))
            return ordinary(trainer)

        monkeypatch.setattr(Trainer, "train_step", step)

    return arrange


def fill(key: str, value: float) -> Callable[[Trainer], None]:
    def act(trainer: Trainer) -> None:
        for state in trainer.optimizer.state.values():
            state[key].fill_(value)

    return act


@pytest.mark.parametrize(
    "act",
    [fill("exp_avg_sq", 0.0), fill("exp_avg", 1e6), fill("exp_avg", math.nan), fill("exp_avg_sq", math.nan)],
    ids=["no variance", "huge mean", "NaN mean", "NaN variance"],
)
def test_a_corrupted_adam_moment(act: Any, sabotage: Any, corpus: Corpus, tmp_path: Path, undisturbed: float) -> None:
    sabotage(act)
    said = train(tmp_path / "run", corpus)
    assert len(said) == 1
    assert MOMENT < int(said[0].split(":")[0].removeprefix("step ")) <= MOMENT + 11
    assert "back to step 60 with another order of the data and 0.3 times the learning rate" in said[0]
    assert end_of(tmp_path / "run") < undisturbed + 0.35


def test_an_infinite_gradient_once(sabotage: Any, corpus: Corpus, tmp_path: Path, undisturbed: float) -> None:
    def act(trainer: Trainer) -> None:
        def poison(gradient: torch.Tensor) -> torch.Tensor:
            hook.remove()
            return torch.full_like(gradient, math.inf)

        hook = trainer.parameters[0].register_hook(poison)

    sabotage(act)
    assert train(tmp_path / "run", corpus) == []
    skipped = [record for record in records(tmp_path / "run") if record.get("verdict") == "skip"]
    assert [record["step"] for record in skipped] == [MOMENT + 1]
    assert skipped[0]["gradient_norm"] is None
    assert end_of(tmp_path / "run") < undisturbed + 0.1


def test_a_poisoned_batch_once(
    sabotage: Any, corpus: Corpus, tmp_path: Path, undisturbed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise for once. The guard may call it no explosion; the run must end as well all the same."""
    ordinary = Batches.__next__

    def poisoned(batches: Batches) -> Batch:
        monkeypatch.setattr(Batches, "__next__", ordinary)
        batch = ordinary(batches)
        chance = np.random.default_rng(0)
        noise = chance.integers(0, 64, batch.inputs.shape)
        return Batch(noise, np.where(batch.targets < 0, -1, noise[::-1]), batch.reset, batch.count)

    sabotage(lambda trainer: monkeypatch.setattr(Batches, "__next__", poisoned))
    assert train(tmp_path / "run", corpus) == []
    assert losses(tmp_path / "run")[MOMENT] > losses(tmp_path / "run")[MOMENT - 1] + 0.2
    assert end_of(tmp_path / "run") < undisturbed + 0.1


def test_a_learning_rate_far_too_high_learns_in_the_end(corpus: Corpus, tmp_path: Path) -> None:
    said = train(tmp_path / "run", corpus, learning_rate=3.0)
    assert said
    assert all("another order of the data" in line and "\n" not in line for line in said)
    rates = [record["rate"] for record in records(tmp_path / "run") if "rate" in record]
    assert rates[0] == 3.0
    assert rates[-1] < 1.0
    assert end_of(tmp_path / "run") < math.log2(64)


def test_without_a_validation_split_too(tmp_path: Path) -> None:
    """A diverged model must not become the checkpoint that a roll-back returns to."""
    corpus = make_corpus(tmp_path, splits=None, split=(1, 0, 0))
    assert train(tmp_path / "run", corpus, learning_rate=3.0)
    assert np.median(losses(tmp_path / "run")[-20:]) < math.log(64) + 0.5


def test_a_lost_cause_is_given_up_in_one_line(corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = as_arguments(tiny("naive-rnn", **FIELDS, learning_rate=1e6))
    command = start(tmp_path / "log", "train", corpus.path, *options, "--out", run, "--steps", 500)
    line = command.refusal()
    assert f"given up at step 20 after {ROLLBACKS} roll-backs" in line
    assert "lower training.learning_rate" in line
    assert len(rollbacks(run)) == ROLLBACKS
    assert command.output.count("back to step 0") == ROLLBACKS
    assert checkpoints(run) == ["step-00000000"]
    assert all(torch.isfinite(p).all() for p in opening.open_run(run).model.parameters())


def test_a_validation_that_drifts_rolls_back(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ordinary, calls = Trainer.validate, []

    def validate(trainer: Trainer, *arguments: Any) -> float | None:
        calls.append(trainer.step)
        value = ordinary(trainer, *arguments)
        return value + 3 if value is not None and len(calls) == 3 else value

    caplog.set_level(logging.INFO, "wavewright")
    monkeypatch.setattr(Trainer, "validate", validate)
    (said,) = train(tmp_path / "run", corpus, 100)
    assert said in caplog.messages
    assert said.startswith("step 60: validation went from ")
    assert "back to step 40" in said
    assert calls == [20, 40, 60, 60, 80, 100]
    assert [record["step"] for record in records(tmp_path / "run") if record.get("event") == "validation"] == [
        20, 40, 60, 80, 100
    ]  # fmt: skip
    steps = [record["step"] for record in records(tmp_path / "run") if "loss" in record]
    assert steps == [*range(1, 61), *range(41, 101)]


def test_nothing_goes_on_from_an_abandoned_course(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bad validations in a row lead back to step 20; a kill at step 30 must not resume from step 40."""
    ordinary, step, kills = Trainer.validate, Trainer.train_step, [30]

    def validate(trainer: Trainer, *arguments: Any) -> float | None:
        value = ordinary(trainer, *arguments)
        return value + 3 if value is not None and trainer.step == 60 and trainer.rollbacks < 2 else value

    def killed(trainer: Trainer) -> Any:
        if kills and trainer.rollbacks == 2 and trainer.step == kills[0]:
            kills.clear()
            raise InterruptedError
        return step(trainer)

    monkeypatch.setattr(Trainer, "validate", validate)
    said = train(tmp_path / "whole", corpus, 100)
    assert [line.split("back to step ")[1].split()[0] for line in said] == ["40", "20"]
    monkeypatch.setattr(Trainer, "train_step", killed)
    with pytest.raises(InterruptedError):
        train(tmp_path / "run", corpus, 100)
    assert max(checkpoint.steps(tmp_path / "run")) == 20
    settings = tiny("naive-rnn", **FIELDS)
    start_training(settings, corpus, tmp_path / "run", Budget(steps=100), resume=True, device="cpu")
    assert not kills
    assert hashes(tmp_path / "run", 100) == hashes(tmp_path / "whole", 100)


def test_a_second_loss_goes_back_further_and_another_way(corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run, corpus, 80)
    trainer = Trainer(tiny("naive-rnn", **FIELDS), corpus, torch.device("cpu"))
    trainer.restore(checkpoint.load(checkpoint.path(run, 80)))
    orders, rates, steps = [], [], []
    for _ in range(3):
        trainer.guard.reason = "a test"
        trainer.roll_back(run)
        orders.append(trainer.batches.position.order)
        rates.append(trainer.schedule.scale)
        steps.append(trainer.step)
        assert trainer.batches.position.offset == 0
        assert trainer.lane_state is None
    assert steps[:2] == [80, 60]
    assert steps[2] <= 60
    assert orders == [1, 2, 3]
    assert rates == pytest.approx([0.3, 0.09, 0.027])


def test_a_run_that_rolls_back_resumes_to_the_same_bits(corpus: Corpus, tmp_path: Path) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    said = train(whole, corpus, 90, learning_rate=3.0)
    assert len(said) > 1
    for steps in (5, 20, 31, 60, 77, 90):
        settings = tiny("naive-rnn", **FIELDS, learning_rate=3.0)
        start_training(settings, corpus, run, Budget(steps=steps), resume=True, device="cpu")
    assert records(run) == records(whole)
    assert hashes(run, 90) == hashes(whole, 90)


def test_a_bad_step_is_said_in_one_line(
    corpus: Corpus, tmp_path: Path, sabotage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def act(trainer: Trainer) -> None:
        def poison(gradient: torch.Tensor) -> torch.Tensor:
            hook.remove()
            return gradient * math.nan

        hook = trainer.parameters[0].register_hook(poison)

    sabotage(act)
    caplog.set_level(logging.INFO, "wavewright")
    train(tmp_path / "run", corpus, MOMENT + 5)
    lines = [line for line in caplog.messages if "skipped" in line]
    assert lines == [f"step {MOMENT + 1}: skipped, gradient norm of nan"]


def test_a_bad_step_that_tensorboard_would_show(corpus: Corpus, tmp_path: Path, sabotage: Any) -> None:
    """Every tenth step is shown there, which has no word for a gradient that is not finite."""

    def act(trainer: Trainer) -> None:
        trainer.step = 79
        hook = trainer.parameters[0].register_hook(lambda gradient: (hook.remove(), gradient * math.inf)[1])

    sabotage(act)
    train(tmp_path / "run", corpus, 85)
    (skipped,) = [record for record in records(tmp_path / "run") if record.get("verdict") == "skip"]
    assert (skipped["step"], skipped["gradient_norm"]) == (80, None)


def test_a_good_checkpoint_stays_when_all_others_go(corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run, corpus, 40)
    shutil.copytree(run, tmp_path / "before")
    settings = tiny("naive-rnn", **FIELDS)
    trainer = Trainer(settings, corpus, torch.device("cpu"))
    trainer.restore(checkpoint.load(checkpoint.path(run, 40)))
    for _ in range(ROLLBACKS):
        trainer.roll_back(run)
    with pytest.raises(WavewrightError, match="given up"):
        trainer.roll_back(run)
    for name in checkpoints(tmp_path / "before"):
        assert hashes(run, int(name[-8:])) == hashes(tmp_path / "before", int(name[-8:]))
