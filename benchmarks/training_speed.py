"""Training speed of the thesis's configurations: `make bench` prints a table and writes benchmarks/training_speed.json.

Our whole step (data, forward, backward, guard, clipping, Adam) beside (a) the plainest torch modules (plain.py) on one
batch that never changes, with torch's own Adam, and (b) the machine's float32 matrix product rate, against which the
arithmetic of the plain models is counted: 6 operations a weight and sample. All alternate within one run, since the
machine may be shared; figures are medians. `of_matmul` can exceed 1: oneDNN's LSTM and convolution beat MKL's products.

Beside other programs, only the processor's time can be compared, with one thread. With AVX2 alone, as on many machines:

    OMP_NUM_THREADS=1 THP_MEM_ALLOC_ENABLE=1 python benchmarks/training_speed.py --processor-time --only WaveNet
    ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=1 ...
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from measured import processor
from plain import GatedWaveNet, NaiveRNN, SampleRNN, WaveNet
from wavewright.commands.console import print_json, say, table
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.devices import keep_memory
from wavewright.formats.config import resolve
from wavewright.training.trainer import Trainer

WARM = 4  # steps before the first that counts, while memory is fetched that all later steps use again

Case = tuple[str, str, dict[str, Any], Callable[[], nn.Module], int, tuple[int, ...]]
CASES: list[Case] = [
    ("NaiveRNN 2x512", "naive-rnn", {}, NaiveRNN, 128, (1, 16, 128)),
    ("SampleRNN 512, 8/2", "sample-rnn", {}, SampleRNN, 512, (1, 16, 128)),
    ("WaveNet 2x12", "wavenet", {"blocks": 2, "layers": 12}, lambda: WaveNet(2, 12), 14700, (1, 8)),
    ("WaveNet 4x10", "wavenet", {"blocks": 4, "layers": 10}, lambda: WaveNet(4, 10), 14700, (1, 8)),
]
GATED: dict[str, Any] = {"form": "gated", "input": "embedded", "skip_channels": 256}
PAPER: list[Case] = [  # a window takes 1 to 2 GB, in either of the two
    ("WaveNet 2x12, gated", "wavenet", GATED | {"blocks": 2, "layers": 12}, lambda: GatedWaveNet(2, 12), 14700, (1, 2)),
    ("WaveNet 4x10, gated", "wavenet", GATED | {"blocks": 4, "layers": 10}, lambda: GatedWaveNet(4, 10), 14700, (1, 2)),
]


def seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def plain_step(model: nn.Module, batch: int, length: int, precision: str = "fp32") -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters())
    device = next(model.parameters()).device
    codes, targets = torch.randint(256, (2, batch, length), device=device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(codes)
        functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()).backward()
        if isinstance(model, SampleRNN):  # as the thesis clips it, and so do we
            nn.utils.clip_grad_value_(model.parameters(), 1.0)
        optimizer.step()

    return step


def measure(corpus: Corpus, case: Case, batch: int, rounds: int, clock: Callable[[], float]) -> dict[str, object]:
    title, name, fields, make, length, _ = case
    overrides = [f"model.{key}={value}" for key, value in fields.items()]
    config = resolve(name, "thesis", None, overrides, batch_size=batch, length=length)
    trainer, model = Trainer(config, corpus, torch.device("cpu")), make()
    step, (a, b) = plain_step(model, batch, length), torch.randn(2, 2048, 2048)
    for _ in range(WARM):
        trainer.train_step(), step()
    ours, plain, matmul, data = [], [], [], []
    for _ in range(rounds):
        ours.append(seconds(trainer.train_step, clock))
        plain.append(seconds(step, clock))
        matmul.append(seconds(lambda: a @ b, clock))
        data.append(seconds(lambda: next(trainer.batches), clock))
    rate, work = 2 * 2048**3 / median(matmul), 6 * model.weights * batch * length
    return {
        "model": title,
        "batch": batch,
        "samples_per_second": round(batch * length / median(ours)),
        "plain_samples_per_second": round(batch * length / median(plain)),
        "times_plain": round(median(plain) / median(ours), 2),
        "of_matmul": round(work / median(ours) / rate, 2),
        "plain_of_matmul": round(work / median(plain) / rate, 2),
        "matmul_gflops": round(rate / 1e9),
        "data_share": round(median(data) / median(ours), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processor-time", action="store_true", help="Measure the processor's time, not a clock's.")
    parser.add_argument("--only", default="", help="Measure the models alone whose title begins so.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    keep_memory()
    rows = []
    with tempfile.TemporaryDirectory() as folder, resources.as_file(resources.files("wavewright") / "data") as data:
        clip = [data / "bwv846_prelude.flac"]
        for case in (case for case in CASES + PAPER if case[0].startswith(arguments.only)):
            section = 1.0 if case[1] == "wavenet" else 0.2
            settings = PrepareSettings(section_seconds=section, split=(1, 0, 0))
            corpus = prepare(clip, Path(folder) / f"{section}", settings)
            for batch in case[-1]:
                rows.append(measure(corpus, case, batch, arguments.rounds, clock))
                say(json.dumps(rows[-1]))
    machine = {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
    arguments.out.write_text(json.dumps({"torch": torch.__version__, **machine, "rows": rows}, indent=1) + "\n")
    table("training", list(rows[0]), [list(row.values()) for row in rows])
    print_json({"written": str(arguments.out)})


if __name__ == "__main__":
    main()
