"""How long the engine takes for each block of live sound, as shares of the time that the block lasts.

A block is made every time that one has been played, as for a sound card, by one thread. A block is late when it takes
longer than it lasts. The shares are the median, and what 99.9% and all of the blocks stay below.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from measured import MODELS, native, write
from wavewright.commands.console import say
from wavewright.formats.precision import Precision


def measure(title: str, precision: Precision, block: int, seconds: float) -> dict[str, object]:
    model = native(title, precision, threads=1)
    player, lasts = model.player(), block / model.rate
    player.generate(block)
    shares, due = [], time.perf_counter()
    for _ in range(round(seconds / lasts)):
        due += lasts
        start = time.perf_counter()
        player.generate(block)
        shares.append((time.perf_counter() - start) / lasts)
        time.sleep(max(0.0, due - time.perf_counter()))
    return {
        "model": title,
        "precision": precision,
        "block": block,
        "blocks": len(shares),
        "median": round(float(np.median(shares)), 3),
        "most_of_1000": round(float(np.quantile(shares, 0.999)), 3),
        "most": round(max(shares), 3),
        "late": sum(share > 1 for share in shares),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to play for each row")
    parser.add_argument("--precision", default="int8", choices=("float32", "bfloat16", "int8"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    rows = []
    for title in arguments.models:
        for block in (64, 128, 256):
            rows.append(measure(title, arguments.precision, block, arguments.seconds))
            say(json.dumps(rows[-1]))
    if arguments.out:
        write(arguments.out, rows)


if __name__ == "__main__":
    main()
