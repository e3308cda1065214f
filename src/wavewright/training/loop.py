"""Train until the budget is used up or a signal comes, with validations, checkpoints and listening samples."""

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wavewright import processes
from wavewright.corpus.settings import SplitName
from wavewright.errors import ConfigError
from wavewright.formats import checkpoint
from wavewright.formats.checkpoint import Pace, Validation
from wavewright.metrics import bits, loudness, zero_order_entropy
from wavewright.playing.engine import available
from wavewright.playing.opening import SLOW, fastest_player
from wavewright.playing.playable import Player
from wavewright.playing.stream import perform, stream
from wavewright.progress import Advance, Progress, ignore, silent
from wavewright.training.records import Records
from wavewright.training.trainer import Trainer

log = logging.getLogger(__name__)

ROLLING = 10  # steps over which a loss is averaged, as in the thesis's figures
FIRST_PACE = 8  # steps after which the pace is first measured, and at every doubling until the first checkpoint
SCHEDULED_KEPT = 2  # recent scheduled checkpoints that stay, beside the best and the last


@dataclass(frozen=True)
class Budget:
    """When a run ends: whichever comes first. Minutes count all its sessions.

    `loss` is learned well enough: the mean training loss of ROLLING steps, in nats a sample, is below it. `until` is
    the share of the budget after which the run pauses.

    Raises:
        ConfigError: one that is not more than 0.
    """

    steps: int | None = None
    epochs: int | None = None
    minutes: float | None = None
    loss: float | None = None
    until: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise ConfigError(f"--{name} {value}: give more than 0")

    @property
    def is_bounded(self) -> bool:
        """Whether the budget ends whatever the losses are."""
        return any(total is not None for total in (self.steps, self.epochs, self.minutes))

    def part(self, share: float) -> "Budget":
        """Return the same budget for a run that pauses after a share of it."""
        return replace(self, until=share)

    def share(self, step: int, epochs: float, seconds: float) -> float:
        """Return how much of the part until the pause is used up; 1 or more is the end."""
        parts = [
            done / total
            for done, total in ((step, self.steps), (epochs, self.epochs), (seconds / 60, self.minutes))
            if total is not None
        ]
        return max(parts, default=0.0) / self.until

    def end(self, pace: Pace | None) -> float | None:
        """Return the step at which the whole budget is used up at this pace. None where nothing tells it."""
        ends = [] if self.steps is None else [float(self.steps)]
        if pace and self.epochs is not None:
            ends.append(self.epochs * pace.step / pace.epochs)
        if pace and self.minutes is not None:
            ends.append(pace.step + (60 * self.minutes - pace.seconds) * pace.made / pace.seconds)
        return min(ends, default=None)


@dataclass(frozen=True)
class Summary:
    """How a session of training ended."""

    run: Path
    step: int
    seconds: float
    loss: float | None
    best: Validation | None
    interrupted: bool


class Loop:
    """One session of a run, from its start or a checkpoint to the budget's end or a signal.

    Args:
        trainer: makes the steps.
        run: the run's folder.
        budget: when to end.
        saved: the checkpoint to go on from; none for a fresh run.
        progress: shown the share of the budget that is used up.
    """

    def __init__(
        self,
        trainer: Trainer,
        run: Path,
        budget: Budget,
        saved: checkpoint.Checkpoint | None = None,
        progress: Progress = silent,
    ) -> None:
        self.trainer, self.run, self.budget, self.progress = trainer, run, budget, progress
        self.begun = time.monotonic()
        self.resumed = saved.facts if saved else None
        self.seconds_before = saved.facts.seconds if saved else 0.0
        if saved:
            trainer.restore(saved)
        self.leader = processes.rank() == 0
        self.records: Records | None = None
        self.entropy = zero_order_entropy(trainer.batches.samples, trainer.config.quantizer)
        self.loss: float | None = None
        self.advance: Advance = ignore  # shows the share of the budget
        self.shown = 0.0  # of it
        self.stop_requested = False  # by a signal to this process
        self.interrupted = False  # by a signal to any process, as all have agreed

    def go(self) -> Summary:
        """Train, and return how it ended."""
        trainer, name = self.trainer, self.trainer.config.model.name
        with self._signals(), self.progress(f"training {name}", 1.0) as self.advance:
            ended = self._ended()
            if self.leader and not (self.resumed and ended):  # else all records stay as they are
                self.records = Records(self.run, trainer.corpus.rate, trainer.config, self.entropy, self.resumed)
            condition = trainer.config.model.condition
            split = f", split into {trainer.pipeline.stages} stages" if trainer.pipeline.stages > 1 else ""
            follows = f", controls {', '.join(control.name for control in condition.controls)}" if condition else ""
            self._say(
                f"{name}: {trainer.model.parameter_count():,} parameters on {trainer.device}{split}, "
                f"{len(trainer.batches.sections)} sections, zero-order entropy {self.entropy:.2f} bits{follows}"
            )
            if self.records and trainer.config.training.sample_seconds and not available():
                log.warning(SLOW)
            if self.resumed:
                self._tell_changes(self.resumed)
            if not self.resumed:
                self._save(scheduled=True)  # something to roll back to from the start
            elif self.leader:
                self._prune()  # a kill may have come between a checkpoint and this
            while not ended:
                self._step()
                self._show(self._title())
                ended = self._ended()
            if trainer.step not in checkpoint.steps(self.run):
                self._conclude()
        processes.wait()  # part together: gloo does not outlive a process that others still speak to
        if self.records:
            self.records.close()
        return Summary(self.run, trainer.step, self.seconds, self.loss, trainer.best, self.interrupted)

    def _tell_changes(self, before: checkpoint.Facts) -> None:
        """Tell and record that another number of processes, or of stages, goes on."""
        world, stages = processes.world(), self.trainer.pipeline.stages
        if before.processes not in (None, world):
            dealt = before.lanes != self.trainer.batches.lanes
            anew = "; the sections that were being read begin anew" if dealt else ""
            self._say(f"{before.processes} processes before, {world} now{anew}")
            if self.records:
                self.records.processes(self.trainer.step, before.processes or 1, world, dealt)
        if (before.stages or 1) != stages:
            self._say(f"layers split into {before.stages or 1} before, into {stages} now")
            if self.records:
                self.records.stages(self.trainer.step, before.stages or 1, stages)

    def _show(self, text: str) -> None:
        """Show a text and the share of the budget that is used up."""
        share = min(1.0, self._share())
        self.advance(share - self.shown, text)
        self.shown = share

    def _activity(self, name: str) -> Advance:
        """Return a callback that shows the share done of something other than a step."""
        done = 0.0

        def advance(amount: float = 1, text: str | None = None) -> None:
            nonlocal done
            done += amount
            self._show(f"{self._title()}, {name} {min(done, 1):.0%}")

        advance(0)
        return advance

    def _step(self) -> None:
        trainer, start = self.trainer, time.monotonic()
        trainer.schedule.end = self.budget.end(trainer.pace)
        samples_before = trainer.samples
        record = trainer.train_step()
        speed = round((trainer.samples - samples_before) / (time.monotonic() - start))
        self.loss = record.loss
        if self.records:
            self.records.step(trainer.step, record, seconds=self.seconds, samples_per_second=speed)
        if record.verdict == "skip":
            self._say(f"step {trainer.step}: skipped, {trainer.guard.reason}")
        if record.verdict == "rollback":
            self._roll_back()
        elif trainer.step % trainer.config.training.checkpoint_every == 0:
            self._validate_and_save()
        elif FIRST_PACE <= trainer.step < trainer.config.training.checkpoint_every and trainer.step.bit_count() == 1:
            self._measure_pace()

    def _validate_and_save(self) -> None:
        """Validate, make a listening sample and then save, with the time of both, or roll back where need be."""
        trainer = self.trainer
        value = trainer.validate(self._activity("validating"))
        if trainer.guard.drifted(
            bits(trainer.guard.recent) if value is None else value, trainer.best.bits if trainer.best else None
        ):
            self._roll_back()
            return
        if value is not None:
            improved = trainer.best is None or value < trainer.best.bits
            trainer.schedule.validated(improved)
            if improved:
                trainer.best = Validation(trainer.step, value)
        trainer.rollbacks_since_checkpoint = 0
        self._report(value)
        self._measure_pace()
        self._save(scheduled=True)

    def _measure_pace(self) -> None:
        """Measure how fast the run uses up its budget. All processes take the mean of their seconds.

        The pace changes here only and is part of every checkpoint. Between a checkpoint and the next scheduled one, the
        learning rates are therefore the same however often the run is resumed.
        """
        seconds = torch.tensor([self.seconds], dtype=torch.float64)
        processes.sum_([seconds])
        trainer = self.trainer
        made = trainer.step + trainer.undone
        trainer.pace = Pace(trainer.step, made, trainer.batches.epochs, float(seconds) / processes.world())

    def _conclude(self) -> None:
        """Validate and report at the run's end, and save. A run that goes on drops these records."""
        length = self.records.sync() if self.records else 0
        if not self.interrupted:
            self._report(self.trainer.validate(self._activity("validating")))
        self._save(scheduled=False, metrics_bytes=length)

    def _report(self, validation: float | None) -> None:
        """Record a validation and a listening sample, and log in one line how the run is doing."""
        trainer, training = self.trainer, self.trainer.config.training
        if not self.records:
            return
        if validation is not None:
            self.records.validation(trainer.step, validation)
        text = f"step {trainer.step}: {trainer.samples / 1e6:.1f} M samples"
        value = validation if validation is not None else bits(self.loss) if self.loss is not None else None
        if value is not None:
            kind = "validation" if validation is not None else "training"
            text += f", {value:.3f} bits in {kind} (zero-order entropy {self.entropy:.2f})"
        if samples := round(training.sample_seconds * trainer.corpus.rate):
            amplitude = self._sample(samples)
            self.records.sample(trainer.step, amplitude)
            rms, mean = loudness(amplitude)
            text += f", sample at {rms:.1f} dBFS, DC {mean:+.4f}"
        self._say(f"{text}, {self._remaining()}")

    def _sample(self, samples: int) -> Any:
        config, blocks, advance = self.trainer.config, [], self._activity("listening")
        with self.trainer.playing() as model:
            for block in self._played(fastest_player(model, config.training.seed, self.trainer.corpus.rate), samples):
                blocks.append(block[0])
                advance(len(block[0]) / samples)
        return config.quantizer.decode(np.concatenate(blocks))

    def _played(self, player: Player, samples: int) -> Iterator[NDArray[np.integer]]:
        """Return blocks of codes. A model with a condition plays that of the first section that was not trained on."""
        trainer = self.trainer
        split: SplitName = "valid" if len(trainer.corpus.sections("valid")) else "train"
        if split not in trainer.conditions:
            return stream(player, samples)
        start = int(trainer.corpus.sections(split)[0, 0])
        return perform(player, [trainer.conditions[split].excerpt(start, samples)], samples)

    def _roll_back(self) -> None:
        processes.wait()
        line = self.trainer.roll_back(self.run)
        if self.leader:  # later checkpoints are of the abandoned course, which nothing may resume or roll back to
            checkpoint.prune(self.run, {step for step in checkpoint.steps(self.run) if step <= self.trainer.step})
        processes.wait()
        self._say(line)
        if self.records:
            self.records.rollback(self.trainer.step, line)

    def _save(self, *, scheduled: bool, metrics_bytes: int | None = None) -> None:
        """Save a checkpoint. A run that goes on from it keeps `metrics_bytes` of metrics.jsonl, or all of it."""
        trainer = self.trainer
        length = self.records.sync() if self.records else 0
        saved = trainer.snapshot(
            checkpoint.path(self.run, trainer.step),
            regular=scheduled,  # the file's name for it
            seconds=self.seconds,
            metrics_bytes=length if metrics_bytes is None else metrics_bytes,
        )
        if self.leader:
            checkpoint.save(self.run, saved)
            self._prune()
        processes.wait()

    def _prune(self) -> None:
        """Remove the checkpoints that are not kept at this step."""
        recent = checkpoint.scheduled_steps(self.run)
        best = {self.trainer.best.step} if self.trainer.best else set()
        checkpoint.prune(self.run, {*recent[-SCHEDULED_KEPT:], *best, self.trainer.step})

    @property
    def seconds(self) -> float:
        """Time spent on the run in all its sessions."""
        return self.seconds_before + time.monotonic() - self.begun

    def _share(self) -> float:
        return self.budget.share(self.trainer.step, self.trainer.batches.epochs, self.seconds)

    def _ended(self) -> bool:
        """Tell whether the budget is used up or a signal has come, to any process."""
        flags = torch.tensor([float(self.stop_requested), float(self._share() >= 1 or self._learned())])
        processes.sum_([flags])
        self.interrupted = bool(flags[0] and not flags[1])
        return bool(flags.any())

    def _learned(self) -> bool:
        recent = list(self.trainer.guard.losses)[-ROLLING:]
        return self.budget.loss is not None and len(recent) == ROLLING and sum(recent) / ROLLING < self.budget.loss

    def _title(self) -> str:
        now = f"{bits(self.loss):.3f} bits" if self.loss is not None else "no loss"
        return f"step {self.trainer.step}, {now}"

    def _remaining(self) -> str:
        share = self._share()
        left = round(self.seconds * (1 / share - 1)) if 0 < share < 1 else 0
        return f"{left // 60}:{left % 60:02d} to go"

    def _say(self, line: str) -> None:
        if self.leader:
            log.info(line)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the first Ctrl-C, SIGTERM or SIGHUP end the run after this step, saved, and the second end it at once."""

        def request_stop(number: int, frame: object) -> None:
            self.stop_requested = True
            log.info("stopping after this step; once more to stop at once (what was saved stays)")
            signal.signal(number, signal.SIG_DFL)

        kinds = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
            kinds.append(signal.SIGHUP)
        before = [signal.signal(kind, request_stop) for kind in kinds]
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)
            sys.stderr.flush()
