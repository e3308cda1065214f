"""Measure what a model split over two processes trains in a second, beside one process and two with half of the lanes.

    OMP_NUM_THREADS=1 python benchmarks/split_layers.py

Each model takes turns in four ways of training. Each row has milliseconds a step, and of all steps the shortest, since
the machine may be shared:

one       one process with all lanes
groups    the same, but with the lanes in the groups that pass the stages one after another
share     two processes with half of the lanes each
split     two processes with half of the work each, and what is `expected` of them

The first rows are of stages that sleep in place of computing. They need no free cores, as the others do.

What is expected follows from `groups`: m groups pass N stages in m + N - 1 turns. A turn takes the slowest stage's part
of a group's time, and the transfer of what a group hands on, there and back, which is measured by itself.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from wavewright import processes
from wavewright.commands.console import say
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.formats.config import resolve
from wavewright.models.pieces import Part
from wavewright.training.pipeline import Pipeline
from wavewright.training.trainer import Trainer

CPU = torch.device("cpu")
CLIP = Path(__file__).parents[1] / "src" / "wavewright" / "data" / "bwv846_prelude.flac"
MODELS: dict[str, tuple[str, list[str]]] = {
    "WaveNet small": ("wavenet", []),
    "WaveNet, 128 channels": ("wavenet", ["model.channels=128", "model.skip_channels=256"]),
    "NaiveRNN small": ("naive-rnn", []),
    "NaiveRNN 4x512": ("naive-rnn", ["model.layers=4", "model.units=512"]),
    "SampleRNN small": ("sample-rnn", []),
    "LinearRNN small": ("linear-rnn", []),
}
FIELDS = ["training.sample_seconds=0", "training.length=256", "training.batch_size=8"]
STEPS = 3  # in a turn
NAP = 0.01  # seconds that a sleeping stage takes forward; backward, it takes twice as long
HANDED = (1, 96, 2048)  # shape of what it hands on, as of WaveNet small


class Nap(torch.autograd.Function):
    """A stage's work, asleep."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Sleep."""
        time.sleep(NAP)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Sleep for twice as long."""
        time.sleep(2 * NAP)
        return gradients[0]


@contextmanager
def alone() -> Iterator[None]:
    """Let this process do as if there were no others."""
    kept = {name: os.environ.pop(name) for name in ("RANK", "WORLD_SIZE")}
    try:
        yield
    finally:
        os.environ.update(kept)


def timed(step: Callable[[], object], count: int) -> list[float]:
    """Return the milliseconds of each step."""
    edges = [time.perf_counter()]
    for _ in range(count):
        step()
        edges.append(time.perf_counter())
    return [1000 * (stop - start) for start, stop in pairwise(edges)]


def measure(title: str, corpus: Corpus, rounds: int) -> dict[str, float]:
    """Measure one model in all ways. The first process has the result."""
    name, fields = MODELS[title]
    config = resolve(name, "small", None, [*fields, *FIELDS], (), rate=corpus.rate)
    split, share = (Trainer(config, corpus, CPU, stages) for stages in (2, 1))
    with alone():
        one, groups = (Trainer(config, corpus, CPU) for _ in range(2))
    groups.groups = split.groups
    first = split.pipeline.pieces.start or split.pipeline.pieces.stop  # piece of the second stage
    codes = torch.from_numpy(next(split.batches).inputs)[split.groups[0]]
    with torch.no_grad():
        handed = split.model(codes, part=Part(slice(None, first)))[0].contiguous()
    found: dict[str, list[float]] = {way: [] for way in ("one", "groups", "share", "split", "transfer")}
    for _ in range(rounds):
        for way, trainer in (("one", one), ("groups", groups)):
            if processes.rank() == 0:
                with alone():
                    found[way] += timed(trainer.train_step, STEPS)
            processes.wait()
        found["share"] += timed(share.train_step, STEPS)
        found["split"] += timed(split.train_step, STEPS)
        found["transfer"] += timed(lambda: processes.swap(1 - processes.rank(), handed, handed), STEPS)
    if processes.rank():
        return {}
    row, count = {way: min(times) for way, times in found.items()}, len(split.groups)
    work = [piece.work for piece in split.model.pieces()]
    part = max(sum(work[:first]), sum(work[first:])) / sum(work)
    expected = (count + 1) * (part * row["groups"] / count + row["transfer"])
    return {**row, "expected": expected, "m": count, "part": part, "megabytes": handed.nbytes / 1e6}


def measure_asleep(corpus: Corpus, rounds: int) -> None:
    """Compare stages that sleep with what is expected, for some numbers of groups."""
    pipeline = Pipeline(resolve("wavenet", "small", None, [], (), rate=corpus.rate).model.build(), 2)
    weight, tensor = torch.zeros(1, requires_grad=True), torch.zeros(HANDED)

    def forward(lanes: slice, handed: Tensor | None) -> Tensor:
        output: Tensor = Nap.apply((tensor if handed is None else handed) + weight)  # type: ignore[no-untyped-call]
        return output.sum() if pipeline.is_last else output

    for count in (2, 4, 8, 16):
        groups = [slice(i, i + 1) for i in range(count)]
        found = median(timed(functools.partial(pipeline.run, groups, forward, learn=True), rounds))
        transfer = median(timed(lambda: processes.swap(1 - processes.rank(), tensor, tensor), rounds))
        expected = (count + 1) * (3000 * NAP + transfer)
        if processes.rank() == 0:
            say(f"asleep, m {count:2}: split {found:.0f}  expected {expected:.0f}  transfer {transfer:.2f}")


def work(options: argparse.Namespace) -> None:
    """Measure all models, in one of the two processes."""
    torch.set_num_threads(1)
    processes.join(CPU)
    corpus, rows = Corpus.open(options.corpus), {}
    measure_asleep(corpus, options.rounds)
    for title in options.models or MODELS:
        rows[title] = measure(title, corpus, options.rounds)
        if processes.rank() == 0:
            say(f"{title:28}" + "  ".join(f"{key} {value:.3g}" for key, value in rows[title].items()))
    if processes.rank() == 0:
        say(json.dumps(rows))
    processes.wait()
    processes.leave()


def main() -> None:
    """Start both processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "models", nargs="*", help=f"models to measure, such as {next(iter(MODELS))!r}; the default is all"
    )
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.corpus:
        work(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare([CLIP], Path(folder) / "corpus", PrepareSettings(section_seconds=2))
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        again = [__file__, *options.models, "--corpus", str(corpus.path), "--rounds", str(options.rounds)]
        subprocess.run([sys.executable, *launcher, *again], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
