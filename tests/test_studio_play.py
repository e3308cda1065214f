"""The studio's players, through a real server: sound within the credit, controls, curves, banks, takes, bad frames."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

import wavewright
from conftest import melody
from support.kinds import CONDITION
from support.model_files import make
from support.players import BLOCK, begin, frame, models, player, rest, send, sound
from support.studio import WAITS, Server, serving, told, until
from support.tiny import contents
from wavewright.playing.instrument import Instrument
from wavewright.playing.prime import Prime
from wavewright.sharing.page import write_page


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio") / "work"
    (folder / "models").mkdir(parents=True)
    make(folder / "models" / "plain.safetensors", "tiers 8 4 2")
    make(folder / "models" / "many.safetensors", "tiers 8 4 2, conditioned")
    decay = {"kind": "decay", "name": "decay", "low": 0.2, "high": 4.0, "ratios": (1.0, 1.0, 1.0, 1.0)}
    make(
        folder / "models" / "rooms.safetensors",
        "tiers 8 4 2, conditioned",
        condition={**CONDITION, "controls": (decay,)},
    )
    (folder / "models" / "broken.safetensors").write_bytes(b"no model")
    with serving(folder) as running:
        yield running


@pytest.fixture
def socket(server: Server) -> Iterator[ClientConnection]:
    yield from player(server)


def is_silent(socket: ClientConnection) -> bool:
    """Whether no sound comes, for as long as many blocks take."""
    rest()
    send(socket, type="nothing")
    received = socket.recv(WAITS)
    return isinstance(received, str) and "type: nothing" in received


def test_a_key_is_heard_within_the_credit_just_as_an_instrument_plays_it(
    server: Server, socket: ClientConnection
) -> None:
    ready = begin(server, socket)
    assert (ready["rate"], ready["title"], ready["keyboard"]) == (14700, "Piano", {"low": 21, "high": 108})
    assert [control["name"] for control in ready["controls"]] == ["notes"]
    stream = (instrument := wavewright.load("piano").instrument(3)).stream(BLOCK)
    rest()
    assert is_silent(socket)
    send(socket, type="note_on", key=60, velocity=90)
    instrument.note_on(60, 90)
    rest()
    heard = [sound(socket, 20)]
    expected = [next(stream) for _ in range(20)]
    assert is_silent(socket)
    send(socket, type="note_off", key=60)
    send(socket, type="pedal", position=127)
    send(socket, type="note_on", key=64)
    send(socket, type="control", name="temperature", value=0.9)
    send(socket, type="control", name="top_p", value=0.95)
    instrument.note_off(60)
    instrument.pedal(127)
    instrument.note_on(64)
    instrument.control("temperature", 0.9)
    instrument.control("top_p", 0.95)
    rest()
    send(socket, type="credit", samples=BLOCK - 1)
    assert is_silent(socket)  # less than a block makes none
    send(socket, type="credit", samples=1)
    heard.append(np.frombuffer(frame(socket), "<f4"))
    heard.append(sound(socket, 19))
    expected += [next(stream) for _ in range(20)]
    send(socket, type="panic")
    instrument.all_notes_off()
    instrument.pedal(0)
    rest()
    heard.append(sound(socket, 20))
    expected += [next(stream) for _ in range(20)]
    assert is_silent(socket)
    assert np.array_equal(np.concatenate(heard), np.concatenate(expected))
    assert np.abs(heard[0]).max() > 0.01


def test_curves_and_classes_and_models_without_a_keyboard(server: Server, socket: ClientConnection) -> None:
    ready = begin(server, socket, "many")
    assert [control["kind"] for control in ready["controls"]] == ["category", "number", "notes"]
    block = ready["rate"] // 100

    def both(instrument: Instrument, *messages: dict[str, Any]) -> None:
        for message in messages:
            send(socket, **message)
        for message in messages:
            if message["type"] == "curve":
                instrument.curve(message["name"], [(second, value) for second, value in message["points"]])
            else:
                instrument.control(message["name"], message["value"])
        rest()
        assert np.array_equal(sound(socket, 8, block), np.concatenate([next(stream) for _ in range(8)]))

    file = server.folder / "models" / "many.safetensors"
    stream = (instrument := wavewright.load(file).instrument(3)).stream(block)
    both(
        instrument,
        {"type": "curve", "name": "temperature", "points": [[0, 1], [0.03, 0.5]]},
        {"type": "curve", "name": "loudness", "points": [[0, -60], [0.05, -1]]},
        {"type": "control", "name": "voice", "value": "low:1,high:2"},
    )
    both(instrument, {"type": "control", "name": "loudness", "value": None})
    begin(server, socket, "plain", seed=5)
    stream = (instrument := wavewright.load(file.with_stem("plain")).instrument(5)).stream(block)
    send(socket, type="note_on", key=60)  # begins a new sound where there is a time, and is no mistake
    send(socket, type="note_off", key=60)
    both(instrument, {"type": "control", "name": "top_p", "value": 0.5})


def test_banks_bring_a_moment_back_to_the_sample(server: Server, socket: ClientConnection) -> None:
    begin(server, socket)
    send(socket, type="bank", do="recall", slot=2)
    assert told(socket, "error")["message"] == "slot: 2 is empty; save to it first"
    send(socket, type="note_on", key=60)
    rest()
    sound(socket, 10)
    send(socket, type="bank", do="save", slot=2)
    assert told(socket, "bank")["slots"] == [False, True, False]
    first = sound(socket, 20)
    send(socket, type="note_on", key=72)
    rest()
    assert not np.array_equal(sound(socket, 20), first)
    for _ in "12":
        send(socket, type="bank", do="recall", slot=2)
        assert told(socket, "bank")["slots"] == [False, True, False]
        assert np.array_equal(sound(socket, 20), first)
    begin(server, socket)
    send(socket, type="bank", do="recall", slot=2)
    assert "is empty" in told(socket, "error")["message"]  # it was of another stream


def test_a_take_holds_what_was_sent_and_tells_how_it_was_played(server: Server, socket: ClientConnection) -> None:
    begin(server, socket, seed=7)
    sound(socket, 3)
    send(socket, type="record", on=True)
    send(socket, type="note_on", key=60)
    rest()
    heard = sound(socket, 30)
    send(socket, type="control", name="temperature", value=0.9)
    rest()
    heard = np.concatenate((heard, sound(socket, 30)))
    send(socket, type="record", on=False)
    row = told(socket, "recorded")["take"]
    sound(socket, 3)
    assert (row["model"], row["seed"], row["seconds"]) == ("piano", 7, len(heard) / 14700)
    with server.client() as client:
        assert client.get("/api/takes").json() == [row]
        content = client.get(f"/api/takes/{row['id']}/audio").content
        assert client.get(f"/api/takes/{row['id']}/waveform").json()["seconds"] == row["seconds"]
        assert client.get(f"/api/takes/{row['id']}/spectrogram.png").content.startswith(b"\x89PNG")
        file = server.folder / "takes" / f"{row['name']}.wav"
        assert file.read_bytes() == content
        written, rate = soundfile.read(file, dtype="float32")
        assert rate == 14700
        assert np.abs(written - heard).max() <= 0.5 / 32768
        with soundfile.SoundFile(file) as opened:
            assert json.loads(opened.comment)["seed"] == 7
        beside = json.loads(file.with_suffix(".json").read_text())
        assert [[second, message["type"]] for second, message in beside["played"]] == [[0, "note_on"], [0.3, "control"]]
        assert client.delete(f"/api/takes/{row['id']}").status_code == 204
        assert [*(server.folder / "takes").iterdir()] == []


def test_a_take_is_kept_when_the_page_goes_away_and_an_empty_one_is_none(
    server: Server, socket: ClientConnection
) -> None:
    begin(server, socket)
    send(socket, type="record", on=True)
    send(socket, type="record", on=False)
    send(socket, type="record", on=True)
    sound(socket, 5)
    socket.close()
    with server.client() as client:
        (row,) = until(lambda: client.get("/api/takes").json())
        assert row["seconds"] == 0.05
        client.delete(f"/api/takes/{row['id']}")
    assert [*(server.folder / "takes").iterdir()] == []


def test_a_recording_is_continued(server: Server, socket: ClientConnection, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "prime.wav", melody(1, 16000), 16000)
    with server.client() as client:
        content = (tmp_path / "prime.wav").read_bytes()
        id = client.put("/api/recordings", params={"name": "prime.wav"}, content=content).json()["id"]
    begin(server, socket)
    send(socket, type="prime", recording="0" * 16)
    assert "recording: nothing has the id" in told(socket, "error")["message"]
    send(socket, type="prime", recording=id, seconds=0.5)
    model = wavewright.load("piano")
    instrument = model.instrument(3)
    for codes in Prime(tmp_path / "prime.wav", seconds=0.5).codes(model):
        instrument.prime(codes)
    stream = instrument.stream(BLOCK)
    assert np.array_equal(sound(socket, 10), np.concatenate([next(stream) for _ in range(10)]))


BAD = [
    "",
    "rubbish",
    b"\0\1\2",
    "[]",
    "null",
    "{}",
    '{"type": "nothing"}',
    '{"type": []}',
    '{"type": "credit", "samples": NaN}',
    '{"type": "credit", "samples": 1e999}',
    '{"type": "credit", "samples": 0}',
    '{"type": "credit", "samples": -5}',
    '{"type": "credit", "samples": 1.5}',
    '{"type": "credit", "samples": true}',
    '{"type": "credit", "samples": 147001}',
    '{"type": "credit"}',
    '{"type": "note_on"}',
    '{"type": "note_on", "key": 128}',
    '{"type": "note_on", "key": 60.5}',
    '{"type": "note_on", "key": 60, "velocity": "loud"}',
    '{"type": "pedal", "position": 128}',
    '{"type": "control", "name": "bass", "value": 1}',
    '{"type": "control", "name": "notes", "value": 1}',
    '{"type": "control", "name": "temperature", "value": -1}',
    '{"type": "control", "name": "temperature", "value": []}',
    '{"type": "control", "name": 5, "value": 1}',
    '{"type": "control", "name": "top_p", "value": 0}',
    '{"type": "curve", "name": "temperature", "points": []}',
    '{"type": "curve", "name": "temperature", "points": [[1, 1], [0, 1]]}',
    '{"type": "curve", "name": "temperature", "points": [["x", 1]]}',
    '{"type": "curve", "name": "temperature", "points": [[0, null]]}',
    '{"type": "curve", "name": "temperature", "points": 5}',
    '{"type": "prime", "recording": "x", "seconds": 0}',
    '{"type": "prime", "recording": "../../etc/passwd", "seconds": 1}',
    '{"type": "prime", "seconds": 1}',
    '{"type": "bank", "do": "save", "slot": 4}',
    '{"type": "bank", "do": "keep", "slot": 1}',
    '{"type": "record", "on": "yes"}',
    '{"type": "open", "model": "../x"}',
    '{"type": "open", "seed": 1}',
    '{"type": "open", "model": "x", "second": 5}',
    '{"type": "open", "model": "x", "way": "both"}',
    '{"type": "score"}',
    '{"type": "score", "score": "../../etc/passwd"}',
    '{"type": "hear", "deck": 0}',
    '{"type": "hear", "deck": 2}',
    '{"type": "hear"}',
    '{"type": "open", "type": "open"}',
    '{"type": "note_on", "key": 1e400}',
    "[" * 60000,
]


def test_a_bad_frame_is_told_and_the_player_goes_on(server: Server, socket: ClientConnection) -> None:
    for bad in BAD:
        socket.send(bad)  # before a model is open
        assert "\n" not in told(socket, "error")["message"], bad
    begin(server, socket)
    stream = wavewright.load("piano").instrument(3).stream(BLOCK)
    for bad in BAD:
        socket.send(bad)
        assert "\n" not in told(socket, "error")["message"], bad
        assert np.array_equal(sound(socket, 1), next(stream)), bad


def test_models_that_cannot_be_played_are_refused_with_their_reason(server: Server, socket: ClientConnection) -> None:
    rows = models(server)
    assert (rows["piano"]["playable"], rows["piano"]["why"], rows["piano"]["licence"]) == (True, None, "MIT")
    for name, why in (("rooms", "makes impulse responses"), ("broken", "not a safetensors file")):
        assert rows[name]["playable"] is False
        assert why in rows[name]["why"], rows[name]
        send(socket, type="open", model=rows[name]["id"], seed=1)
        assert why in told(socket, "error")["message"]
    send(socket, type="open", model=rows["piano"]["id"], seed=-1)
    assert told(socket, "error")["message"].startswith("seed: -1")
    begin(server, socket)
    assert len(sound(socket, 1)) == BLOCK


def test_a_model_file_of_the_owner_gets_a_web_page(server: Server, tmp_path: Path) -> None:
    def made(name: str) -> tuple[int, dict[str, str]]:
        with server.client() as client:
            reply = client.post(f"/api/models/{models(server)[name]['id']}/page")
        return reply.status_code, reply.json()

    assert made("plain") == (200, {"folder": "pages/plain"})
    write_page(server.folder / "models" / "plain.safetensors", tmp_path / "plain")
    assert contents(server.folder / "pages" / "plain") == contents(tmp_path / "plain")
    assert made("piano") == (409, {"error": "model: piano is no model file of yours; export one first"})
    status, said = made("rooms")
    assert status == 422
    assert "makes impulse responses, which are no stream" in said["error"]
    assert [path.name for path in (server.folder / "pages").iterdir()] == ["plain"]


def test_more_players_than_the_machine_has_room_for_are_refused(server: Server, socket: ClientConnection) -> None:
    most = max(1, (os.cpu_count() or 1) - 1)
    with contextlib.ExitStack() as others:
        for _ in range(most - 1):
            others.enter_context(server.socket("/ws/play"))
        refused = others.enter_context(server.socket("/ws/play"))
        assert "which is all that this machine can" in told(refused, "error")["message"]
        with pytest.raises(ConnectionClosed) as closed:
            refused.recv(WAITS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


def test_a_frame_that_is_too_large_ends_the_player(server: Server, socket: ClientConnection) -> None:
    socket.send("x" * (1 << 16) + "x")
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(WAITS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_changes_are_told_to_every_page(server: Server) -> None:
    with server.socket("/ws/events") as one, server.socket("/ws/events") as two, server.client() as client:
        id = client.put("/api/recordings", params={"name": "x.mid"}, content=b"x").json()["id"]
        for page in (one, two):
            assert told(page, "changed")["what"] == "recordings"
        client.delete(f"/api/recordings/{id}")
        (server.folder / "models" / "new.safetensors").write_bytes(b"")
        while told(one, "changed")["what"] != "models":
            pass
        (server.folder / "models" / "new.safetensors").unlink()


def test_httpx_is_what_scripts_use(server: Server) -> None:
    """The bearer header lets a script in without a cookie."""
    assert httpx.get(f"{server.base}/api/session", headers=server.bearer).json()["rate_default"] == 14700
