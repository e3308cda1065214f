"""A step of training against textbook equations: the loss, Adam, clipping, averaging, what a validation reads."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from support.kinds import CONDITION, TINY
from support.tiny import tiny
from wavewright import metrics, processes
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError
from wavewright.formats import checkpoint
from wavewright.playing import scoring
from wavewright.quantize import Quantizer
from wavewright.training import trainer
from wavewright.training.adam import Adam
from wavewright.training.loop import Budget
from wavewright.training.run import train
from wavewright.training.trainer import Trainer, has_bfloat16

CPU = torch.device("cpu")


def trainer_of(corpus: Corpus, model: str = "naive-rnn", **training: Any) -> Trainer:
    return Trainer(tiny(model, **training), corpus, CPU)


def gradients_of(trainer: Trainer) -> list[np.ndarray]:
    """Of the mean loss over the next batch's targets, from its beginning; the trainer stays where it is."""
    batch, position = next(trainer.batches), trainer.batches.position
    assert batch.reset
    trainer.batches.position = type(position)()
    logits, _ = trainer.model(torch.from_numpy(batch.inputs))
    log_p = functional.log_softmax(logits.double(), 2)
    wanted = [
        log_p[b, t, target]
        for b, row in enumerate(batch.targets.tolist())
        for t, target in enumerate(row)
        if target >= 0
    ]
    loss = -torch.stack(wanted).mean()
    return [g.double().numpy() for g in torch.autograd.grad(loss, trainer.parameters)]


def clipped(gradients: list[np.ndarray], clip: str, limit: float) -> list[np.ndarray]:
    if clip == "value":
        return [np.clip(g, -limit, limit) for g in gradients]
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
    return [g * min(1.0, limit / norm) if clip == "norm" else g for g in gradients]


@pytest.mark.parametrize("model", TINY)
@pytest.mark.parametrize(("clip", "limit"), [("none", 1.0), ("norm", 0.01), ("norm", 1e9), ("value", 1e-3)])
def test_the_first_step_is_adams(model: str, clip: str, limit: float, corpus: Corpus) -> None:
    """m = (1 - b1) g, v = (1 - b2) g^2, both divided by 1 - b: so w moves by rate g / (|g| + eps).

    A model may have some parameters learn more slowly.
    """
    trainer = trainer_of(corpus, model, clip=clip, clip_limit=limit, epsilon=1e-3)
    gradients = gradients_of(trainer)
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
    before = [p.detach().double().numpy().copy() for p in trainer.parameters]
    record = trainer.train_step()
    assert record.gradient_norm == pytest.approx(norm, rel=1e-4)  # before clipping
    rates = [0.01 * trainer.model.learning_rate_factor(name) for name, _ in trainer.model.named_parameters()]
    for old, g, new, rate in zip(before, clipped(gradients, clip, limit), trainer.parameters, rates, strict=True):
        expected = old - rate * g / (np.abs(g) + 1e-3)
        np.testing.assert_allclose(new.detach().numpy(), expected, rtol=1e-4, atol=2e-6)


def test_adams_moments_carry_on(corpus: Corpus) -> None:
    """The same gradient three times (the data put back) with constants that are not the usual ones."""
    trainer = trainer_of(corpus, beta1=0.5, beta2=0.8, epsilon=1e-2, clip="none", warmup_steps=2)
    m = v = 0.0
    weight = trainer.parameters[-1].detach().double().numpy().copy()
    for step in range(1, 4):
        g = gradients_of(trainer)[-1]
        trainer.lane_state = None
        trainer.train_step()
        trainer.batches.position = type(trainer.batches.position)()
        m, v = 0.5 * m + 0.5 * g, 0.8 * v + 0.2 * g**2
        rate = 0.01 * min(1, step / 2)
        weight = weight - rate * (m / (1 - 0.5**step)) / (np.sqrt(v / (1 - 0.8**step)) + 1e-2)
        np.testing.assert_allclose(trainer.parameters[-1].detach().numpy(), weight, rtol=1e-4, atol=2e-6)


def test_adam_gives_the_bits_of_torchs_class() -> None:
    shapes, chance = [(3, 4), (100, 33), (), (7,)], torch.Generator().manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape, generator=chance)) for shape in shapes]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    adam = Adam(ours, betas=(0.9, 0.98), epsilon=1e-7)
    expected = torch.optim.Adam(theirs, betas=(0.9, 0.98), eps=1e-7, fused=True)
    for step in range(30):
        for parameter, other in zip(ours, theirs, strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=chance)
            other.grad = parameter.grad.clone()
        adam.step(0.01 / (1 + step))
        expected.param_groups[0]["lr"] = 0.01 / (1 + step)
        expected.step()
    for parameter, other in zip(ours, theirs, strict=True):
        assert torch.equal(parameter, other)
        assert all(torch.equal(value, expected.state[other][key]) for key, value in adam.state[parameter].items())


STEP = """if True:
    import sys
    from pathlib import Path
    from support.tiny import tiny
    from wavewright.corpus.corpus import Corpus
    from wavewright.training.loop import Budget
    from wavewright.training.run import train
    train(tiny("naive-rnn"), Corpus.open(Path(sys.argv[1])), Path(sys.argv[2]), Budget(steps=1), device="cpu")
    print("torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_a_step_does_without_torchs_compiler(corpus: Corpus, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", STEP, corpus.path, tmp_path / "run"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.split() == ["False"]


@pytest.mark.parametrize("model", TINY)
def test_an_epochs_losses_add_up_to_the_score_of_its_sections(model: str, corpus: Corpus) -> None:
    """With weights that stand still: every sample counts once, with the state carried through its section."""
    trainer = trainer_of(corpus, model, learning_rate=1e-30)
    total, samples = 0.0, 0
    while trainer.batches.position.epoch == 0:
        record = trainer.train_step()
        total += record.loss * (record.samples - samples)
        samples = record.samples
    assert samples == len(corpus.samples("train")) == 10_000
    expected = scoring.score(
        trainer.model, corpus.samples("train"), corpus.sections("train"), trainer.config.quantizer
    ).sum()
    assert total == pytest.approx(expected, rel=1e-5)


def test_the_average_is_what_is_validated_saved_and_played(corpus: Corpus, tmp_path: Path) -> None:
    """a <- d a + (1 - d) w with d = min(ema, (1 + n) / (10 + n))."""
    trainer = trainer_of(corpus, ema=0.6)
    average = trainer.parameters[0].detach().clone().double()
    for n in range(12):
        trainer.train_step()
        d = min(0.6, (1 + n) / (10 + n))
        average = d * average + (1 - d) * trainer.parameters[0].detach().double()
    own = trainer.parameters[0].detach().clone()
    with trainer.playing() as model:
        playing = next(model.parameters()).detach().clone()
        assert not model.training
    torch.testing.assert_close(playing.double(), average, rtol=0, atol=1e-5)
    assert not torch.equal(playing, own)
    assert torch.equal(trainer.parameters[0], own)  # put back
    saved = trainer.snapshot(checkpoint.path(tmp_path, 12))
    assert torch.equal(saved.model["input.weight"], playing)
    assert torch.equal(saved.training["weights.0"], own)
    with trainer.playing() as model:
        sections = scoring.excerpts(corpus.sections("valid"), round(0.3 * corpus.rate))
        nats = scoring.score(model, corpus.samples("valid"), sections, trainer.config.quantizer)
    expected = nats.sum() / (sections[:, 1] - sections[:, 0]).sum() / math.log(2)
    assert trainer.validate() == pytest.approx(expected, rel=1e-6)


def test_validation_changes_nothing(corpus: Corpus) -> None:
    a, b = trainer_of(corpus, ema=0.9), trainer_of(corpus, ema=0.9)
    for step in range(6):
        a.train_step()
        b.train_step()
        if step % 2:
            a.validate()
    assert all(torch.equal(x, y) for x, y in zip(a.parameters, b.parameters, strict=True))


def test_denormals_are_zero_while_it_trains(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small() -> float:
        return float(torch.tensor(1e-30) * 1e-10)

    found, step = list[float](), Trainer.train_step
    monkeypatch.setattr(Trainer, "train_step", lambda trainer: (found.append(small()), step(trainer))[1])
    train(tiny("naive-rnn"), corpus, tmp_path / "run", Budget(steps=2), device="cpu")
    assert found == [0, 0]
    assert small() == pytest.approx(1e-40, rel=1e-4)


def test_the_seed_decides_weights_and_order(corpus: Corpus) -> None:
    a, b, c = trainer_of(corpus), trainer_of(corpus), trainer_of(corpus, seed=1)
    assert [a.train_step().loss for _ in range(5)] == [b.train_step().loss for _ in range(5)]
    assert not torch.equal(trainer_of(corpus).parameters[0], c.parameters[0])


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this processor does not compute in bfloat16")
@pytest.mark.parametrize("model", TINY)
def test_bfloat16_follows_float32_with_weights_in_float32(model: str, corpus: Corpus) -> None:
    exact, rough = trainer_of(corpus, model), trainer_of(corpus, model, precision="bf16")
    for _ in range(10):
        assert rough.train_step().loss == pytest.approx(exact.train_step().loss, rel=0.02)
    assert {p.dtype for p in rough.parameters} == {torch.float32}


def test_bfloat16_is_refused_where_the_processor_has_none(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "has_bfloat16", lambda device: False)
    with pytest.raises(ConfigError, match="bf16"):
        trainer_of(corpus, precision="bf16")


@pytest.mark.parametrize("model", TINY)
def test_each_model_learns_a_second(model: str, corpus: Corpus) -> None:
    """Well below the zero-order entropy, which is what knowing only the frequencies of codes is worth."""
    trainer = trainer_of(corpus, model, batch_size=8, length=250, learning_rate=0.02)
    losses = [trainer.train_step().loss for _ in range(150)]
    entropy = metrics.zero_order_entropy(corpus.samples("train"), Quantizer(64, "mu-law"))
    assert np.mean(losses[-6:]) / math.log(2) < 0.8 * entropy


def test_a_signal_is_heard_whenever_it_comes(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the processes agree on whether to go on, too."""
    agree, calls = processes.sum_, []

    def interrupted(tensors: Any) -> None:
        agree(tensors)
        calls.append(len(tensors))
        if len(tensors) == 1 and calls.count(1) == 5:  # one tensor: the flags before the fifth step
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(processes, "sum_", interrupted)
    summary = train(tiny("naive-rnn"), corpus, tmp_path / "run", Budget(steps=40), device="cpu")
    assert summary.interrupted
    assert summary.step == 5


@pytest.mark.parametrize("model", TINY)
def test_controls_that_no_corpus_holds_are_refused(model: str, corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"no control 'voice'; it has none"):
        train(tiny(model, {"condition": CONDITION}), corpus, run, Budget(steps=1), device="cpu")
    assert not (run / "config.json").exists()


def test_more_lanes_go_on_in_the_last_group_of_fewer(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes make four lanes of three, and have fewer groups of them."""
    config = tiny("naive-rnn", batch_size=3)
    train(config, corpus, tmp_path / "run", Budget(steps=25), device="cpu")
    saved = checkpoint.load(checkpoint.path(tmp_path / "run", 25))
    monkeypatch.setenv("WORLD_SIZE", "2")
    trainer = Trainer(config, corpus, CPU)
    trainer.restore(saved)
    first, groups = saved.facts.position.group * 3, -(-len(trainer.batches.sections) // 4)
    assert saved.facts.position.group >= groups
    assert trainer.batches.position.offset == 0
    assert trainer.batches.position.group * 4 <= first < (trainer.batches.position.group + 1) * 4
