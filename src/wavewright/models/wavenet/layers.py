"""The layers of WaveNet's two forms, of windows (B, T, channels): a dilated causal convolution and what follows it.

    pre[t] = W[0] x[t] + W[1] x[t - d] + W[2] x[t - 2 d] + ... + bias + entering[t]

On a processor every tap is a matrix product, which reads the window where it lies and adds to the other taps. Torch's
convolution first copies the window and its gradient to another layout. A layer is computed in chunks of `CHUNK` rows,
from the taps to the output, so that every step finds in the cache what the last one wrote.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHUNK = 2048
SHORTEST = 1024  # samples of a window that is computed by products. A shorter one is sooner done by one call
MOST_TAPS = 8  # that are products. A window is cut where a tap leaves the past, and each cut costs a call


def plain_layer(past: Tensor, x: Tensor, weight: Tensor, entering: Tensor | None, dilation: int) -> Tensor:
    """Return the plain form's relu(pre), (B, T, O).

    Args:
        past: the inputs before the window (B, (K - 1) * dilation, I).
        x: the window (B, T, I).
        weight: (O, I, K), the oldest tap first.
        entering: what else is added before the non-linearity (B, T, O).
        dilation: samples from tap to tap.
    """
    if _pays(x, weight):
        result: Tensor = _PlainLayer.apply(past, x, weight, entering, dilation)  # type: ignore[no-untyped-call]
        return result
    return _convolve(past, x, weight, None, entering, dilation=dilation).relu_()


def gated_layer(
    past: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    out_weight: Tensor,
    out_bias: Tensor,
    entering: Tensor | None,
    total: Tensor | None,
    dilation: int,
) -> tuple[Tensor, Tensor]:
    """Return the gated form's next input (B, T, I) and the sum of the skip paths up to this layer (B, T, S).

    The layer is z = tanh(filter) * sigmoid(gate), which are the two halves of pre. One matrix of z adds to the window,
    and another one to the sum.

    Args:
        past: the inputs before the window (B, (K - 1) * dilation, I).
        x: the window (B, T, I).
        weight: (2 I, I, K), the oldest tap first.
        bias: (2 I,).
        out_weight: (I + S, I), the matrices of the residual and the skip path.
        out_bias: (I + S,).
        entering: what else is added before the non-linearity (B, T, 2 I).
        total: the sum of the skip paths below (B, T, S).
        dilation: samples from tap to tap.
    """
    if _pays(x, weight):
        arguments = (past, x, weight, bias, out_weight, out_bias, entering, total, dilation)
        result: tuple[Tensor, Tensor] = _GatedLayer.apply(*arguments)  # type: ignore[no-untyped-call]
        return result
    filtered, gate = _convolve(past, x, weight, bias, entering, dilation=dilation).chunk(2, -1)
    z, width = torch.tanh(filtered) * torch.sigmoid(gate), x.shape[2]
    skip = functional.linear(z, out_weight[width:], out_bias[width:])
    onward = x + functional.linear(z, out_weight[:width], out_bias[:width])
    return onward, skip if total is None else total + skip


def _convolve(
    past: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, entering: Tensor | None, *, dilation: int
) -> Tensor:
    """Return pre (B, T, O), by calls of torch that every device and precision has."""
    if x.shape[1] == 1:
        taps = torch.cat((past[:, ::dilation], x), 1).transpose(1, 2)
        pre = functional.linear(taps.flatten(1), weight.flatten(1), bias)[:, None]
    else:
        taps = torch.cat((past.transpose(1, 2), x.transpose(1, 2)), 2)
        pre = functional.conv1d(taps, weight, bias, dilation=dilation).transpose(1, 2)
    return pre if entering is None else pre + entering


def _pays(x: Tensor, weight: Tensor) -> bool:
    """Tell whether products are faster than torch's convolution, which a GPU, bfloat16 and short windows need."""
    by_products = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return by_products and x.shape[1] >= SHORTEST and weight.shape[2] <= MOST_TAPS


@dataclass(frozen=True)
class _Taps:
    """The taps of a convolution as products.

    Attributes:
        past: the inputs before the window (B, (K - 1) * dilation, I).
        x: the window (B, T, I).
        matrices: (K, O, I), one for each lag.
        lags: how far each tap reaches back, in samples.
    """

    past: Tensor
    x: Tensor
    matrices: Tensor
    lags: range

    @classmethod
    def of(cls, past: Tensor, x: Tensor, weight: Tensor, dilation: int) -> "_Taps":
        """Return the taps of a weight (O, I, K). A product's rounding is another where rows lie otherwise."""
        lags = range(0, weight.shape[2] * dilation, dilation)
        return cls(past.contiguous(), x.contiguous(), weight.permute(2, 0, 1).flip(0).contiguous(), lags)

    def chunks(self) -> Iterator[tuple[int, slice]]:
        """Yield lanes and rows of the window, each of which every lag takes to the past or none of it."""
        length = self.x.shape[1]
        edges = sorted({*range(0, length, CHUNK), *(lag for lag in self.lags if lag < length), length})
        for lane in range(len(self.x)):
            for start, stop in pairwise(edges):
                yield lane, slice(start, stop)

    def write(self, pre: Tensor, lane: int, rows: slice) -> None:
        """Overwrite a chunk (T, O) with the sum of the taps."""
        for lag, matrix in zip(self.lags, self.matrices, strict=True):
            pre.addmm_(_delayed(self.past[lane], self.x[lane], rows, lag), matrix.t(), beta=1 if lag else 0)


class _TapGradients:
    """The gradients of taps and of what enters beside them, summed up chunk by chunk."""

    def __init__(self, taps: _Taps, *, of_past: bool, of_x: bool, of_entering: bool) -> None:
        self._taps = taps
        self._by_past = torch.zeros_like(taps.past) if of_past else None
        self._by_x = torch.empty_like(taps.x) if of_x else None
        self._by_matrices = torch.zeros_like(taps.matrices)
        shape = (*taps.x.shape[:2], taps.matrices.shape[1])
        self._by_entering = taps.x.new_empty(shape) if of_entering else None

    @property
    def all(self) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor | None]:
        """The gradients by the past, the window, the weight (O, I, K) and `entering`. None is one that nobody needs."""
        return self._by_past, self._by_x, self._by_matrices.flip(0).permute(1, 2, 0), self._by_entering

    def add(self, by_pre: Tensor, lane: int, rows: slice, by_around: Tensor | None = None) -> None:
        """Add what a chunk's gradient (T, O) gives, and to the window what comes around the taps (B, T, I)."""
        taps = self._taps
        for lag, matrix, by_matrix in zip(taps.lags, taps.matrices, self._by_matrices, strict=True):
            by_matrix.addmm_(by_pre.t(), _delayed(taps.past[lane], taps.x[lane], rows, lag))
            into = self._by_past if rows.start < lag else self._by_x
            if into is not None:  # lag 0 comes first of those that reach a row, so it need not be zero before
                _delayed(into[lane], into[lane], rows, lag).addmm_(by_pre, matrix, beta=1 if lag else 0)
        if self._by_x is not None and by_around is not None:
            self._by_x[lane, rows] += by_around[lane, rows]
        if self._by_entering is not None:
            self._by_entering[lane, rows] = by_pre


def _delayed(past: Tensor, x: Tensor, rows: slice, lag: int) -> Tensor:
    """Return what lies `lag` before some rows of a window (T, I), in the window or in the past before it."""
    source, first = (past, rows.start - lag + len(past)) if rows.start < lag else (x, rows.start - lag)
    return source[first : first + rows.stop - rows.start]


class _PlainLayer(torch.autograd.Function):
    """`plain_layer` by products, with the equations of its gradients."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, past: Tensor, x: Tensor, weight: Tensor, entering: Tensor | None, dilation: int
    ) -> Tensor:
        taps = _Taps.of(past, x, weight, dilation)
        y = x.new_empty(*x.shape[:2], len(weight))
        for lane, rows in taps.chunks():
            pre = y[lane, rows]
            taps.write(pre, lane, rows)
            if entering is not None:
                pre += entering[lane, rows]
            pre.relu_()
        ctx.save_for_backward(taps.past, taps.x, taps.matrices, y)
        ctx.lags = taps.lags
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_y: Tensor) -> tuple[Tensor | None, ...]:
        past, x, matrices, y = ctx.saved_tensors
        of_past, of_x, _, of_entering, _ = ctx.needs_input_grad
        taps = _Taps(past, x, matrices, ctx.lags)
        sums = _TapGradients(taps, of_past=of_past, of_x=of_x, of_entering=of_entering)
        for lane, rows in taps.chunks():
            by_pre = torch.ops.aten.threshold_backward(by_y[lane, rows], y[lane, rows], 0)
            sums.add(by_pre, lane, rows)
        return *sums.all, None


class _GatedLayer(torch.autograd.Function):
    """`gated_layer` by products, with the equations of its gradients."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,
        past: Tensor,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        out_weight: Tensor,
        out_bias: Tensor,
        entering: Tensor | None,
        total: Tensor | None,
        dilation: int,
    ) -> tuple[Tensor, Tensor]:
        taps, width = _Taps.of(past, x, weight, dilation), x.shape[2]
        gates = x.new_empty(*x.shape[:2], len(weight))  # tanh and sigmoid, which the gradient needs
        onward, summed = torch.empty_like(taps.x), x.new_empty(*x.shape[:2], len(out_weight) - width)
        to_onward, to_skip = out_weight[:width].t(), out_weight[width:].t()
        for lane, rows in taps.chunks():
            pre = gates[lane, rows]
            taps.write(pre, lane, rows)
            pre += bias
            if entering is not None:
                pre += entering[lane, rows]
            filtered, gate = pre.chunk(2, 1)
            z = filtered.tanh_() * gate.sigmoid_()
            torch.add(taps.x[lane, rows], out_bias[:width], out=onward[lane, rows]).addmm_(z, to_onward)
            if total is None:
                summed[lane, rows] = out_bias[width:]
            else:
                torch.add(total[lane, rows], out_bias[width:], out=summed[lane, rows])
            summed[lane, rows].addmm_(z, to_skip)
        ctx.save_for_backward(taps.past, taps.x, taps.matrices, gates, out_weight)
        ctx.lags = taps.lags
        ctx.set_materialize_grads(False)  # the last layer's output goes nowhere
        return onward, summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_onward: Tensor | None, by_summed: Tensor | None) -> tuple[Tensor | None, ...]:
        past, x, matrices, gates, out_weight = ctx.saved_tensors
        of_past, of_x, *_, of_entering, of_total, _ = ctx.needs_input_grad
        taps, width = _Taps(past, x, matrices, ctx.lags), x.shape[2]
        sums = _TapGradients(taps, of_past=of_past, of_x=of_x, of_entering=of_entering)
        by_bias = gates.new_zeros(gates.shape[2])
        by_out_weight, by_out_bias = torch.zeros_like(out_weight), out_weight.new_zeros(len(out_weight))
        paths = [(by_onward, slice(width)), (by_summed, slice(width, None))]
        reached = [(by, path) for by, path in paths if by is not None]
        for lane, rows in taps.chunks():
            tanh, sigmoid = gates[lane, rows].chunk(2, 1)
            z, by_z = tanh * sigmoid, torch.empty_like(tanh)
            for i, (by, path) in enumerate(reached):
                by_z.addmm_(by[lane, rows], out_weight[path], beta=1 if i else 0)
                by_out_weight[path].addmm_(by[lane, rows].t(), z)
                by_out_bias[path] += by[lane, rows].sum(0)
            by_pre = torch.empty_like(gates[lane, rows])
            by_filtered, by_gate = by_pre.chunk(2, 1)
            torch.ops.aten.tanh_backward(by_z * sigmoid, tanh, grad_input=by_filtered)
            torch.ops.aten.sigmoid_backward(by_z.mul_(tanh), sigmoid, grad_input=by_gate)
            by_bias += by_pre.sum(0)
            sums.add(by_pre, lane, rows, by_onward)
        *by_taps, by_entering = sums.all
        by_total = by_summed if of_total else None
        return *by_taps, by_bias, by_out_weight, by_out_bias, by_entering, by_total, None
