"""Kill a studio's server while it gets files and answers, and hold what it keeps against what it acknowledged."""

import csv
import hashlib
import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx

from support.studio import Server, serving, write_takes

UPLOADERS = 3
TRIALS = 8
LISTENERS = ("Ann", "Bo")  # the last one is invited, and answers at the listeners' server
LARGEST = 3 << 20  # bytes
LONGEST = 2.0  # seconds from the first upload to the kill


class Kept(NamedTuple):
    """How many uploads and answers were acknowledged and are there."""

    uploads: int
    answers: int


@dataclass
class Said:
    """What the server acknowledged.

    Attributes:
        uploads: SHA-256 of each upload by its id.
        removed: ids of uploads that were removed.
        answers: the number of the last answer to each trial, by listener and trial.
        unsure: numbers of answers that were sent, and of which nothing was heard.
        told: how many answers of each listener were acknowledged.
    """

    uploads: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    answers: dict[tuple[str, int], int] = field(default_factory=dict)
    unsure: dict[tuple[str, int], int] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)


def kill_while_working(folder: Path, kills: int, seed: int, say: Callable[[str], None] = lambda line: None) -> Kept:
    """Kill a server `kills` times, check after each start that all is there, and return how much was kept.

    Every upload that was acknowledged must be there, byte for byte, and none that was removed. Nothing is left of one
    that was cut. The last acknowledged answer to each trial must be there. What was whole but not acknowledged may be
    there or not.
    """
    draw, said = random.Random(seed), Said()
    write_takes(folder / "takes", ("plain",), TRIALS)
    test, token = "", ""
    for kill in range(kills + 1):
        with serving(folder, None, "--listen", "127.0.0.1:0") as server:
            if not test:
                test, token = _make_test(server)
            _check_uploads(server, said)
            _check_answers(server, test, said)
            if kill == kills:
                return Kept(len(said.uploads), said.told.total())
            over = threading.Event()
            work = [
                partial(_upload, server, over, said, random.Random(f"{seed} {kill} {number}"))
                for number in range(UPLOADERS)
            ]
            here, invited = server.client(), httpx.Client(base_url=_base(server), headers=_bearer(token), timeout=60)
            for name, client in zip(LISTENERS, (here, invited), strict=True):
                path = f"/api/tests/{test}/answers" if client is here else "/api/answers"
                work.append(partial(_answer, client, path, over, said, name))
            with ThreadPoolExecutor(len(work)) as pool:
                begun = [pool.submit(act) for act in work]
                time.sleep(draw.uniform(0.05, LONGEST))
                server.process.kill()
                over.set()
            for one in begun:
                one.result()
        say(f"kill {kill + 1}: {len(said.uploads)} uploads, {len(said.removed)} removed, {said.told.total()} answers")
    raise AssertionError


def _make_test(server: Server) -> tuple[str, str]:
    with server.client() as client:
        takes = [row["id"] for row in client.get("/api/takes").json()]
        asked = {"name": "x", "method": "mos", "question": "?", "takes": takes}
        test = client.post("/api/tests", json=asked).json()["id"]
    return test, server.invited(test, LISTENERS[-1]).token


def _base(server: Server) -> str:
    with server.client() as client:
        return str(client.get("/api/session").json()["listeners"])


def _check_uploads(server: Server, said: Said) -> None:
    with server.client() as client:
        found = {row["id"]: row["bytes"] for row in client.get("/api/recordings").json()}
    assert not [*server.folder.rglob("*.part")], "a cut upload was left"
    assert {path.name for path in (server.folder / "recordings").iterdir()} == set(found)
    assert not said.removed & set(found), "a removed recording came back"
    for id, digest in said.uploads.items():
        assert id in found, f"{id} was acknowledged and is not there"
        (file,) = (server.folder / "recordings" / id).iterdir()
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
        assert found[id] == file.stat().st_size


def _check_answers(server: Server, test: str, said: Said) -> None:
    """Check that each trial has its last acknowledged answer, or one that was sent after it."""
    with server.client() as client:
        rows = csv.DictReader(io.StringIO(client.get(f"/api/tests/{test}/answers.csv").text))
        found = {(row["listener"], int(row["trial"])): int(row["plays"]) for row in rows}
    for key, number in said.answers.items():
        assert found.get(key) in (number, said.unsure.get(key)), f"answer {number} of {key} is not there"
    assert set(found) <= set(said.answers) | set(said.unsure)
    said.answers.update(found)
    said.unsure.clear()


def _upload(server: Server, over: threading.Event, said: Said, mine: random.Random) -> None:
    with server.client() as client:
        while not over.is_set():
            content = mine.randbytes(mine.randint(1, LARGEST))
            try:
                # a score is not examined, which would only keep the machine busy
                reply = client.put("/api/recordings", params={"name": "x.mid"}, content=content)
                if reply.status_code != 201:
                    continue
                id = reply.json()["id"]
                if mine.random() < 0.2:
                    if client.delete(f"/api/recordings/{id}").status_code == 204:
                        said.removed.add(id)
                else:
                    said.uploads[id] = hashlib.sha256(content).hexdigest()
            except httpx.HTTPError:  # the kill
                return


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _answer(client: httpx.Client, path: str, over: threading.Event, said: Said, name: str) -> None:
    """Answer trials one after the other. Each answer to a trial has a number, one more than the last one's."""
    who = {"listener": name} if name == LISTENERS[0] else {}
    with client:
        while not over.is_set():
            key = name, said.told[name] % TRIALS
            number = said.answers.get(key, 0) + 1
            said.unsure[key] = number
            try:
                given = {**who, "trial": key[1], "answer": 5, "plays": number}
                reply = client.post(path, json=given)
            except httpx.HTTPError:  # the kill
                return
            assert reply.status_code in (200, 429), reply.text
            if reply.status_code == 200:
                said.answers[key] = number
                said.told[name] += 1
            del said.unsure[key]
