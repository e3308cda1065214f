"""Turn a model's last vector into a distribution over codes, with its size, loss, entropy and draw.

A model gives `size` outputs for each sample. From these come the logits by which a code is drawn, in one draw or in
two. The second draw's logits depend on what the first one drew, so logits (..., `classes`) belong to given codes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wavewright.sampling import Controls

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -1  # the target where there is no sample
HIDDEN = 64  # units between a model's outputs and the logits of a fine part


@dataclass(frozen=True)
class Softmax:
    """One logit for each of Q codes.

    Attributes:
        q_levels: Q, the number of codes.
    """

    q_levels: int

    @property
    def size(self) -> int:
        """Number of outputs that a model gives for each sample."""
        return self.q_levels

    @property
    def classes(self) -> int:
        """Number of logits of a given code."""
        return self.q_levels

    @property
    def rows(self) -> int:
        """Number of vectors in a table of all codes."""
        return self.q_levels

    @property
    def parts(self) -> "tuple[Softmax, ...]":
        """The draws of a code, in their order."""
        return (self,)

    def join(self, drawn: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the codes (B,) of what was drawn, (B,) for each of `parts`."""
        return drawn[0]

    def loss(self, logits: "Tensor", targets: "Tensor", reduction: Literal["none", "sum"] = "none") -> "Tensor":
        """Return the cross-entropy in nats of logits (B, T, Q) against codes (B, T), as (B, T) or as a sum ().

        Where the target is IGNORED, the cross-entropy is 0.
        """
        from torch.nn import functional

        if reduction == "sum":
            logits, targets = logits.flatten(0, 1), targets.flatten()
        else:  # torch wants the classes second
            logits = logits.transpose(1, 2)
        return functional.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction=reduction)

    def entropy(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the entropy in bits (...), in [0, log2 Q], of the distributions with logits (..., Q)."""
        shifted = logits - logits.max(-1, keepdims=True).astype(np.float64)
        weights = np.exp(shifted)
        total = weights.sum(-1)
        nats: NDArray[np.float64] = np.log(total) - (weights * shifted).sum(-1) / total
        return nats / math.log(2)

    def variance(
        self, logits: NDArray[np.floating], codes: NDArray[np.integer], values: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return the variances (...) of the values (Q,) of all codes, under the distributions with logits (..., Q).

        The true codes (...) say nothing here. See Split.
        """
        return _variance(logits, values)

    def draw(
        self, logits: NDArray[np.floating], uniforms: NDArray[np.float64], controls: Controls
    ) -> NDArray[np.int64]:
        """Return codes (B,) for logits (B, Q), uniform numbers (B,) in [0, 1) and the controls of one sample.

        The code is the first whose cumulative probability, in the order of codes, exceeds the uniform number.
        Among equal logits the lower codes count as likelier.
        """
        if controls.temperature == 0:
            return np.argmax(logits, 1)
        exact = logits.astype(np.float64)
        with np.errstate(over="ignore"):  # e^-inf is 0
            weights = np.exp((exact - exact.max(1, keepdims=True)) / controls.temperature)
        if controls.top_k is not None or controls.top_p is not None:
            weights = _keep_likeliest(weights, controls.top_k, controls.top_p)
        cumulative = np.cumsum(weights, 1)
        code = (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(1)
        last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, 1)  # rounding must not go past the last code
        return np.minimum(code, last)


@dataclass(frozen=True)
class Split:
    """Two softmaxes in place of one over many codes, of which the second knows what the first drew (WaveRNN,
    arXiv:1802.08435, section 2.2).

    A code is c F + f, where c is its coarse part in [0, C) and f its fine part in [0, F). Logits (..., C + F) are those
    of the coarse part, and behind them those of the fine part, given the true coarse part.

    Attributes:
        coarse: C, the number of coarse parts.
        fine: F, the number of fine parts.
    """

    coarse: int
    fine: int

    @property
    def size(self) -> int:
        """Number of outputs that a model gives for each sample, the coarse part's logits and HIDDEN more."""
        return self.coarse + HIDDEN

    @property
    def classes(self) -> int:
        """Number of logits of a given code."""
        return self.coarse + self.fine

    @property
    def rows(self) -> int:
        """Number of vectors in the tables of both parts, with that of the amplitude."""
        return self.coarse + self.fine + 1

    @property
    def parts(self) -> tuple[Softmax, ...]:
        """The draws of a code, in their order."""
        return Softmax(self.coarse), Softmax(self.fine)

    def join(self, drawn: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the codes (B,) of what was drawn, (B,) for each of `parts`."""
        coarse, fine = drawn
        return coarse * self.fine + fine

    def loss(self, logits: "Tensor", targets: "Tensor", reduction: Literal["none", "sum"] = "none") -> "Tensor":
        """Return the sum of both parts' cross-entropies, as `Softmax.loss` does: logits (B, T, C + F), codes (B, T)."""
        first, second = self.parts
        coarse = targets.div(self.fine, rounding_mode="floor")  # which leaves IGNORED as it is
        fine = targets.remainder(self.fine).masked_fill(targets == IGNORED, IGNORED)
        return first.loss(logits[..., : self.coarse], coarse, reduction) + second.loss(
            logits[..., self.coarse :], fine, reduction
        )

    def entropy(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the entropy in bits (...) of the coarse part and of the fine part, given the true coarse part.

        Over codes that the model itself draws, the mean is that of the entropy of the whole code.
        """
        coarse, fine = np.split(logits, [self.coarse], -1)
        first, second = self.parts
        return first.entropy(coarse) + second.entropy(fine)

    def variance(
        self, logits: NDArray[np.floating], codes: NDArray[np.integer], values: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return the variance (...) between the coarse parts and that within the true one, of the values (Q,) of codes.

        A coarse part stands for the middle of its values. By the law of total variance, the mean over codes that the
        model itself draws is that of the whole code, but for where within a coarse part the fine one lies.
        """
        coarse, fine = np.split(logits, [self.coarse], -1)
        table = values.reshape(self.coarse, self.fine)
        return _variance(coarse, table.mean(1)) + _variance(fine, table[codes // self.fine])


Output = Softmax | Split


def mixed(first: NDArray[np.float32], second: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Return (1 - amount) first + amount second for logits (B, Q) of two models, summed in float64 as in the engine."""
    return ((1 - amount) * first.astype(np.float64) + amount * second.astype(np.float64)).astype(np.float32)


def _variance(logits: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the variances (...) of values (..., n) or (n,) under the distributions with logits (..., n)."""
    weights = np.exp(logits - logits.max(-1, keepdims=True).astype(np.float64))
    weights /= weights.sum(-1, keepdims=True)
    mean = (weights * values).sum(-1, keepdims=True)
    result: NDArray[np.float64] = (weights * np.square(values - mean)).sum(-1)
    return result


def _keep_likeliest(weights: NDArray[np.float64], top_k: Any, top_p: Any) -> NDArray[np.float64]:
    order = np.argsort(-weights, 1, kind="stable")
    ranked = np.take_along_axis(weights, order, 1)
    together = np.cumsum(ranked, 1)  # summed in the engine's order
    count = min(top_k or weights.shape[1], weights.shape[1])
    keep = np.broadcast_to(np.arange(weights.shape[1]) < count, weights.shape)
    if top_p is not None and top_p < 1:
        keep = keep & (together - ranked < top_p * together[:, count - 1 : count])
    result = np.zeros_like(weights)
    np.put_along_axis(result, order, np.where(keep, ranked, 0.0), 1)
    return result
