"""Turn a model's last vector into a distribution over codes, with its size, loss, entropy and draw."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wavewright.sampling import Controls

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -1  # the target where there is no sample


@dataclass(frozen=True)
class Softmax:
    """One logit for each of Q codes.

    Attributes:
        q_levels: Q, the number of codes.
    """

    q_levels: int

    @property
    def size(self) -> int:
        """Number of values that a model gives for each sample."""
        return self.q_levels

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

    def nats(self, logits: NDArray[np.floating], codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the nats (...) of codes (...) under logits (..., Q), which is `loss` without torch."""
        shifted = logits.astype(np.float64)
        shifted -= shifted.max(-1, keepdims=True)
        own = np.take_along_axis(shifted, codes[..., None], -1)[..., 0]
        nats: NDArray[np.float64] = np.log(np.exp(shifted).sum(-1)) - own
        return nats

    def entropy(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the entropy in bits (...), in [0, log2 Q], of the distributions with logits (..., Q)."""
        shifted = logits - logits.max(-1, keepdims=True).astype(np.float64)
        weights = np.exp(shifted)
        total = weights.sum(-1)
        nats: NDArray[np.float64] = np.log(total) - (weights * shifted).sum(-1) / total
        return nats / math.log(2)

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


def mixed(first: NDArray[np.float32], second: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Return (1 - amount) first + amount second for logits (B, Q) of two models, summed in float64 as in the engine."""
    return ((1 - amount) * first.astype(np.float64) + amount * second.astype(np.float64)).astype(np.float32)


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
