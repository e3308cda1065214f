"""The studio's recordings and corpora: what is uploaded is kept, examined and made into corpora."""

import asyncio
import hashlib
import io
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from conftest import melody, refusal
from support.kills import kill_while_working
from support.studio import Server, serving, until
from wavewright.studio.folder import Folder, Refusal
from wavewright.studio.recordings import Recordings, clean
from wavewright.studio.store import Store

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("studio") / "work") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def wav(seconds: float = 0.5, rate: int = 8000, pitch: float = 220.0, kind: str = "WAV") -> bytes:
    """The bytes of a sound file."""
    made = io.BytesIO()
    soundfile.write(made, melody(seconds, rate, pitch), rate, format=kind)
    return made.getvalue()


def put(client: httpx.Client, name: str, content: bytes) -> dict[str, Any]:
    """Upload a file, and return its row once it has been examined."""
    reply = client.put("/api/recordings", params={"name": name}, content=content)
    assert reply.status_code == 201, reply.text
    assert reply.json()["state"] == "examining"
    rows = until(lambda: [row for row in examined(client) if row["id"] == reply.json()["id"]])
    return dict(rows[0])


def examined(client: httpx.Client) -> list[dict[str, Any]]:
    """All rows, once none is being examined any more."""
    rows: list[dict[str, Any]] = until(
        lambda: (
            (found := client.get("/api/recordings").json()) and all(r["state"] != "examining" for r in found) and found
        )
    )
    return rows


NAMES = [
    "plain take.wav",
    "<script>alert(1)</script>.wav".replace("/", "\N{DIVISION SLASH}"),
    "\N{RIGHT-TO-LEFT OVERRIDE}vaw.exe.wav",
    "ünïcödé, 音.wav",
    "x" * 251 + ".wav",
    "é" * 125 + ".flac",
    "..wav",
    ".hidden.wav",
    "-rf.wav",
    "name\nof two lines.wav",
    "no suffix",
    "what.is.this.WAV",
    "~.wav",
    "a'b\"c&d;e|f$g`h.wav",
]


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_any_name_is_kept_and_shown_as_it_is(number: int, server: Server, client: httpx.Client) -> None:
    name, content = NAMES[number], wav(pitch=200 + number)
    row = put(client, name, content)
    assert (row["name"], row["state"], row["bytes"]) == (name, "ready", len(content))
    (file,) = (server.folder / "recordings" / row["id"]).iterdir()
    assert file.read_bytes() == content
    assert file.name == clean(name)
    assert file.name.isprintable()
    assert len(file.name.encode()) < 200
    assert not set(file.name) & set("<>\"'|;&$`/\\:*?")
    assert not file.name.startswith((".", "-"))
    audio = client.get(f"/api/recordings/{row['id']}/audio")
    if file.suffix:
        assert audio.content == content
    else:
        assert audio.status_code == 415
    assert client.delete(f"/api/recordings/{row['id']}").status_code == 204
    assert not (server.folder / "recordings" / row["id"]).exists()
    assert client.get(f"/api/recordings/{row['id']}/audio").status_code == 404


@pytest.mark.parametrize("name", ["", "a/b.wav", "..", ".", "a\\b.wav", "x\0.wav", "x" * 256, "é" * 128])
def test_what_is_no_name_is_refused(name: str, server: Server, client: httpx.Client) -> None:
    before = [*(server.folder / "recordings").iterdir()]
    reply = client.put("/api/recordings", params={"name": name}, content=wav())
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("name: ")
    assert [*(server.folder / "recordings").iterdir()] == before


def test_a_verdict_says_what_is_in_a_recording(client: httpx.Client) -> None:
    row = put(client, "loud.wav", wav(1.5, 16000))
    assert (row["state"], row["reason"], row["rate"], row["channels"], row["format"]) == (
        "ready",
        None,
        16000,
        1,
        "WAV/PCM_16",
    )
    assert row["seconds"] == 1.5
    assert row["peak"] == pytest.approx(np.abs(melody(1.5, 16000)).max(), abs=1e-3)
    again = put(client, "loud (1).wav", wav(1.5, 16000))
    assert again["notes"] == ["the same samples as loud.wav, so a corpus leaves it out"]
    refused = put(client, "page.wav", b"<html>no sound</html>")
    assert refused["state"] == "refused"
    assert refused["reason"].startswith("not readable")
    assert client.put("/api/recordings", params={"name": "empty.wav"}, content=b"").status_code == 422
    for each in (row, again, refused):
        client.delete(f"/api/recordings/{each['id']}")


def test_a_recording_is_heard_in_parts_and_seen(client: httpx.Client) -> None:
    sound = np.zeros(16000)
    sound[4000:8000] = 0.5 * np.sin(np.arange(4000) * 2 * np.pi * 1000 / 8000)
    sound[12000] = -0.75
    made = io.BytesIO()
    soundfile.write(made, sound, 8000, format="FLAC")
    row = put(client, "parts.flac", made.getvalue())
    part = client.get(f"/api/recordings/{row['id']}/audio", headers={"range": "bytes=4-99"})
    assert (part.status_code, part.content) == (206, made.getvalue()[4:100])
    assert part.headers["content-type"] == "audio/flac"
    drawn = client.get(f"/api/recordings/{row['id']}/waveform").json()
    peaks = np.array(drawn["peaks"])
    assert (drawn["seconds"], peaks.shape) == (2.0, (250, 2))  # of 64 samples each
    assert np.array_equal(np.flatnonzero(peaks[:, 1] > 0.4), np.arange(4000 // 64, 8000 // 64))
    assert np.argmin(peaks[:, 0]) == 12000 // 64
    picture = client.get(f"/api/recordings/{row['id']}/spectrogram.png")
    assert picture.headers["content-type"] == "image/png"
    from matplotlib import image

    pixels = image.imread(io.BytesIO(picture.content))[..., :3].sum(2)
    assert pixels.shape == (257, 61)
    middle = pixels[:, 20]  # samples 5120 to 5631
    assert np.argmax(middle) == 256 - 64  # 1000 of 8000 Hz, from below
    assert pixels[:, 5].max() < middle.max() / 2
    client.delete(f"/api/recordings/{row['id']}")


@pytest.mark.slow
def test_a_long_recording_has_a_thousand_columns(client: httpx.Client) -> None:
    """Its outline is kept small while it is read, and no peak is lost."""
    sound = np.zeros(10_000_000, np.float32)
    sound[7_654_321] = 0.5
    made = io.BytesIO()
    soundfile.write(made, sound, 44100, format="FLAC")
    row = put(client, "long.flac", made.getvalue())
    peaks = np.array(client.get(f"/api/recordings/{row['id']}/waveform").json()["peaks"])
    assert peaks.shape == (1000, 2)
    assert np.flatnonzero(peaks[:, 1] > 0.4).tolist() == [765]
    assert client.get(f"/api/recordings/{row['id']}/spectrogram.png").status_code == 200
    client.delete(f"/api/recordings/{row['id']}")


def test_a_score_belongs_to_the_recording_of_its_name(client: httpx.Client, tmp_path: Path) -> None:
    data = Path(sys.modules["wavewright"].__file__ or "").parent / "data"
    score, sound = data / "scores" / "bwv846_prelude.mid", data / "bwv846_prelude.flac"
    alone = put(client, "Prelude.MID", score.read_bytes())
    assert (alone["state"], alone["score"]) == ("refused", None)
    assert alone["reason"] == "a score without a recording of the same name; add it"
    row = put(client, "prelude.flac", sound.read_bytes())
    assert row["score"]["notes"] > 100
    assert row["score"]["fit"] > 3
    assert [each["name"] for each in examined(client)] == ["prelude.flac"]
    other = put(client, "other.wav", wav())
    client.put("/api/recordings", params={"name": "other.mid"}, content=score.read_bytes())
    until(lambda: any("its score" in note for each in examined(client) for note in each["notes"]))
    for each in (row, other):
        client.delete(f"/api/recordings/{each['id']}")
    for each in examined(client):
        client.delete(f"/api/recordings/{each['id']}")


def test_a_cut_upload_leaves_nothing(server: Server) -> None:
    before = {*(server.folder / "recordings").iterdir()}
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"PUT /api/recordings?name=x.wav HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\n"
        head += f"authorization: Bearer {server.token}\r\ncontent-length: 5000000\r\n\r\n"
        connection.sendall(head.encode() + bytes(3_000_000))
        until(lambda: [*(server.folder / "recordings").glob("*/*.part")])
    until(lambda: {*(server.folder / "recordings").iterdir()} == before)


def test_a_disk_that_fills_keeps_nothing_of_an_upload(server: Server, client: httpx.Client) -> None:
    before = {*(server.folder / "recordings").iterdir()}
    with server.full_disk(1 << 20):
        reply = client.put("/api/recordings", params={"name": "x.wav"}, content=bytes(3 << 20))
        assert reply.status_code == 422
        assert re.fullmatch(r".*: cannot write: File too large", reply.json()["error"])
        assert {*(server.folder / "recordings").iterdir()} == before
    id = put(client, "x.wav", wav(1, 8000, 200))["id"]
    client.delete(f"/api/recordings/{id}")


def test_uploads_wait_for_one_another_and_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth upload is refused, and so is any where the disk is nearly full, also while it comes in."""
    folder = Folder(tmp_path)
    free = 3 << 30
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))

    async def body(last: asyncio.Event | None = None) -> AsyncIterator[bytes]:
        nonlocal free
        for _ in range(65):
            yield bytes(1 << 20)
            if last is None:
                free = 1 << 30
        if last:
            await last.wait()

    async def drill() -> None:
        recordings = Recordings(folder, Store(folder / "studio.db"), lambda: None)
        last = asyncio.Event()
        coming = [asyncio.ensure_future(recordings.receive(f"{i}.mid", body(last))) for i in range(4)]
        await asyncio.sleep(0.1)
        with pytest.raises(Refusal, match="uploads: 4 are on their way") as refused:
            await recordings.receive("5.mid", body(last))
        assert refused.value.status == 503
        last.set()
        await asyncio.gather(*coming)
        for _ in "12":
            with pytest.raises(Refusal, match="disk: 1024 MiB free of the 2048") as refused:
                await recordings.receive("6.mid", body())
            assert refused.value.status == 507
        recordings.close()

    asyncio.run(drill())
    assert len([*(tmp_path / "recordings").iterdir()]) == 4


@pytest.mark.slow
def test_what_was_acknowledged_survives_kills(tmp_path: Path) -> None:
    assert min(kill_while_working(tmp_path / "work", 3, seed=1)) > 0


def test_a_start_brings_folder_and_index_together(tmp_path: Path) -> None:
    """A whole file that the index does not know is taken in, and rows without a file are dropped."""
    known, lost, whole, cut = ("0" * 15 + digit for digit in "1234")
    folder = Folder(tmp_path)
    store = Store(folder / "studio.db")
    row = {"name": "x.mid", "file": "x.mid", "bytes": 1, "added": 0.0, "state": "ready", "facts": {}}
    for id in (known, lost):
        store.put("recordings", id=id, **row)
    for id, names in ((known, ["x.mid", "y.mid.part"]), (whole, ["whole.wav"]), (cut, ["z.wav.part"])):
        (tmp_path / "recordings" / id).mkdir()
        for name in names:
            (tmp_path / "recordings" / id / name).write_bytes(wav())
    (tmp_path / "recordings" / ".1.gone").mkdir()
    (tmp_path / "recordings" / "mine").mkdir()
    (tmp_path / "recordings" / "mine" / "kept.txt").touch()
    recordings = Recordings(folder, store, lambda: None)
    rows = until(lambda: all(r["state"] != "examining" for r in recordings.rows()) and recordings.rows())
    recordings.close()
    assert {(one["id"], one["name"], one["state"]) for one in rows} == {
        (known, "x.mid", "refused"),
        (whole, "whole.wav", "ready"),
    }
    files = {path.relative_to(tmp_path / "recordings").as_posix() for path in (tmp_path / "recordings").rglob("*")}
    assert files == {known, f"{known}/x.mid", whole, f"{whole}/whole.wav", "mine", "mine/kept.txt"}


@pytest.mark.slow
def test_corpora_are_made_of_recordings(server: Server, client: httpx.Client, wavewright: Command) -> None:
    rows = [
        put(client, f"{voice}_{pitch}.wav", wav(2, 8000, pitch + len(rest)))
        for voice, rest in (("soft", ""), ("hard", "x"))
        for pitch in (200, 300)
    ]
    rows.append(put(client, "soft_200.flac", wav(2, 8000, 250, "FLAC")))  # of the stem of another
    client.put("/api/recordings", params={"name": "bad.wav"}, content=b"no sound")
    asked = {
        "name": "bells",
        "preset": "one-shots",
        "rate": 4000,
        "labels": "{voice}_{pitch}",
        "describe": ["loudness"],
    }
    made = client.post("/api/corpora", json=asked)
    assert (made.status_code, made.json()["state"]) == (202, "preparing")
    id = made.json()["id"]
    assert id == hashlib.sha256(b"corpora/bells").hexdigest()[:16]
    assert client.delete(f"/api/corpora/{id}").status_code == 409
    assert client.post("/api/corpora", json=asked).status_code == 409

    def corpus() -> dict[str, Any]:
        return next(row for row in client.get("/api/corpora").json() if row["id"] == id)

    until(lambda: corpus()["state"] != "preparing")
    found = corpus()
    assert (found["state"], found["rate"], found["recordings"], found["left_out"]) == ("ready", 4000, 5, [])
    assert [control["name"] for control in found["controls"]] == ["voice", "pitch", "loudness"]
    assert sum(found["minutes"].values()) == pytest.approx(10 / 60, rel=0.1)
    until(lambda: not [*(server.folder / "logs").glob("*.recordings")])
    few = {"name": "few", "recordings": [rows[0]["id"]], "rate": 4000}
    client.post("/api/corpora", json=few)
    until(lambda: all(row["state"] != "preparing" for row in client.get("/api/corpora").json()))
    failed = next(row for row in client.get("/api/corpora").json() if row["name"] == "few")
    assert failed["state"] == "failed"
    assert failed["reason"].startswith("the longest track is 2 s")
    assert client.delete(f"/api/corpora/{failed['id']}").status_code == 204
    client.post("/api/corpora", json={**few, "section_seconds": 0.5})
    until(lambda: all(row["state"] != "preparing" for row in client.get("/api/corpora").json()))
    fits = next(row for row in client.get("/api/corpora").json() if row["name"] == "few")
    assert (fits["state"], fits["recordings"]) == ("ready", 1), fits["reason"]
    assert client.delete(f"/api/corpora/{fits['id']}").status_code == 204
    recordings = [str(server.folder / "recordings" / row["id"]) for row in rows]
    made = wavewright("prepare", *recordings, "--out", server.folder / "corpora" / "mine", "--section-seconds", 1)
    assert made.returncode == 0, made.stderr
    names = until(lambda: [row["name"] for row in client.get("/api/corpora").json()])
    assert names == ["bells", "mine"]
    for row in client.get("/api/corpora").json():
        assert client.delete(f"/api/corpora/{row['id']}").status_code == 204
    assert [*(server.folder / "corpora").iterdir()] == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"name": "../x"}, "name: "),
        ({"name": ".x"}, "name: "),
        ({"name": "-x"}, "name: "),
        ({"name": "x" * 101}, "name: "),
        ({"name": "\N{RIGHT-TO-LEFT OVERRIDE}x"}, "name: "),
        ({"recordings": ["0" * 16]}, "recording: nothing has the id"),
        ({"recordings": []}, "recordings: none can be read"),
        ({"recordings": "some"}, "recordings"),
        ({"preset": "loud"}, "preset: loud"),
        ({"rate": 999}, "rate: "),
        ({"section_seconds": 0}, "section_seconds: "),
        ({"labels": "/etc/passwd"}, "labels: /etc/passwd; give a pattern"),
        ({"labels": "{a}.csv"}, "labels: {a}.csv; give a pattern"),
        ({"describe": ["taste"]}, "describe: taste"),
        ({"more": 1}, "more: "),
    ],
)
def test_an_odd_corpus_is_refused(change: dict[str, Any], line: str, server: Server, client: httpx.Client) -> None:
    before = {*server.folder.glob("*/*")}
    reply = client.post("/api/corpora", json={"name": "odd", **change})
    assert reply.status_code in (404, 422)
    assert reply.json()["error"].startswith(line)
    assert {*server.folder.glob("*/*")} == before


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
