"""Run the studio's server on this machine alone, and beside it the one for invited listeners, if one is wanted."""

import asyncio
import contextlib
import gc
import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from wavewright.errors import WavewrightError, printable
from wavewright.files import locked
from wavewright.studio.app import Studio, make_app
from wavewright.studio.folder import Folder
from wavewright.studio.listeners import make_listeners_app

ADDRESS = "127.0.0.1"
LISTENERS_PORT = 8738
MOST_FRAME = 1 << 16  # bytes of a message from the page
MOST_CONNECTIONS = 200  # of listeners
PATIENCE = 5  # seconds for replies that are on their way when the server stops


def serve(path: Path, port: int, listen: str | None, ready: Callable[[str, str | None], None]) -> None:
    """Serve a folder of work until Ctrl-C or SIGTERM. Trainings go on without the server.

    Args:
        path: the folder of work, made where it is not there.
        port: port of 127.0.0.1. 0 takes any free one.
        listen: ADDRESS or ADDRESS:PORT of this machine, where invited listeners reach blind tests.
        ready: is given the link by which the owner logs in, and the listeners' address, once the server answers.

    Raises:
        WavewrightError: the folder or a port is in use, the folder cannot be written, or the address is wrong.
    """
    folder = Folder(path)
    place = _place(listen) if listen is not None else None
    with locked(folder.path), _bound(ADDRESS, port, f"--port {port}") as own, contextlib.ExitStack() as more:
        token, number = secrets.token_urlsafe(32), own.getsockname()[1]
        studio, listeners = Studio(folder), None
        if place is not None:
            theirs = more.enter_context(_bound(*place, f"--listen {listen}"))
            host = _host(place[0], theirs.getsockname()[1])
            studio.invitations.base = f"http://{host}"
            app = make_listeners_app(studio.judging, studio.invitations, host)
            listeners = _Listeners(_config(app, http=_Few, ws="none", lifespan="off"), theirs)
        config = _config(make_app(studio, number, token), ws_max_size=MOST_FRAME, ws_per_message_deflate=False)
        link = f"http://{ADDRESS}:{number}/login?token={token}"
        _Server(config, listeners, lambda: ready(link, studio.invitations.base)).run(sockets=[own])


def _config(app: ASGIApp, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=PATIENCE,
        **more,
    )


class _Few(H11Protocol):
    """Connections of which the latest are cut off while there are too many, so that files stay for the owner's."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()


class _Listeners(uvicorn.Server):
    """A server that starts and ends with another one, which is who gets the signals."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket) -> None:
        super().__init__(config)
        self._bound = bound

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve([self._bound])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Server(uvicorn.Server):
    """A server that tells when it answers."""

    def __init__(self, config: uvicorn.Config, listeners: _Listeners | None, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._listeners, self._ready = listeners, ready
        self._beside: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # else each full collection looks at all that was imported, and stops the sound for 40 ms
            if self._listeners:
                self._beside = asyncio.create_task(self._listeners.serve())
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._listeners and self._beside:
            self._listeners.should_exit = True
            await self._beside
        await super().shutdown(sockets)


def _place(given: str) -> tuple[str, int]:
    """Return the address and the port of ADDRESS or ADDRESS:PORT, where an IPv6 address with a port is in brackets.

    Raises:
        WavewrightError: it is not one address of a machine.
    """
    address, port = given, str(LISTENERS_PORT)
    if given.startswith("[") or given.count(":") == 1:
        address, _, port = given.rpartition(":") if not given.endswith("]") else (given, "", port)
    try:
        found = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
        if found.is_unspecified or found.is_multicast or not (port.isascii() and port.isdecimal()):
            raise ValueError
    except ValueError:
        wanted = "give one address of this machine, such as 192.168.1.5 or 192.168.1.5:8738"
        raise WavewrightError(f"--listen {printable(given)[:60]}: {wanted}") from None
    return str(found), int(port)


def _host(address: str, port: int) -> str:
    """Return what browsers send as Host."""
    name = f"[{address}]" if ":" in address else address
    return name if port == 80 else f"{name}:{port}"


def _bound(address: str, port: int, option: str) -> socket.socket:
    """Return a socket at an address of this machine, where connections may wait.

    Raises:
        WavewrightError: the port is in use, or the address is not this machine's.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise WavewrightError(f"{option}: {reason}; give another one, or 0 for any port that is free") from None
    return listening
