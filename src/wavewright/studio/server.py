"""Run the studio's server on this machine alone."""

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from wavewright.errors import WavewrightError
from wavewright.files import locked
from wavewright.studio.app import Studio, make_app
from wavewright.studio.folder import Folder

ADDRESS = "127.0.0.1"
MOST_FRAME = 1 << 16  # bytes of a message from the page
PATIENCE = 5  # seconds for replies that are on their way when the server stops


def serve(path: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve a folder of work until Ctrl-C or SIGTERM. Trainings go on without the server.

    Args:
        path: the folder of work, made where it is not there.
        port: port of 127.0.0.1. 0 takes any free one.
        ready: is given the link by which the owner logs in, once the server answers.

    Raises:
        WavewrightError: the folder or the port is in use, or the folder cannot be written.
    """
    folder = Folder(path)
    with locked(folder.path), _bound(port) as listening:
        token, number = secrets.token_urlsafe(32), listening.getsockname()[1]
        config = uvicorn.Config(
            make_app(Studio(folder), number, token),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=MOST_FRAME,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=PATIENCE,
        )
        _Server(config, lambda: ready(f"http://{ADDRESS}:{number}/login?token={token}")).run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that tells when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _bound(port: int) -> socket.socket:
    """Return a socket of this machine alone.

    Raises:
        WavewrightError: the port is in use.
    """
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port))
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise WavewrightError(f"--port {port}: {reason}; give another one, or 0 for any that is free") from None
    return listening
