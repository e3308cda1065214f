"""End work in good order after Ctrl-C or SIGTERM."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

Stop = Callable[[], bool]
"""A function that tells whether the work should end."""


def never() -> bool:
    """Return False, as a `Stop`."""
    return False


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Yield a function that tells whether Ctrl-C or SIGTERM has come.

    The first signal lets the work end by itself, and the second one raises KeyboardInterrupt wherever the work is. A
    signal that the process ignores stays ignored. Only the main thread can take signals, so others change nothing.
    """
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield never
        return
    kinds = [kind for kind in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(kind) != signal.SIG_IGN]
    before = [signal.signal(kind, note) for kind in kinds]
    try:
        yield lambda: bool(came)
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
