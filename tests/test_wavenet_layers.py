"""WaveNet's layers and their gradients are those of torch's convolution in float64."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from wavewright.models.wavenet.layers import CHUNK, MOST_TAPS, SHORTEST, gated_layer, plain_layer

LENGTHS = (1, 2, 100, SHORTEST - 1, SHORTEST, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 100)
INPUTS, SKIP = 3, 5
Layer = Callable[[dict[str, Tensor], int], tuple[Tensor, ...]]


def plain(given: dict[str, Tensor], dilation: int) -> tuple[Tensor, ...]:
    return (plain_layer(given["past"], given["x"], given["weight"], given.get("entering"), dilation),)


def gated(given: dict[str, Tensor], dilation: int) -> tuple[Tensor, ...]:
    entering, total = given.get("entering"), given.get("total")
    taken = {key: value for key, value in given.items() if key not in {"entering", "total"}}
    return gated_layer(**taken, entering=entering, total=total, dilation=dilation)


def convolution(given: dict[str, Tensor], dilation: int) -> Tensor:
    taps = torch.cat((given["past"], given["x"]), 1).transpose(1, 2)
    pre = functional.conv1d(taps, given["weight"], given.get("bias"), dilation=dilation).transpose(1, 2)
    return pre + given.get("entering", torch.zeros(()))


def plain_expected(given: dict[str, Tensor], dilation: int) -> tuple[Tensor, ...]:
    return (functional.relu(convolution(given, dilation)),)


def gated_expected(given: dict[str, Tensor], dilation: int) -> tuple[Tensor, ...]:
    filtered, gate = convolution(given, dilation).split(INPUTS, 2)
    z = torch.tanh(filtered) * torch.sigmoid(gate)
    onward, skip = functional.linear(z, given["out_weight"], given["out_bias"]).split((INPUTS, SKIP), 2)
    return given["x"] + onward, given.get("total", torch.zeros(())) + skip


@pytest.mark.parametrize(("layer", "expected"), [(plain, plain_expected), (gated, gated_expected)])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_results_and_gradients_are_those_of_float64(layer: Layer, expected: Layer, data: st.DataObject) -> None:
    streams, taps = data.draw(st.integers(1, 3)), data.draw(st.sampled_from((2, 3, MOST_TAPS + 1)))
    length, dilation = data.draw(st.sampled_from(LENGTHS)), data.draw(st.sampled_from((1, 2, 5, 64, 512, 3000)))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))

    def eighths(*shape: int) -> Tensor:
        """Return numbers of which float32 holds the sums exactly, so that both sides agree on which are positive."""
        return torch.randint(-4, 5, shape, generator=generator) / 8

    filters = 8 if layer is plain else 2 * INPUTS
    inputs = {
        "past": eighths(streams, (taps - 1) * dilation, INPUTS),
        "x": eighths(streams, length, INPUTS),
        "weight": eighths(filters, INPUTS, taps),
    }
    if layer is gated:
        inputs |= {"bias": eighths(filters), "out_weight": eighths(INPUTS + SKIP, INPUTS)}
        inputs["out_bias"] = eighths(INPUTS + SKIP)
        if data.draw(st.booleans()):
            inputs["total"] = eighths(streams, length, SKIP)
    if data.draw(st.booleans()):
        inputs["entering"] = eighths(streams, length, filters)
    single = {key: value.requires_grad_() for key, value in inputs.items()}
    double = {key: value.detach().double().requires_grad_() for key, value in inputs.items()}
    found, wanted = layer(single, dilation), expected(double, dilation)
    used = data.draw(st.sets(st.integers(0, len(found) - 1), min_size=1))  # a last layer's output goes nowhere
    gradients = [eighths(*found[i].shape) for i in sorted(used)]

    def with_gradients(results: tuple[Tensor, ...], leaves: dict[str, Tensor]) -> list[Tensor]:
        by = [gradient.to(results[0].dtype) for gradient in gradients]
        chosen = [results[i] for i in sorted(used)]
        return [*results, *torch.autograd.grad(chosen, [*leaves.values()], by, materialize_grads=True)]

    for a, b in zip(with_gradients(found, single), with_gradients(wanted, double), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5 * (1 + float(b.detach().abs().max())))
