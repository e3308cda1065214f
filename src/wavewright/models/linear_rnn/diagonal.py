"""Complex diagonal linear recurrences, as in S4D (arXiv:2206.11893) and the LRU (arXiv:2303.06349).

For each of D channels and N modes, and an input u (..., T) of the channel,

    h_t = lambda h_(t-1) + gamma u_t                        lambda = exp(-e^nu + i theta)
    y_t = Re sum over modes of kappa h_t, + delta u_t       gamma  = (1 - |lambda|^2)^0.75

|lambda| is below 1 for any nu, so that no state can grow without bound. A mode is a damped sinusoid of e^-nu steps and
an angle of theta a step.

A sequence is computed in chunks. What a chunk's inputs give to its own outputs is one product with a Toeplitz matrix,
and what its first state gives to them is another. Only the states at the chunks' edges depend on one another.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 32
SHORTEST, LONGEST = 2.0, 8000.0  # time constants at first, in steps and in samples
LOWEST, HIGHEST = 30 / 14_700, 0.5  # frequencies at first, in cycles a sample
STEADY = 0.15  # share of modes without oscillation at first


class Carry(torch.autograd.Function):
    """The states s_0 ... s_(n-1) before each of n chunks and s_n after them, where s_(k+1) = a s_k + b_k.

    A loop of n complex multiply-adds. Its gradient is the same loop backwards.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Turn s_0 (D, B, N), a (D, 1, N) and b (D, B, n, N) into s_0 ... s_(n-1) (D, B, n, N) and s_n (D, B, N)."""
        before, state = torch.empty_like(b), first
        for k in range(b.shape[2]):
            before[:, :, k] = state
            state = torch.addcmul(b[:, :, k], a, state)
        ctx.save_for_backward(a, before)
        return before, state

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of s_0, a and b."""
        a, before = ctx.saved_tensors
        from_before, gradient = gradients
        of_b, conjugate = torch.empty_like(before), a.conj().resolve_conj()
        for k in reversed(range(before.shape[2])):
            of_b[:, :, k] = gradient
            gradient = torch.addcmul(from_before[:, :, k], conjugate, gradient)
        return gradient, (of_b * before.conj()).sum((1, 2))[:, None], of_b


class Diagonal(nn.Module):
    """A layer of the recurrence above, for tensors with the channels first."""

    def __init__(self, channels: int, modes: int, frame: int) -> None:
        """Start with time constants and frequencies spread over the octaves, for steps of `frame` samples."""
        super().__init__()
        shape = (channels, modes)
        longest = max(SHORTEST, LONGEST / frame)
        steps = SHORTEST * (longest / SHORTEST) ** torch.rand(shape)
        cycles = LOWEST * (HIGHEST / LOWEST) ** torch.rand(shape) * frame
        cycles[torch.rand(shape) < STEADY] = 0
        self.nu = nn.Parameter(-steps.log())
        self.theta = nn.Parameter(2 * math.pi * (cycles - cycles.round()))
        self.kappa = nn.Parameter(torch.randn(*shape, 2) / math.sqrt(modes))
        self.delta = nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor, state: Tensor, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
        """Turn inputs (D, B, T) and the state (B, D, N, 2) into outputs (D, B, T) and the next state.

        The computation stays in the parameters' type under autocast. Its result does not depend on `chunk`.
        """
        with torch.autocast(x.device.type, enabled=False):
            x, h = x.to(self.nu.dtype), torch.view_as_complex(state.transpose(0, 1).contiguous())
            if x.shape[2] == 1:
                y, h = self._step(x, h)
            else:
                parts, whole = [], x.shape[2] // chunk * chunk
                for part in (x[:, :, :whole], x[:, :, whole:]):
                    if part.shape[2]:
                        y, h = self._scan(part, h, min(chunk, part.shape[2]))
                        parts.append(y)
                y = torch.cat(parts, 2)
            return y, torch.view_as_real(h).transpose(0, 1)

    def before_endless(self, x: Tensor) -> Tensor:
        """Return the state (B, D, N, 2) in which inputs (D, B, T) that repeat for ever leave the layer.

        After one round from zero the state is h, and lambda^T times as much of it is left after every later round.
        """
        zeros = self.nu.new_zeros(x.shape[1], *self.kappa.shape)
        h = torch.view_as_complex(self(x, zeros)[1].contiguous())
        return torch.view_as_real((h / (1 - self._powers([x.shape[2]])[:, :, 0])).to(h.dtype))

    def _powers(self, exponents: list[int]) -> Tensor:
        """Return lambda to each of the exponents (D, N, K), in float64 where the device has it.

        In float32 the time constant of a slow mode would be off, since 1 - |lambda| is.
        """
        wide = torch.float32 if self.nu.device.type == "mps" else torch.float64
        steps = torch.tensor(exponents, dtype=wide, device=self.nu.device)
        decay, turn = self.nu.to(wide).exp()[..., None], self.theta.to(wide)[..., None]
        return torch.polar(torch.exp(-decay * steps), turn * steps)

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Return gamma (D, N) and the complex kappa (D, N)."""
        gamma = (-torch.expm1(-2 * self.nu.exp())) ** 0.75
        return gamma, torch.view_as_complex(self.kappa)

    def _step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one step for inputs (D, B, 1) and states (D, B, N), as the equations have it."""
        gamma, kappa = self._weights()
        h = (self._powers([1])[:, None, :, 0] * h + gamma[:, None] * x).to(h.dtype)
        return (kappa[:, None] * h).real.sum(2, keepdim=True) + self.delta[:, None, None] * x, h

    def _scan(self, x: Tensor, h: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
        """Compute n chunks of inputs (D, B, n C)."""
        channels, streams, length = x.shape
        gamma, kappa = self._weights()
        powers = self._powers(list(range(chunk + 1)))
        driven = gamma[..., None] * powers[..., :chunk]
        response = (kappa[..., None] * driven).real.sum(1)
        response = torch.cat((response[:, :1] + self.delta[:, None], response[:, 1:]), 1)
        toeplitz = nn.functional.pad(response, (chunk - 1, 0)).unfold(1, chunk, 1).flip(1)  # row j: y_i of u_j
        entering = torch.view_as_real(driven.flip(2)).permute(0, 2, 1, 3).flatten(2)  # (D, C, 2N)
        leaving = (kappa[..., None] * powers[..., 1:]).conj().resolve_conj()
        leaving = torch.view_as_real(leaving).transpose(2, 3).flatten(1, 2)  # (D, 2N, C)
        chunks = x.reshape(channels, -1, chunk)
        added = torch.bmm(chunks, entering.to(x.dtype)).view(channels, streams, length // chunk, -1, 2)
        before, h = Carry.apply(h, powers[:, None, :, chunk].to(h.dtype), torch.view_as_complex(added))  # type: ignore[no-untyped-call]
        states = torch.view_as_real(before).reshape(channels, chunks.shape[1], -1)
        y = torch.baddbmm(torch.bmm(chunks, toeplitz.to(x.dtype)), states, leaving.to(x.dtype))
        return y.view(x.shape), h
