"""The guard before the app: it answers or refuses every request and WebSocket before any route sees them.

Other web pages, other programs and other users of the machine can reach a server on 127.0.0.1. The guard lets in only
who knows the token, at the server's own address, from the server's own page or from a script.
"""

import hmac
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1 << 20  # of a body that is no upload
MOST_UPLOAD = 2 << 30
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


class Guard:
    """An ASGI app before another one.

    Args:
        app: the app that is guarded.
        port: port of the server, which Host and Origin must name.
        token: secret that whoever may enter knows.

    Attributes:
        hosts: the values of Host that are the server's own.
        cookie: name of the cookie that holds the token.
    """

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self.app, self._token = app, token.encode()
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self.cookie = f"wavewright-studio-{port}"  # cookies are shared by all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope, "GET", safe=False)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        accepted = False

        async def sent(message: Message) -> None:
            nonlocal accepted
            accepted |= message["type"] == "websocket.accept"
            if message["type"] == "websocket.close" and not accepted:
                await _error(404, "path: no such WebSocket")(scope, receive, _with_headers(send))
            else:
                await send(message)

        await self.app(scope, receive, sent)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = _with_headers(send)
        method = scope["method"]
        refusal = self._refusal(scope, method, method in SAFE)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        limit = MOST_UPLOAD if (method, scope["path"]) == ("PUT", "/api/recordings") else MOST_BYTES
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            await _error(413, _too_much(limit))(scope, receive, send)
        else:
            await self.app(scope, _counted(receive, limit), send)

    def _refusal(self, scope: Scope, method: str, safe: bool) -> Response | None:
        """Return the answer to a request that may not enter, or to one that logs in."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return _error(421, "Host: not this server's address; open the link that `wavewright studio` printed")
        if origins and origins != [f"http://{hosts[0]}"]:
            return _error(403, "Origin: another page; open the studio's own")
        sites = headers.getlist("sec-fetch-site")
        if sites and sites not in ([["same-origin"], ["none"]] if safe else [["same-origin"]]):
            return _error(403, "Sec-Fetch-Site: another page; open the studio's own")
        if method not in METHODS:
            return _error(405, f"method: not allowed; there are {', '.join(METHODS)}")
        if scope["path"] == "/login" and scope["type"] == "http":
            return self._log_in(scope) if safe else _error(405, "method: not allowed; log in with GET")
        return None if self._may_enter(headers) else _error(401, LOG_IN)

    def _log_in(self, scope: Scope) -> Response:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if len(given) != 1 or not self._is_token(given[0]):
            return _error(401, "token: not this server's; open the link that `wavewright studio` printed last")
        reply = RedirectResponse("/", 303)  # which takes the token out of the address bar
        reply.set_cookie(self.cookie, self._token.decode(), httponly=True, samesite="strict", path="/")
        return reply

    def _may_enter(self, headers: Headers) -> bool:
        given = headers.getlist("authorization")
        if given:
            kind, _, token = given[0].partition(" ")
            return len(given) == 1 and kind.lower() == "bearer" and self._is_token(token)
        return self._is_token(cookie_parser("; ".join(headers.getlist("cookie"))).get(self.cookie, ""))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token)


def _error(status: int, line: str) -> Response:
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
    return f"body: more than {limit >> 20} MiB; send less"


def _counted(receive: Receive, limit: int) -> Receive:
    """Return a function that receives a body, and raises an HTTPException once it is longer than the limit."""
    read = 0

    async def received() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise HTTPException(413, _too_much(limit))
        return message

    return received
