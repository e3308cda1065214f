"""Play the thesis's models for an hour beside other programs, and check the samples and the resident memory.

Each minute one model, in turns with 1 and 16 streams, continues where it stopped: first on two threads, then on one
thread from the same state. Both must make the same samples and leave the same state. A line tells of each minute. Once
every model has played, memory may grow by 8 MB at most.
"""

import argparse
import ctypes
import gc
import json
import os
import sys
import time
from itertools import product

import numpy as np
import psutil

from measured import THESIS, native
from team import busy
from wavewright.playing.engine import Engine

BLOCK = 512  # samples
GROWTH = 8_000_000  # bytes


def release() -> None:
    """Give freed memory back to the system, so that what stays resident is in use."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def play(player: Engine, blocks: int | None, seconds: float) -> list[np.ndarray]:
    """Play a number of blocks, or for so many seconds."""
    end, made = time.monotonic() + seconds, []
    while len(made) < blocks if blocks else time.monotonic() < end or not made:
        made.append(player.generate(BLOCK).astype(np.int16))
    return made


def soak(title: str, streams: int, state: bytes | None, seconds: float) -> tuple[bytes, dict[str, object]]:
    """Play one model for about so many seconds. Return its state and what a line tells."""
    two, one = (native(title, "int8", threads).player(streams) for threads in (2, 1))
    for player in (two, one):
        if state is not None:
            player.restore(state)
    made = play(two, None, seconds / 3)  # One thread needs up to twice as long.
    expected = play(one, len(made), seconds)
    same = all(np.array_equal(a, b) for a, b in zip(made, expected, strict=True)) and two.state() == one.state()
    samples = len(made) * BLOCK
    return two.state(), {
        "model": title,
        "streams": streams,
        "samples": samples * streams,
        "alone": round(two.samples_alone / samples, 3),
        "same": same,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--turn", type=float, default=60, help="seconds that each model plays before the next one")
    parser.add_argument("--programs", type=int, default=4, help="number of other programs that compute all the time")
    arguments = parser.parse_args()
    cases = list(product(THESIS, (1, 16)))
    states: dict[tuple[str, int], bytes] = {}
    process, first, peak = psutil.Process(), 0, 0
    start, turn = time.monotonic(), 0
    with busy(arguments.programs):
        while time.monotonic() - start < 60 * arguments.minutes:
            case = cases[turn % len(cases)]
            states[case], line = soak(*case, states.get(case), arguments.turn)
            release()
            resident = process.memory_info().rss
            turn += 1
            if turn <= len(cases):
                first = max(first, resident)
            peak = max(peak, resident)
            minute = round((time.monotonic() - start) / 60, 1)
            print(json.dumps({"minute": minute, **line, "resident": resident, "load": os.getloadavg()[0]}), flush=True)
            if not line["same"]:
                raise SystemExit(f"{case}: two threads made other samples than one")
            if resident > first + GROWTH:
                raise SystemExit(f"memory grew from {first} to {resident} bytes")
    print(json.dumps({"passed": True, "turns": turn, "resident_first": first, "resident_peak": peak}))


if __name__ == "__main__":
    main()
