"""Speed of the thesis's models with a keyboard of 88 keys, over their speed without, in one run on one thread.

Blocks with and without take turns. The best of each counts, in seconds of the processor's time, since other programs
only ever slow a block down. A block lasts 10 ms, and a key is struck or released every 50 ms.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import numpy as np

from measured import THESIS, native
from wavewright.commands.console import print_json
from wavewright.conditioning.events import Kind, events
from wavewright.formats.precision import Precision
from wavewright.measuring.speed import random_weights
from wavewright.models.condition import Condition, Notes
from wavewright.playing.engine import Engine

RATE = 14700
BLOCK = RATE // 100  # 10 ms


def seconds(play: Callable[[], object]) -> float:
    start = time.thread_time()
    play()
    return time.thread_time() - start


def compare(title: str, precision: Precision, rounds: int) -> dict[str, object]:
    config = native(title).config
    conditioned = replace(config, condition=Condition(controls=(Notes(),), hop=16, width=64))
    without, player = (
        Engine(model, random_weights(model), threads=1, precision=precision, rate=RATE)
        for model in (config, conditioned)
    )
    here, keys, clock = np.zeros((1, 1), np.float32), cycle(range(21, 109, 3)), 0

    def play() -> None:
        if clock // BLOCK % 5 == 0:
            kind = Kind.strike if clock // BLOCK % 2 else Kind.release
            player.feed(0, events((clock + BLOCK // 3, kind, next(keys), 80)))
        player.generate(BLOCK, dense=here)

    best = [np.inf, np.inf]
    for _ in range(rounds):
        best = [min(best[0], seconds(lambda: without.generate(BLOCK))), min(best[1], seconds(play))]
        clock += BLOCK
    speeds = [round(BLOCK / taken) for taken in best]
    return {
        "model": title,
        "precision": precision,
        "samples_per_second": {"without": speeds[0], "with": speeds[1]},
        "ratio": round(best[0] / best[1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--precisions", nargs="*", default=["float32", "bfloat16", "int8"])
    parser.add_argument("models", nargs="*", default=list(THESIS))
    arguments = parser.parse_args()
    print_json(
        [
            compare(title, precision, arguments.rounds)
            for title in arguments.models
            for precision in arguments.precisions
        ]
    )


if __name__ == "__main__":
    main()
