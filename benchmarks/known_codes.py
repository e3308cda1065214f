"""Speed of reading known codes in blocks, over that of single samples and of torch's own forward, on one thread.

The engine plays sample by sample, always the likeliest code, and scores blocks. Torch makes a forward and the
cross-entropy. They take turns. The best of each counts, in seconds of the processor's time, since other programs only
ever slow a block down. Priming is reading without logits. All weights are random.

Torch takes AVX2 with ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 in the environment.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import product

import numpy as np
import torch

from measured import MODELS, processor
from wavewright.commands.console import say
from wavewright.formats.config import resolve
from wavewright.formats.precision import Precision
from wavewright.measuring.speed import random_weights
from wavewright.models.config import ModelConfig
from wavewright.playing.engine import Engine, instruction_sets, measure_limits
from wavewright.sampling import Controls

RATE = 14700


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def compare(
    title: str, config: ModelConfig, *, streams: int, precision: Precision, isa: str, rounds: int, with_torch: bool
) -> dict[str, object]:
    weights = random_weights(config)
    stepped, blocked = (
        Engine(config, weights, streams=streams, threads=1, precision=precision, isa=isa, rate=RATE) for _ in range(2)
    )
    rng = np.random.default_rng(0)
    short, long = max(1, 96 // streams), 2 * max(128, 1024 // streams)
    few, codes = (rng.integers(0, config.q_levels, (streams, samples)) for samples in (short, long))
    work = {
        "stepped": (few, lambda: stepped.generate(short, Controls(0))),
        "blocked": (codes, lambda: blocked.score(codes)),
        "primed": (codes, lambda: blocked.prime(codes)),
    }
    if with_torch:
        model = config.build().eval()
        model.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
        targets, state = torch.from_numpy(codes), model(torch.from_numpy(few))[1]
        work["torch"] = (codes, lambda: config.output.loss(model.logits(model(targets, state)[0], targets), targets))
    best = dict.fromkeys(work, np.inf)
    for _ in range(rounds):
        for name, (given, run) in work.items():
            best[name] = min(best[name], seconds(run) / given.size)
    speeds = {name: round(1 / taken) for name, taken in best.items()}
    ratios = {f"over_{name}": round(best[name] / best["blocked"], 2) for name in ("stepped", "torch") if name in best}
    real_time = round(1 / best["blocked"] / RATE, 2)
    facts = {"model": title, "isa": stepped.isa, "precision": precision, "streams": streams}
    return {**facts, "samples_per_second": speeds, "real_time": real_time, **ratios, "work": stepped.work.multiply_adds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 16])
    parser.add_argument("--isa", nargs="*", default=instruction_sets()[:1])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("models", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rates = {isa: round(measure_limits(1 << 20, 1, isa).multiply_adds) for isa in arguments.isa}
    say(json.dumps({"processor": processor(), "rate": RATE, "multiply_adds_per_second": rates}))
    with torch.inference_mode():
        for title, streams, isa in product(arguments.models, arguments.streams, arguments.isa):
            name, preset, overrides = MODELS[title]
            row = compare(
                title,
                resolve(name, preset, None, overrides).model,
                streams=streams,
                precision=arguments.precision,
                isa=isa,
                rounds=arguments.rounds,
                with_torch=not arguments.no_torch,
            )
            say(json.dumps(row))


if __name__ == "__main__":
    main()
