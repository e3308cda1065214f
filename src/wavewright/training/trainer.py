"""Make steps of training, and save, restore and roll back all that they change, to the bit."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wavewright import processes
from wavewright.corpus.batches import Batch, Batches
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.settings import SplitName
from wavewright.devices import has_bfloat16
from wavewright.errors import ConfigError, GivenUp, WavewrightError
from wavewright.formats import checkpoint
from wavewright.formats.checkpoint import Checkpoint, Facts, Pace, Validation
from wavewright.formats.config import RunConfig
from wavewright.metrics import bits
from wavewright.models.base import Model, State
from wavewright.models.pieces import Part
from wavewright.playing.scoring import excerpts, score
from wavewright.progress import Advance, ignore
from wavewright.training.adam import Adam, beginning
from wavewright.training.guard import Guard, Verdict
from wavewright.training.pipeline import Pipeline
from wavewright.training.schedule import Schedule

TRAINED_ON: tuple[SplitName, ...] = ("train", "valid")  # the second judges
ROLLBACKS = 5  # without a checkpoint between them, until a run gives up
ROLLBACK_RATE = 0.3  # what each leaves of the learning rate


@dataclass(frozen=True)
class StepRecord:
    """One step of training, as metrics.jsonl has it. JSON has no word for what is not finite: it is None.

    Attributes:
        epoch: passes over the corpus before the next batch.
        samples: training samples read since the run's start, over all processes.
        loss: in nats a sample.
        gradient_norm: before clipping.
        rate: the learning rate.
        verdict: what the guard made of the step.
    """

    epoch: int
    samples: int
    loss: float | None
    gradient_norm: float | None
    rate: float
    verdict: Verdict


def check_precision(config: RunConfig, device: torch.device) -> None:
    """Check that the device computes in the precision of the configuration.

    Raises:
        ConfigError: it does not.
    """
    if config.training.precision == "bf16" and not has_bfloat16(device):
        raise ConfigError("training.precision: bf16; this processor does not compute in it, use fp32")


class Trainer:
    """A model, or a stage of one, its optimiser and its place in the data.

    With `ema` a running average of the weights is kept beside them, and validated and played in their place. It is
    not torch's AveragedModel: that begins at the first update and counts updates. Ours begins at the initial weights
    and counts steps, skipped ones too, and runs of earlier versions must go on to the same bits.

    Attributes:
        step: steps made.
        samples: training samples read, over all processes.
        best: the best validation so far.
        pace: see checkpoint.Facts.
        lane_state: where each lane's streams stand; none at their beginning.
        rollbacks_since_checkpoint: how often the run was rolled back since the last scheduled checkpoint.
        rollbacks: how often it was rolled back in all.
        undone: steps that roll-backs have undone.

    Raises:
        ConfigError: a precision that the device does not have, or a model that cannot be split into so many stages.
    """

    def __init__(self, config: RunConfig, corpus: Corpus, device: torch.device, stages: int = 1) -> None:
        self.config, self.corpus, self.device = config, corpus, device
        training = config.training
        check_precision(config, device)
        torch.manual_seed(training.seed)
        self.model = config.model.build().to(device)
        self.pipeline = Pipeline(self.model, stages)
        named = list(self.model.named_parameters())
        named = [named[i] for i in self.pipeline.trained]
        self.parameters = [parameter for _, parameter in named]
        self.optimizer = Adam(
            self.parameters,
            betas=(training.beta1, training.beta2),
            epsilon=training.epsilon,
            factors=[self.model.learning_rate_factor(name) for name, _ in named],
        )
        self.average = [p.detach().clone() for p in self.parameters] if training.ema else []
        condition = config.model.condition
        self.conditions = {split: Conditions(corpus, split, condition) for split in TRAINED_ON} if condition else {}
        self.batches = Batches(
            corpus.reader("train"),
            corpus.sections("train"),
            batch_size=training.batch_size,
            length=training.length,
            quantizer=config.quantizer,
            seed=training.seed,
            rank=self.pipeline.number,
            world=self.pipeline.count,
            leads=self.leads("train", corpus.sections("train")),
            conditions=self.conditions.get("train"),
            dropout=training.condition_dropout,
            noise=config.noise,
            classes=corpus.classes("train", training.balance) if training.balance else None,
        )
        self.groups = self.pipeline.groups(self.batches.lanes // self.pipeline.count)
        self.valid = corpus.reader("valid")  # open from the start, so that the corpus may be removed
        self.guard = Guard(config.model.q_levels)
        self.schedule = Schedule(training)
        self.lane_state: Any = None
        self.step = self.samples = 0
        self.rollbacks_since_checkpoint = self.rollbacks = self.undone = 0
        self.best: Validation | None = None
        self.pace: Pace | None = None

    def begin_from(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of a trained model in place of the fresh ones of these names."""
        self.model.load_state_dict(self.model.state_dict() | weights)
        self.average = [p.detach().clone() for p in self.parameters] if self.average else []

    def leads(self, split: SplitName, sections: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples (S,) of each section's lead, which only a model with a condition has."""
        seconds = self.config.training.lead_seconds if self.conditions else 0.0
        return self.corpus.leads(split, sections, seconds)

    def train_step(self) -> StepRecord:
        """Make one step on the next batch, or on the one after the leads where it is of leads alone."""
        batch = next(self.batches)
        self.model.train()
        while not batch.count:
            self.lane_state = self._pass(batch, learn=False)[1]
            batch = next(self.batches)
        self.model.zero_grad()
        total, state = self._pass(batch, learn=True)
        gradients = self.pipeline.sum_gradients(total, everywhere=batch.reset)  # initial states have gradients, too
        loss = float(total) / batch.count
        norm = self.pipeline.norm(gradients)
        verdict = self.guard.judge(loss, norm)
        rate = self.schedule.rate(self.step)
        if verdict == "apply":
            self._update(gradients, norm, rate)
        if math.isfinite(loss):
            self.lane_state = state
        elif state.phase is not None:  # the next batch begins with the control frame in which this one ends
            before = self.model.initial_state(len(batch.inputs)) if self.lane_state is None else self.lane_state
            self.lane_state = replace(before.detach(), phase=state.phase)
        self.step += 1
        self.samples += batch.count
        return StepRecord(
            epoch=self.batches.position.epoch,
            samples=self.samples,
            loss=loss if math.isfinite(loss) else None,
            gradient_norm=norm if math.isfinite(norm) else None,
            rate=rate,
            verdict=verdict,
        )

    def _pass(self, batch: Batch, *, learn: bool) -> tuple[Tensor, State]:
        """Read a batch, and to learn add its gradient. Return the sum of its losses in this stage, and the state."""
        if batch.reset:
            self.pipeline.share()  # of which initial states are made
        inputs, targets = self._tensor(batch.inputs), self._tensor(batch.targets)
        condition = None if batch.condition is None else self._tensor(batch.condition)
        total, after = torch.zeros((), device=self.device), []

        def forward(lanes: slice, handed: Tensor | None) -> Tensor:
            before = None if batch.reset or self.lane_state is None else self.lane_state.lanes(lanes)
            frames = None if condition is None else condition[lanes]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.training.precision == "bf16"):
                outputs, state = self.model(inputs[lanes], before, frames, Part(self.pipeline.pieces, handed))
                after.append(state.detach())
                if not (learn and self.pipeline.is_last):
                    return outputs
                logits = self.model.logits(outputs, targets[lanes])
            loss = self.config.model.output.loss(logits, targets[lanes], "sum")
            total.add_(loss.detach())
            return loss / batch.count

        with torch.set_grad_enabled(learn):
            self.pipeline.run(self.groups, forward, learn=learn)
        return total, State.join(after)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device, non_blocking=True)

    def _update(self, gradients: list[Tensor], norm: float, rate: float) -> None:
        """Clip, step, and move the running average along."""
        training = self.config.training
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        if training.clip == "value":
            torch.nn.utils.clip_grad_value_(self.parameters, training.clip_limit)
        elif training.clip == "norm" and norm > training.clip_limit:
            torch._foreach_mul_(gradients, training.clip_limit / norm)
        self.optimizer.step(rate)
        if self.average:
            decay = min(training.ema, (1 + self.step) / (10 + self.step))  # start as a plain mean, not at the noise
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    @contextmanager
    def playing(self) -> Iterator[Model[Any]]:
        """Yield the model as it is played and validated: in evaluation mode, with the average if there is one."""
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

    def validate(self, advance: Advance = ignore) -> float | None:
        """Return the bits per sample over excerpts spread through the validation split; None where it is empty.

        `advance` is called with the share done since the last call.
        """
        with self.playing():  # as the listening sample needs it where nothing is validated, too
            self.pipeline.share()
        sections = self.corpus.sections("valid")
        if not len(sections):
            return None
        chosen = excerpts(sections, round(self.config.training.validation_seconds * self.corpus.rate))
        total = int((chosen[:, 1] - chosen[:, 0]).sum())
        with self.playing() as model:
            nats = score(
                model,
                self.valid,
                chosen,
                self.config.quantizer,
                leads=self.leads("valid", chosen),
                conditions=self.conditions.get("valid"),
                rank=processes.rank(),
                world=processes.world(),
                advance=lambda count: advance(count / total),
            )
        return bits(float(nats.sum() / total))

    def snapshot(self, folder: Path, **facts: Any) -> Checkpoint:
        """Return all that decides what comes next. Every process must call this; one saves it."""
        with self.playing() as model:
            self.pipeline.share()
            weights = {name: value.detach().clone().cpu() for name, value in model.state_dict().items()}
        own: dict[str, Tensor] = {}
        for i, parameter in zip(self.pipeline.trained, self.parameters, strict=True):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                own[f"optimizer.{i}.{key}"] = value.detach().cpu()
            if self.average:
                own[f"weights.{i}"] = parameter.detach().clone().cpu()
        training = self.pipeline.collect(own)
        if self.lane_state is not None:
            for name, value in self.lane_state.flat().items():
                training[f"state.{name}"] = self.pipeline.gather(name, value).contiguous().cpu()
        return Checkpoint(
            folder,
            weights,
            training,
            Facts(
                step=self.step,
                samples=self.samples,
                position=self.batches.position,
                lanes=self.batches.lanes,
                guard=self.guard.state(),
                rate_scale=self.schedule.scale,
                stale_validations=self.schedule.stale,
                best=self.best,
                lost=self.rollbacks_since_checkpoint,
                lowered=self.rollbacks,
                pace=self.pace,
                undone=self.undone,
                processes=processes.world(),
                stages=self.pipeline.stages,
                **facts,
            ),
        )

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a snapshot.

        Where another number of pipelines has another number of lanes, the sections in progress begin anew.

        Raises:
            WavewrightError: it belongs to a model of another shape, or to another corpus.
        """
        facts, tensors = saved.facts, saved.training
        try:
            self.model.load_state_dict(saved.model)
            for k, i in enumerate(self.pipeline.trained):
                self._restore_parameter(k, i, tensors)
            self.lane_state = self._own_lanes(tensors) if facts.lanes == self.batches.lanes else None
        except (RuntimeError, KeyError, ValueError) as error:
            raise WavewrightError(f"{saved.folder}: not of this model ({str(error).splitlines()[0]})") from None
        self.batches.position = facts.position
        if facts.lanes != self.batches.lanes:
            self.batches.deal(facts.lanes)  # more lanes have fewer groups, so the place is looked for after this
        if not self.batches.holds(self.batches.position):
            raise WavewrightError(f"{saved.folder / checkpoint.FACTS}: facts.position: not in this corpus")
        self.guard.restore(facts.guard)
        self.schedule.scale, self.schedule.stale = facts.rate_scale, facts.stale_validations
        self.step, self.samples = facts.step, facts.samples
        self.best, self.pace = facts.best, facts.pace
        self.rollbacks_since_checkpoint, self.rollbacks, self.undone = facts.lost, facts.lowered, facts.undone or 0

    def _restore_parameter(self, k: int, i: int, tensors: dict[str, Tensor]) -> None:
        """Restore the parameter k of this process, which is i of all."""
        parameter = self.parameters[k]
        if self.average:
            self.average[k].copy_(parameter.detach())
            with torch.no_grad():
                parameter.copy_(_like(parameter, tensors, f"weights.{i}"))
        if f"optimizer.{i}.step" in tensors:
            patterns = beginning(parameter)
            self.optimizer.state[parameter] = {
                key: _like(pattern, tensors, f"optimizer.{i}.{key}").to(pattern.dtype)
                for key, pattern in patterns.items()
            }
        else:
            self.optimizer.state.pop(parameter, None)

    def _own_lanes(self, tensors: dict[str, Tensor]) -> Any:
        named = {name.removeprefix("state."): value for name, value in tensors.items() if name.startswith("state.")}
        if not named:
            return None
        start = self.model.initial_state(self.batches.lanes)
        whole = {name: _like(value, named, name) for name, value in start.flat().items()}
        own = self.batches.own_lanes
        return start.unflatten({name: value[own].clone() if value.dim() else value for name, value in whole.items()})

    def roll_back(self, run: Path) -> str:
        """Go back to a good checkpoint, with another order of the data and a lower rate; say so in one line.

        Raises:
            GivenUp: that has been tried often enough.
        """
        reason, step, undone = self.guard.reason, self.step, self.undone
        attempt, rollbacks = self.rollbacks_since_checkpoint + 1, self.rollbacks + 1
        if attempt > ROLLBACKS:
            raise GivenUp(
                f"{run}: given up at step {step} after {ROLLBACKS} roll-backs ({reason}); the checkpoints before it"
                " are good: try a lower training.learning_rate or training.clip=norm in a new run"
            )
        good = checkpoint.scheduled_steps(run)
        self.restore(checkpoint.load(checkpoint.path(run, good[-min(attempt, len(good))])))
        self.rollbacks_since_checkpoint, self.rollbacks = attempt, rollbacks
        self.undone = undone + step - self.step
        self.schedule.scale *= ROLLBACK_RATE**attempt
        self.guard = Guard(self.config.model.q_levels)
        for _ in range(rollbacks - self.batches.position.order):
            self.batches.reorder()
        self.lane_state = None
        return (
            f"step {step}: {reason}; back to step {self.step} with another order of the data and "
            f"{self.schedule.scale:.2g} times the learning rate"
        )


def _like(pattern: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    """Return a copy of `tensors[name]` on the pattern's device. Another shape is a ValueError."""
    tensor = tensors[name]
    if tensor.shape != pattern.shape:
        raise ValueError(f"{name} is {tuple(tensor.shape)}, not {tuple(pattern.shape)}")
    return tensor.to(pattern.device, copy=True)
