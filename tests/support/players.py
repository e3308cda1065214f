"""How tests play over the studio's WebSocket, as its page does."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from support.studio import WAITS, Server, told, until

BLOCK = 147  # samples of the piano's 14,700 Hz in 10 ms


def player(server: Server) -> Iterator[ClientConnection]:
    """A player, once the one before has gone: a machine of two processors lets one play."""
    with contextlib.ExitStack() as stack:

        def opened() -> ClientConnection | None:
            connection = stack.enter_context(server.socket("/ws/play"))
            try:
                send(connection, type="nothing")
                return connection if "type: nothing" in json.loads(connection.recv(WAITS))["message"] else None
            except ConnectionClosed:
                return None

        yield until(opened)


def models(server: Server) -> dict[str, dict[str, Any]]:
    """The rows of the models by their names."""
    with server.client() as client:
        return {row["name"]: row for row in client.get("/api/models").json()}


def send(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def begin(server: Server, socket: ClientConnection, name: str = "piano", seed: int = 3, **more: Any) -> dict[str, Any]:
    """Open a model by its name, and return what is told of it."""
    send(socket, type="open", model=models(server)[name]["id"], seed=seed, **more)
    return told(socket, "ready")


def sound(socket: ClientConnection, blocks: int, block: int = BLOCK) -> NDArray[np.float32]:
    """Grant so many blocks, and return their sound."""
    send(socket, type="credit", samples=blocks * block)
    frames = [np.frombuffer(frame(socket), "<f4") for _ in range(blocks)]
    assert {len(one) for one in frames} == {block}
    return np.concatenate(frames)


def frame(socket: ClientConnection) -> bytes:
    """The next block of sound. Only how busy the player is, and how a score goes on, may be told before it."""
    while isinstance(received := socket.recv(WAITS), str):
        assert json.loads(received)["type"] in ("load", "score"), received
    return received


def rest() -> None:
    """Wait until the server takes what was played for past, so that no clock decides where it takes effect."""
    time.sleep(0.3)
