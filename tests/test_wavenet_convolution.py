"""WaveNet's convolution and its gradients are those of torch's convolution in float64."""

from collections.abc import Callable
from itertools import compress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from wavewright.models.wavenet.convolution import CHUNK, MOST_TAPS, SHORTEST, Gate, NonLinearity, Relu, convolve

LENGTHS = (1, 2, 100, SHORTEST - 1, SHORTEST, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 100)


def gate(y: Tensor) -> Tensor:
    return torch.tanh(y[..., :4]) * torch.sigmoid(y[..., 4:])


FUNCTIONS: list[tuple[NonLinearity, Callable[[Tensor], Tensor]]] = [(Relu, functional.relu), (Gate, gate)]


@pytest.mark.parametrize(("function", "expected"), FUNCTIONS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_results_and_gradients_are_those_of_float64(
    function: NonLinearity, expected: Callable[[Tensor], Tensor], data: st.DataObject
) -> None:
    streams, taps = data.draw(st.integers(1, 3)), data.draw(st.sampled_from((2, 3, MOST_TAPS + 1)))
    length, dilation = data.draw(st.sampled_from(LENGTHS)), data.draw(st.sampled_from((1, 2, 5, 64, 512, 3000)))
    bias, entering = data.draw(st.booleans()), data.draw(st.booleans())
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))

    def eighths(*shape: int) -> Tensor:
        """Return numbers of which float32 holds the sums exactly, so that both sides agree on which are positive."""
        return torch.randint(-4, 5, shape, generator=generator) / 8

    inputs = [eighths(streams, (taps - 1) * dilation, 3), eighths(streams, length, 3), eighths(8, 3, taps)]
    inputs += [
        eighths(8) if bias else torch.zeros(8),
        eighths(streams, length, 8) if entering else torch.zeros(1, 1, 8),
    ]
    by_y = eighths(streams, length, 8 if function is Relu else 4)

    used = [True, True, True, bias, entering]
    single = [value.requires_grad_() for value in inputs]
    y = convolve(
        *single[:3], single[3] if bias else None, single[4] if entering else None, dilation=dilation, function=function
    )
    double = [value.detach().double().requires_grad_() for value in inputs]
    past, x, weight, *added = double
    before = functional.conv1d(torch.cat((past, x), 1).transpose(1, 2), weight, dilation=dilation).transpose(1, 2)
    due = expected(before + added[0] + added[1])

    found = [y, *torch.autograd.grad(y, list(compress(single, used)), by_y)]
    wanted = [due, *torch.autograd.grad(due, list(compress(double, used)), by_y.double())]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5 * (1 + float(b.detach().abs().max())))
