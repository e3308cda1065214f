"""What answers of a listening test say: exact tests, strengths of systems, and intervals over listeners and items."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLED = 1000  # times, for an interval of 95%
ROUNDS = 200  # of the search for strengths
PRIOR = 0.5  # wins that each system is given over each that it met, so that no strength is infinite

Values = NDArray[np.float64]


def chance(right: int, of: int, *, either: bool) -> float:
    """Return how likely chance alone is at least as far from a half, on `either` side or above it (exact binomial)."""
    far = max(right, of - right) if either else right
    tail = sum(math.comb(of, count) for count in range(far, of + 1)) / 2**of
    return min(1.0, 2 * tail if either else tail)


def strengths(wins: Values) -> Values:
    """Return the strengths (S,) of systems whose wins over one another are (S, S), a tie counting half for each.

    The model is that of Bradley and Terry (1952), where i wins over j with probability 1 / (1 + exp(s_j - s_i)). The
    mean is 0. The iteration is Hunter's (2004).
    """
    met = (wins + wins.T) > 0
    won = wins + PRIOR * met
    games, worth = won + won.T, np.ones(len(won))
    for _ in range(ROUNDS):
        worth = won.sum(1) / np.maximum((games / (worth[:, None] + worth)).sum(1), 1e-12)
        worth /= np.exp(np.log(np.maximum(worth, 1e-12)).mean())
    return np.log(np.maximum(worth, 1e-12))


def interval(
    listeners: Sequence[int], items: Sequence[int], statistic: Callable[[Values], Values], seed: int = 0
) -> tuple[Values, Values]:
    """Return the bounds (S,) within which 95% of a statistic lie, if other listeners and other items had been drawn.

    Args:
        listeners: who gave each answer (N,).
        items: what each answer was given to (N,).
        statistic: returns values (S,) for the weights (N,) of the answers. NaN counts for nothing.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    who, what = np.unique(listeners, return_inverse=True)[1], np.unique(items, return_inverse=True)[1]
    found = []
    for _ in range(RESAMPLED):
        drawn = [np.bincount(rng.integers(0, n, n), minlength=n) for n in (who.max() + 1, what.max() + 1)]
        found.append(statistic((drawn[0][who] * drawn[1][what]).astype(np.float64)))
    return tuple(np.nanpercentile(np.array(found), (2.5, 97.5), axis=0))


def means(systems: Sequence[int], values: Sequence[float], count: int, weights: Values) -> Values:
    """Return the weighted mean (count,) of the values of each system, NaN where it has none."""
    total = np.bincount(systems, weights, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.bincount(systems, weights * np.asarray(values), count) / np.where(total > 0, total, np.nan)
