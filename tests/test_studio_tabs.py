"""Pages that are two, that sleep or that stall: what they hold up, and how they catch up."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.exceptions import ConnectionClosed

from support.browser import chromium
from support.studio import Server, serving, told, until
from wavewright.studio.events import WAITING, Events
from wavewright.studio.trainings import Trainings

SLOW = 30_000  # ms


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "work") as one:
        yield one


class NoTrainings:
    def tick(self) -> None: ...

    def active(self) -> list[Any]:
        return []


def test_a_page_that_reads_nothing_is_cut_off_and_takes_no_more_memory() -> None:
    async def drill() -> None:
        events = Events()
        watch = asyncio.create_task(events.watch(cast(Trainings, NoTrainings()), dict))
        await asyncio.sleep(0)
        with events.page() as stalled, events.page() as awake:
            for _ in range(3 * WAITING):
                events.changed("runs")
                assert await awake.get() == {"type": "changed", "what": "runs"}
            found = [stalled.get_nowait() for _ in range(stalled.qsize())]
        assert found == [{"type": "changed", "what": "runs"}] * WAITING + [None]
        watch.cancel()

    asyncio.run(drill())


@pytest.mark.slow
def test_players_that_stall_for_a_minute_give_their_places_back(server: Server) -> None:
    """Their sockets stay open, but they neither read nor answer pings."""
    head = f"GET /ws/play HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\nauthorization: Bearer {server.token}\r\n"
    head += "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    head += "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    with contextlib.ExitStack() as stalled:
        for _ in range(max(1, (os.cpu_count() or 1) - 1)):
            connection = stalled.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(head.encode())
            assert connection.recv(12) == b"HTTP/1.1 101"
        assert not plays(server)
        until(lambda: plays(server))


def plays(server: Server) -> bool:
    """Whether one more player has a place."""
    with server.socket("/ws/play") as player, contextlib.suppress(ConnectionClosed):
        player.send('{"type": "nothing"}')
        return "type: nothing" in told(player, "error")["message"]
    return False


@pytest.mark.slow
def test_a_second_tab_and_one_that_slept_show_what_happened_meanwhile(browser: Any, server: Server) -> None:
    from playwright.sync_api import expect

    context = browser.new_context()
    awake, asleep = context.new_page(), context.new_page()
    said: list[str] = []
    for page in (awake, asleep):
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{server.base}/login?token={server.token}")
        expect(page.get_by_text("Drop sounds")).to_be_visible(timeout=SLOW)
    devtools = context.new_cdp_session(asleep)
    devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    with server.client() as client:
        sent = [
            client.put("/api/recordings", params={"name": f"lonely {number}.mid"}, content=b"x") for number in range(3)
        ]
    ids = [reply.json()["id"] for reply in sent]
    for number in range(3):
        expect(awake.get_by_text(f"lonely {number}.mid")).to_be_visible(timeout=SLOW)
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    for number in range(3):
        expect(asleep.get_by_text(f"lonely {number}.mid")).to_be_visible(timeout=SLOW)
    with server.client() as client:
        client.delete(f"/api/recordings/{ids[0]}")
    for page in (awake, asleep):
        expect(page.get_by_text("lonely 0.mid")).to_have_count(0, timeout=SLOW)
    context.close()
    assert not said
