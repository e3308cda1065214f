"""What a step of training does to a model, and how it is saved, restored and rolled back, to the bit."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wavewright import processes
from wavewright.corpus.batches import Batches, Position
from wavewright.corpus.corpus import Corpus
from wavewright.devices import has_bfloat16
from wavewright.errors import ConfigError, GivenUp, WavewrightError
from wavewright.formats import checkpoint
from wavewright.formats.checkpoint import Checkpoint
from wavewright.formats.config import RunConfig
from wavewright.metrics import bits
from wavewright.models.base import Model
from wavewright.playing.scoring import excerpts, score
from wavewright.training.guard import Guard
from wavewright.training.schedule import Schedule

ROLLBACKS = 5  # without a checkpoint between them, until a run gives up
ROLLBACK_RATE = 0.3  # what each leaves of the learning rate


class Trainer:
    """A model, its optimiser and its place in the data.

    Attributes:
        step: steps made; samples: training samples heard, over all processes.
        best: the best validation so far, `{"step": ..., "bits": ...}`.
        lost: roll-backs since the last checkpoint; lowered: roll-backs in all.

    Raises:
        ConfigError: a precision that the device does not have.
    """

    def __init__(self, config: RunConfig, corpus: Corpus, device: torch.device) -> None:
        self.config, self.corpus, self.device = config, corpus, device
        training = config.training
        if training.precision == "bf16" and not has_bfloat16(device):
            raise ConfigError("training.precision: bf16; this processor does not compute in it, use fp32")
        torch.manual_seed(training.seed)
        self.model = config.model.build().to(device)
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.Adam(
            self.parameters,
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            eps=training.epsilon,
            fused=True,
        )
        self.average = [p.detach().clone() for p in self.parameters] if training.ema else []
        self.batches = Batches(
            corpus.samples("train"),
            corpus.sections("train"),
            batch_size=training.batch_size,
            length=training.length,
            quantizer=config.quantizer,
            seed=training.seed,
            rank=processes.rank(),
            world=processes.world(),
        )
        self.guard = Guard(config.model.q_levels)
        self.schedule = Schedule(training)
        self.state: Any = None
        self.step = self.samples = self.lost = self.lowered = 0
        self.best: dict[str, Any] | None = None

    def train_step(self) -> dict[str, Any]:
        """One step on the next batch; its loss (nats a sample), gradient norm before clipping, rate and verdict.

        `samples` are those heard so far. What is not finite is None, as JSON has no word for it.
        """
        batch = next(self.batches)
        self.model.train()
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.training.precision == "bf16"):
            logits, state = self.model(self._tensor(batch.inputs), None if batch.reset else self.state)
        total = self.config.model.output.loss(logits, self._tensor(batch.targets), "sum")
        (total / batch.count).backward()  # type: ignore[no-untyped-call]
        total = total.detach()
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        processes.sum_([total, *gradients])
        loss = float(total) / batch.count
        norm = float(torch.nn.utils.get_total_norm(gradients))
        verdict = self.guard.judge(loss, norm)
        rate = self.schedule.rate(self.step)
        if verdict == "apply":
            self._update(gradients, norm, rate)
        if math.isfinite(loss):
            self.state = state.detach()
        self.step += 1
        self.samples += batch.count
        return {
            "epoch": self.batches.position.epoch,
            "samples": self.samples,
            "loss": loss if math.isfinite(loss) else None,
            "gradient_norm": norm if math.isfinite(norm) else None,
            "rate": rate,
            "verdict": verdict,
        }

    def _tensor(self, codes: np.ndarray[Any, np.dtype[np.int64]]) -> Tensor:
        return torch.from_numpy(codes).to(self.device, non_blocking=True)

    def _update(self, gradients: list[Tensor], norm: float, rate: float) -> None:
        """Clip, step, and move the running average along."""
        training = self.config.training
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        if training.clip == "value":
            torch.nn.utils.clip_grad_value_(self.parameters, training.clip_limit)
        elif training.clip == "norm" and norm > training.clip_limit:
            torch._foreach_mul_(gradients, training.clip_limit / norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.average:
            decay = min(training.ema, (1 + self.step) / (10 + self.step))  # start as a plain mean, not at the noise
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    @contextmanager
    def playing(self) -> Iterator[Model[Any]]:
        """The model as it is played and validated: in evaluation mode, with the averaged weights if there are any."""
        kept = [p.detach().clone() for p in self.parameters] if self.average else []
        self._put(self.average)
        self.model.eval()
        try:
            yield self.model
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters if values else [], values, strict=True):
            parameter.copy_(value)

    def validate(self) -> float | None:
        """Bits per sample over excerpts spread through the validation split; None where it is empty."""
        sections = self.corpus.sections("valid")
        if not len(sections):
            return None
        chosen = excerpts(sections, round(self.config.training.validation_seconds * self.corpus.rate))
        with self.playing() as model:
            nats = score(
                model,
                self.corpus.samples("valid"),
                chosen,
                self.config.quantizer,
                rank=processes.rank(),
                world=processes.world(),
            )
        return bits(float(nats.sum() / (chosen[:, 1] - chosen[:, 0]).sum()))

    def snapshot(self, folder: Path, **facts: Any) -> Checkpoint:
        """All that decides what comes next. Every process must call this; one saves it."""
        with self.playing() as model:
            weights = {name: value.detach().clone().cpu() for name, value in model.state_dict().items()}
        training: dict[str, Tensor] = {}
        for i, parameter in enumerate(self.parameters):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                training[f"optimizer.{i}.{key}"] = value.detach().cpu()
            if self.average:
                training[f"weights.{i}"] = parameter.detach().clone().cpu()
        if self.state is not None:
            for name, value in self.state.flat().items():
                training[f"state.{name}"] = processes.gather(value).contiguous().cpu()
        return Checkpoint(
            folder,
            weights,
            training,
            {
                "step": self.step,
                "samples": self.samples,
                "position": asdict(self.batches.position),
                "lanes": self.batches.lanes,
                "guard": self.guard.state(),
                "rate_scale": self.schedule.scale,
                "stale_validations": self.schedule.stale,
                "best": self.best,
                "lost": self.lost,
                "lowered": self.lowered,
                **facts,
            },
        )

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a snapshot.

        Raises:
            WavewrightError: it belongs to a model of another shape.
        """
        facts, tensors = saved.facts, saved.training
        try:
            self.model.load_state_dict(saved.model)
            for i, parameter in enumerate(self.parameters):
                self._restore_parameter(i, parameter, tensors)
        except (RuntimeError, KeyError) as error:
            raise WavewrightError(f"{saved.folder}: not of this model ({str(error).splitlines()[0]})") from None
        self.batches.position = Position(**facts["position"])
        self.guard.restore(facts["guard"])
        self.schedule.scale, self.schedule.stale = facts["rate_scale"], facts["stale_validations"]
        self.step, self.samples, self.best = facts["step"], facts["samples"], facts["best"]
        self.lost, self.lowered = facts["lost"], facts["lowered"]
        self.state = self._own_lanes(tensors, facts["lanes"])

    def _restore_parameter(self, i: int, parameter: Tensor, tensors: dict[str, Tensor]) -> None:
        keys = ("step", "exp_avg", "exp_avg_sq")
        if self.average:
            self.average[i].copy_(parameter.detach())
            with torch.no_grad():
                parameter.copy_(tensors[f"weights.{i}"])
        if f"optimizer.{i}.step" in tensors:
            moments = {key: tensors[f"optimizer.{i}.{key}"].to(self.device).clone() for key in keys}
            self.optimizer.state[parameter] = moments
        else:
            self.optimizer.state.pop(parameter, None)

    def _own_lanes(self, tensors: dict[str, Tensor], lanes: int) -> Any:
        named = {name.removeprefix("state."): value for name, value in tensors.items() if name.startswith("state.")}
        if not named:
            return None
        if lanes != self.batches.lanes:
            raise WavewrightError(f"batch_size: the run has {lanes} lanes, this command {self.batches.lanes}")
        own = self.batches.own_lanes
        local = {name: value[own].to(self.device) if value.dim() else value for name, value in named.items()}
        return self.model.initial_state(1).unflatten(local)

    def roll_back(self, run: Path) -> str:
        """Go back to a good checkpoint, with another order of the data and a lower rate; say so in one line.

        Raises:
            GivenUp: that has been tried often enough.
        """
        reason, lost, lowered, step = self.guard.reason, self.lost + 1, self.lowered + 1, self.step
        if lost > ROLLBACKS:
            raise GivenUp(
                f"{run}: given up at step {step} after {ROLLBACKS} roll-backs ({reason}); the checkpoints before it"
                " are good: try a lower training.learning_rate or training.clip=norm in a new run"
            )
        good = checkpoint.regular_steps(run)
        self.restore(checkpoint.load(checkpoint.path(run, good[-min(lost, len(good))])))
        self.lost, self.lowered = lost, lowered
        self.schedule.scale *= ROLLBACK_RATE**lost
        self.guard = Guard(self.config.model.q_levels)
        for _ in range(lowered - self.batches.position.order):
            self.batches.reorder()
        self.state = None
        return (
            f"step {step}: {reason}; back to step {self.step} with another order of the data and "
            f"{self.schedule.scale:.2g} times the learning rate"
        )
