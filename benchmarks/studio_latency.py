"""Time from a key to the ear, and gaps, of the studio's player, alone and beside a training.

    .venv/bin/python benchmarks/studio_latency.py --minutes 1

A real server is played over its WebSocket as the page does. A store of 50 ms is kept, and of 90 ms beside a training. A
gap or a close call makes it 10 ms longer, and samples are granted as they are heard. In the first minute, a knob is
turned 200 times at random moments. Keys go the same way. The model has random weights and the size of the piano in the
package. An instrument of the same seed in this program then finds, for each turn of the knob, the first sample that
knows it.

"Made" is the time until that sample has come from the server. "Heard" is the time until a page would play the sample,
without the time of the sound card, which the page's own figure adds.
"""

import argparse
import contextlib
import gc
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from websockets.sync.client import ClientConnection, connect

import wavewright
from latency import random_model
from measured import processor
from wavewright.commands.console import table
from wavewright.formats import model_file
from wavewright.formats.model_file import ModelFacts, Parity
from wavewright.playing.instrument import Instrument

CASES = {"alone": "alone", "beside": "beside a training"}
SEED = 1
ALONE, BESIDE = 0.05, 0.09  # seconds in store at least, see web/studio/src/lib/instrument.svelte.ts
STEP, CLOSE, SPARE, MOST, CALM = 0.01, 0.01, 0.03, 0.2, 30.0  # seconds, see web/player/playout.js
QUANTUM = 128  # samples that a browser plays at once
GRANT = 0.004  # seconds between two grants, see web/player/worker.js
EVENTS, EVERY = 200, 0.3  # seconds between two of them on average
SETTLE = 1.0  # seconds before the first
NAME, VALUES = "temperature", (0.6, 1.0)
PIECE = 128  # samples that are looked at at once
PARITY = 64
PATIENCE = 300  # seconds, since a training gives way to all else
CLIP = Path(wavewright.__file__).parent / "data" / "bwv846_prelude.flac"


@dataclass
class Event:
    """A value of the knob that was sent, when, and the sample of the stream that came next."""

    value: float
    sent: float
    received: int


class Page:
    """What the page's worker and worklet do: grant samples, take them in, and play them by the clock."""

    def __init__(self, socket: ClientConnection, rate: int, block: int, least: float) -> None:
        self.socket, self.rate, self.block = socket, rate, block
        self.blocks: list[tuple[float, NDArray[np.float32]]] = []  # and when each came
        self.ends: list[int] = []  # sample after each block
        self.played: list[tuple[int, float]] = []  # first sample of each quantum, and when it was played
        self.gaps = self.granted = self.read = self.calm = 0
        self.least = self.target = round(least * rate)
        self.playing, self.spare = False, rate
        self.quanta, self.began = 0, 0.0
        self.trouble = ""
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        with contextlib.suppress(Exception):  # the connection is closed at the end
            while True:
                frame = self.socket.recv()
                if isinstance(frame, bytes):
                    block = np.frombuffer(frame, "<f4")
                    self.ends.append((self.ends[-1] if self.ends else 0) + len(block))
                    self.blocks.append((time.monotonic(), block))
                elif (message := json.loads(frame))["type"] == "error":
                    self.trouble = message["message"]

    @property
    def received(self) -> int:
        """Samples that came."""
        return self.ends[-1] if self.ends else 0

    def send(self, **message: Any) -> None:
        """Send a message."""
        self.socket.send(json.dumps(message))

    def tick(self) -> None:
        """Play what is due by now, and grant as much."""
        self.began = self.began or time.monotonic()
        while (due := self.began + self.quanta * QUANTUM / self.rate) <= time.monotonic():
            self.quanta += 1
            self._play(due)
        wanted = self.read + self.target + self.block - self.granted
        if wanted > 0:
            self.granted += wanted
            self.send(type="credit", samples=wanted)
        if self.trouble:
            sys.exit(f"the server said: {self.trouble}")

    def _play(self, due: float) -> None:
        there = len(self.blocks)
        while there and self.blocks[there - 1][0] > due:  # this program may be late, and a block not yet there then
            there -= 1
        filled = (self.ends[there - 1] if there else 0) - self.read
        self.playing |= filled >= self.target
        if not self.playing:
            return
        self.calm += QUANTUM
        count = min(QUANTUM, filled)
        self.played.append((self.read, due))
        self.read += count
        gap = count < QUANTUM
        if gap:
            self.playing = False
            self.gaps += 1
        if self.calm > self.target:
            self.spare = min(self.spare, filled - count)
        if gap or self.spare < CLOSE * self.rate:
            self._aim(STEP)
        elif self.calm >= CALM * self.rate:
            self._aim(-STEP if self.spare >= SPARE * self.rate else 0)

    def _aim(self, change: float) -> None:
        self.target = max(self.least, min(round(MOST * self.rate), self.target + round(change * self.rate)))
        self.calm, self.spare = 0, self.rate

    def stream(self) -> NDArray[np.float32]:
        """All samples that came."""
        return np.concatenate([block for _, block in self.blocks])

    def made(self, sample: int) -> float:
        """When a sample came."""
        return self.blocks[int(np.searchsorted(self.ends, sample, "right"))][0]

    def heard(self, sample: int) -> float:
        """When a sample was played."""
        place = int(np.searchsorted([first for first, _ in self.played], sample, "right")) - 1
        first, when = self.played[place]
        return when + (sample - first) / self.rate


def play(page: Page, minutes: float) -> list[Event]:
    """Play for so many minutes, and return what was played."""
    rng = random.Random(SEED)
    events: list[Event] = []
    over, following = time.monotonic() + 60 * minutes, time.monotonic() + SETTLE
    while (now := time.monotonic()) < over:
        page.tick()
        if now >= following and len(events) < EVENTS and now < over - SETTLE:
            events.append(Event(VALUES[len(events) % 2], time.monotonic(), page.received))
            page.send(type="control", name=NAME, value=events[-1].value)
            following = now + rng.uniform(0.5, 1.5) * EVERY
        time.sleep(GRANT)
    return events


def first_samples(file: Path, page: Page, events: list[Event]) -> list[int]:
    """Return the first sample of the stream that knows of each event.

    On a machine that is much too busy, two events can take effect at once. The list then ends before them.
    """
    model = wavewright.load(file)
    instrument, hop, found = model.instrument(SEED), model.config.condition.hop, []
    place, stream = events[0].received, page.stream()
    instrument.generate(place)  # not compared, since the beginning of the stream is faded in
    for number, event in enumerate(events):
        before = instrument.state()
        first = place + _alike(instrument, stream[place:])
        end = events[number + 1].received if number + 1 < len(events) else len(stream)
        # It counts where a frame begins, or a block if it came late. The first codes may be drawn alike.
        for sample in range(first, place - 1, -1):
            if sample % hop and sample % page.block:
                continue
            instrument.restore(before)
            instrument.generate(sample - place)
            instrument.control(NAME, event.value)
            if _alike(instrument, stream[sample:end]) >= end - sample:
                break
        else:
            return found
        found.append(sample)
        place = max(sample, end)
    return found


def _alike(instrument: Instrument, stream: NDArray[np.float32]) -> int:
    """Return how many samples an instrument makes as they are in the stream, before the first other one."""
    for start in range(0, len(stream), PIECE):
        expected = stream[start : start + PIECE]
        different = instrument.generate(len(expected)) != expected
        if different.any():
            return start + int(np.argmax(different))
    return len(stream)


def write_model(path: Path) -> None:
    """Write a model of random weights that follow a keyboard strongly."""
    model = random_model("sample-rnn")
    condition = model.config.condition
    frames = np.zeros((condition.frames(PARITY), condition.features), np.float32)
    parity = Parity(np.zeros(PARITY, np.int32), np.zeros((PARITY, model.config.q_levels), np.float32), frames)
    facts = ModelFacts(**{**model.facts(), "levelling": wavewright.load("piano").levelling})
    model_file.save(path, facts, "float32", model.weights, parity)  # nothing compares the parity pair here


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a server, and yield its address and its token."""
    command = [sys.executable, "-m", "wavewright", "studio", str(folder), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            base, _, token = server.stdout.readline().split()[-1].partition("/login?token=")
            yield base, token
        finally:
            server.send_signal(signal.SIGINT)


@contextlib.contextmanager
def training(folder: Path, client: httpx.Client) -> Iterator[None]:
    """Let the studio train meanwhile."""
    command = [sys.executable, "-m", "wavewright", "prepare", str(CLIP), "--out", str(folder / "corpora" / "clip")]
    subprocess.run(command, check=True, capture_output=True)
    corpus = client.get("/api/corpora").json()[0]["id"]
    asked = {"name": "beside", "corpus": corpus, "model": "sample-rnn", "preset": "small", "minutes": 600}
    run = f"/api/runs/{client.post('/api/runs', json=asked).raise_for_status().json()['id']}"
    _wait(lambda: client.get(f"{run}/metrics").json()["records"], "the training did not begin")
    yield
    client.post(f"{run}/stop").raise_for_status()
    _wait(lambda: client.get("/api/runs").json()[0]["state"] == "stopped", "the training did not stop")


def _wait(done: Callable[[], Any], otherwise: str) -> None:
    over = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > over:
            sys.exit(otherwise)
        time.sleep(0.2)


def measure(base: str, client: httpx.Client, minutes: float, file: Path, least: float) -> tuple[str, list[list[str]]]:
    """Play for so many minutes with `least` seconds in store, and return the gaps and the rows of the table."""
    bearer = {"authorization": client.headers["authorization"]}
    id = next(row["id"] for row in client.get("/api/models").json() if row["name"] == file.stem)
    with connect(f"{base.replace('http', 'ws')}/ws/play", additional_headers=bearer) as socket:
        socket.send(json.dumps({"type": "open", "model": id, "seed": SEED}))
        while (ready := json.loads(socket.recv()))["type"] != "ready":
            pass
        gc.collect()
        gc.freeze()  # else this program holds itself up, as no page does
        page = Page(socket, ready["rate"], ready["block"], least)
        events = play(page, minutes)
    known = first_samples(file, page, events)
    delays = {
        "made": [page.made(sample) - event.sent for event, sample in zip(events, known, strict=False)],
        "heard": [page.heard(sample) - event.sent for event, sample in zip(events, known, strict=False)],
    }
    figures = [[name, f"{len(values)}", *_spread(1000 * np.array(values))] for name, values in delays.items()]
    followed = f"{len(known)} of {len(events)} turns followed"
    return f"{page.gaps} gaps, store at the end {1000 * page.target / page.rate:.0f} ms, {followed}", figures


def _spread(values: NDArray[np.float64]) -> list[str]:
    return [f"{value:.1f}" for value in (np.median(values), np.percentile(values, 95), values.max())]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of each case")
    parser.add_argument("--only", choices=CASES, help="one of the two cases")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "work" / "models").mkdir(parents=True)
        file = folder / "work" / "models" / "random.safetensors"
        write_model(file)
        base, token = stack.enter_context(serving(folder / "work"))
        bearer = {"authorization": f"Bearer {token}"}
        client = stack.enter_context(httpx.Client(base_url=base, headers=bearer, timeout=PATIENCE))
        for case in [arguments.only] if arguments.only else CASES:
            beside = case == "beside"
            with training(folder / "work", client) if beside else contextlib.nullcontext():
                said, rows = measure(base, client, arguments.minutes, file, BESIDE if beside else ALONE)
            print(
                f"{CASES[case]}, {arguments.minutes:g} min: {said}; {processor()}, {os.cpu_count()} cores", flush=True
            )
            table("ms from a turn of the knob", ["until", "count", "median", "95%", "largest"], rows)


if __name__ == "__main__":
    main()
