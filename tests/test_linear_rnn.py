"""The linear recurrences: closed forms, the scan against the plain recurrence, silence, and what training does."""

import numpy as np
import pytest
import torch

from support.kinds import LEVELS, build, codes_of, in_parts
from support.tiny import tiny
from wavewright import models
from wavewright.corpus.corpus import Corpus
from wavewright.models.linear_rnn.diagonal import CHUNK, Diagonal
from wavewright.playing.engine import Engine
from wavewright.quantize import silence
from wavewright.training.trainer import Trainer


def layer(channels: int = 3, modes: int = 5, frame: int = 1, seed: int = 0) -> Diagonal:
    torch.manual_seed(seed)
    return Diagonal(channels, modes, frame).double()


def plainly(one: Diagonal, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The recurrence, step by step."""
    outputs = []
    for t in range(x.shape[2]):
        y, state = one(x[:, :, t : t + 1], state)
        outputs.append(y)
    return torch.cat(outputs, 2), state


@torch.no_grad()
def test_the_impulse_response_is_a_sum_of_damped_sinusoids() -> None:
    one = layer()
    x, zeros = torch.zeros(3, 1, 300).double(), torch.zeros(1, 3, 5, 2).double()
    x[:, :, 0] = 1
    nu, theta, kappa, delta = (getattr(one, name).numpy() for name in ("nu", "theta", "kappa", "delta"))
    factor = np.exp(-np.exp(nu) + 1j * theta)
    gain = (1 - np.abs(factor) ** 2) ** 0.75
    weight = kappa[..., 0] + 1j * kappa[..., 1]
    expected = np.sum((weight * gain)[..., None] * factor[..., None] ** np.arange(300), 1).real
    expected[:, 0] += delta
    for response, _ in (one(x, zeros), plainly(one, x, zeros)):
        np.testing.assert_allclose(response[:, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 64, 100])
def test_the_scan_and_its_gradients_are_those_of_the_plain_recurrence(length: int) -> None:
    one, generator = layer(), torch.Generator().manual_seed(1)
    x = torch.randn(3, 2, length, generator=generator, dtype=torch.float64, requires_grad=True)
    state = torch.randn(2, 3, 5, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    weight, found = torch.randn(3, 2, length, generator=generator, dtype=torch.float64), []
    for y, after in (one(x, state), plainly(one, x, state)):
        loss = (y * weight).sum() + after.square().sum()
        found.append([y, after, *torch.autograd.grad(loss, [x, state, *one.parameters()])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_the_length_of_chunks_changes_nothing() -> None:
    one = layer(channels=16, modes=8).float()
    x, zeros = torch.randn(16, 2, 2000), torch.zeros(2, 16, 8, 2)
    y, after = one(x, zeros)
    for chunk in (8, 16, CHUNK):
        other, other_after = one(x, zeros, chunk)
        torch.testing.assert_close(other, y, rtol=0, atol=1e-5)
        torch.testing.assert_close(other_after, after, rtol=0, atol=1e-5)


@torch.no_grad()
def test_windows_of_awkward_lengths_are_the_whole() -> None:
    for kind in ("linear 8 1", "linear 6 3 1"):
        model, parts = build(kind), [1, 7, 31, 32, 33, 1000]
        codes = codes_of(2, sum(parts))
        torch.testing.assert_close(in_parts(model, codes, parts)[0], model(codes)[0], rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_million_steps_at_full_scale_stay_finite() -> None:
    """Even of modes that hardly decay, which no training may turn into modes that grow."""
    model = build("linear 8 1", widths=(4, 4)).float()
    for name, value in model.named_parameters():
        if name.endswith(".nu"):
            value.sub_(6)  # time constants of minutes
    codes = (torch.arange(100_000) // 50 % 2 * (LEVELS - 1))[None]
    state = None
    for _ in range(10):
        logits, state = model(codes, state)
        assert torch.isfinite(logits).all()
    assert state is not None
    assert all(torch.isfinite(mode).all() for mode in state.modes)


@pytest.mark.parametrize("kind", ["linear 8 1", "linear 6 3 1", "linear alone"])
@torch.no_grad()
def test_the_modes_start_as_endless_silence_leaves_them(kind: str) -> None:
    """Every frame of the slowest tier is then like the one before, though samples within it differ."""
    model, codes = build(kind), codes_of(2, 30)
    for name, value in model.named_parameters():
        if name.endswith(".nu"):
            value.clamp_(min=-3)  # shorter than 20 steps
    _, after = model(torch.full((2, 6000), silence(LEVELS)))
    start = model.initial_state(2)
    for name, value in start.flat().items():
        torch.testing.assert_close(value, after.flat()[name], rtol=0, atol=1e-10)
    zeros = start.map(torch.zeros_like)
    assert (model(codes)[0] - model(codes, zeros)[0]).abs().max() > 1e-3


@torch.no_grad()
def test_slow_modes_keep_their_time_constants_in_the_engine() -> None:
    """Where 1 - |lambda| is 1e-4, float32 would round it by 3e-4 of itself."""
    model = build("linear alone", blocks=(1,))
    diagonal = model.tiers[0].blocks[0].diagonal
    diagonal.nu.fill_(-9.25)
    diagonal.theta.fill_(0.5)
    codes = (LEVELS / 2 + 5 * np.sin(0.5 * np.arange(4000)))[None].astype(np.int64)
    heard = np.concatenate([[[silence(LEVELS)]], codes[:, :-1]], 1)
    weights = {name: value.float().numpy() for name, value in model.state_dict().items()}
    expected = model(torch.from_numpy(heard))[0].numpy()
    np.testing.assert_allclose(Engine(model.config, weights).logits(codes), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("frame", [1, 8, 5000])
def test_modes_start_spread_over_times_and_frequencies(frame: int) -> None:
    one = layer(channels=200, modes=8, frame=frame)
    steps, theta = torch.exp(-one.nu), one.theta
    assert steps.min() >= 2 - 1e-6
    assert steps.max() <= max(2, 8000 / frame) * (1 + 1e-6)
    assert theta.abs().max() <= np.pi
    assert 0.1 < (theta == 0).double().mean() < 0.2
    if frame == 1:
        turning = theta[theta != 0]
        assert turning.min() >= 2 * np.pi * 30 / 14700 - 1e-9
        assert turning.median() < 2 * np.pi * 600 / 14700  # half of the octaves


@torch.no_grad()
def test_the_state_stays_in_float32_under_autocast() -> None:
    model, codes = build("linear 8 1").float(), codes_of(2, 100)
    expected, _ = model(codes)
    with torch.autocast("cpu", torch.bfloat16):
        logits, state = model(codes)
    assert all(mode.dtype == torch.float32 for mode in state.modes)
    assert 0 < (logits - expected).abs().max() < 0.1 * expected.std()


def test_times_and_frequencies_learn_at_half_the_rate(corpus: Corpus) -> None:
    """Adam's first step moves every weight by the learning rate, whatever the gradient."""
    trainer = Trainer(tiny("linear-rnn", epsilon=1e-30), corpus, torch.device("cpu"))
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    rate = trainer.train_step().rate
    for name, value in trainer.model.named_parameters():
        moved = (value.detach() - before[name]).abs().max()
        assert float(moved) == pytest.approx(rate * (0.5 if name.endswith((".nu", ".theta")) else 1), rel=1e-3)


def test_a_table_of_codes_starts_with_the_scalar_and_the_amplitude() -> None:
    table = models.build("linear-rnn", embedding=5).embedding.weight.detach().numpy()
    s = (np.arange(256) + 0.5) / 128 - 1
    amplitude = np.sign(s) * (256 ** np.abs(s) - 1) / 255
    half = np.pi / 2 * s
    columns = [1.7 * s, 5 * amplitude, np.sin(half), np.cos(half), np.sin(2 * half)]
    np.testing.assert_allclose(table, np.stack(columns, 1), atol=1e-5)
