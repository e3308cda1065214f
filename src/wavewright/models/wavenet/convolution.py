"""WaveNet's dilated causal convolution and the non-linearity after it, of windows (B, T, channels).

    y[t] = f(W[0] x[t] + W[1] x[t - d] + W[2] x[t - 2 d] + ... + bias + entering[t])

On a processor every tap is a matrix product, which reads the window where it lies and adds to the other taps. Torch's
convolution first copies the window and its gradient to another layout. A window is computed in chunks of `CHUNK` rows,
so that the non-linearity and the next product find in the cache what the last one wrote.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHUNK = 2048
SHORTEST = 1024  # samples of a window that is computed by products. A shorter one is sooner done by one call
MOST_TAPS = 8  # that are products. A window is cut where a tap leaves the past, and each cut costs a call


class Relu:
    """The positive part, in the plain form."""

    @staticmethod
    def of(x: Tensor) -> Tensor:
        """Return f(x), which autograd differentiates."""
        return x.relu_()

    @staticmethod
    def overwriting(x: Tensor) -> Tensor:
        """Return f(x), and leave in x what `gradient` needs."""
        return x.relu_()

    @staticmethod
    def gradient(left: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient by x, for what `overwriting` left and the gradient by f(x)."""
        return torch.ops.aten.threshold_backward(gradient, left, 0)


class Gate:
    """The tanh of the first half of the channels times the sigmoid of the second, in the gated form."""

    @staticmethod
    def of(x: Tensor) -> Tensor:
        """See Relu."""
        filtered, gate = x.chunk(2, -1)
        return torch.tanh(filtered) * torch.sigmoid(gate)

    @staticmethod
    def overwriting(x: Tensor) -> Tensor:
        """See Relu."""
        filtered, gate = x.chunk(2, -1)
        return filtered.tanh_() * gate.sigmoid_()

    @staticmethod
    def gradient(left: Tensor, gradient: Tensor) -> Tensor:
        """See Relu."""
        tanh, sigmoid = left.chunk(2, -1)
        by_filtered = torch.ops.aten.tanh_backward(gradient * sigmoid, tanh)
        return torch.cat((by_filtered, torch.ops.aten.sigmoid_backward(gradient * tanh, sigmoid)), -1)


NonLinearity = type[Relu] | type[Gate]


def convolve(
    past: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    entering: Tensor | None,
    *,
    dilation: int,
    function: NonLinearity,
) -> Tensor:
    """Return the non-linearity of a dilated causal convolution, (B, T, C).

    Args:
        past: the inputs before the window (B, (K - 1) * dilation, I).
        x: the window (B, T, I).
        weight: (O, I, K), the oldest tap first.
        bias: (O,).
        entering: what else is added before the non-linearity (B, T, O).
        dilation: samples from tap to tap.
        function: the non-linearity, of (B, T, O).
    """
    if x.shape[1] == 1:
        taps = torch.cat((past[:, ::dilation], x), 1).transpose(1, 2)
        y = functional.linear(taps.flatten(1), weight.flatten(1), bias)[:, None]
    elif _pays(x, weight):
        result: Tensor = _Convolution.apply(past, x, weight, bias, entering, dilation, function)  # type: ignore[no-untyped-call]
        return result
    else:
        taps = torch.cat((past.transpose(1, 2), x.transpose(1, 2)), 2)
        y = functional.conv1d(taps, weight, bias, dilation=dilation).transpose(1, 2)
    return function.of(y if entering is None else y + entering)


def _pays(x: Tensor, weight: Tensor) -> bool:
    """Tell whether products are faster than torch's convolution, which a GPU, bfloat16 and short windows need."""
    by_products = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return by_products and x.shape[1] >= SHORTEST and weight.shape[2] <= MOST_TAPS


class _Convolution(torch.autograd.Function):
    """`convolve` by products, with the equations of its gradients."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,
        past: Tensor,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        entering: Tensor | None,
        dilation: int,
        function: NonLinearity,
    ) -> Tensor:
        past, x = past.contiguous(), x.contiguous()  # a product's rounding is another where rows lie otherwise
        lags = range(0, weight.shape[2] * dilation, dilation)
        matrices = weight.permute(2, 0, 1).flip(0).contiguous()  # (K, O, I), one for each lag
        left = x.new_empty(*x.shape[:2], len(weight))
        y = left if function is Relu else x.new_empty(*x.shape[:2], len(weight) // 2)
        for lane, rows in _chunks(x, lags):
            pre = left[lane, rows]
            for lag, matrix in zip(lags, matrices, strict=True):
                pre.addmm_(_delayed(past[lane], x[lane], rows, lag), matrix.t(), beta=1 if lag else 0)
            if bias is not None:
                pre += bias
            if entering is not None:
                pre += entering[lane, rows]
            z = function.overwriting(pre)
            if y is not left:
                y[lane, rows] = z
        ctx.save_for_backward(past, x, matrices, left)
        ctx.lags, ctx.function = lags, function
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_y: Tensor) -> tuple[Tensor | None, ...]:
        past, x, matrices, left = ctx.saved_tensors
        of_past, of_x, _, of_bias, of_entering = ctx.needs_input_grad[:5]
        by_past = torch.zeros_like(past) if of_past else None
        by_x = torch.empty_like(x) if of_x else None
        by_matrices = torch.zeros_like(matrices)
        by_bias = matrices.new_zeros(left.shape[2]) if of_bias else None
        by_entering = torch.empty_like(left) if of_entering else None
        for lane, rows in _chunks(x, ctx.lags):
            by_pre = ctx.function.gradient(left[lane, rows], by_y[lane, rows])
            if by_bias is not None:
                by_bias += by_pre.sum(0)
            if by_entering is not None:
                by_entering[lane, rows] = by_pre
            for lag, matrix, by_matrix in zip(ctx.lags, matrices, by_matrices, strict=True):
                by_matrix.addmm_(by_pre.t(), _delayed(past[lane], x[lane], rows, lag))
                into = by_past if rows.start < lag else by_x
                if into is not None:  # lag 0 comes first of those that reach a row, so it need not be zero before
                    _delayed(into[lane], into[lane], rows, lag).addmm_(by_pre, matrix, beta=1 if lag else 0)
        return by_past, by_x, by_matrices.flip(0).permute(1, 2, 0), by_bias, by_entering, None, None


def _chunks(x: Tensor, lags: range) -> Iterator[tuple[int, slice]]:
    """Yield the lanes of a window (B, T, I) and rows of it, each of which every lag takes to the past or none of it."""
    length = x.shape[1]
    edges = sorted({*range(0, length, CHUNK), *(lag for lag in lags if lag < length), length})
    for lane in range(len(x)):
        for start, stop in pairwise(edges):
            yield lane, slice(start, stop)


def _delayed(past: Tensor, x: Tensor, rows: slice, lag: int) -> Tensor:
    """Return what lies `lag` before some rows of a window (T, I), in the window or in the past before it."""
    source, first = (past, rows.start - lag + len(past)) if rows.start < lag else (x, rows.start - lag)
    return source[first : first + rows.stop - rows.start]
