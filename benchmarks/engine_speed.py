"""Playing speed of the thesis's models and of the small presets: `make bench`. As `wavewright bench` for each.

The thesis's models have one row more, for torch with the engine's algebra (tuned_torch.py).

`--isa avx2` plays with the code for processors without AVX-512. Torch takes AVX2 from the environment:
ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from measured import MODELS, THESIS, native, write
from tuned_torch import Stepped
from wavewright.commands.console import say
from wavewright.measuring.speed import Row, bench, speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--isa", default="", help="the engine's instruction set (the processor's best)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    rows = []
    torch.set_num_threads(1)
    for title in arguments.models:
        model = native(title)
        if title in THESIS:
            tuned = speed(Stepped(model.config, model.weights).generate, 1, arguments.seconds)
            facts = (model.config.name, title, "torch tuned", "float32", 1, 1)
            rows.append(asdict(Row(*facts, round(tuned), round(tuned / model.rate, 3), None, None)))
            say(json.dumps(rows[-1]))
        measured = bench(
            model.config,
            model.weights,
            preset=title,
            rate=model.rate,
            threads=(1, 2),
            streams=(1, 16, 64),
            precisions=("float32", "bfloat16", "int8"),
            seconds=arguments.seconds,
            isa=arguments.isa,
        )
        for row in measured:
            rows.append(asdict(row))
            say(json.dumps(rows[-1]))
    write(arguments.out, rows)


if __name__ == "__main__":
    main()
