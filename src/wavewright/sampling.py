"""The controls of a draw (temperature, top-k, top-p), and the random numbers that decide it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import ConfigError

TOP_K_MAX = 2**31 - 1  # the engine takes 32-bit integers
SEED_MAX = 2**63 - 1  # torch takes 64-bit integers
AMOUNT_MAX = 100.0  # beyond, only the likeliest code counts


class Part(Protocol):
    """What streams of a model with a condition are to play, by samples from where they begin (`conditioning`)."""

    @property
    def hop(self) -> int:
        """Number of samples for which a control frame holds."""

    def events(self, start: int, stop: int) -> NDArray[np.void]:
        """Return the keyboard's events of samples `start` to `stop`."""

    def dense(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the dense values (M, D) of frames that begin at samples (M,). Before sample 0 all is absent."""


class TakePart(Part, Protocol):
    """The part of a take."""

    @property
    def origin(self) -> Mapping[str, Any]:
        """JSON values for a take's metadata: the score's name and SHA-256, and the values of controls as typed."""

    @property
    def rests(self) -> bool:
        """Whether there is a keyboard, whose rests are silent."""


AmountCurve = Callable[[NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Controls:
    """How codes are drawn, and what is played.

    Each field but the parts is one value for a whole stream, or a curve of one value for each sample.

    Attributes:
        temperature: divides the logits. 1 is the model's own distribution, 0 its likeliest code.
        top_k: draw among the k likeliest codes only.
        top_p: draw among the fewest likeliest codes that together have probability p (arXiv:1904.09751). 1 means all.
        part: what the streams play. `playing.stream` gives it to a player, block by block, from the take's start.
        amount: share of the second model of a mixture, whose logits are (1 - amount) times the first model's plus
            amount times the second's. A function returns the values (n,) of samples (n,) of the stream.
        second: part of a mixture's second model.

    Raises:
        ConfigError: a value out of range.
    """

    temperature: float | Sequence[float] | NDArray[np.floating] = 1.0
    top_k: int | Sequence[int] | NDArray[np.integer] | None = None
    top_p: float | Sequence[float] | NDArray[np.floating] | None = None
    part: TakePart | None = None
    amount: float | Sequence[float] | NDArray[np.floating] | AmountCurve | None = None
    second: TakePart | None = None

    def __post_init__(self) -> None:
        _check(
            "temperature", self.temperature, lambda t: (t >= 0) & (t < np.inf), "0 (likeliest only) or more, 1 is usual"
        )
        if self.top_k is not None:
            _check("top-k", self.top_k, lambda k: (k >= 1) & (k <= TOP_K_MAX), f"1 to {TOP_K_MAX}, or leave it out")
        if self.top_p is not None:
            _check("top-p", self.top_p, lambda p: (p > 0) & (p <= 1), "more than 0 and at most 1")
        if self.amount is not None and not callable(self.amount):
            _check("amount", self.amount, lambda a: np.abs(a) <= AMOUNT_MAX, f"{-AMOUNT_MAX:g} to {AMOUNT_MAX:g}")

    @property
    def greedy(self) -> bool:
        """Whether only the likeliest code can ever be drawn, so that random numbers change nothing."""
        return bool(np.all(self.temperature == 0)) or (self.top_k is not None and bool(np.all(self.top_k == 1)))

    def between(self, start: int, stop: int) -> Self:
        """Return the controls of samples `start` to `stop` of the stream. Curves are cut, single values stay.

        Raises:
            ConfigError: a curve ends before `stop`.
        """
        for name, curve in self._curves():
            if len(curve) < stop:
                raise ConfigError(
                    f"{name.replace('_', '-')}: {len(curve)} values for {stop} samples; give one, or one for each"
                )
        cut = {name: curve[start:stop] for name, curve in self._curves()}
        if callable(self.amount):
            cut["amount"] = self.amount(np.arange(start, stop))
        return replace(self, **cut)

    def check_amount(self, models: int) -> None:
        """Check that there is an amount where a player has two models, and only there.

        Raises:
            ConfigError: the amount is missing, or has nothing to mix.
        """
        if models > 1 and self.amount is None:
            raise ConfigError("amount: missing; give the share of the second model, 0.5 is half")
        if models == 1 and self.amount is not None:
            raise ConfigError("amount: there is one model, and nothing to mix; leave it out")

    def at(self, sample: int) -> Self:
        """Return the controls of one sample of the stream, as single values."""
        return replace(self, **{name: curve[sample] for name, curve in self._curves()})

    def _curves(self) -> list[tuple[str, Any]]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [(name, value) for name, value in values if np.ndim(value) > 0]


def _check(name: str, value: Any, good: Any, remedy: str) -> None:
    """Refuse a value, or the first value of a curve, that is out of range."""
    values = np.atleast_1d(np.asarray(value))
    if not (fine := good(values)).all():
        raise ConfigError(f"{name}: {values[np.argmin(fine)]}; give {remedy}")


class Uniforms:
    """Uniform numbers for B streams. Stream k does not depend on B, and can start anywhere at once.

    Philox is counter-based (Salmon et al., SC 2011). Each stream of a seed has its own key, (B, 2) in all.
    """

    def __init__(self, seed: int, streams: int) -> None:
        sequences = [np.random.SeedSequence([seed, stream]) for stream in range(streams)]
        self.keys = np.stack([sequence.generate_state(2, np.uint64) for sequence in sequences])
        self._generators = [np.random.Generator(np.random.Philox(key=key)) for key in self.keys]

    def __call__(self, count: int) -> NDArray[np.float64]:
        """Return the next (B, count) numbers in [0, 1)."""
        return np.stack([generator.random(count) for generator in self._generators])
