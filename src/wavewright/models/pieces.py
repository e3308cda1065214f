"""The pieces of a model, in the order in which they are computed. Several devices can have some of them each."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Piece:
    """A part of a model that is computed on one device, such as a layer.

    Attributes:
        weights: what the names of the weights begin with that no other piece uses, such as `layers.1`.
        state: names of the tensors of the state that no other piece uses, such as `queues.1`.
        work: multiply-adds for a sample.
    """

    weights: tuple[str, ...]
    state: tuple[str, ...]
    work: float

    def holds(self, weight: str) -> bool:
        """Tell whether the weight of this name is the piece's own."""
        return any(f"{weight}.".startswith(f"{own}.") for own in self.weights)


@dataclass(frozen=True)
class Part:
    """Pieces one after another that are computed at once, of one window of samples.

    Attributes:
        pieces: which of all pieces.
        handed: what the pieces before these handed on. None where there are none.
    """

    pieces: slice
    handed: Tensor | None = None

    @property
    def is_last(self) -> bool:
        """Whether no pieces come after these."""
        return self.pieces.stop is None


WHOLE = Part(slice(None))


def count_weights(*modules: nn.Module | None) -> int:
    """Return the number of weights in modules. It is their multiply-adds where each weight is used once."""
    return sum(parameter.numel() for module in modules if module is not None for parameter in module.parameters())


def balanced(work: Sequence[float], parts: int) -> list[slice]:
    """Return the division into so many parts in which the greatest part has the least work.

    Args:
        work: of each piece.
        parts: from 1 to the number of pieces. Each part has one piece at least.
    """

    @functools.cache
    def divide(first: int, parts: int) -> tuple[float, tuple[int, ...]]:
        """Return the greatest work of the pieces from `first` on in so many parts, and where the parts after begin."""
        if parts == 1:
            return sum(work[first:]), ()
        choices = []
        for stop in range(first + 1, len(work) - parts + 2):
            most, later = divide(stop, parts - 1)
            choices.append((max(sum(work[first:stop]), most), (stop, *later)))
        return min(choices)

    edges = divide(0, parts)[1]
    return [slice(start, stop) for start, stop in zip((None, *edges), (*edges, None), strict=True)]
