"""Divide a model's pieces into stages on several devices, which groups of lanes pass one after another.

The order of work is 1F1B (PipeDream-Flush, arXiv:2006.09503). A stage first goes forward with as many groups as there
are stages after it, then forward and backward in turn, so that few groups wait for their way back. Each stage keeps
the streams' states of its own pieces.

`torch.distributed.pipelining` has the same order, but its stages keep the shapes of their first step. Ours are other at
the end of a section and with the clock of tiers. A schedule for each shape would compute once more to learn the shapes.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wavewright import processes
from wavewright.errors import ConfigError
from wavewright.models.base import Model
from wavewright.models.pieces import balanced

GROUPS = 4  # of lanes for each stage, where there are as many; with more, a group's work would be small


class Pipeline:
    """This process's place among the stages of a model.

    Processes 0 to N - 1 have the stages of the first pipeline, the next N those of the second, and so on. Each pipeline
    trains its share of the lanes. With one stage, each process is a pipeline.

    Every process has a whole model, of which it trains the weights of its stage. `share` brings the others up to date.

    Attributes:
        stages: N.
        stage: number of this process's stage.
        number, count: of this process's pipeline, and of all.
        pieces: which of the model's pieces are in the stage.

    Raises:
        ConfigError: processes, or a model, that cannot be divided into so many stages.
    """

    def __init__(self, model: Model[Any], stages: int) -> None:
        world, pieces = processes.world(), model.pieces()
        if stages < 1:
            raise ConfigError(f"--split-layers {stages}: give 1 or more")
        if world % stages:
            raise ConfigError(
                f"--split-layers {stages}: {world} process{'es are' if world > 1 else ' is'} no multiple of it; start"
                f" a multiple of {stages} with torchrun"
            )
        if stages > len(pieces):
            raise ConfigError(
                f"--split-layers {stages}: this {model.name} can be split into {len(pieces)} parts at most; give"
                f" {len(pieces)} or less"
            )
        self.stages = stages
        self.number, self.stage = divmod(processes.rank(), stages)
        self.count = world // stages
        parts = balanced([piece.work for piece in pieces], stages)
        self.pieces = parts[self.stage]
        self._device = model.device
        self._parameters = list(model.parameters())
        split = [(piece, stage) for stage, part in enumerate(parts) for piece in pieces[part]] if stages > 1 else []
        self._state_owners = {name: stage for piece, stage in split for name in piece.state}
        self._owners = [
            next((stage for piece, stage in split if piece.holds(name)), None) for name, _ in model.named_parameters()
        ]
        self._replicas = processes.groups(stages)[self.stage]

    @property
    def is_last(self) -> bool:
        """Whether this is the last stage."""
        return self.stage == self.stages - 1

    @property
    def trained(self) -> list[int]:
        """Numbers of the parameters that this process trains."""
        return [i for i, owner in enumerate(self._owners) if owner in (None, self.stage)]

    def groups(self, lanes: int) -> list[slice]:
        """Return the groups in which lanes pass the stages, all of one size.

        Raises:
            ConfigError: there are too few lanes to keep all stages at work.
        """
        if self.stages == 1:
            return [slice(0, lanes)]
        if lanes < self.stages:
            raise ConfigError(
                f"--split-layers {self.stages}: the {self.stages * self.count} processes need as many sections side by"
                f" side, and there are {lanes * self.count}; raise training.batch_size, or leave out --split-layers"
            )
        numbers = [number for number in range(1, lanes + 1) if lanes % number == 0]
        size = lanes // next((number for number in numbers if number >= GROUPS * self.stages), lanes)
        return [slice(first, first + size) for first in range(0, lanes, size)]

    def run(self, groups: list[slice], forward: Callable[[slice, Tensor | None], Tensor], *, learn: bool) -> None:
        """Let groups of lanes pass all stages, forward and, to learn, backward.

        Args:
            groups: as from `groups`.
            forward: computes this stage for a group of lanes and what the stage before handed on. It returns what is
                handed on to the next stage, or in the last stage the loss.
            learn: add the loss's gradient to the parameters'.
        """
        before, after = processes.rank() - 1, processes.rank() + 1
        ahead = min(len(groups), self.stages - 1 - self.stage) if learn else len(groups)
        turns = [True] * ahead + [True, False] * (len(groups) - ahead) + [False] * (ahead if learn else 0)
        coming, waiting = iter(groups), deque[tuple[Tensor | None, Tensor]]()
        like: Tensor | None = None  # what the stage before hands on
        onward: Tensor | None = None  # what is still to be sent to the stage after
        back: Tensor | None = None  # and to the stage before
        for turn, is_forward in enumerate(turns):
            if is_forward:
                processes.swap(after, onward, None)
                if turn == 0 and self.stage:
                    like = processes.receive_shape(before, self._device)
                handed, back = processes.swap(before, back, like), None
                if handed is not None and learn:
                    handed.requires_grad_()
                output = forward(next(coming), handed)
                if learn:
                    waiting.append((handed, output))
                if not self.is_last:
                    onward = output.detach().contiguous()
                    if turn == 0:
                        processes.send_shape(onward, after)
            else:
                processes.swap(before, back, None)
                handed, output = waiting.popleft()
                gradient, onward = processes.swap(after, onward, None if self.is_last else output), None
                output.backward(gradient)  # type: ignore[no-untyped-call]
                if handed is not None:
                    back = torch.zeros_like(handed) if handed.grad is None else handed.grad.contiguous()
        processes.swap(after, onward, None)
        processes.swap(before, back, None)

    def sum_gradients(self, total: Tensor, *, everywhere: bool) -> list[Tensor]:
        """Sum a total over all processes, and return the sums of the gradients of what this process trains.

        `everywhere` is for a step in which the weights of all stages can have a gradient in every process.
        """
        used = range(len(self._parameters)) if everywhere else self.trained
        parameters = [self._parameters[i] for i in used]
        gradients = {
            i: torch.zeros_like(p) if p.grad is None else p.grad for i, p in zip(used, parameters, strict=True)
        }
        own = [] if everywhere else [i for i in used if self._owners[i] is not None]
        processes.sum_([total, *(gradient for i, gradient in gradients.items() if i not in own)])
        if self.count > 1:
            processes.sum_([gradients[i] for i in own], self._replicas)
        return [gradients[i] for i in self.trained]

    def norm(self, gradients: list[Tensor]) -> float:
        """Return the norm of all gradients, for the sums of those of what this process trains."""
        if self.stages == 1:
            return float(torch.nn.utils.get_total_norm(gradients))
        owners = [self._owners[i] for i in self.trained]
        squares = torch.zeros((), dtype=torch.float64, device=self._device)
        for owner, counts in ((self.stage, self.number == 0), (None, processes.rank() == 0)):  # each but once
            counted = [gradient for gradient, other in zip(gradients, owners, strict=True) if other == owner and counts]
            squares += torch.nn.utils.get_total_norm(counted).double() ** 2
        processes.sum_([squares])
        return float(squares.sqrt())

    def share(self) -> None:
        """Bring the weights up to date that other stages train."""
        for stage in range(self.stages if self.stages > 1 else 0):
            theirs = [p for p, owner in zip(self._parameters, self._owners, strict=True) if owner == stage]
            processes.share(theirs, stage)

    def gather(self, name: str, value: Tensor) -> Tensor:
        """Return a tensor of the state for the lanes of all pipelines, from the stages whose it is."""
        return processes.gather(value, slice(self._state_owners.get(name, 0), None, self.stages))

    def collect(self, own: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return in the first process what all stages have, for what this one has by names."""
        return own if self.stages == 1 else processes.collect(own if self.number == 0 else {})
