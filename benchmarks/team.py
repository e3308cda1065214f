"""Measure what a second thread brings to the engine, on free cores, in live playing and beside busy programs.

Players with one thread and with two take turns in one run, since the machine may be shared. Each row compares two
threads with one: speeds in times real time (of all streams together), the median of the ratios of rounds that followed
each other, and `alone`, the share of samples that one of two threads made alone. Both must make the same samples.

`free` plays without a pause, and stands for free cores only where no other program runs. `nice -n -20` comes close
elsewhere. `live` plays blocks of 256 samples with pauses of 8 ms, and counts the time of the blocks. `busy` plays
beside other programs that compute all the time, two for each core.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from measured import THESIS, native, write
from wavewright.commands.console import say
from wavewright.formats.precision import Precision
from wavewright.playing.engine import Engine

LIVE_BLOCK, LIVE_PAUSE = 256, 0.008  # samples, seconds
COMPARED = 2048  # samples of each stream that must be the same


class Timed:
    """A player of one model, whose blocks are timed."""

    def __init__(self, title: str, precision: Precision, streams: int, threads: int) -> None:
        model = native(title, precision, threads)
        self.player: Engine = model.player(streams)
        self.rate, self.streams = model.rate, streams
        self.speeds: list[float] = []
        self.samples = 0
        self.beginning: list[np.ndarray] = []

    def play(self, seconds: float, block: int, pause: float) -> None:
        """Play for a round of `seconds`, and note the speed."""
        end, taken, samples = time.perf_counter() + seconds, 0.0, 0
        while time.perf_counter() < end:
            start = time.perf_counter()
            codes = self.player.generate(block)
            taken += time.perf_counter() - start
            if self.samples < COMPARED:
                self.beginning.append(codes)
            self.samples += block
            samples += block
            time.sleep(pause)
        self.speeds.append(samples * self.streams / taken / self.rate)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run other programs that compute all the time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def compare(
    part: str, title: str, precision: Precision, streams: int, *, seconds: float, rounds: int
) -> dict[str, object]:
    """Return a row of one part for one model."""
    one, two = players = [Timed(title, precision, streams, threads) for threads in (1, 2)]
    block, pause = (LIVE_BLOCK, LIVE_PAUSE) if part == "live" else (max(LIVE_BLOCK // streams, 16), 0.0)
    for _ in range(rounds):
        for timed in players:
            timed.play(seconds, block, pause)
    begins = [np.concatenate(timed.beginning, axis=1) for timed in players]
    common = min(begin.shape[1] for begin in begins)
    assert np.array_equal(begins[0][:, :common], begins[1][:, :common]), f"{title}: two threads make other samples"
    return {
        "part": part,
        "model": title,
        "precision": precision,
        "streams": streams,
        "one_best": round(max(one.speeds), 3),
        "one_median": round(median(one.speeds), 3),
        "two_best": round(max(two.speeds), 3),
        "two_median": round(median(two.speeds), 3),
        "two_over_one": round(median(b / a for a, b in zip(one.speeds, two.speeds, strict=True)), 3),
        "alone": round(two.player.samples_alone / two.samples, 4),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("free", "live", "busy"), default=("free", "live", "busy"))
    parser.add_argument("--models", nargs="+", choices=list(THESIS), default=list(THESIS)[:3])
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16", "int8"), default=("float32", "int8"))
    parser.add_argument("--streams", nargs="+", type=int, default=(1, 64))
    parser.add_argument("--seconds", type=float, default=1.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--programs", type=int, default=2 * (os.cpu_count() or 1), help="beside which `busy` plays")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    rows = []
    for part in arguments.parts:
        with busy(arguments.programs if part == "busy" else 0):
            for title in arguments.models:
                for precision in arguments.precisions:
                    for streams in arguments.streams:
                        budget = {"seconds": arguments.seconds, "rounds": arguments.rounds}
                        rows.append(compare(part, title, precision, streams, **budget))
                        say(json.dumps(rows[-1]))
    write(arguments.out, rows)


if __name__ == "__main__":
    main()
