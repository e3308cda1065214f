"""An hour of audio from each of the thesis's models, in blocks of 512, and the resident memory before and after."""

import argparse
import json
import time
from itertools import islice

import numpy as np
import psutil

from thesis import MODELS, native
from wavewright.commands.console import progress


def soak(title: str, minutes: float, threads: int) -> dict[str, object]:
    model, process = native(title, "int8", threads), psutil.Process()
    stream = model.stream(512)
    next(stream)
    before, start = process.memory_info().rss, time.perf_counter()
    blocks = round(minutes * 60 * model.rate / 512)
    with progress(title, blocks) as advance:
        for block in islice(stream, blocks):
            assert np.abs(block).max() < 1
            advance()
    return {
        "model": title,
        "minutes_of_audio": minutes,
        "seconds": round(time.perf_counter() - start),
        "resident_before": before,
        "resident_after": process.memory_info().rss,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    for title in arguments.models:
        print(json.dumps(soak(title, arguments.minutes, arguments.threads)), flush=True)


if __name__ == "__main__":
    main()
