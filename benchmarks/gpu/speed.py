"""Training steps of the thesis's models, beside plain torch modules and the device's own matrix rate.

A cell's last word is its precision. `fp32` has no TF32 at all. `train` is what `wavewright train` uses: TF32
in cuDNN's convolutions and recurrences, as torch comes. `tf32` allows it in all products, and `bf16` is
`--precision bf16`. Operations are counted as in training_speed.py: 6 a weight and sample of the plain model.
"""

import time
from collections.abc import Callable
from itertools import zip_longest
from statistics import median

import torch

from gpu.cases import Case, cases, noise
from gpu.work import Cell, Row, Work, bind, described
from training_speed import plain_step
from wavewright.training.trainer import Trainer

PRECISIONS = {  # name: (of products, TF32 in cuDNN, the matrix rate to hold it against)
    "fp32": ("highest", False, "fp32"),
    "train": ("highest", True, "tf32"),
    "tf32": ("high", True, "tf32"),
    "bf16": ("highest", True, "bf16"),
}
MATRIX = {False: 8192, True: 256}
ROUNDS = 5
ENOUGH = 0.25  # seconds of steps after which a median is good enough


def run(work: Work) -> None:
    """Measure the matrix rates, then every model at its smallest batch, at the next, and so on to what fits."""
    rates: dict[str, float] = {}
    cells: dict[str, Cell] = {
        f"matrix {kind}": bind(matrix_rate, work, kind, rates) for kind in ("fp32", "tf32", "bf16")
    }
    chosen = cases(work.options.small)
    for batches in zip_longest(*(case.batches for case in chosen)):
        for case, batch in zip(chosen, batches, strict=True):
            for precision in PRECISIONS:
                cells[f"{case.title}, batch {batch}, {precision}"] = bind(measure, work, case, batch, precision, rates)
    work.run(cells)


def set_precision(name: str) -> None:
    """Let torch use TF32 as the precision of that name allows."""
    products, in_cudnn, _ = PRECISIONS[name]
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = in_cudnn


def matrix_rate(work: Work, kind: str, rates: dict[str, float]) -> Row:
    """Measure the operations a second of a large square product, and keep them in `rates`."""
    set_precision(kind)
    size = MATRIX[work.options.small]
    a, b = torch.randn(2, size, size, device=work.device, dtype=torch.bfloat16 if kind == "bf16" else torch.float32)
    taken = timed(work, lambda: a @ b)
    rates[kind] = 2 * size**3 / taken
    return {"size": size, "teraflops": rates[kind] / 1e12}


def measure(work: Work, case: Case, batch: int, precision: str, rates: dict[str, float]) -> Row:
    """Measure whole steps of ours and of the plain model, which needs no guard, no data and no state."""
    set_precision(precision)
    samples, rate = batch * case.length, rates[PRECISIONS[precision][2]]
    ours, row = ours_of(work, case, batch, precision)
    torch.manual_seed(0)
    model = case.plain().to(work.device)
    operations = 6 * int(model.weights) * samples  # type: ignore[arg-type]
    row |= {"samples_per_second": round(samples / ours), "of_matrix_rate": operations / ours / rate}
    try:
        plain = timed(work, plain_step(model, batch, case.length, precision))
    except RuntimeError as error:  # out of memory too
        return {**row, "plain_error": described(error)}
    row |= {"plain_samples_per_second": round(samples / plain), "times_plain": plain / ours}
    return {**row, "plain_of_matrix_rate": operations / plain / rate}


def ours_of(work: Work, case: Case, batch: int, precision: str) -> tuple[float, Row]:
    """Return the seconds of our whole step, and what else there is to say of it."""
    if work.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer = trainer_of(work, case, batch, precision)
    ours = timed(work, trainer.train_step)
    row: Row = {"data_share": timed(work, lambda: next(trainer.batches)) / ours}
    if work.device.type == "cuda":
        row["gigabytes"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return ours, row


def trainer_of(work: Work, case: Case, batch: int, precision: str) -> Trainer:
    """Return a trainer of that case on noise."""
    bf16 = "bf16" if precision == "bf16" else "fp32"
    return Trainer(case.config(batch, bf16), noise(case, batch), work.device)


def timed(work: Work, step: Callable[[], object]) -> float:
    """Return the median seconds of a step, after two to warm up."""
    taken: list[float] = []
    for i in range(2 + 20 * ROUNDS):
        work.synchronize()
        start = time.perf_counter()
        step()
        work.synchronize()
        if i >= 2:
            taken.append(time.perf_counter() - start)
        if len(taken) >= ROUNDS and sum(taken) > ENOUGH:
            break
    return median(taken)
