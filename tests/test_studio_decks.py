"""Scores, mixtures, two decks and checkpoints under the studio's player, through a real server."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection

import wavewright
from conftest import ROOT
from support.model_files import make
from support.players import BLOCK, begin, models, player, rest, send, sound
from support.scores import read_score, write_score
from support.studio import WAITS, Server, serving, told, until
from support.tiny import again, make_corpus
from wavewright.conditioning.controls import Performance
from wavewright.conditioning.events import Kind
from wavewright.formats import checkpoint
from wavewright.playing.mixture import mix
from wavewright.playing.opening import open_run, to_native
from wavewright.playing.playable import Playable
from wavewright.playing.sound import fade_samples
from wavewright.playing.stream import stream
from wavewright.sampling import Controls
from wavewright.studio.decks import FADE, MOST_WAITING

PRELUDE = ROOT / "src/wavewright/data/scores/bwv846_prelude.mid"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("studio") / "work"
    (folder / "models").mkdir(parents=True)
    (folder / "scores").mkdir()
    make(folder / "models" / "plain.safetensors", "tiers 8 4 2")
    make(folder / "models" / "keys.safetensors", "tiers 8 4 2, conditioned")
    make(folder / "models" / "other.safetensors", "gated of 3 taps, conditioned")
    shutil.copy(wavewright.load("piano").path, folder / "models" / "copy.safetensors")
    (folder / "scores" / "broken.mid").write_bytes(b"MThd\0\0\0\6\0\0\0\1\1\0MTrk\0\0\0\x10rubbish")
    with serving(folder) as running:
        yield running


@pytest.fixture
def socket(server: Server) -> Iterator[ClientConnection]:
    yield from player(server)


def upload(server: Server, path: Path, name: str = "my tune.mid") -> str:
    with server.client() as client:
        reply = client.put("/api/scores", params={"name": name}, content=path.read_bytes())
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])


def score_id(server: Server, name: str) -> str:
    with server.client() as client:
        return next(str(row["id"]) for row in client.get("/api/scores").json() if row["name"] == name)


def generated(model: Playable, path: Path | None, blocks: int, seed: int = 3, amount: float | None = None) -> NDArray:
    """What `generate` plays of a score, with the beginning faded in as an instrument does."""
    parts = [
        Performance(one.config.condition, one.rate, {}, read_score(path).at(one.rate) if path else None)
        if one.config.condition
        else None
        for one in model.models
    ]
    controls = Controls(model.draw.temperature, top_p=model.draw.top_p, part=parts[0], amount=amount)
    if len(parts) > 1:
        controls = Controls(controls.temperature, None, controls.top_p, parts[0], amount, parts[1])
    samples = blocks * (model.rate // 100)
    codes = np.concatenate([*stream(model.player(1, seed), samples, controls)], 1)[0]
    heard = model.quantizer.decoder()(codes)
    fade = fade_samples(model.rate)
    return heard[fade:]


def perform(socket: ClientConnection, id: str) -> float:
    send(socket, type="score", score=id)
    seconds = told(socket, "score")["seconds"]
    rest()
    return float(seconds)


def test_a_score_is_played_live_as_generate_plays_it(server: Server, socket: ClientConnection) -> None:
    begin(server, socket)
    seconds = perform(socket, upload(server, PRELUDE))
    assert seconds == pytest.approx(float(read_score(PRELUDE).seconds[-1]) + 2, abs=0.01)
    expected = generated(wavewright.load("piano"), PRELUDE, 100)
    assert np.array_equal(sound(socket, 100)[-len(expected) :], expected)
    assert np.abs(expected).max() > 0.01


def test_the_keys_of_a_score_are_told_and_panic_ends_it(
    server: Server, socket: ClientConnection, tmp_path: Path
) -> None:
    write_score(tmp_path / "s.mid", [(0, Kind.strike, 60, 90), (0.5, Kind.strike, 64, 90), (9, Kind.release, 60, 0)])
    begin(server, socket)
    perform(socket, upload(server, tmp_path / "s.mid", "two.mid"))
    assert states(socket, 60) == [(True, [60]), (True, [60, 64])]
    send(socket, type="panic")
    rest()
    assert states(socket, 20) == [(False, [])]


def states(socket: ClientConnection, blocks: int) -> list[tuple[bool, list[int]]]:
    """What is told of a score while so many blocks are made."""
    send(socket, type="credit", samples=blocks * BLOCK)
    found = []
    while blocks:
        received = socket.recv(WAITS)
        if isinstance(received, bytes):
            blocks -= 1
        elif (message := json.loads(received))["type"] == "score":
            found.append((message["playing"], message["keys"]))
    rest()
    send(socket, type="nothing")
    while (message := json.loads(socket.recv(WAITS)))["type"] != "error":  # what comes after the last block
        found += [(message["playing"], message["keys"])] if message["type"] == "score" else []
    return found


def test_a_take_tells_of_its_score(server: Server, socket: ClientConnection) -> None:
    begin(server, socket)
    send(socket, type="record", on=True)
    perform(socket, score_id(server, "bwv846_prelude"))
    heard = sound(socket, 30)
    send(socket, type="record", on=False)
    row = told(socket, "recorded")["take"]
    file = server.folder / "takes" / f"{row['name']}.wav"
    assert np.abs(soundfile.read(file, dtype="float32")[0] - heard).max() <= 0.5 / 32768
    [[second, message]] = json.loads(file.with_suffix(".json").read_text())["played"]
    assert (second, message["score"]["name"]) == (0, "bwv846_prelude")
    assert len(message["score"]["sha256"]) == 64


def test_scores_are_listed_kept_once_and_removed(server: Server, tmp_path: Path) -> None:
    write_score(tmp_path / "s.mid", [(0, Kind.strike, 60, 90)])
    write_score(tmp_path / "t.mid", [(0, Kind.strike, 61, 90)])
    first = upload(server, tmp_path / "s.mid", "Etude no. 1.MIDI".replace("MIDI", "MID"))
    assert upload(server, tmp_path / "s.mid", "another name.mid") == first
    second = upload(server, tmp_path / "t.mid", "Etude no. 1.mid")
    with server.client() as client:
        rows = {row["id"]: row for row in client.get("/api/scores").json()}
        assert [rows[id]["name"] for id in (first, second)] == ["Etude no. 1", "Etude no. 1 (2)"]
        shipped = next(id for id, row in rows.items() if row["source"] == "package")
        assert client.delete(f"/api/scores/{shipped}").status_code == 409
        for id in (first, second):
            assert client.delete(f"/api/scores/{id}").status_code == 204
        assert client.delete(f"/api/scores/{first}").status_code == 404
    assert not [path for path in (server.folder / "scores").iterdir() if "Etude" in path.name]


CROWD = [(0.0001 * (i // 2), Kind(i % 2), 60, 90) for i in range(1, 1200)]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("x.mid", b"", "x.mid: not a readable MIDI file"),
        ("x.mid", b"MThd\0\0\0\6\0\0\0\1\1\0", "x.mid: not a readable MIDI file (it ends too early)"),
        ("x.wav", b"", "'x.wav' is no MIDI file"),
        ("../x.mid", b"", "give a file's name"),
        ("x.mid", CROWD, "more than 1000 events within 0.1 s"),
    ],
)
def test_a_bad_score_is_refused_in_one_line(
    name: str, content: bytes | list, line: str, server: Server, tmp_path: Path
) -> None:
    if isinstance(content, list):
        write_score(tmp_path / "s.mid", content)
        content = (tmp_path / "s.mid").read_bytes()
    before = sorted((server.folder / "scores").iterdir())
    with server.client() as client:
        reply = client.put("/api/scores", params={"name": name}, content=content)
    assert reply.status_code == 422
    assert line in reply.json()["error"]
    assert str(server.folder) not in reply.json()["error"]
    assert sorted((server.folder / "scores").iterdir()) == before


def test_a_score_that_cannot_be_played_is_told_in_one_line(
    server: Server, socket: ClientConnection, tmp_path: Path
) -> None:
    write_score(tmp_path / "high.mid", [(0, Kind.strike, 110, 90)])
    high = upload(server, tmp_path / "high.mid", "high.mid")
    begin(server, socket)
    for id, line in (
        (score_id(server, "broken"), "broken: not a readable MIDI file"),
        (high, "high: all notes lie beside the model's keyboard"),
        ("0" * 16, "score: nothing has the id"),
    ):
        send(socket, type="score", score=id)
        assert told(socket, "error")["message"].startswith(line)
    begin(server, socket, "plain")
    send(socket, type="score", score=high)
    assert told(socket, "error")["message"].startswith("score: this model has no keyboard")


def test_a_mixture_is_played_live_and_its_amount_is_a_knob(
    server: Server, socket: ClientConnection, tmp_path: Path
) -> None:
    write_score(tmp_path / "s.mid", [(0.0, Kind.strike, 60, 90), (0.2, Kind.strike, 61, 50)])
    id = upload(server, tmp_path / "s.mid", "mixed.mid")
    rows = models(server)
    ready = begin(server, socket, "keys", second=rows["other"]["id"], way="mix")
    assert (ready["title"], ready["titles"], ready["way"]) == ("keys and other", ["keys", "other"], "mix")
    send(socket, type="control", name="amount", value=0.3)
    perform(socket, id)
    keys, other = (wavewright.load(server.folder / "models" / f"{name}.safetensors") for name in ("keys", "other"))
    expected = generated(mix(keys, other), tmp_path / "s.mid", 40, amount=0.3)
    assert np.array_equal(sound(socket, 40, 40)[-len(expected) :], expected)
    send(socket, type="record", on=True)
    sound(socket, 2, 40)
    send(socket, type="record", on=False)
    assert told(socket, "recorded")["take"]["model"] == "keys + other"


def test_models_that_cannot_be_mixed_are_refused_with_the_reason(server: Server, socket: ClientConnection) -> None:
    rows = models(server)
    assert rows["keys"]["codes"] == rows["other"]["codes"] != rows["piano"]["codes"]
    send(socket, type="open", model=rows["keys"]["id"], second=rows["piano"]["id"])
    line = "mix: the sample rate is 4000 Hz in keys and 14700 Hz in piano; it must be the same"
    assert told(socket, "error")["message"] == line
    send(socket, type="open", model=rows["keys"]["id"], second=rows["piano"]["id"], way="compare")
    assert told(socket, "error")["message"].startswith("second: piano plays at 14700 Hz, and keys at 4000 Hz")
    begin(server, socket)
    assert len(sound(socket, 1)) == BLOCK


def test_two_decks_play_the_same_and_a_switch_decides_which_is_heard(server: Server, socket: ClientConnection) -> None:
    rows, block = models(server), 40
    ready = begin(server, socket, "keys", second=rows["plain"]["id"], way="compare")
    assert (ready["titles"], ready["way"]) == (["keys", "plain"], "compare")
    alone = [
        wavewright.load(server.folder / "models" / f"{name}.safetensors").instrument(3) for name in ("keys", "plain")
    ]
    send(socket, type="record", on=True)
    send(socket, type="note_on", key=60)  # which the second has no key for
    send(socket, type="control", name="temperature", value=0.8)
    rest()
    alone[0].note_on(60)
    for instrument in alone:
        instrument.control("temperature", 0.8)
    streams = [instrument.stream(block) for instrument in alone]
    expected = [[next(stream) for _ in range(30)] for stream in streams]
    assert np.array_equal(sound(socket, 10, block), np.concatenate(expected[0][:10]))
    send(socket, type="hear", deck=2)
    heard = sound(socket, 10, block)
    fade = round(FADE * ready["rate"])
    second = np.concatenate(expected[1][10:20])
    assert np.array_equal(heard[fade:], second[fade:])
    assert not np.array_equal(heard[:fade], second[:fade])
    send(socket, type="hear", deck=1)
    assert np.array_equal(sound(socket, 10, block)[fade:], np.concatenate(expected[0][20:])[fade:])
    send(socket, type="record", on=False)
    assert told(socket, "recorded")["take"]["model"] == "keys and plain"  # of none of them alone
    send(socket, type="hear", deck=2)
    send(socket, type="record", on=True)
    sound(socket, 1, block)
    send(socket, type="record", on=False)
    assert told(socket, "recorded")["take"]["model"] == "plain"


def test_banks_keep_both_decks_and_the_score(server: Server, socket: ClientConnection) -> None:
    begin(server, socket, second=models(server)["copy"]["id"], way="compare")
    perform(socket, score_id(server, "bwv846_prelude"))
    sound(socket, 20)
    send(socket, type="bank", do="save", slot=1)
    told(socket, "bank")
    first = sound(socket, 30)
    send(socket, type="panic")
    rest()
    sound(socket, 20)
    send(socket, type="bank", do="recall", slot=1)
    told(socket, "bank")
    send(socket, type="hear", deck=2)  # the same model and seed, so nothing changes
    assert np.allclose(sound(socket, 30), first, rtol=1e-6)  # what a fade between equals leaves


def test_messages_without_credit_are_bounded_and_refused_in_one_line(server: Server, socket: ClientConnection) -> None:
    begin(server, socket)
    for i in range(MOST_WAITING + 500):
        send(socket, type="control", name="temperature", value=1 + i / 1000)
    send(socket, type="record", on="at the end")
    lines = [told(socket, "error")["message"], told(socket, "error")["message"]]
    assert lines[0].startswith(f"message: {MOST_WAITING} changes wait already")
    assert lines[1].startswith("on: at the end")
    sound(socket, 3)
    send(socket, type="control", name="temperature", value=1)
    rest()
    assert len(sound(socket, 1)) == BLOCK
    for _ in range(MOST_WAITING + 5):
        send(socket, type="note_on", key=60)
    assert "wait already" in told(socket, "error")["message"]  # once more, since they were taken meanwhile


def test_how_busy_the_player_is_is_told_each_second(server: Server, socket: ClientConnection) -> None:
    begin(server, socket)
    send(socket, type="credit", samples=100 * BLOCK)
    assert 0 < told(socket, "load")["share"] < 100


def test_scores_are_told_to_every_page(server: Server, tmp_path: Path) -> None:
    write_score(tmp_path / "s.mid", [(0, Kind.strike, 72, 90)])
    with server.socket("/ws/events") as page:
        id = upload(server, tmp_path / "s.mid", "told.mid")
        told_of = {told(page, "changed")["what"]}
        with server.client() as client:
            client.delete(f"/api/scores/{id}")
        until(lambda: "scores" in told_of or told_of.add(told(page, "changed")["what"]))


@pytest.mark.slow
def test_checkpoints_of_a_run_are_models_of_their_own(server: Server, socket: ClientConnection, tmp_path: Path) -> None:
    run = server.folder / "runs" / "wind"
    again(make_corpus(tmp_path / "sounds"), run, 20)
    row = models(server)["wind"]
    assert [each["step"] for each in row["checkpoints"]] == checkpoint.steps(run)[::-1]
    ids = {each["step"]: each["id"] for each in row["checkpoints"]}
    first, last = min(ids), max(ids)
    send(socket, type="open", model=ids[first], second=ids[last], way="compare", seed=3)
    lines = [told(socket, "opening")["line"] for _ in "12"]
    assert lines == [f"wind, step {step} is made ready to be played, for the first time" for step in (first, last)]
    assert told(socket, "ready")["titles"] == [f"wind, step {step}" for step in (first, last)]
    expected = [
        to_native(open_run(run, str(step))).instrument(3).stream(40) for step in (first, last)
    ]  # whose weights have not gone through a file
    for deck, sounds in enumerate(expected):
        send(socket, type="hear", deck=deck + 1)
        heard = sound(socket, 10, 40)
        assert np.array_equal(heard[20:], np.concatenate([next(sounds) for _ in range(10 * deck + 10)])[-380:])
    send(socket, type="open", model=row["id"], seed=3)
    best = checkpoint.find(run, "best").name
    said = told(socket, "ready")["title"]
    assert said == "wind"
    kept = {path.stem.partition("-")[2] for path in (server.folder / "logs").glob("*.safetensors")}
    assert {best, *map(checkpoint.step_name, (first, last))} == kept
    shutil.rmtree(checkpoint.path(run, first))
    send(socket, type="open", model=ids[first], seed=3)
    assert "nothing has the id" in told(socket, "error")["message"]
