"""The studio's recordings: what is uploaded is kept and examined, and shown as it is."""

import asyncio
import io
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import soundfile

from conftest import melody
from support.kills import kill_while_working
from support.recordings import examined, put, wav
from support.studio import Server, until
from wavewright.studio.folder import Folder, Refusal
from wavewright.studio.recordings import Recordings, clean
from wavewright.studio.store import Store

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
