"""Recordings that tests upload to a studio."""

import io
from typing import Any

import httpx
import soundfile

from conftest import melody
from support.studio import until


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
