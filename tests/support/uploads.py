"""Kill a studio's server while files are uploaded and removed, and hold what it keeps against what it acknowledged."""

import hashlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from support.studio import serving

UPLOADERS = 3
LARGEST = 3 << 20  # bytes
LONGEST = 2.0  # seconds from the first upload to the kill


def kill_while_uploading(folder: Path, kills: int, seed: int, say: Callable[[str], None] = lambda line: None) -> int:
    """Kill a server `kills` times, check after each start that all is there, and return how many uploads were kept.

    Every upload that was acknowledged must be there, byte for byte, and none that was removed. Nothing is left of one
    that was cut. What was whole but not acknowledged may be there or not.
    """
    draw = random.Random(seed)
    kept: dict[str, str] = {}  # SHA-256 of each acknowledged upload by its id
    removed: set[str] = set()
    for kill in range(kills + 1):
        with serving(folder) as server:
            with server.client() as client:
                found = {row["id"]: row["bytes"] for row in client.get("/api/recordings").json()}
            assert not [*folder.rglob("*.part")], "a cut upload was left"
            assert {path.name for path in (folder / "recordings").iterdir()} == set(found)
            assert not removed & set(found), "a removed recording came back"
            for id, digest in kept.items():
                assert id in found, f"{id} was acknowledged and is not there"
                (file,) = (folder / "recordings" / id).iterdir()
                assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
                assert found[id] == file.stat().st_size
            if kill == kills:
                return len(kept)
            over = threading.Event()

            def upload(number: int, server=server, over=over) -> None:  # type: ignore[no-untyped-def]
                mine = random.Random(f"{seed} {kill} {number}")  # noqa: B023
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
                                    removed.add(id)
                            else:
                                kept[id] = hashlib.sha256(content).hexdigest()
                        except httpx.HTTPError:  # the kill
                            return

            threads = [threading.Thread(target=upload, args=(number,)) for number in range(UPLOADERS)]
            for thread in threads:
                thread.start()
            time.sleep(draw.uniform(0.05, LONGEST))
            server.process.kill()
            over.set()
            for thread in threads:
                thread.join()
        say(f"kill {kill + 1}: {len(kept)} kept, {len(removed)} removed")
    raise AssertionError
