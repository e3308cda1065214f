"""A studio's server in a process of its own, and how tests speak to it."""

import contextlib
import http.client
import itertools
import json
import resource
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from websockets.sync.client import ClientConnection, connect

WAITS = 120  # seconds, since machines are shared


@dataclass
class Server:
    """A server that runs, with the token that lets in."""

    process: subprocess.Popen[str]
    port: int
    token: str
    folder: Path
    source: str = "127.0.0.1"  # from where is asked

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base, headers=self.bearer, timeout=WAITS)

    def socket(self, path: str) -> connect:
        """A WebSocket, as a context manager."""
        return connect(f"ws://127.0.0.1:{self.port}{path}", additional_headers=self.bearer, open_timeout=WAITS)

    def invited(self, test: str, name: str) -> "Server":
        """The server of invited listeners, with the token of a new invitation in place of the owner's."""
        with self.client() as client:
            reply = client.post(f"/api/tests/{test}/invitations", json={"listener": name})
        assert reply.status_code == 201, reply.text
        base, _, token = reply.json()["link"].partition("/#")
        return replace(self, port=int(base.rpartition(":")[2]), token=token)

    @contextlib.contextmanager
    def full_disk(self, most: int) -> Iterator[None]:
        """Let no file of the server grow beyond `most` bytes meanwhile, as on a disk that is full."""
        before = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        yield
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, before)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAITS)

    def ask(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        host: bool = True,
        bearer: bool = True,
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request just as it is given, and return the reply's status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, WAITS, (self.source, 0))
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        given = [*headers, *([("host", f"127.0.0.1:{self.port}")] if host else [])]
        given += [*self.bearer.items()] if bearer else []
        if body and not {"content-length", "transfer-encoding"} & {name for name, _ in given}:
            given.append(("content-length", str(len(body))))
        for name, value in given:
            connection.putheader(name, value)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was read
            connection.endheaders(body or None)
        reply = connection.getresponse()
        found = reply.status, {name.lower(): value for name, value in reply.getheaders()}
        content = b"" if reply.status == 101 else reply.read()
        connection.close()
        return *found, content


@contextlib.contextmanager
def serving(folder: Path, log: Path | None = None, *options: str) -> Iterator[Server]:
    """Run `wavewright studio` on `folder` at a free port."""
    command = [sys.executable, "-m", "wavewright", "studio", str(folder), "--port", "0", "--no-browser", *options]
    with (log or folder.with_suffix(".log")).open("ab") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "/login?token=" in line, line
        base, _, token = line.split()[-1].partition("/login?token=")
        yield Server(process, int(base.rpartition(":")[2]), token, folder)
    finally:
        process.kill()
        process.wait()


def write_takes(folder: Path, models: Sequence[str] = ("plain", "bold"), each: int = 2) -> None:
    """Write takes of some models, a tone each, with the model's place in its pitch."""
    folder.mkdir(parents=True)
    for (place, model), number in itertools.product(enumerate(models), range(each)):
        samples = np.rint(8000 * np.sin(2 * np.pi * (300 + 100 * place + 10 * number) * np.arange(4000) / 8000))
        with wave.open(str(folder / f"{place}-{number}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
        (folder / f"{place}-{number}.json").write_text(json.dumps({"model": model, "seed": number, "made": number}))


def until(done: Callable[[], Any]) -> Any:
    """Wait until `done` returns something true, and return that."""
    over = time.monotonic() + WAITS
    while not (found := done()):
        assert time.monotonic() < over, "waited in vain"
        time.sleep(0.05)
    return found


def told(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind. Sound and other messages before it are dropped."""
    while True:
        frame = socket.recv(WAITS)
        if isinstance(frame, str) and (message := json.loads(frame))["type"] == kind:
            return dict(message)
