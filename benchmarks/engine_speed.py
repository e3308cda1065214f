"""Playing speed of the thesis's models: `make bench`. As `wavewright bench` for each, in one file of rows."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from thesis import MODELS, native, processor
from wavewright.commands.console import say
from wavewright.measuring.speed import bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    rows = []
    for title in MODELS:
        model = native(title)
        measured = bench(
            model.name,
            model.config,
            model.weights,
            preset=title,
            rate=model.rate,
            threads=(1, 2),
            streams=(1, 16, 64),
            precisions=("float32", "bfloat16", "int8"),
            seconds=arguments.seconds,
        )
        for row in measured:
            rows.append(asdict(row))
            say(json.dumps(rows[-1]))
    arguments.out.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
