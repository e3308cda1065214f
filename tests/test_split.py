"""Codes drawn in two parts (model.split): the output layer, its loss, and what a wider code is worth."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from support.kinds import build, codes_of
from support.model_files import run_of
from support.oracles import ORACLES, nats_of, of_codes, weights_of
from support.tiny import tiny
from wavewright import models
from wavewright.errors import ConfigError
from wavewright.formats.config import resolve
from wavewright.models.output import IGNORED, Softmax, Split
from wavewright.playing.engine import Engine
from wavewright.playing.opening import to_native
from wavewright.playing.torch_player import TorchPlayer
from wavewright.quantize import Encoding, Quantizer
from wavewright.sampling import Controls

SIZES = pytest.mark.parametrize("split", [Split(64, 64), Split(256, 256), Split(4, 4), Split(256, 1)])


@SIZES
def test_parts_make_every_code_once(split: Split) -> None:
    parts = np.divmod(np.arange(split.coarse * split.fine), split.fine)
    assert split.join(list(parts)).tolist() == list(range(split.coarse * split.fine))
    assert [part.q_levels for part in split.parts] == [split.coarse, split.fine]


def of_every_code(model: Any, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All codes (Q,), and their logits (Q, C) for the outputs (S,) of one sample."""
    codes = torch.arange(model.config.q_levels)
    return codes, model.logits(outputs.expand(len(codes), -1), codes)


@pytest.mark.parametrize("kind", ["naive embedded, split", "gated, split"])
@torch.no_grad()
def test_the_probabilities_of_all_codes_sum_to_1(kind: str) -> None:
    """At 4 x 4, where they are the product of both draws' probabilities."""
    model = build(kind)
    outputs = model(codes_of(1, 20))[0][0]
    for row in outputs:
        codes, logits = of_every_code(model, row)
        p = np.exp(-nats_of(model.config.output, logits.numpy(), codes.numpy())).reshape(4, 4)
        assert abs(p.sum() - 1) < 1e-12
        np.testing.assert_allclose(p.sum(1), torch.softmax(model.next_logits(row), 0).numpy(), rtol=1e-12)
        for coarse in range(4):
            fine = model.next_logits(row, torch.tensor(coarse))
            np.testing.assert_allclose(p[coarse] / p[coarse].sum(), torch.softmax(fine, 0).numpy(), rtol=1e-12)
        assert np.ptp(p / p.sum(1, keepdims=True), 0).max() > 1e-3  # the coarse part matters to the fine one


def test_one_fine_part_is_todays_softmax() -> None:
    """The same numbers, bit for bit: 256 x 1."""
    rng, split, whole = np.random.default_rng(0), Split(256, 1), Softmax(256)
    logits = torch.from_numpy(rng.normal(0, 3, (2, 50, 257)).astype(np.float32))
    targets = torch.from_numpy(rng.integers(256, size=(2, 50)))
    targets[:, 7] = IGNORED
    for reduction in ("none", "sum"):
        found = split.loss(logits, targets, reduction)  # type: ignore[arg-type]
        assert torch.equal(found, whole.loss(logits[..., :256], targets, reduction))  # type: ignore[arg-type]
    values = logits.numpy()
    assert np.array_equal(split.entropy(values), whole.entropy(values[..., :256]))
    controls, uniforms = Controls(0.8, top_k=40, top_p=0.9), rng.random((50, 2))
    first, second = split.parts
    drawn = [first.draw(values[0, :, :256], uniforms[:, 0], controls)]
    drawn.append(second.draw(values[0, :, 256:], uniforms[:, 1], controls))
    assert np.array_equal(split.join(drawn), whole.draw(values[0, :, :256], uniforms[:, 0], controls))


@pytest.mark.parametrize("kind", ["naive scalar, split", "tiers 8 2, split", "plain, split", "linear 6 3 1, split"])
def test_the_loss_and_its_gradient_are_those_of_the_equations(kind: str) -> None:
    """By central differences of the float64 oracle, in every tensor of the output layer and of the codes' vectors."""
    model, codes = build(kind), codes_of(1, 13)
    inputs, targets = codes[:, :-1], codes[:, 1:]
    weights = weights_of(model)

    def oracle() -> float:
        rows = ORACLES[model.name](model.config, weights, inputs[0].tolist())
        logits, total = of_codes(model.config, weights, rows, targets[0].tolist()), 0.0
        for row, code in zip(logits, targets[0].tolist(), strict=True):
            for part, own in ((row[:4], code // 4), (row[4:], code % 4)):
                total += math.log(np.exp(part).sum()) - part[own]
        return total

    loss = model.config.output.loss(model.logits(model(inputs)[0], targets), targets, "sum")
    assert abs(loss.item() / oracle() - 1) < 1e-6  # cross-entropies are computed in float32
    loss.backward()
    rng, names = np.random.default_rng(0), dict(model.named_parameters())
    vectors = () if model.name == "linear-rnn" else ("input.", "embedding.")  # no gradient flows through its start
    watched = [name for name in names if name.startswith(("fine.", "output", *vectors))]
    assert {"fine.table", "fine.output.weight", "fine.output.bias"} <= set(watched)
    for name in watched:
        gradient = names[name].grad
        assert gradient is not None
        largest = int(gradient.abs().argmax())
        for place in {largest, int(rng.integers(gradient.numel()))}:
            value, differences = weights[name].flat[place], []
            for step in (1e-5, -1e-5):
                weights[name].flat[place] = value + step
                differences.append(oracle())
            weights[name].flat[place] = value
            expected = (differences[0] - differences[1]) / 2e-5
            assert abs(gradient.flatten()[place].item() - expected) < 1e-6 * max(1, abs(expected)), (name, place)


def test_ignored_targets_cost_nothing_and_leave_no_gradient() -> None:
    logits = torch.randn(1, 3, 8, requires_grad=True, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[5, IGNORED, 15]])
    loss = Split(4, 4).loss(logits, targets)
    assert loss[0, 1] == 0
    loss.sum().backward()
    assert logits.grad is not None
    assert (logits.grad.abs().amax(2) > 0).tolist() == [[True, False, True]]


@pytest.mark.parametrize("kind", ["naive embedded, split", "plain, split", "linear 6 3 1, split"])
def test_16_bits_are_the_same_in_torch_and_in_the_engine(kind: str) -> None:
    """256 x 256: the logits of random codes by float64, and free play."""
    model = build(kind, q_levels=65536)
    codes = np.random.default_rng(0).integers(65536, size=(2, 300))
    heard = torch.from_numpy(np.pad(codes[:, :-1], ((0, 0), (1, 0)), constant_values=32768))
    with torch.no_grad():
        expected = model.logits(model(heard)[0], torch.from_numpy(codes)).numpy()
    weights = {name: np.float32(weight) for name, weight in weights_of(model).items()}
    assert expected.shape == (2, 300, 512)
    found = Engine(model.config, weights, streams=2, threads=2).logits(codes)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=4e-5)
    players = (Engine(model.config, weights, seed=3), TorchPlayer(model, 1, 3))
    native, slow = (player.generate(400, Controls(0.9, top_k=100, top_p=0.97)) for player in players)
    assert np.array_equal(native, slow)
    assert len(np.unique(slow // 256)) > 20
    assert len(np.unique(slow % 256)) > 20


@pytest.mark.parametrize("kind", ["tiers 8 2, split", "gated, split"])
def test_both_back_ends_score_alike(kind: str) -> None:
    """And so they measure the entropy of what the model plays."""
    run = run_of(kind)
    native = to_native(run)
    samples = np.random.default_rng(0).normal(0, 5000, 3000).astype(np.int16)
    sections = np.array([[0, 900], [900, 2100], [2100, 3000]])
    expected = run.score(samples, sections)
    np.testing.assert_allclose(native.score(samples, sections), expected, rtol=1e-5)
    codes, model = run.quantizer.encode_int16(samples[:900]), run.model
    with torch.no_grad():
        heard = torch.from_numpy(np.concatenate(([8], codes[:-1])))[None]
        logits = model.logits(model(heard)[0], torch.from_numpy(codes)[None])
        by_hand = sum(
            -torch.log_softmax(part, 2).gather(2, torch.from_numpy(own)[None, :, None]).sum().item()
            for part, own in zip(logits.split(4, 2), np.divmod(codes, 4), strict=True)
        )
    assert abs(expected[0] / by_hand - 1) < 1e-5
    played = native.player(2, 1).generate(500)
    np.testing.assert_allclose(native.entropy(played), run.entropy(played), atol=1e-4)


@pytest.mark.parametrize("encoding", ["linear", "mu-law"])
@pytest.mark.parametrize("levels", [256, 4096, 65536])
def test_the_quantisation_error_is_that_of_theory(levels: int, encoding: Encoding) -> None:
    """A bin of width w rounds with a noise of w^2 / 12. Mu-law's bins widen with the amplitude, by its derivative."""
    x = np.random.default_rng(0).uniform(-1, 1, 400_000)
    quantizer = Quantizer(levels, encoding)
    error = np.mean((quantizer.centres(quantizer.encode(x)) - x) ** 2)
    width, mu = 2 / levels, levels - 1
    if encoding == "mu-law":
        width *= math.log1p(mu) / mu * math.sqrt(np.mean((1 + mu * np.abs(x)) ** 2))
    assert abs(10 * math.log10(error / (width**2 / 12))) < 0.05


@pytest.mark.parametrize("name", models.CONFIGS)
def test_split_means_12_bits_unless_levels_are_given(name: str) -> None:
    def levels(*overrides: str) -> int:
        return resolve(name, "small", None, ["model.split=on", *overrides]).model.q_levels

    assert levels() == 4096
    assert levels("model.q_levels=65536") == 65536
    config = resolve(name, "small", None, ["model.split=on"]).model
    assert config.output == Split(64, 64)
    assert config.as_dict()["split"] is True
    assert models.configure(**config.as_dict()) == config
    assert "split" not in resolve(name, "small").model.as_dict()
    with pytest.raises(ConfigError, match="q_levels: 512; with split, give a square such as 4096"):
        levels("model.q_levels=512")


def test_a_split_code_costs_fewer_weights_and_exponentials_than_todays() -> None:
    """As docs/models.md counts them, for a last vector of 64 numbers."""
    split = Split(64, 64)
    assert 64 * split.size + 64 * split.fine == 12_288 < 64 * Softmax(256).size == 16_384
    assert split.classes == 128
    assert 64 * Split(256, 256).size + 64 * 256 == 36_864


def test_noise_counts_256ths_of_split_codes() -> None:
    """So that its size does not depend on their number."""
    assert tiny("wavenet", noise=3).noise == 3
    assert tiny("wavenet", {"q_levels": 4096, "split": True}, noise=3).noise == 48
    assert tiny("wavenet", {"q_levels": 65536, "split": True}, noise=3).noise == 768
    assert tiny("wavenet", {"q_levels": 64, "split": True}, noise=3).noise == 3
