"""The app for listeners who were invited: a blind test, and nothing else of the studio.

It is an app of its own at an address of its own, with its own guard. It knows neither the owner's token nor cookies. A
listener's secret is in the part of the link after #, which browsers do not send. The page sends it as a bearer token.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Scope

from wavewright.errors import WavewrightError
from wavewright.studio.folder import Refusal
from wavewright.studio.guard import SAFE, Guard, bearer, refuse
from wavewright.studio.invitations import Invitations, Invited
from wavewright.studio.judging import Answer, Judging
from wavewright.studio.page import ASSETS, LISTEN, Page
from wavewright.studio.routing import Route, make_routes

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 14  # of an answer
BURST, EACH_SECOND = 300.0, 20.0  # requests of an address
MOST_ADDRESSES = 1000  # that are remembered
UNKNOWN = "invitation: unknown, withdrawn or over; ask whoever invited you for a new link"
STIMULI = "/api/stimuli/"


class Listeners:
    """What the routes answer.

    Args:
        judging: the tests.
    """

    def __init__(self, judging: Judging) -> None:
        self._judging, self.page = judging, Page(LISTEN, ASSETS)

    def trials(self, request: Request) -> dict[str, Any]:
        """Return the listener's trials."""
        test, listener = _invited(request)
        told = self._judging.trials_of(test, listener, STIMULI)
        return {**told, "listener": self._judging.names(test)[listener]}

    def stimulus(self, request: Request, name: str) -> Response:
        """Return the file of a stimulus of the listener, TRIAL-PLACE.wav."""
        test, listener = _invited(request)
        return FileResponse(self._judging.stimulus(test, f"{listener}-{name}"), media_type="audio/wav")

    def answer(self, request: Request, given: Answer) -> dict[str, Any]:
        """Keep an answer of the listener.

        Raises:
            Refusal: it cannot be kept. No line tells where on the owner's disk that is.
        """
        test, listener = _invited(request)
        try:
            return self._judging.keep(test, listener, given)
        except Refusal:
            raise
        except WavewrightError as error:
            log.warning(f"{error}")
            raise Refusal(507, "answer: the studio could not keep it; tell whoever invited you") from None


def routes(listeners: Listeners) -> list[Route]:
    """Return all routes."""
    return [
        ("GET", "/", listeners.page.index, 200),
        ("GET", "/assets/{name:path}", listeners.page.asset, 200),
        ("GET", "/api/trials", listeners.trials, 200),
        ("GET", STIMULI + "{name}", listeners.stimulus, 200),
        ("POST", "/api/answers", listeners.answer, 200),
    ]


class ListenersGuard(Guard):
    """Lets in whoever has an invitation, and not too often.

    Args:
        app: the app that is guarded.
        host: the address and port of the server, as Host names them.
        find: returns who a token lets in.
        now: returns a time in seconds.
    """

    known_from = "of your invitation"

    def __init__(
        self, app: ASGIApp, host: str, find: Callable[[str], Invited | None], now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(app, {host})
        self._find, self._now = find, now
        self._left: dict[str, tuple[float, float]] = {}  # requests that an address may send at once, and since when

    async def _entry(self, scope: Scope, headers: Headers) -> Response | None:
        if not self._is_in_time((scope["client"] or ("",))[0]):
            return refuse(429, "requests: too many at once; wait a minute")
        if not scope["path"].startswith("/api/"):
            return None  # the page itself, which holds no secret
        token = bearer(headers)
        invited = await asyncio.to_thread(self._find, token) if token else None
        if invited is None:
            return refuse(401, UNKNOWN)
        scope.setdefault("state", {})["invited"] = invited
        return None

    def _limit(self, scope: Scope) -> int:
        return MOST_BYTES

    def _may_be_linked(self, scope: Scope) -> bool:
        return scope["path"] == "/" and scope["method"] in SAFE  # since invitations are sent as links

    def _is_in_time(self, address: str) -> bool:
        """Return whether an address may send one more request now, and count it."""
        now = self._now()
        left, since = self._left.pop(address, (BURST, now))
        left = min(BURST, left + EACH_SECOND * (now - since))
        self._left[address] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST_ADDRESSES:
            del self._left[next(iter(self._left))]  # which was heard of least lately
        return left >= 1


def make_listeners_app(judging: Judging, invitations: Invitations, host: str) -> ListenersGuard:
    """Return the app for invited listeners behind its guard.

    Args:
        judging: the tests.
        invitations: who may enter, with which token.
        host: the address and port of the server, as Host names them.
    """
    return ListenersGuard(make_routes(routes(Listeners(judging))), host, invitations.find)


def _invited(request: Request) -> Invited:
    found: Invited = request.state.invited
    return found
