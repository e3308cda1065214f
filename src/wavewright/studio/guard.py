"""The guards before the apps: they answer or refuse every request and WebSocket before any route sees them.

Other web pages, other programs and other users of the machine can reach a server on 127.0.0.1. A guard lets in only
who knows a token, at the server's own address, from the server's own page or from a script.
"""

import abc
import asyncio
import hmac
from collections.abc import Collection
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1 << 20  # of a body that is no upload
MOST_UPLOAD = 2 << 30
MOST_STALL = 60.0  # seconds in which nothing of a body comes
SAFE = ("GET", "HEAD")
METHODS = (*SAFE, "POST", "PUT", "DELETE")
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'self'; object-src 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",  # these three let the page share memory with its audio thread
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
LOG_IN = "not logged in; open the link that `wavewright studio` printed, or give its token as a bearer token"


class Guard(abc.ABC):
    """An ASGI app before another one. What is common to all: who asks must name this server, and be its own page.

    Args:
        app: the app that is guarded.
        hosts: the values of Host that are the server's own.
    """

    known_from: str  # where the address of the page stands

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    @abc.abstractmethod
    async def _entry(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to who may not enter, or who logs in. None lets in."""

    @abc.abstractmethod
    def _limit(self, scope: Scope) -> int:
        """Return how many bytes a body may have."""

    def _may_be_linked(self, scope: Scope) -> bool:
        """Return whether links on other sites may lead here."""
        return False

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await self._refusal(scope, "GET", safe=False)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        accepted = False

        async def sent(message: Message) -> None:
            nonlocal accepted
            accepted |= message["type"] == "websocket.accept"
            if message["type"] == "websocket.close" and not accepted:
                await refuse(404, "path: no such WebSocket")(scope, receive, _with_headers(send))
            else:
                await send(message)

        await self.app(scope, receive, sent)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = _with_headers(send)
        method = scope["method"]
        refusal = await self._refusal(scope, method, method in SAFE)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        limit = self._limit(scope)
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            await refuse(413, _too_much(limit))(scope, receive, send)
        else:
            await self.app(scope, _counted(receive, limit), send)

    async def _refusal(self, scope: Scope, method: str, safe: bool) -> Response | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return refuse(421, f"Host: not this server's address; open the link {self.known_from}")
        if origins and origins != [f"http://{hosts[0]}"]:
            return refuse(403, f"Origin: another page; open the link {self.known_from}")
        sites = headers.getlist("sec-fetch-site")
        right = [["same-origin"], ["none"]] if safe else [["same-origin"]]
        if sites and sites not in right and not (scope["type"] == "http" and self._may_be_linked(scope)):
            return refuse(403, f"Sec-Fetch-Site: another page; open the link {self.known_from}")
        if method not in METHODS:
            return refuse(405, f"method: not allowed; there are {', '.join(METHODS)}")
        return await self._entry(scope, headers)


class OwnersGuard(Guard):
    """Lets in whoever knows the server's token, and turns the token of its link into a cookie.

    Args:
        app: the app that is guarded.
        port: port of the server, which Host and Origin must name.
        token: secret that whoever may enter knows.

    Attributes:
        cookie: name of the cookie that holds the token.
    """

    known_from = "that `wavewright studio` printed"

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        super().__init__(app, {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")})
        self._token = token.encode()
        self.cookie = f"wavewright-studio-{port}"  # cookies are shared by all ports of a host

    async def _entry(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["path"] == "/login" and scope["type"] == "http":
            return self._log_in(scope) if scope["method"] in SAFE else refuse(405, "method: not allowed; use GET")
        return None if self._may_enter(headers) else refuse(401, LOG_IN)

    def _limit(self, scope: Scope) -> int:
        return MOST_UPLOAD if (scope["method"], scope["path"]) == ("PUT", "/api/recordings") else MOST_BYTES

    def _log_in(self, scope: Scope) -> Response:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if len(given) != 1 or not self._is_token(given[0]):
            return refuse(401, "token: not this server's; open the link that `wavewright studio` printed last")
        reply = RedirectResponse("/", 303)  # which takes the token out of the address bar
        reply.set_cookie(self.cookie, self._token.decode(), httponly=True, samesite="strict", path="/")
        return reply

    def _may_enter(self, headers: Headers) -> bool:
        if "authorization" in headers:
            return self._is_token(bearer(headers) or "")
        return self._is_token(cookie_parser("; ".join(headers.getlist("cookie"))).get(self.cookie, ""))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token)


def bearer(headers: Headers) -> str | None:
    """Return the token that a request has as its one bearer token, if it has one."""
    given = headers.getlist("authorization")
    kind, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token if kind.lower() == "bearer" else None


def refuse(status: int, line: str) -> Response:
    """Return a refusal of one line."""
    return JSONResponse({"error": line}, status)


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sent


def _too_much(limit: int) -> str:
    return (
        f"body: more than {limit >> 20} MiB; send less"
        if limit >> 20
        else f"body: more than {limit >> 10} KiB; send less"
    )


def _counted(receive: Receive, limit: int) -> Receive:
    """Return a function that receives a body, and raises an HTTPException where it is too long or comes no further."""
    read, whole = 0, False

    async def received() -> Message:
        nonlocal read, whole
        try:
            async with asyncio.timeout(None if whole else MOST_STALL):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"body: nothing came for {MOST_STALL:g} s; send it again") from None
        whole = not message.get("more_body", False)
        read += len(message.get("body", b""))
        if read > limit:
            raise HTTPException(413, _too_much(limit))
        return message

    return received
