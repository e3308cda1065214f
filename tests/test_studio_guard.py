"""The guards of the studio's servers: what every route of both apps answers to whom it should not let in."""

import base64
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.routing import WebSocketRoute

from support.studio import Server, serving, write_takes
from wavewright.studio.app import Studio, make_app
from wavewright.studio.folder import Folder
from wavewright.studio.guard import HEADERS, MOST_BYTES
from wavewright.studio.listeners import make_listeners_app

Header = tuple[str, str]
NUMBERS = itertools.count(2)
UPGRADE: list[Header] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", base64.b64encode(bytes(16)).decode()),
]


Table = list[tuple[str, str]]
APPS = ("owner", "listeners")


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio") / "work"
    write_takes(folder / "takes")
    with serving(folder, None, "--listen", "127.0.0.1:0") as running:
        yield running


@pytest.fixture(scope="module")
def test_id(owner: Server) -> str:
    with owner.client() as client:
        takes = [row["id"] for row in client.get("/api/takes").json()]
        asked = {"name": "x", "method": "ab", "question": "Which?", "takes": takes}
        return str(client.post("/api/tests", json=asked).json()["id"])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """Every route of each app, as the app itself has them: method and path. A WebSocket is a GET that upgrades."""
    studio = Studio(Folder(tmp_path_factory.mktemp("table")))
    guards = make_app(studio, 1, "token"), make_listeners_app(studio.judging, studio.invitations, "x:1")
    tables = {
        name: [
            ("WS" if isinstance(route, WebSocketRoute) else method, route.path)
            for route in guard.app.routes  # type: ignore[attr-defined]
            for method in (getattr(route, "methods", None) or ["GET"])
        ]
        for name, guard in zip(APPS, guards, strict=True)
    }
    assert all(len(table) == len(set(table)) for table in tables.values())
    assert len(tables["owner"]) > 25
    assert {method for method, _ in tables["owner"]} == {"GET", "PUT", "POST", "DELETE", "WS"}
    return tables


@pytest.fixture(params=APPS)
def app(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(app: str, owner: Server, test_id: str) -> Server:
    """The owner's server, or that of a listener who is invited, at an address of its own for the limit of its rate."""
    if app == "owner":
        return owner
    number = next(NUMBERS)
    return replace(owner.invited(test_id, f"Ann {number}"), source=f"127.0.0.{number}")


@pytest.fixture
def table(app: str, tables: dict[str, Table]) -> Table:
    return tables[app]


def filled(path: str, value: str = "0" * 16) -> str:
    """The path of a route with its parameters filled in."""
    for name in ("{id}", "{step}", "{name}", "{name:path}", "{listener}"):
        path = path.replace(name, value)
    assert "{" not in path
    return path


def status(server: Server, method: str, path: str, headers: list[Header], body: bytes = b"", **options: bool) -> int:
    """The status of a reply. Each refusal is one line of JSON, and has the headers that every reply has."""
    more = UPGRADE if method == "WS" else []
    found, got, content = server.ask("GET" if method == "WS" else method, path, [*more, *headers], body, **options)
    if found not in (400, 101):  # 400 is uvicorn's own, to what is no HTTP
        assert HEADERS.items() <= got.items(), (method, path, got)
    assert not any(name.startswith("access-control") for name in got)
    assert "server" not in got
    if found >= 401 and method != "HEAD":
        assert content.startswith(b'{"error":"'), (method, path, content)
        assert b"Traceback" not in content
        assert b"\n" not in content
    return found


def tree(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.name not in ("studio.db-wal", "studio.db-shm", "studio.db")}


def test_every_route_refuses_every_other_host(server: Server, table: Table) -> None:
    port = server.port
    others = ["evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"127.0.0.1:{port}.evil"]
    others += [f"0.0.0.0:{port}", f"127.0.0.2:{port}", f"LOCALHOST:{port}", f"127.0.0.1:0{port}", "", f"[::]:{port}"]
    for (method, path), host in itertools.product(table, others):
        found = status(server, method, filled(path), [("host", host)], host=False)
        assert found == 421 or (host == "" and found == 400), (method, path, host, found)
    for method, path in table:
        assert status(server, method, filled(path), [], host=False) in (400, 421)
        assert status(server, method, filled(path), [("host", f"127.0.0.1:{port}")]) in (400, 421)


def test_every_route_refuses_every_other_page(app: str, server: Server, table: Table) -> None:
    port = server.port
    origins = ["null", "", "http://evil.example", f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"]
    origins += [f"http://localhost:{port}", f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}.evil", "file://"]
    headers = [("origin", origin) for origin in origins]
    headers += [("sec-fetch-site", site) for site in ("cross-site", "same-site", "x")]
    for (method, path), header in itertools.product(table, headers):
        if (app, path, header[0]) == ("listeners", "/", "sec-fetch-site"):
            continue  # an invitation is a link
        assert status(server, method, filled(path), [header]) == 403, (method, path, header)
    for method, path in table:
        own = [("origin", f"http://127.0.0.1:{port}")]
        if (app, path) != ("listeners", "/"):
            assert status(server, method, filled(path), [*own, ("sec-fetch-site", "cross-site")]) == 403
        assert status(server, method, filled(path), [*own, *own]) in (400, 403)  # the former is of a WebSocket
        typed = status(server, method, filled(path), [("sec-fetch-site", "none")])
        assert (typed == 403) == (method != "GET"), (method, path)


def test_a_link_elsewhere_leads_listeners_to_the_page_alone(
    owner: Server, tables: dict[str, Table], test_id: str
) -> None:
    elsewhere = [("sec-fetch-site", "cross-site")]
    assert status(owner, "GET", "/", elsewhere) == 403
    invited = owner.invited(test_id, "Bo")
    found = {filled(path): status(invited, method, filled(path), elsewhere) for method, path in tables["listeners"]}
    assert {path for path, one in found.items() if one != 403} == {"/"}


def test_every_route_refuses_whoever_lacks_the_token(app: str, owner: Server, server: Server, table: Table) -> None:
    token = server.token
    wrong: list[list[Header]] = [[]]
    wrong += [[("authorization", value)] for value in ("", "Bearer", "Bearer ", f"Basic {token}", token)]
    wrong += [[("authorization", f"Bearer {value}")] for value in (token[:-1], f"{token}x", token.swapcase(), "é")]
    wrong += [[("authorization", f"Bearer {token}"), ("authorization", "Bearer x")]]
    wrong += [[("cookie", f"wavewright-studio-{server.port + 1}={token}")], [("cookie", f"token={token}")]]
    wrong += [[("cookie", f"wavewright-studio-{server.port}={token[1:]}")], [("cookie", "é=;;=")]]
    if app == "listeners":  # whose page is open to all, and knows no cookies, the owner's neither
        table = [route for route in table if route[1].startswith("/api/")]
        wrong += [[("cookie", f"wavewright-studio-{port}={token}")] for port in (server.port, owner.port)]
        wrong += [[("authorization", f"Bearer {owner.token}")]]
    for (method, path), headers in itertools.product(table, wrong):
        assert status(server, method, filled(path), headers, bearer=False) == 401, (method, path, headers)
        assert status(server, method, f"{filled(path)}?token={token}", headers, bearer=False) == 401


def test_every_route_refuses_other_methods(server: Server, table: Table) -> None:
    there = {path: {method for method, other in table if other == path} for _, path in table}
    for path, methods in there.items():
        for method in ("OPTIONS", "TRACE", "PATCH", "PROPFIND", "HEAD", "GET", "POST", "PUT", "DELETE"):
            found = status(server, method, filled(path), [])
            if method not in methods:
                assert found in (404, 405), (method, path, found)
            else:
                assert found not in (405, 500), (method, path, found)


def test_no_path_leads_anywhere_else(server: Server, table: Table) -> None:
    odd = ["..", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "....//x", "%00", "x%00.wav", "%ff", "%5c..%5capp.py"]
    odd += ["/etc/passwd", "%2fetc%2fpasswd", "x" * 5000, "'; DROP TABLE recordings; --".replace(" ", "%20"), "1.wav"]
    odd += ["<script>", "%E2%80%AE", "studio.db", "-1", "99999999999999999999.wav", "%C2%B2.wav"]
    for (method, path), value in itertools.product(table, odd):
        if "{" in path:
            found = status(server, method, filled(path, value), [])
            assert found in (400, 404, 405, 422), (method, path, value, found)
    for path in ("//", "/./", "/api", "/api/", "/docs", "/redoc", "/openapi.json", "/static/index.html", "/index.html"):
        assert status(server, "GET", path, []) == 404, path


def test_every_route_refuses_bad_bodies(app: str, server: Server, table: Table) -> None:
    before = tree(server.folder)
    json = ("content-type", "application/json")
    bodies = [b"{", b"[]", b"null", b"1", b'"x"', b"\xff", b'{"name":', b"[" * 10_000, b'{"nothing": 1}']
    bodies += [b'{"name": {}, "minutes": 1e999}', b'{"name": "../x", "recordings": [1], "corpus": 1}']
    big = b'"' + b"x" * MOST_BYTES
    for method, path in table:
        if method == "WS":
            continue
        for body in bodies if method == "POST" else ():
            found = status(server, method, filled(path), [json], body)
            assert found in (400, 404, 409, 422), (method, path, body[:20], found)
        if (method, path) != ("PUT", "/api/recordings"):
            assert status(server, method, filled(path), [json], big) == 413, (method, path)
        for length in ("-1", "x", "1e3", str(1 << 62), "\xb2"):
            assert status(server, method, filled(path), [json, ("content-length", length)]) in (400, 413)
        if method == "POST":
            assert status(server, method, filled(path), [("content-type", "text/plain")], b"{}") in (404, 422)
            chunks = b"%x\r\n%s\r\n" % (len(big), big) + b"0\r\n\r\n"
            found = status(server, method, filled(path), [json, ("transfer-encoding", "chunked")], chunks)
            assert found == (404 if path.endswith(("/page", "/stop")) else 413)  # which read no body
    if app == "owner":
        assert status(server, "PUT", "/api/recordings?name=x.wav", [("content-length", str((2 << 30) + 1))]) == 413
    else:
        assert status(server, "POST", "/api/answers", [json], b'"' + b"x" * (1 << 14)) == 413
    assert tree(server.folder) == before


def test_the_link_becomes_a_cookie_that_lets_in(owner: Server) -> None:
    server = owner
    found, headers, _ = server.ask("GET", f"/login?token={server.token}", bearer=False)
    assert (found, headers["location"]) == (303, "/")
    cookie, *flags = headers["set-cookie"].split("; ")
    assert cookie == f"wavewright-studio-{server.port}={server.token}"
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(flags)
    other = ("cookie", f"theirs=1; {cookie}; more={server.token}")
    assert status(server, "GET", "/api/session", [other], bearer=False) == 200
    own = [other, ("origin", f"http://127.0.0.1:{server.port}"), ("sec-fetch-site", "same-origin")]
    assert status(server, "DELETE", f"/api/takes/{'0' * 16}", own, bearer=False) == 404
    for host in (f"localhost:{server.port}", f"[::1]:{server.port}"):
        assert status(server, "GET", "/", [("host", host), other], bearer=False, host=False) == 200
    for query in ("", "?token=", "?token=x", f"?token={server.token}&token={server.token}", f"?token={server.token}x"):
        assert status(server, "GET", f"/login{query}", [], bearer=False) == 401
    for method in ("POST", "PUT", "DELETE"):
        assert status(server, method, f"/login?token={server.token}", [], bearer=False) == 405


def test_sockets_open_to_the_owner(owner: Server, tables: dict[str, Table]) -> None:
    server = owner
    sockets = [path for method, path in tables["owner"] if method == "WS"]
    assert sockets == ["/ws/events", "/ws/play"]
    for path in sockets:
        own = [("origin", f"http://127.0.0.1:{server.port}"), ("sec-fetch-site", "same-origin")]
        assert status(server, "WS", path, own) == 101
        assert status(server, "WS", path, [("sec-fetch-site", "none")]) == 403
    assert status(server, "WS", "/ws/nothing", []) == 404
    assert status(server, "WS", "/login", [], bearer=False) == 401


def test_listeners_find_no_route_of_the_owners(owner: Server, tables: dict[str, Table], test_id: str) -> None:
    """With an invitation, with the owner's token, and with both ids and made-up ones in the paths."""
    invited = replace(owner.invited(test_id, "Cy"), source=f"127.0.0.{next(NUMBERS)}")
    theirs = set(tables["listeners"])
    assert theirs & set(tables["owner"]) == {("GET", "/"), ("GET", "/assets/{name:path}")}
    for method, path in set(tables["owner"]) - theirs:
        for value in ("0" * 16, test_id):
            found = status(invited, method, filled(path, value), [])
            assert found in (404, 405), (method, path, found)
    for method, path in (("GET", "/login"), ("GET", f"/login?token={owner.token}"), ("GET", "/player/player.js")):
        found, headers, _ = invited.ask(method, path)
        assert found == 404
        assert "set-cookie" not in headers


def test_the_server_listens_to_this_computer_alone(tmp_path: Path) -> None:
    with serving(tmp_path / "work") as server:
        assert listening(server) == [f"0100007F:{server.port:04X}"]


def test_listeners_are_heard_at_the_one_address_that_was_given(tmp_path: Path) -> None:
    with serving(tmp_path / "work", None, "--listen", "127.0.0.7:0") as server:
        with server.client() as client:
            base = client.get("/api/session").json()["listeners"]
            assert not client.get("/api/tests").json()
        port = int(base.removeprefix("http://127.0.0.7:"))
        assert sorted(listening(server)) == sorted([f"0100007F:{server.port:04X}", f"0700007F:{port:04X}"])
        assert httpx.get(base).status_code == 200
        assert httpx.get(base, headers={"host": f"127.0.0.1:{port}"}).status_code == 421
        assert server.stop() == 143


def listening(server: Server) -> list[str]:
    """The addresses at which a server's process listens, as Linux writes them."""
    inodes = {os.readlink(link) for link in Path(f"/proc/{server.process.pid}/fd").iterdir() if os.path.lexists(link)}
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in inodes]
