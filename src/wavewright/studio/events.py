"""Tell every open page what has changed, and the metrics of the runs that train."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

from wavewright.errors import WavewrightError
from wavewright.studio import metrics
from wavewright.studio.trainings import Trainings

log = logging.getLogger(__name__)

INTERVAL = 0.5  # seconds
WAITING = 1000  # messages that wait for a page, beyond which it is cut off


class Events:
    """The messages of a server to its pages."""

    def __init__(self) -> None:
        self._pages: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen: dict[str, Hashable] = {}
        self._read: dict[str, int] = {}  # bytes of the metrics of runs

    def changed(self, what: str) -> None:
        """Tell all pages that `what` has changed, from any thread."""
        self._tell({"type": "changed", "what": what})

    @contextlib.contextmanager
    def page(self) -> Iterator[asyncio.Queue[dict[str, Any] | None]]:
        """Yield the queue of messages for a page. None is the last one, for a page that is too slow."""
        messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._pages.add(messages)
        try:
            yield messages
        finally:
            self._pages.discard(messages)

    async def watch(self, trainings: Trainings, signs: Callable[[], dict[str, Hashable]]) -> None:
        """Let trainings go on, and tell all pages what has changed, until cancelled.

        Args:
            trainings: the runs.
            signs: returns a value for each thing that can change, which changes with it.
        """
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.to_thread(self._look, trainings, signs)
                await asyncio.sleep(INTERVAL)
        finally:
            self._loop = None

    def _look(self, trainings: Trainings, signs: Callable[[], dict[str, Hashable]]) -> None:
        try:
            trainings.tick()
            now = signs()
            for what in now:
                if what in self._seen and self._seen[what] != now[what]:
                    self.changed(what)
            self._seen = now
            for id, run in trainings.active():
                self._tell_metrics(run, id)
        except (WavewrightError, OSError) as error:  # such as a run that was removed at this moment
            log.warning(f"{error}")

    def _tell_metrics(self, run: Path, id: str) -> None:
        found = metrics.read(run, self._read.get(id, 0))
        known, self._read[id] = id in self._read, found["next"]
        if known and found["records"]:
            self._tell({"type": "metrics", "run": id, **found})

    def _tell(self, message: dict[str, Any]) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._give, message)

    def _give(self, message: dict[str, Any]) -> None:
        for messages in [*self._pages]:
            if messages.qsize() < WAITING:
                messages.put_nowait(message)
            else:
                self._pages.discard(messages)
                messages.put_nowait(None)
