"""Bodies that stop coming, over sockets of this machine: their places are free again, and nothing of them stays."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from support.studio import WAITS, until
from wavewright.studio import guard
from wavewright.studio.app import Studio, make_app
from wavewright.studio.folder import Folder
from wavewright.studio.recordings import AT_ONCE

TOKEN = "secret"
ROUTES = ["PUT /api/recordings?name=a.wav", "PUT /api/scores?name=a.mid", "POST /api/runs", "POST /api/tests"]


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that waits for a body half a second only."""
    monkeypatch.setattr(guard, "MOST_STALL", 0.5)
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    app = make_app(Studio(Folder(tmp_path / "work")), port, TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    yield port
    server.should_exit = True
    thread.join(WAITS)


def stalled(port: int, line: str, begun: bytes = b"RIFF") -> socket.socket:
    """A connection that has sent the beginning of a body."""
    connection = socket.create_connection(("127.0.0.1", port), WAITS)
    head = [f"{line} HTTP/1.1", f"host: 127.0.0.1:{port}", f"authorization: Bearer {TOKEN}", "content-length: 100"]
    connection.sendall("\r\n".join([*head, "content-type: application/json", "", ""]).encode() + begun)
    return connection


def answer(connection: socket.socket) -> bytes:
    """All that the server says until it closes the connection."""
    said = b""
    while some := connection.recv(4096):
        said += some
    connection.close()
    return said


def test_uploads_that_stall_leave_their_places_and_no_parts(port: int, tmp_path: Path) -> None:
    recordings = tmp_path / "work" / "recordings"
    connections = [stalled(port, ROUTES[0]) for _ in range(AT_ONCE)]
    until(lambda: len([*recordings.glob("*/*.part")]) == AT_ONCE)
    for connection in connections:
        said = answer(connection)
        assert said.startswith(b"HTTP/1.1 408")
        assert b'{"error":"PUT /api/recordings: body: nothing came for 0.5 s; send it again"}' in said
    assert [*recordings.iterdir()] == []
    headers = {"authorization": f"Bearer {TOKEN}"}
    reply = httpx.put(f"http://127.0.0.1:{port}/api/recordings?name=b.wav", content=b"RIFF", headers=headers)
    assert reply.status_code == 201


@pytest.mark.parametrize("line", ROUTES)
@pytest.mark.parametrize("begun", [b"", b"{"])
def test_a_body_that_stalls_is_given_up_on_every_route(line: str, begun: bytes, port: int) -> None:
    assert answer(stalled(port, line, begun)).startswith(b"HTTP/1.1 408")


def test_a_body_that_comes_slowly_is_waited_for(port: int) -> None:
    connection = stalled(port, ROUTES[2], b"{")
    for _ in range(9):
        threading.Event().wait(0.1)
        connection.sendall(b" " * 11)
    assert b" 422 " in connection.recv(4096)
    connection.close()
