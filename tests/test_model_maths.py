"""Each model against its equations: a slow float64 oracle, parameter counts, receptive fields, silence, gradients."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from support.kinds import CONDITIONED, KINDS, LEVELS, PREDICTED, SPLIT, build, codes_of, condition_of
from support.oracles import ORACLES, of_codes, weights_of
from wavewright import models
from wavewright.formats import config
from wavewright.models.base import Model
from wavewright.models.layers import Recurrent, linear
from wavewright.quantize import silence


@pytest.mark.parametrize("kind", [*KINDS, *PREDICTED, *SPLIT, *CONDITIONED])
@torch.no_grad()
def test_logits_are_those_of_the_equations(kind: str) -> None:
    model, codes = build(kind), codes_of(2, 37)
    condition = condition_of(model, 2, 37)
    outputs, _ = model(codes, None, condition)
    logits, weights = model.logits(outputs, codes.roll(-1, 1)), weights_of(model)
    for b, (row, expected) in enumerate(zip(codes.tolist(), logits.numpy(), strict=True)):
        frames = None if condition is None else condition[b].numpy()
        found = ORACLES[model.name](model.config, weights, row, frames)
        found = of_codes(model.config, weights, found, [*row[1:], row[0]])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


# Parameters


def lstm_count(inputs: int, units: int) -> int:
    """Four gates, one bias each, as TensorFlow's cell."""
    return 4 * units * (inputs + units + 1)


def gru_count(inputs: int, units: int) -> int:
    """Three gates, two biases each, as cuDNN's."""
    return 3 * units * (inputs + units + 2)


def dense(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


THESIS = {
    "naive-rnn": dense(1, 512) + 2 * lstm_count(512, 512) + dense(512, 256),
    "sample-rnn": lstm_count(8, 512)
    + dense(512, 4 * 512)
    + dense(2, 512)
    + lstm_count(512, 512)
    + dense(512, 2 * 512)
    + dense(2, 512)
    + 2 * dense(512, 512)
    + dense(512, 256),
    "wavenet": 2 * 1 * 128 + 23 * 2 * 128 * 128 + dense(128, 256),
}


@pytest.mark.parametrize("name", THESIS)
def test_the_thesis_presets_have_the_thesis_sizes(name: str) -> None:
    settings = config.resolve(name, "thesis")
    model = settings.model.build()
    assert model.parameter_count() == THESIS[name]
    assert settings.encoding == "linear"
    training = settings.training
    adam = (training.learning_rate, training.beta1, training.beta2, training.epsilon)
    assert adam == (1e-3, 0.9, 0.999, 1e-8)
    assert (training.clip, training.clip_limit) == (("value", 1.0) if name == "sample-rnn" else ("none", 1.0))


def test_the_thesis_wavenet_of_forty_layers() -> None:
    plain = {"channels": 128, "form": "plain", "input": "scalar"}
    deep = models.build("wavenet", blocks=4, layers=10, **plain)
    assert deep.parameter_count() == 2 * 1 * 128 + 39 * 2 * 128 * 128 + dense(128, 256)
    assert deep.receptive_field == 1 + 4 * (2**10 - 1) == 4093  # "about 4096"
    assert models.build("wavenet", blocks=2, layers=12, **plain).receptive_field == 1 + 2 * (2**12 - 1) == 8191


def expected_count(model: Model[Any]) -> int:
    c, q = model.config, LEVELS
    if model.name == "naive-rnn":
        first = q * c.units if c.input == "embedded" else dense(1, c.units)
        return first + c.layers * lstm_count(c.units, c.units) + dense(c.units, q)
    if model.name == "wavenet":
        layers, skip = c.blocks * c.layers, c.skip_channels or c.channels
        taps = c.filter_width * c.channels
        if c.form == "plain":
            return taps + (layers - 1) * taps * c.channels + dense(c.channels, q)
        first = q * c.channels if c.input == "embedded" else dense(1, c.channels)
        one = (taps + 1) * 2 * c.channels + dense(c.channels, c.channels + skip)
        return first + layers * one + dense(skip, skip) + dense(skip, q)
    cell, states = (lstm_count, 2) if c.cell == "lstm" else (gru_count, 1)
    total = 2 * dense(c.units, c.units) + dense(c.units, q)
    for i, frame in enumerate(c.frame_sizes):
        fast = (*c.frame_sizes, 1)[i + 1]
        total += dense(frame, c.units) if i else 0
        total += cell(c.units if i else frame, c.units) + (c.n_rnn - 1) * cell(c.units, c.units)
        total += dense(c.units, frame // fast * c.units) + c.learned_state * c.n_rnn * states * c.units
    window = c.window or c.frame_sizes[-1]
    if c.input == "embedded":
        return total + q * c.embedding + dense(window * c.embedding, c.units)
    return total + dense(window, c.units)


CLOSED = ("naive-rnn", "sample-rnn", "wavenet")  # the models whose parameters docs/models.md counts


@pytest.mark.parametrize(
    "kind", [kind for kind, (name, fields) in KINDS.items() if name in CLOSED and not fields.get("weight_norm")]
)
def test_parameter_counts_are_the_closed_forms(kind: str) -> None:
    assert build(kind).parameter_count() == expected_count(build(kind))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][1].get("weight_norm")])
def test_weight_norm_adds_one_length_for_each_row(kind: str) -> None:
    model = build(kind)
    rows = sum(len(value) for name, value in model.named_parameters() if name.endswith("original0"))
    assert model.parameter_count() == expected_count(model) + rows
    matrices = [value for name, value in weights_of(model).items() if value.ndim == 2 and "start" not in name]
    assert rows == sum(len(matrix) for matrix in matrices) - LEVELS  # all but the embedding's


def test_forget_gates_start_open() -> None:
    for name, bias in (("naive-rnn", 1.0), ("sample-rnn", 3.0)):
        model = models.build(name, units=4, forget_bias=bias)
        biases = [value.detach() for key, value in model.named_parameters() if key.endswith("input_bias")]
        assert len(biases) == 2
        for value in biases:
            expected = torch.zeros(16)
            expected[4:8] = bias
            assert torch.equal(value, expected)


# How far back


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][0] == "wavenet"])
@torch.no_grad()
def test_the_receptive_field_is_exact(kind: str) -> None:
    model = build(kind)
    c = model.config
    assert model.receptive_field == c.blocks * (c.filter_width**c.layers - 1) + 1
    field, position = int(model.receptive_field), 100
    codes = codes_of(1, position + 1)
    before = model(codes)[0][0, position]
    moved = []
    for back in range(field + 5):
        changed = codes.clone()
        changed[0, position - back] = (changed[0, position - back] + 6) % LEVELS
        moved.append(not torch.equal(model(changed)[0][0, position], before))
    assert not any(moved[field:])
    assert moved[0]
    assert moved[field - 1]


def test_the_receptive_field_of_the_recurrent_models_is_endless() -> None:
    for name in ("naive-rnn", "sample-rnn"):
        assert models.build(name, units=4).receptive_field == math.inf


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][0] == "wavenet"])
@torch.no_grad()
def test_the_queues_start_as_endless_silence_leaves_them(kind: str) -> None:
    model, codes = build(kind), codes_of(2, 30)
    quiet = torch.full((2, int(model.receptive_field) + 3), silence(LEVELS))
    _, after = model(quiet)
    torch.testing.assert_close(model(codes)[0], model(codes, after)[0], rtol=0, atol=1e-12)
    zeros = model.initial_state(2).map(torch.zeros_like)
    assert (model(codes)[0] - model(codes, zeros)[0]).abs().max() > 1e-3  # which zeros are not


def test_a_deep_plain_stack_keeps_its_signal() -> None:
    """The thesis's 4 x 10 never learned: its weights started sqrt(2) too small, layer after layer."""
    fields = {"blocks": 4, "layers": 10, "channels": 64, "form": "plain", "input": "scalar"}
    logits = {}
    for gain in (1.0, math.sqrt(0.5)):
        torch.manual_seed(0)
        with torch.no_grad():
            whole, _ = models.build("wavenet", **fields, gain=gain)(codes_of(1, 5000) * 23)
        logits[gain] = whole[:, 4093:]  # beyond the silence that came before
    expected = math.sqrt(64 * 2 / (64 + 256) / 3)  # He's layers keep mean squares, 1/3 at the input; Glorot's output
    assert expected / 10 < float(logits[1.0].square().mean().sqrt()) < expected * 10
    torch.testing.assert_close(logits[math.sqrt(0.5)] * 2**20, logits[1.0], rtol=1e-3, atol=1e-4)


# Gradients


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_folding_the_input_matrix_changes_no_gradient(cell: Any) -> None:
    """`through` is a fast path: (W P) x + (W p + b) for W (P x + p) + b, gradients of both matrices included."""
    torch.manual_seed(0)
    layer, first = Recurrent(cell, 7, 5).double(), linear(2, 7).double()
    with torch.no_grad():
        for parameter in (*layer.parameters(), *first.parameters()):
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    x, weight = torch.randn(3, 11, 2).double(), torch.randn(3, 11, 5).double()
    found = []
    for fold in (True, False):
        inputs = x.clone().requires_grad_()
        state = layer.initial_state(3).clone().requires_grad_()
        y, after = layer(inputs, state, through=first) if fold else layer(first(inputs), state)
        loss = (y * weight).sum() + after.square().sum()
        found.append([y, after, *torch.autograd.grad(loss, [inputs, state, *layer.parameters(), *first.parameters()])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "kind", ["naive scalar", "thesis tiers", "tiers 8 4 2", "tiers 6 3", "plain", "gated", "linear 6 3 1"]
)
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    model, codes = build(kind), codes_of(1, 20)
    weight = torch.randn(1, 20, LEVELS, generator=torch.Generator().manual_seed(3)).double()
    state = model(codes_of(1, 5, seed=1))[1].detach()

    def loss() -> torch.Tensor:
        return (model(codes, state)[0] * weight).sum()

    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True, materialize_grads=True)
    direction = [
        torch.randn(p.shape, generator=torch.Generator().manual_seed(i)).double() for i, p in enumerate(parameters)
    ]
    step, values = 1e-6, []
    for sign in (1, -1):
        with torch.no_grad():
            for parameter, one in zip(parameters, direction, strict=True):
                parameter.add_(one, alpha=sign * step)
            values.append(loss().item())
            for parameter, one in zip(parameters, direction, strict=True):
                parameter.sub_(one, alpha=sign * step)
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)
