"""The guard of the studio's server: what every route of the app answers to whom it should not let in."""

import base64
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import WebSocketRoute

from support.studio import Server, serving
from wavewright.studio.app import Studio, make_app
from wavewright.studio.folder import Folder
from wavewright.studio.guard import HEADERS, MOST_BYTES

Header = tuple[str, str]
UPGRADE: list[Header] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", base64.b64encode(bytes(16)).decode()),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("studio") / "work") as running:
        yield running


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Every route of the app, as the app itself has them: method and path. A WebSocket is a GET that upgrades."""
    app = make_app(Studio(Folder(tmp_path_factory.mktemp("table"))), 1, "token").app
    routes = [
        ("WS" if isinstance(route, WebSocketRoute) else method, route.path)
        for route in app.routes  # type: ignore[attr-defined]
        for method in (getattr(route, "methods", None) or ["GET"])
    ]
    assert len(routes) == len(set(routes)) > 25
    assert {method for method, _ in routes} == {"GET", "PUT", "POST", "DELETE", "WS"}
    return routes


def filled(path: str, value: str = "0" * 16) -> str:
    """The path of a route with its parameters filled in."""
    for name in ("{id}", "{step}", "{name}", "{name:path}"):
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


def test_every_route_refuses_every_other_host(server: Server, table: list[tuple[str, str]]) -> None:
    port = server.port
    others = ["evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", f"127.0.0.1:{port}.evil"]
    others += [f"0.0.0.0:{port}", f"127.0.0.2:{port}", f"LOCALHOST:{port}", f"127.0.0.1:0{port}", "", f"[::]:{port}"]
    for (method, path), host in itertools.product(table, others):
        found = status(server, method, filled(path), [("host", host)], host=False)
        assert found == 421 or (host == "" and found == 400), (method, path, host, found)
    for method, path in table:
        assert status(server, method, filled(path), [], host=False) in (400, 421)
        assert status(server, method, filled(path), [("host", f"127.0.0.1:{port}")]) in (400, 421)


def test_every_route_refuses_every_other_page(server: Server, table: list[tuple[str, str]]) -> None:
    port = server.port
    origins = ["null", "", "http://evil.example", f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"]
    origins += [f"http://localhost:{port}", f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}.evil", "file://"]
    headers = [("origin", origin) for origin in origins]
    headers += [("sec-fetch-site", site) for site in ("cross-site", "same-site", "x")]
    for (method, path), header in itertools.product(table, headers):
        assert status(server, method, filled(path), [header]) == 403, (method, path, header)
    for method, path in table:
        own = [("origin", f"http://127.0.0.1:{port}")]
        assert status(server, method, filled(path), [*own, ("sec-fetch-site", "cross-site")]) == 403
        assert status(server, method, filled(path), [*own, *own]) in (400, 403)  # the former is of a WebSocket
        typed = status(server, method, filled(path), [("sec-fetch-site", "none")])
        assert (typed == 403) == (method != "GET"), (method, path)


def test_every_route_refuses_whoever_lacks_the_token(server: Server, table: list[tuple[str, str]]) -> None:
    token = server.token
    wrong: list[list[Header]] = [[]]
    wrong += [[("authorization", value)] for value in ("", "Bearer", "Bearer ", f"Basic {token}", token)]
    wrong += [[("authorization", f"Bearer {value}")] for value in (token[:-1], f"{token}x", token.swapcase(), "é")]
    wrong += [[("authorization", f"Bearer {token}"), ("authorization", "Bearer x")]]
    wrong += [[("cookie", f"wavewright-studio-{server.port + 1}={token}")], [("cookie", f"token={token}")]]
    wrong += [[("cookie", f"wavewright-studio-{server.port}={token[1:]}")], [("cookie", "é=;;=")]]
    for (method, path), headers in itertools.product(table, wrong):
        assert status(server, method, filled(path), headers, bearer=False) == 401, (method, path, headers)
        assert status(server, method, f"{filled(path)}?token={token}", headers, bearer=False) == 401


def test_every_route_refuses_other_methods(server: Server, table: list[tuple[str, str]]) -> None:
    there = {path: {method for method, other in table if other == path} for _, path in table}
    for path, methods in there.items():
        for method in ("OPTIONS", "TRACE", "PATCH", "PROPFIND", "HEAD", "GET", "POST", "PUT", "DELETE"):
            found = status(server, method, filled(path), [])
            if method not in methods:
                assert found in (404, 405), (method, path, found)
            else:
                assert found not in (405, 500), (method, path, found)


def test_no_path_leads_anywhere_else(server: Server, table: list[tuple[str, str]]) -> None:
    odd = ["..", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "....//x", "%00", "x%00.wav", "%ff", "%5c..%5capp.py"]
    odd += ["/etc/passwd", "%2fetc%2fpasswd", "x" * 5000, "'; DROP TABLE recordings; --".replace(" ", "%20"), "1.wav"]
    odd += ["<script>", "%E2%80%AE", "studio.db", "-1", "99999999999999999999.wav", "%C2%B2.wav"]
    for (method, path), value in itertools.product(table, odd):
        if "{" in path:
            found = status(server, method, filled(path, value), [])
            assert found in (400, 404, 405, 422), (method, path, value, found)
    for path in ("//", "/./", "/api", "/api/", "/docs", "/redoc", "/openapi.json", "/static/index.html", "/index.html"):
        assert status(server, "GET", path, []) == 404, path


def test_every_route_refuses_bad_bodies(server: Server, table: list[tuple[str, str]]) -> None:
    before = tree(server.folder)
    json = ("content-type", "application/json")
    bodies = [b"{", b"[]", b"null", b"1", b'"x"', b"\xff", b'{"name":', b"[" * 100_000, b'{"nothing": 1}']
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
            assert found == (404 if path.endswith("/stop") else 413)  # which reads no body
    assert status(server, "PUT", "/api/recordings?name=x.wav", [("content-length", str((2 << 30) + 1))]) == 413
    assert tree(server.folder) == before


def test_the_link_becomes_a_cookie_that_lets_in(server: Server) -> None:
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


def test_sockets_open_to_the_owner(server: Server, table: list[tuple[str, str]]) -> None:
    sockets = [path for method, path in table if method == "WS"]
    assert sockets == ["/ws/events", "/ws/play"]
    for path in sockets:
        own = [("origin", f"http://127.0.0.1:{server.port}"), ("sec-fetch-site", "same-origin")]
        assert status(server, "WS", path, own) == 101
        assert status(server, "WS", path, [("sec-fetch-site", "none")]) == 403
    assert status(server, "WS", "/ws/nothing", []) == 404
    assert status(server, "WS", "/login", [], bearer=False) == 401


def test_the_server_listens_to_this_computer_alone(server: Server) -> None:
    inodes = {os.readlink(link) for link in Path(f"/proc/{server.process.pid}/fd").iterdir() if os.path.lexists(link)}
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    listening = [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in inodes]
    assert listening == [f"0100007F:{server.port:04X}"]
