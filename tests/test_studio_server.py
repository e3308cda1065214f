"""The studio's server as a whole: how it starts and stops, what it serves, and what it never imports."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from conftest import refusal
from support.studio import Server, serving
from wavewright.studio.folder import Folder

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_second_server_and_a_port_in_use_are_refused_in_a_line(
    server: Server, wavewright: Command, tmp_path: Path
) -> None:
    line = refusal(wavewright("studio", server.folder, "--port", 0, "--no-browser"))
    assert (
        line
        == f"wavewright: {server.folder}: in use by another wavewright process; wait for it or choose another folder"
    )
    line = refusal(wavewright("studio", tmp_path / "other", "--port", server.port, "--no-browser"))
    assert line.startswith(f"wavewright: --port {server.port}: Address already in use; give another one")
    for port in (-1, 65536):
        assert f"--port {port}" in refusal(wavewright("studio", tmp_path / "other", "--port", port, "--no-browser"))
    (tmp_path / "file").touch()
    assert "is a file, not a folder" in refusal(wavewright("studio", tmp_path / "file", "--no-browser"))


def test_a_strange_database_is_refused_in_a_line(wavewright: Command, tmp_path: Path) -> None:
    database = tmp_path / "work" / "studio.db"
    database.parent.mkdir()
    database.write_bytes(b"no database" * 100)
    line = refusal(wavewright("studio", tmp_path / "work", "--port", 0, "--no-browser"))
    assert line.startswith(f"wavewright: {database}: file is not a database")
    database.unlink()
    newer = sqlite3.connect(database)
    newer.execute("PRAGMA user_version=99")
    newer.close()
    line = refusal(wavewright("studio", tmp_path / "work", "--port", 0, "--no-browser"))
    assert line.startswith(f"wavewright: {database}: of a newer wavewright")


def test_the_server_never_imports_torch(run: Path, tmp_path: Path) -> None:
    """Not when it lists runs with checkpoints and models, nor when it plays."""
    Folder(tmp_path / "work")
    shutil.copytree(run, tmp_path / "work" / "runs" / "mine")
    code = f"""if True:
        import sys
        from pathlib import Path
        sys.modules["torch"] = None
        from wavewright.studio.app import Studio, make_app
        from wavewright.studio.folder import Folder
        studio = Studio(Folder(Path({str(tmp_path / "work")!r})))
        make_app(studio, 1, "token")
        (row,) = studio.trainings.rows()
        assert row["state"] in ("finished", "stopped"), row
        assert row["step"] == 16
        assert {{row["source"] for row in studio.shelf.rows()}} == {{"package", "run"}}
        piano = next(row["id"] for row in studio.shelf.rows() if row["name"] == "piano")
        assert len(studio.shelf.open(piano, print).instrument().generate(100)) == 100
        studio._signs()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_is_a_fixed_table_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wavewright.studio import app
    from wavewright.studio import page as built

    static = tmp_path / "static"
    for name in ("index.html", "assets/a.js", "player/w.js", "secret.txt", "other/x.js"):
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        (static / name).write_text(name)
    (static / "assets" / "link.js").symlink_to("/etc/passwd")
    monkeypatch.setattr(built, "STATIC", static)
    made = app.make_app(app.Studio(Folder(tmp_path / "work")), 80, "token")
    (static / "assets" / "later.js").touch()

    async def look() -> None:
        headers = {"authorization": "Bearer token", "host": "127.0.0.1:80"}
        transport = httpx.ASGITransport(app=made)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as page:
            for path, name in (("/", "index.html"), ("/assets/a.js", "assets/a.js"), ("/player/w.js", "player/w.js")):
                assert (await page.get(path)).text == name
            assert (await page.get("/assets/a.js")).headers["content-type"].startswith("text/javascript")
            for path in ("/assets/link.js", "/assets/later.js", "/secret.txt", "/assets/../secret.txt", "/other/x.js"):
                assert (await page.get(path)).status_code == 404, path

    asyncio.run(look())


def test_a_server_stops_in_good_order(tmp_path: Path) -> None:
    with serving(tmp_path / "work", tmp_path / "log") as server, server.socket("/ws/events"):
        began = time.monotonic()
        assert server.stop() == 143
        assert time.monotonic() - began < 60
    assert "Traceback" not in (tmp_path / "log").read_text()
