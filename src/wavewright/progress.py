"""The callbacks to which the library reports progress. Nothing here prints."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """A callback for the amount done since the last call and, where it changed, a new description."""

    def __call__(self, amount: float = 1, text: str | None = None) -> None: ...


Progress = Callable[[str, float | None], AbstractContextManager[Advance]]
"""A function that takes a description and the total amount (None where it is not known), and yields an `Advance`."""


def ignore(amount: float = 1, text: str | None = None) -> None:
    """Do nothing, as an `Advance`."""


@contextmanager
def silent(text: str, total: float | None) -> Iterator[Advance]:
    """Show nothing, as a `Progress`."""
    yield ignore
