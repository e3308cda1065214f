"""What answers of a listening test say: exact tests, strengths of systems, and intervals over listeners and items."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLED = 1000  # times, for an interval of 95%
AT_ONCE = 50  # of these, so that memory stays small
ROUNDS = 200  # of the search for strengths
PRIOR = 0.5  # wins that each system is given over each that it met, so that no strength is infinite

Values = NDArray[np.float64]


def chance(right: int, of: int, *, either: bool) -> float:
    """Return how likely chance alone is at least as far from a half, on `either` side or above it (exact binomial)."""
    far = max(right, of - right) if either else right
    tail = sum(math.comb(of, count) for count in range(far, of + 1)) / 2**of
    return min(1.0, 2 * tail if either else tail)


def strengths(wins: Values) -> Values:
    """Return the strengths (..., S) of systems whose wins over one another are (..., S, S). A tie is half a win each.

    The model is that of Bradley and Terry (1952), where i wins over j with probability 1 / (1 + exp(s_j - s_i)). The
    mean is 0. The iteration is Hunter's (2004).
    """
    turned = np.swapaxes(wins, -1, -2)
    won = wins + PRIOR * (wins + turned > 0)
    games, worth = won + np.swapaxes(won, -1, -2), np.ones(won.shape[:-1])
    for _ in range(ROUNDS):
        worth = won.sum(-1) / np.maximum((games / (worth[..., :, None] + worth[..., None, :])).sum(-1), 1e-12)
        worth /= np.exp(np.log(np.maximum(worth, 1e-12)).mean(-1, keepdims=True))
    found: Values = np.log(np.maximum(worth, 1e-12))
    return found


def interval(
    listeners: Sequence[int], items: Sequence[int], statistic: Callable[[Values], Values], seed: int = 0
) -> tuple[Values, Values]:
    """Return the bounds (S,) within which 95% of a statistic lie, if other listeners and other items had been drawn.

    Args:
        listeners: who gave each answer (N,).
        items: what each answer was given to (N,).
        statistic: returns values (R, S) for weights (R, N) of the answers. NaN counts for nothing.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    chosen = [np.unique(names, return_inverse=True)[1] for names in (listeners, items)]
    found = []
    for _ in range(RESAMPLED // AT_ONCE):
        weights = np.ones((AT_ONCE, len(listeners)))
        for which in chosen:
            count = which.max() + 1
            weights *= rng.multinomial(count, np.full(count, 1 / count), AT_ONCE)[:, which]
        found.append(statistic(weights))
    return tuple(np.nanpercentile(np.concatenate(found), (2.5, 97.5), axis=0))


def means(systems: Sequence[int], values: Sequence[float], count: int, weights: Values) -> Values:
    """Return the weighted mean (R, count) of the values (N,) of each system, NaN where it has none."""
    own = np.eye(count)[list(systems)]  # (N, count)
    total = weights @ own
    return (weights * np.asarray(values)) @ own / np.where(total > 0, total, np.nan)
