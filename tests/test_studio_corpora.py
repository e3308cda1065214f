"""The studio's corpora, made of its recordings."""

import hashlib
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support.recordings import put, wav
from support.studio import Server, until

Command = Callable[..., subprocess.CompletedProcess[str]]


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
