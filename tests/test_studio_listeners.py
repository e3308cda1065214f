"""Listeners who were invited to a blind test: what their link opens, and what it never tells."""

import asyncio
import base64
import contextlib
import json
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import refusal
from support.studio import Server, serving, until, write_takes
from wavewright.studio.listeners import BURST, EACH_SECOND, ListenersGuard
from wavewright.studio.server import MOST_CONNECTIONS

MODELS = ("plain", "bold", "odd")
CLOSED = {"error": "invitation: unknown, withdrawn or over; ask whoever invited you for a new link"}


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("listeners") / "work"
    write_takes(folder / "takes", MODELS)
    with serving(folder, None, "--listen", "127.0.0.1:0") as running:
        yield running


@pytest.fixture
def client(owner: Server) -> Iterator[httpx.Client]:
    with owner.client() as one:
        yield one


@pytest.fixture
def test(client: httpx.Client) -> str:
    takes = [row["id"] for row in client.get("/api/takes").json()]
    asked = {"name": "evening", "method": "multi", "question": "How good?", "takes": takes}
    return str(client.post("/api/tests", json=asked).json()["id"])


def trials(guest: Server) -> list[dict[str, Any]]:
    with guest.client() as client:
        return list(client.get("/api/trials").json()["trials"])


def answer(guest: Server, trial: int, value: object, **more: object) -> httpx.Response:
    with guest.client() as client:
        return client.post("/api/answers", json={"trial": trial, "answer": value, **more})


def test_answers_of_invited_listeners_count_like_others(owner: Server, client: httpx.Client, test: str) -> None:
    given = {"Ann": [10, 20, 30], "Bo": [40, 50, 60]}
    for name, values in given.items():
        guest = owner.invited(test, name)
        for left, trial in zip((1, 0), trials(guest), strict=True):
            assert answer(guest, trial["trial"], values).json() == {"left": left}
    found = client.get(f"/api/tests/{test}/results").json()
    assert [(one["name"], one["answers"]) for one in found["listeners"]] == [("Ann", 2), ("Bo", 2)]
    assert sum(one["score"] for one in found["systems"]) == pytest.approx(3 * (20 + 50) / 2)
    rows = client.get(f"/api/tests/{test}/invitations").json()
    assert [(row["name"], row["answers"]) for row in rows] == [("Ann", 2), ("Bo", 2)]


def test_a_listener_learns_neither_names_of_models_nor_of_others(owner: Server, test: str) -> None:
    ann, bo = owner.invited(test, "Ann"), owner.invited(test, "Bo")
    for trial in trials(ann):
        assert answer(ann, trial["trial"], [1, 2, 3]).status_code == 200
    orders = []
    for guest, other in ((ann, "Bo"), (bo, "Ann")):
        with guest.client() as client:
            reply = client.get("/api/trials")
            stimuli = [stimulus["url"] for trial in reply.json()["trials"] for stimulus in trial["stimuli"]]
            sounds = [client.get(url) for url in stimuli]
            odd = ("1-0-0.wav", "0-0-0.wav", "0-9.wav", "99-0.wav", "0.wav", "0-0-0-0.wav", "-0-0.wav")
            assert {client.get(f"/api/stimuli/{name}").status_code for name in odd} == {404}
        orders.append([sound.content for sound in sounds])
        told = reply.text + "".join(f"{one.headers}{one.url}" for one in (reply, *sounds))
        assert not [name for name in (*MODELS, other, test) if name in told]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]  # each has an order of their own
    assert [trial["answered"] for trial in trials(bo)] == [False, False]  # whatever Ann did
    assert answer(bo, 0, [1, 2, 3], listener="Ann").status_code == 422
    assert answer(bo, 0, [1, 2, 3], test=test).status_code == 422


def test_a_link_ends_when_it_is_withdrawn_replaced_or_over(owner: Server, client: httpx.Client, test: str) -> None:
    ann, bo, cy = (owner.invited(test, name) for name in ("Ann", "Bo", "Cy"))
    first = trials(ann)[0]["trial"]
    answer(ann, first, [1, 2, 3])
    again = owner.invited(test, "Ann")
    assert next(trial for trial in trials(again) if trial["trial"] == first)["answered"]  # goes on where it was
    assert client.delete(f"/api/tests/{test}/invitations/1").status_code == 204
    assert client.delete(f"/api/tests/{test}/invitations/1").status_code == 404
    with sqlite3.connect(owner.folder / "studio.db") as database:
        database.execute("UPDATE invitations SET expires = 1 WHERE id = ?", (f"{test}-2",))
    unknown = replace(ann, token=ann.token[::-1])
    for guest in (ann, bo, cy, unknown):
        with guest.client() as asked:
            for reply in (asked.get("/api/trials"), asked.get("/api/stimuli/0-0.wav")):
                assert (reply.status_code, reply.json()) == (401, CLOSED)
        assert answer(guest, 0, [1, 2, 3]).json() == CLOSED
    assert len(trials(again)) == 2
    assert client.delete(f"/api/tests/{test}").status_code == 204
    with again.client() as asked:
        assert asked.get("/api/trials").json() == CLOSED


def test_a_link_is_long_and_kept_as_a_hash(owner: Server, test: str) -> None:
    tokens = [owner.invited(test, name).token for name in ("Ann", "Bo")]
    assert all(len(base64.urlsafe_b64decode(token + "==")) >= 16 for token in tokens)
    kept = b"".join(path.read_bytes() for path in owner.folder.glob("studio.db*"))
    assert test.encode() in kept
    assert not any(token.encode() in kept for token in tokens)


def test_who_cannot_be_invited_is_told(client: httpx.Client, test: str, tmp_path: Path) -> None:
    for name in ("", " Ann", "x" * 101, "Eve\u202e"):
        assert client.post(f"/api/tests/{test}/invitations", json={"listener": name}).status_code == 422
    missing = f"/api/tests/{'0' * 16}/invitations"
    assert client.post(missing, json={"listener": "Ann"}).status_code == 404
    assert client.get(missing).status_code == 404
    with serving(tmp_path / "work") as server, server.client() as alone:
        assert alone.get("/api/session").json()["listeners"] is None
        reply = alone.post(missing, json={"listener": "Ann"})
        assert reply.status_code == 409
        assert "start it with --listen ADDRESS" in reply.json()["error"]


def test_idle_connections_hold_up_neither_the_owner_nor_the_files(owner: Server, test: str) -> None:
    guest = owner.invited(test, "Ann")
    with contextlib.ExitStack() as idle:
        for _ in range(MOST_CONNECTIONS + 50):
            idle.enter_context(socket.create_connection(("127.0.0.1", guest.port)))
        with pytest.raises(httpx.TransportError):
            trials(guest)
        held = [*Path(f"/proc/{owner.process.pid}/fd").iterdir()]
        assert len(held) < MOST_CONNECTIONS + 50
        with owner.client() as client:
            assert client.get("/api/session").status_code == 200
    until(lambda: _answers(guest))


def _answers(guest: Server) -> bool:
    try:
        return len(trials(guest)) == 2
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("given", ["0.0.0.0", "192.168.1.5:", "127.0.0.1:70000", "192.0.2.1:0", "http://x"])
def test_an_address_that_is_none_is_refused(
    given: str, wavewright: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    line = refusal(wavewright("studio", tmp_path / "work", "--port", 0, "--no-browser", f"--listen={given}"))
    assert line.startswith(f"wavewright: --listen {given}: ")
    assert "give " in line


def test_an_address_asks_only_so_often() -> None:
    """Bursts are let through, then as many as the rate has. Other addresses are not held up."""
    clock = 0.0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = ListenersGuard(app, "x:1", lambda token: None, lambda: clock)

    async def ask(address: str, count: int) -> list[int]:
        transport = httpx.ASGITransport(app=guard, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://x:1") as client:
            replies = [await client.get("/") for _ in range(count)]
        assert all(json.loads(reply.text)["error"] for reply in replies if reply.status_code != 200)
        return [reply.status_code for reply in replies]

    async def look() -> None:
        nonlocal clock
        assert await ask("a", int(BURST) + 3) == [200] * int(BURST) + [429] * 3
        assert await ask("b", 1) == [200]
        clock += 1
        assert await ask("a", int(EACH_SECOND) + 1) == [200] * int(EACH_SECOND) + [429]
        clock += 1e6
        assert await ask("a", int(BURST) + 1) == [200] * int(BURST) + [429]
        for number in range(2000):  # a flood of addresses takes no memory
            await ask(f"c{number}", 1)
        assert len(guard._left) <= 1000

    asyncio.run(look())
