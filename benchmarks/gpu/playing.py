"""Generating on the GPU: by plain stepping (TorchPlayer), and by CUDA graphs that hold a step and its draw.

A graph has no Python in it, so all that a step needs lies in static tensors: codes, state, uniform numbers, and which
of them is next. Two models decide in Python by their clock. SampleRNN's clock says which tiers step: there is one graph
for each of its phases, replayed in turn. WaveNet's clock is a place in every queue, and there are too many of those:
its column is written once more below, with the clock on the device. Both are held to plain stepping, code by code.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu.cases import RATE, Case, cases
from gpu.speed import set_precision
from gpu.work import Cell, Row, Work, bind
from wavewright.measuring.speed import random_weights
from wavewright.models.base import Model
from wavewright.models.wavenet.network import WaveNet
from wavewright.playing.torch_player import TorchPlayer
from wavewright.quantize import silence
from wavewright.sampling import Uniforms

STREAMS = (1, 64)
CHECKED = {False: 400, True: 100}  # samples that are compared
TIMED = {False: 6000, True: 100}  # samples that are timed, a multiple of every number of phases
SEED = 1


def run(work: Work) -> None:
    """Measure plain stepping, then the graphs."""
    cells: dict[str, Cell] = {}
    for case in cases(work.options.small):
        for streams in STREAMS:
            cells[f"{case.title}, {streams} streams, plain step"] = bind(plain_step, work, case, streams)
    for case in cases(work.options.small):
        for streams in STREAMS:
            cells[f"{case.title}, {streams} streams, graph"] = bind(graph_step, work, case, streams)
    work.run(cells)


def model_of(work: Work, case: Case) -> Model[Any]:
    """Return the model with random weights, since only their number matters."""
    set_precision("fp32")
    config = case.config().model
    model = config.build()
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in random_weights(config).items()})
    return model.to(work.device).eval()


def row_of(case: Case, streams: int, seconds: float) -> Row:
    """Return the row of a step that takes so long."""
    return {
        "seconds_per_second_of_sound": seconds * RATE,
        "samples_per_second": round(streams / seconds),
        "thesis_seconds": case.thesis,
    }


def plain_step(work: Work, case: Case, streams: int) -> Row:
    """Measure TorchPlayer: a step on the device, the draw on the CPU."""
    player, samples = TorchPlayer(model_of(work, case), streams, SEED), CHECKED[work.options.small]
    player.generate(20)
    start = time.perf_counter()
    player.generate(samples)
    return row_of(case, streams, (time.perf_counter() - start) / samples)


@torch.inference_mode()
def graph_step(work: Work, case: Case, streams: int) -> Row:
    """Check the static step against TorchPlayer, then measure it as CUDA graphs; without CUDA it is only checked."""
    model, checked = model_of(work, case), CHECKED[work.options.small]
    timed = TIMED[work.options.small]
    stage = Stage(model, Uniforms(SEED, streams)(max(checked, timed)))
    row: Row = {"graphs": stage.phases}
    steps: list[Callable[[], None]] = [lambda phase=phase: stage.step(phase) for phase in range(stage.phases)]  # type: ignore[misc]
    if work.device.type == "cuda":
        start = time.perf_counter()
        steps = capture(stage, steps)
        row["capturing_seconds"] = round(time.perf_counter() - start, 2)
    found = stage.generate(steps, checked)
    expected = TorchPlayer(model, streams, SEED).generate(checked)
    differ = np.flatnonzero((found != expected).any(0))
    row |= {"checked_samples": checked, "first_difference": int(differ[0]) if len(differ) else None}
    work.synchronize()
    start = time.perf_counter()
    stage.generate(steps, timed)
    work.synchronize()
    if work.device.type != "cuda":
        return {**row, "not_run": "no CUDA here: the step was checked without a graph"}
    return {**row, **row_of(case, streams, (time.perf_counter() - start) / timed)}


class Stage:
    """The static tensors of streams, and one step on them.

    Args:
        model: on the device.
        uniforms: (B, N) in [0, 1), which decide the draws.
    """

    def __init__(self, model: Model[Any], uniforms: NDArray[np.float64]) -> None:
        device, streams = model.device, len(uniforms)
        self.model = model
        self.uniforms = torch.from_numpy(uniforms).to(device)
        self.made = torch.zeros(uniforms.shape, dtype=torch.long, device=device)
        self.place = torch.zeros(1, dtype=torch.long, device=device)
        self.codes = torch.full((streams,), silence(model.config.q_levels), device=device)
        self.state = model.initial_state(streams).detach()  # in memory of its own
        self.tensors = [self.place, self.codes, *(value for value in self.state.flat().values() if value.dim())]
        self.beginning = [tensor.clone() for tensor in self.tensors]
        self.on_device = isinstance(model, WaveNet)
        if self.on_device:
            self.sizes = torch.tensor([queue.shape[2] for queue in self.state.queues], device=device)
        self.phases = 1 if self.on_device or not hasattr(self.state, "clock") else int(model.config.frame_sizes[0])

    def step(self, phase: int) -> None:
        """Draw the next code of every stream, where the clock is `phase` modulo the number of phases."""
        if self.on_device:
            logits = wavenet_column(self.model, self.codes, self.state.queues, self.place % self.sizes)
        else:
            clock = {"clock": torch.tensor(phase)} if self.phases > 1 else {}
            logits, after = self.model.step(self.codes, replace(self.state, **clock))
            for old, new in zip(self.state.flat().values(), after.flat().values(), strict=True):
                if old.dim():
                    old.copy_(new)
        self.codes.copy_(draw(logits, self.uniforms.index_select(1, self.place)))
        self.made.index_copy_(1, self.place, self.codes[:, None])
        self.place.add_(1)

    def begin(self) -> None:
        """Go back to silence."""
        for tensor, value in zip(self.tensors, self.beginning, strict=True):
            tensor.copy_(value)

    def generate(self, steps: list[Callable[[], None]], samples: int) -> NDArray[np.int64]:
        """Return codes (B, samples) from silence on, made by one of `steps` for each phase in turn."""
        self.begin()
        for t in range(samples):
            steps[t % len(steps)]()
        return self.made[:, :samples].cpu().numpy()


def draw(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Return codes (B,) for logits (B, Q) and uniform numbers (B, 1), as `Softmax.draw` at temperature 1 does."""
    exact = logits.double()
    weights = torch.exp(exact - exact.max(1, keepdim=True).values)
    cumulative = weights.cumsum(1)
    code = (cumulative <= uniforms * cumulative[:, -1:]).sum(1)
    last = weights.shape[1] - 1 - (weights.flip(1) > 0).int().argmax(1)
    return torch.minimum(code, last)


def wavenet_column(model: Any, codes: Tensor, queues: tuple[Tensor, ...], places: Tensor) -> Tensor:
    """Do what `WaveNet.predict_one` does for filters of two taps, with every queue's place (L,) on the device."""
    x, total = model._input(codes[:, None]), None
    for i, (layer, queue) in enumerate(zip(model.layers, queues, strict=True)):
        place = places[i : i + 1]
        past = queue.index_select(2, place).transpose(1, 2)
        queue.index_copy_(2, place, x.transpose(1, 2))
        x, total = layer(past, x, 1, None, total)  # without a condition
    return model._logits(x, total)[:, 0]


def capture(stage: Stage, steps: list[Callable[[], None]]) -> list[Callable[[], None]]:
    """Return what replays each of `steps` as a CUDA graph."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for step in steps * 2:  # libraries set themselves up before anything is captured
            step()
    torch.cuda.current_stream().wait_stream(stream)
    stage.begin()
    graphs, pool = [], torch.cuda.graph_pool_handle()
    for step in steps:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            step()
        graphs.append(graph)
    return [graph.replay for graph in graphs]
