"""One sitting of a run: steps until its budget is used up or a signal comes, with all that is told on the way."""

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

from wavewright import processes
from wavewright.errors import ConfigError
from wavewright.formats import checkpoint
from wavewright.metrics import bits, level, zero_order_entropy
from wavewright.playing.stream import stream
from wavewright.playing.torch_player import TorchPlayer
from wavewright.progress import Advance, Progress, silent
from wavewright.training.records import Monitor
from wavewright.training.trainer import Trainer

log = logging.getLogger(__name__)

ROLLING = 10  # steps over which a loss is averaged, as in the thesis's figures
REGULAR_KEPT = 2  # recent regular checkpoints that stay, beside the best and the last


@dataclass(frozen=True)
class Budget:
    """When a run ends: whichever comes first; minutes count all its sessions.

    `loss` is learned well enough: the mean training loss of ROLLING steps, in nats a sample, is below it.

    Raises:
        ConfigError: one that is not more than 0.
    """

    steps: int | None = None
    epochs: int | None = None
    minutes: float | None = None
    loss: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise ConfigError(f"--{name} {value}: give more than 0")

    def part(self, share: float) -> "Budget":
        """The same with a share of its minutes."""
        return replace(self, minutes=None if self.minutes is None else self.minutes * share)

    def share(self, step: int, epoch: int, seconds: float) -> float:
        """How much of it is used up; 1 or more is the end."""
        parts = [
            done / total
            for done, total in ((step, self.steps), (epoch, self.epochs), (seconds / 60, self.minutes))
            if total is not None
        ]
        return max(parts, default=0.0)


@dataclass(frozen=True)
class Summary:
    """How a training session ended."""

    run: Path
    step: int
    seconds: float
    loss: float | None
    best: dict[str, Any] | None
    interrupted: bool


class Session:
    """One sitting of a run, from its start or a checkpoint to the budget's end or a signal."""

    def __init__(self, trainer: Trainer, run: Path, budget: Budget, progress: Progress = silent) -> None:
        self.trainer, self.run, self.budget, self.progress = trainer, run, budget, progress
        self.leader = processes.rank() == 0
        self.seconds_before = 0.0
        self.resume_at: tuple[int, int] | None = None
        self.loss: float | None = None
        self.asked = False  # by a signal to this process
        self.stop = False  # by a signal to any, as all have agreed

    def resume(self, saved: checkpoint.Checkpoint) -> None:
        """Start from a checkpoint instead of from nothing."""
        self.trainer.restore(saved)
        self.seconds_before = saved.facts["seconds"]
        self.resume_at = saved.facts["metrics_bytes"], saved.facts["step"]

    def go(self) -> Summary:
        """Train, watched: progress, records, signals."""
        trainer, config = self.trainer, self.trainer.config
        self.begun = time.monotonic()
        self.entropy = zero_order_entropy(trainer.corpus.samples("train"), config.quantizer)
        self.monitor = Monitor(self.run, trainer.corpus.rate, self.resume_at) if self.leader else None
        with self._signals(), self.progress(f"training {config.model.name}", 1.0) as advance:
            if self.leader:
                log.info(
                    f"{config.model.name}: {trainer.model.parameter_count():,} parameters on {trainer.device}, "
                    f"{len(trainer.batches.sections)} sections, zero-order entropy {self.entropy:.2f} bits"
                )
            if not self.resume_at:
                self._save(regular=True)  # something to roll back to from the start
            self._loop(advance)
        if trainer.step not in checkpoint.steps(self.run):
            self._save(regular=False)
            if not self.stop:
                self._conclude()
        processes.wait()  # part together: gloo does not outlive a process that others still speak to
        if self.monitor:
            self.monitor.close()
        return Summary(self.run, trainer.step, self.seconds, self.loss, trainer.best, self.stop)

    def _loop(self, advance: Advance) -> None:
        shown = 0.0
        while not self._ended():
            self._one_step()
            share = min(1.0, self._share())
            advance(share - shown, self._title())
            shown = share

    def _one_step(self) -> None:
        trainer, start = self.trainer, time.monotonic()
        heard = trainer.samples
        record = trainer.train_step()
        spent = time.monotonic() - start
        self.loss = record["loss"]
        if self.monitor:
            speed = round((trainer.samples - heard) / spent)
            times = {"seconds": round(self.seconds, 3), "samples_per_second": speed}
            self.monitor.step(trainer.step, {**record, "time": times})
        if record["verdict"] == "skip":
            self._say(f"step {trainer.step}: skipped, {trainer.guard.reason}")
        if record["verdict"] == "lost" or (
            trainer.step % trainer.config.training.checkpoint_every == 0 and self._look()
        ):
            self._roll_back()

    def _look(self) -> bool:
        """Validate, save and listen; True where the validation shows that the run is lost."""
        trainer = self.trainer
        value = trainer.validate()
        heard = bits(trainer.guard.recent) if value is None else value
        if trainer.guard.drifted(heard, trainer.best["bits"] if trainer.best else None):
            return True
        if value is not None:
            improved = trainer.best is None or value < trainer.best["bits"]
            trainer.schedule.validated(improved)
            if improved:
                trainer.best = {"step": trainer.step, "bits": value}
            if self.monitor:
                self.monitor.validation(trainer.step, value)
        trainer.lost = 0
        self._save(regular=True)
        self._listen(value)
        return False

    def _conclude(self) -> None:
        """Validate and listen at the run's end; what is recorded here, after the checkpoint, a resumed run drops."""
        value = self.trainer.validate()
        if self.monitor and value is not None:
            self.monitor.validation(self.trainer.step, value)
        self._listen(value)

    def _listen(self, value: float | None) -> None:
        """The health line and a listening sample."""
        trainer, training = self.trainer, self.trainer.config.training
        if not self.monitor:
            return
        text = f"step {trainer.step}: {trainer.samples / 1e6:.1f} M samples"
        heard = value if value is not None else bits(self.loss) if self.loss is not None else None
        if heard is not None:
            kind = "validation" if value is not None else "training"
            text += f", {heard:.3f} bits in {kind} (zero-order entropy {self.entropy:.2f})"
        if training.sample_seconds:
            amplitude = self._sample(round(training.sample_seconds * trainer.corpus.rate))
            self.monitor.sample(trainer.step, amplitude)
            rms, mean = level(amplitude)
            text += f", sample at {rms:.1f} dBFS, DC {mean:+.4f}"
        self._say(f"{text}, {self._remaining()}")

    def _sample(self, samples: int) -> Any:
        config = self.trainer.config
        with self.trainer.playing() as model:
            blocks = list(stream(TorchPlayer(model, seed=config.training.seed), samples))
        return config.quantizer.decode(np.concatenate(blocks, 1)[0])

    def _roll_back(self) -> None:
        processes.wait()
        line = self.trainer.roll_back(self.run)
        self._say(line)
        if self.monitor:
            self.monitor.write({"step": self.trainer.step, "event": "rollback", "reason": line})

    def _save(self, *, regular: bool) -> None:
        """A checkpoint; `regular` ones would be there had the run never been stopped."""
        trainer = self.trainer
        facts = {
            "regular": regular,
            "seconds": self.seconds,
            "metrics_bytes": self.monitor.position() if self.monitor else 0,
        }
        saved = trainer.snapshot(checkpoint.path(self.run, trainer.step), **facts)
        if self.leader:
            checkpoint.save(self.run, saved)
            recent = checkpoint.regular_steps(self.run)
            best = {trainer.best["step"]} if trainer.best else set()
            checkpoint.prune(self.run, {*recent[-REGULAR_KEPT:], *best, trainer.step})
        processes.wait()

    @property
    def seconds(self) -> float:
        """Time spent on the run in all its sessions."""
        return self.seconds_before + time.monotonic() - self.begun

    def _share(self) -> float:
        return self.budget.share(self.trainer.step, self.trainer.batches.position.epoch, self.seconds)

    def _ended(self) -> bool:
        """Whether the budget is used up or a signal has come, to any process."""
        flags = torch.tensor([float(self.asked), float(self._share() >= 1 or self._learned())])
        processes.sum_([flags])
        self.stop = bool(flags[0])
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
        """The first Ctrl-C or SIGTERM ends the run after this step, saved; the second ends it at once."""

        def ask(number: int, frame: object) -> None:
            self.asked = True
            log.info("stopping after this step; once more to stop at once (what was saved stays)")
            signal.signal(number, signal.SIG_DFL)

        kinds = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(kind, ask) for kind in kinds]
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)
            sys.stderr.flush()
