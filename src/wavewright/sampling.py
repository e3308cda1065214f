"""From logits to codes. Uniform numbers come in, so every back end that is given the same draws the same."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How a code is drawn.

    Attributes:
        temperature: divides the logits; 1 is the model's own distribution, 0 its likeliest code.
        top_k: draw among the k likeliest codes only.
        top_p: draw among the fewest likeliest codes that together have probability p (arXiv:1904.09751);
            1 is all.

    Raises:
        ConfigError: a value out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < np.inf:
            raise ConfigError(f"temperature: {self.temperature}; give 0 (likeliest only) or more, 1 is usual")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top-k: {self.top_k}; give 1 or more, or leave it out")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top-p: {self.top_p}; give more than 0 and at most 1")


def draw(logits: NDArray[np.floating], uniforms: NDArray[np.float64], sampling: Sampling) -> NDArray[np.int64]:
    """Codes (B,) for logits (B, Q) and uniform numbers (B,) in [0, 1).

    The code is the first whose cumulative probability, in the order of codes, exceeds the uniform number.
    Among equal logits the lower codes count as likelier.
    """
    if sampling.temperature == 0:
        return np.argmax(logits, 1)
    exact = logits.astype(np.float64)
    with np.errstate(over="ignore"):  # e^-inf is 0
        weights = np.exp((exact - exact.max(1, keepdims=True)) / sampling.temperature)
    if sampling.top_k is not None or sampling.top_p is not None:
        weights = _keep_likeliest(weights, sampling)
    cumulative = np.cumsum(weights, 1)
    code = (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(1)
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, 1)  # where rounding would step past the end
    return np.minimum(code, last)


def _keep_likeliest(weights: NDArray[np.float64], sampling: Sampling) -> NDArray[np.float64]:
    order = np.argsort(-weights, 1, kind="stable")
    ranked = np.take_along_axis(weights, order, 1)
    together = np.cumsum(ranked, 1)  # in order, as the engine sums
    count = min(sampling.top_k or weights.shape[1], weights.shape[1])
    keep = np.broadcast_to(np.arange(weights.shape[1]) < count, weights.shape)
    if sampling.top_p is not None and sampling.top_p < 1:
        keep = keep & (together - ranked < sampling.top_p * together[:, count - 1 : count])
    result = np.zeros_like(weights)
    np.put_along_axis(result, order, np.where(keep, ranked, 0.0), 1)
    return result


class Uniforms:
    """Uniform numbers for B streams; stream k is the same whatever B is, and starts anywhere at once.

    Philox is counter-based (Salmon et al., SC 2011): stream k of a seed has its own key, (B, 2) in all.
    """

    def __init__(self, seed: int, streams: int) -> None:
        sequences = [np.random.SeedSequence([seed, stream]) for stream in range(streams)]
        self.keys = np.stack([sequence.generate_state(2, np.uint64) for sequence in sequences])
        self._generators = [np.random.Generator(np.random.Philox(key=key)) for key in self.keys]

    def __call__(self, count: int) -> NDArray[np.float64]:
        """The next (B, count) numbers in [0, 1)."""
        return np.stack([generator.random(count) for generator in self._generators])
