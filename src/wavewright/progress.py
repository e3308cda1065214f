"""How the library tells of its progress: to a callback that it is given. Nothing here prints."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Call with the amount done since the last call and, where it changed, a new description."""

    def __call__(self, amount: float = 1, text: str | None = None) -> None: ...


Progress = Callable[[str, float | None], AbstractContextManager[Advance]]
"""Takes what is done, in words, and its amount (None where the end is not known); gives what to call on the way."""


def ignore(amount: float = 1, text: str | None = None) -> None:
    """Be an `Advance` that tells nobody."""


@contextmanager
def silent(text: str, total: float | None) -> Iterator[Advance]:
    """Be a `Progress` that tells nobody."""
    yield ignore
