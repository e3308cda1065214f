"""The guard: what never reaches the weights, and which steps and validations it condemns."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from support.tiny import tiny
from wavewright.corpus.batches import Batch, Batches
from wavewright.corpus.corpus import Corpus
from wavewright.quantize import silence
from wavewright.training.guard import PATIENCE, RECENT, WARM, Guard
from wavewright.training.trainer import Trainer

CPU = torch.device("cpu")
IGNORANCE = math.log(64)


def learned(corpus: Corpus, model: str = "naive-rnn", steps: int = 60, **fields: Any) -> Trainer:
    """A trainer that has learned something: its loss is well below that of a model that knows nothing."""
    trainer = Trainer(tiny(model, **fields), corpus, CPU)
    steps_made = [trainer.train_step() for _ in range(steps)]
    assert all(record.verdict == "apply" for record in steps_made)
    assert steps_made[-1].loss < 0.95 * IGNORANCE
    return trainer


def everything(trainer: Trainer) -> list[torch.Tensor]:
    """Weights, moments, counts of the optimiser, averages."""
    moments = [value for state in trainer.optimizer.state.values() for value in state.values()]
    return [value.detach().clone() for value in (*trainer.parameters, *moments, *trainer.average)]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_good_step_changes_the_weights(corpus: Corpus) -> None:
    """That the tests below would notice."""
    trainer = learned(corpus)
    before = everything(trainer)
    assert trainer.train_step().verdict == "apply"
    assert not same(before, everything(trainer))


@pytest.mark.parametrize("model", ["linear-rnn", "naive-rnn", "sample-rnn", "wavenet"])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(model: str, corpus: Corpus) -> None:
    trainer = learned(corpus, model, ema=0.9)
    for value in (math.inf, -math.inf, math.nan):
        before = everything(trainer)
        hook = trainer.parameters[-1].register_hook(lambda gradient, value=value: torch.full_like(gradient, value))
        record = trainer.train_step()
        hook.remove()
        assert record.verdict == "skip"
        assert record.gradient_norm is None
        assert "gradient norm of" in trainer.guard.reason
        assert same(before, everything(trainer))
    assert trainer.train_step().verdict == "apply"


def test_a_gradient_that_explodes_never_reaches_the_weights(corpus: Corpus) -> None:
    trainer = learned(corpus)
    before = everything(trainer)
    hook = trainer.parameters[-1].register_hook(lambda gradient: gradient * 1e6)
    record = trainer.train_step()
    hook.remove()
    assert record.verdict == "skip"
    assert record.gradient_norm > 1000
    assert same(before, everything(trainer))


def test_a_loss_that_is_not_finite_never_reaches_weights_or_lanes(corpus: Corpus) -> None:
    trainer = learned(corpus)
    weights, carried = everything(trainer), trainer.lane_state.flat()
    silent = silence(64)
    with torch.no_grad():
        row = trainer.model.input.weight[silent].clone()
        trainer.model.input.weight[silent] = math.inf
    record = trainer.train_step()
    with torch.no_grad():
        trainer.model.input.weight[silent] = row
    assert record.verdict == "skip"
    assert record.loss is None
    assert same(weights, everything(trainer))
    assert all(torch.equal(value, trainer.lane_state.flat()[name]) for name, value in carried.items())
    assert trainer.train_step().verdict == "apply"


def test_a_poisoned_batch_never_reaches_the_weights(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random targets for once, after the model has become sure of its own."""
    trainer = learned(corpus, steps=150, length=60)
    ordinary = Batches.__next__
    chance = np.random.default_rng(0)

    def poisoned(batches: Batches) -> Batch:
        batch = ordinary(batches)
        unlikely = np.where(batch.targets < 32, 63, 0)  # far from the truth
        return Batch(chance.permuted(batch.inputs), unlikely, batch.reset, batch.count)

    before = everything(trainer)
    monkeypatch.setattr(Batches, "__next__", poisoned)
    record = trainer.train_step()
    monkeypatch.undo()
    assert record.verdict == "skip", record
    assert record.loss > IGNORANCE
    assert same(before, everything(trainer))
    assert trainer.train_step().verdict == "apply"


# Verdicts


def judged(pairs: list[tuple[float, float]], guard: Guard) -> list[str]:
    return [guard.judge(loss, norm) for loss, norm in pairs]


def test_a_loud_section_after_silence_is_no_explosion() -> None:
    """Silence is predicted at 0.01 nats; the first loud samples cost 3, with a gradient twenty times the usual."""
    guard = Guard(64)
    assert set(judged([(0.01, 0.05)] * 50, guard)) == {"apply"}
    assert guard.judge(3.0, 1.0) == "apply"
    assert set(judged([(3.2, 0.9)] * 50, guard)) == {"apply"}


def test_what_lasts_is_soon_the_norm() -> None:
    """A lasting jump is skipped for a while and then accepted, or the run is called lost, never skipped for ever."""
    guard = Guard(64)
    judged([(1.0, 0.05)] * 100, guard)
    verdicts = judged([(1.0, 5.0)] * 100, guard)
    assert verdicts[0] == "skip"
    assert verdicts.index("rollback") == PATIENCE - 1


def test_every_window_is_judged_from_its_start() -> None:
    """Before the window is warm only what is not finite is refused."""
    guard = Guard(64)
    assert guard.judge(math.nan, 1.0) == "skip"
    assert guard.judge(4.0, math.inf) == "skip"
    assert set(judged([(4.0, 10.0**i) for i in range(-9, 10)], guard)) == {"apply"}
    assert WARM > 19


def test_a_loss_above_ignorance_is_lost_in_the_end() -> None:
    guard = Guard(64)
    verdicts = judged([(IGNORANCE + 1, 1.0)] * 40, guard)
    assert verdicts.index("rollback") == RECENT - 1
    assert "knows nothing" in guard.reason
    assert "rollback" not in judged([(IGNORANCE + 0.3, 1.0)] * 200, Guard(64))  # the start of any run


def test_drift_is_validation_far_above_the_best() -> None:
    guard = Guard(256)
    assert not guard.drifted(9.9, None)  # a fresh model
    assert guard.drifted(10.1, None)
    assert not guard.drifted(4.9, 4.0)
    assert guard.drifted(5.1, 4.0)
    assert guard.reason == "validation went from 4.000 to 5.100 bits"
    assert not guard.drifted(0.45, 0.1)  # nearly nothing is nearly nothing
    assert guard.drifted(math.nan, 4.0)
    assert guard.drifted(math.inf, None)


def test_a_guard_goes_on_from_its_state() -> None:
    """Wherever it is cut, in the middle of a row of bad steps too."""
    chance = np.random.default_rng(0)
    pairs = [(float(loss), float(norm)) for loss, norm in chance.lognormal(0, 1.5, (100, 2))]
    pairs[40:47] = [(math.nan, 1.0)] * 7
    pairs[60:75] = [(1.0, math.inf)] * 15
    whole = judged(pairs, Guard(4))
    assert {"apply", "skip", "rollback"} <= set(whole)
    for cut in range(0, 100, 3):
        first, second = Guard(4), Guard(4)
        start = judged(pairs[:cut], first)
        second.restore(first.state())
        assert start + judged(pairs[cut:], second) == whole
