"""What could make a training step faster on a GPU, each way beside the step as it is, at one batch of each model.

The ways: cuDNN free to add in any order, WaveNet's convolutions as matrix products, CUDA graphs, and torch.compile.
"""

import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gpu.cases import Case, cases
from gpu.speed import set_precision, timed, trainer_of
from gpu.work import Cell, Row, Work, bind
from wavewright.training.trainer import Trainer

PLACE = 1  # which of a case's batches


def run(work: Work) -> None:
    """Measure each way; torch.compile comes last, since it may take minutes."""
    cells: dict[str, Cell] = {}
    chosen = sorted(cases(work.options.small), key=lambda case: case.name != "wavenet")
    for way, function in WAYS.items():
        for case in chosen:
            if way == "as products" and case.name != "wavenet":
                continue
            for precision in ("train", "bf16"):
                cells[f"{case.title}, {precision}, {way}"] = bind(function, work, case, precision)
    work.run(cells)


def row_of(case: Case, seconds: float) -> Row:
    """Return the row of a step that takes so long."""
    batch = case.batches[PLACE]
    return {"batch": batch, "samples_per_second": round(batch * case.length / seconds)}


def plainly(work: Work, case: Case, precision: str) -> Row:
    """Measure the step as it is."""
    set_precision(precision)
    return row_of(case, timed(work, trainer_of(work, case, case.batches[PLACE], precision).train_step))


def any_order(work: Work, case: Case, precision: str) -> Row:
    """Measure the step with cuDNN free to add in any order, which ends bit-exact resuming."""
    work.need_cuda()
    torch.backends.cudnn.deterministic = False
    try:
        return plainly(work, case, precision)
    finally:
        torch.backends.cudnn.deterministic = True


def as_products(work: Work, case: Case, precision: str) -> Row:
    """Measure the step with every convolution of WaveNet as one product for each of its taps."""
    work.need_cuda()
    with mock.patch.object(functional, "conv1d", convolve_by_products):
        return plainly(work, case, precision)


def convolve_by_products(taps: Tensor, weight: Tensor, *, dilation: int) -> Tensor:
    """Do what `functional.conv1d` does for WaveNet, (B, I, T + ...) -> (B, O, T)."""
    length = taps.shape[2] - (weight.shape[2] - 1) * dilation
    total: Tensor | None = None
    for i, matrix in enumerate(weight.unbind(2)):
        factors = matrix.expand(len(taps), -1, -1), taps[:, :, i * dilation : i * dilation + length]
        total = torch.bmm(*factors) if total is None else torch.baddbmm(total, *factors)
    assert total is not None
    return total


def compiled(work: Work, case: Case, precision: str) -> Row:
    """Measure the step with the model compiled; the first steps compile."""
    work.need_cuda()
    set_precision(precision)
    trainer = trainer_of(work, case, case.batches[PLACE], precision)
    trainer.model.compile(dynamic=False)
    start = time.perf_counter()
    trainer.train_step()
    trainer.train_step()
    compiling = time.perf_counter() - start
    return {**row_of(case, timed(work, trainer.train_step)), "compiling_seconds": round(compiling, 1)}


def graphed(work: Work, case: Case, precision: str) -> Row:
    """Measure the step as one CUDA graph, and how far its losses are from those of the same steps without one."""
    work.need_cuda()
    set_precision(precision)
    batch = case.batches[PLACE]
    seconds = timed(work, GraphStep(trainer_of(work, case, batch, precision)).whole)
    with_graph, without = (
        np.array(GraphStep(trainer_of(work, case, batch, precision), graph=graph).losses(5)) for graph in (True, False)
    )
    return {**row_of(case, seconds), "greatest_difference_of_loss": float(np.abs(with_graph - without).max())}


class GraphStep:
    """Forward, backward and Adam on static tensors: no guard, no clipping, the state carried from step to step.

    Args:
        trainer: whose model, data and settings are used; its own optimiser is not.
        graph: capture it; without, the same function runs as it is.
    """

    def __init__(self, trainer: Trainer, *, graph: bool = True) -> None:
        self.trainer = trainer
        first = next(trainer.batches)
        device = trainer.device
        self.inputs, self.targets = (torch.from_numpy(codes).to(device) for codes in (first.inputs, first.targets))
        self.count = first.count
        capturable = device.type == "cuda"
        self.optimizer = torch.optim.Adam(trainer.parameters, lr=1e-3, fused=True, capturable=capturable)
        trainer.model.train()
        with torch.no_grad():
            self.state = trainer.model.initial_state(len(first.inputs)).detach()
        self.loss = torch.zeros((), device=device)
        self.replay: Callable[[], None] = capture(self) if graph else self.once

    def once(self) -> None:
        """Do a step on what the static tensors hold."""
        trainer = self.trainer
        self.optimizer.zero_grad(set_to_none=True)
        bf16 = trainer.config.training.precision == "bf16"
        with torch.autocast(trainer.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            logits, after = trainer.model(self.inputs, self.state)
        loss = trainer.config.model.output.loss(logits, self.targets, "sum") / self.count
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            self.loss.copy_(loss)
            for old, new in zip(self.state.flat().values(), after.flat().values(), strict=True):
                if old.dim():
                    old.copy_(new)

    def whole(self) -> None:
        """Read the next batch, and do a step on it."""
        batch = next(self.trainer.batches)
        self.inputs.copy_(torch.from_numpy(batch.inputs))
        self.targets.copy_(torch.from_numpy(batch.targets))
        self.replay()

    def losses(self, steps: int) -> list[float]:
        """Return the losses of steps, each on the next batch."""
        found = []
        for _ in range(steps):
            self.whole()
            found.append(float(self.loss))
        return found


def capture(step: GraphStep) -> Callable[[], None]:
    """Return what replays `step.once` as one CUDA graph; weights, moments and state are as before."""
    tensors = [*step.trainer.parameters, *(value for value in step.state.flat().values() if value.dim())]
    before = [tensor.detach().clone() for tensor in tensors]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step.once()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    step.optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        step.once()
    with torch.no_grad():
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)
        for moments in step.optimizer.state.values():
            for value in moments.values():
                value.zero_()
    return graph.replay


WAYS: dict[str, Callable[[Work, Case, str], Row]] = {
    "as it is": plainly,
    "any order": any_order,
    "as products": as_products,
    "graph": graphed,
    "compile": compiled,
}
