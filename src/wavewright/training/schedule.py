"""Set the learning rate of each step."""

import math
from dataclasses import dataclass

from wavewright.formats.config import TrainingConfig


@dataclass
class Schedule:
    """Warm-up, then constant, cosine or plateau.

    Attributes:
        config: how the run is trained.
        end: step at which the budget ends, as far as that is known. Only a cosine without an end of its own needs it.
        scale: what plateaus and roll-backs have left of the rate.
        stale: validations since the best one.
    """

    config: TrainingConfig
    end: float | None = None
    scale: float = 1.0
    stale: int = 0

    def rate(self, step: int) -> float:
        """Return the learning rate of step `step`; the first is 0."""
        config = self.config
        share = self.scale
        if config.warmup_steps:
            share *= min(1.0, (step + 1) / config.warmup_steps)
        end = config.schedule_steps or self.end
        if config.schedule == "cosine" and end is not None:
            after, span = step - config.warmup_steps, max(1, end - config.warmup_steps)
            done = min(1.0, max(0.0, after / span))
            share *= config.minimum_rate + (1 - config.minimum_rate) * (1 + math.cos(math.pi * done)) / 2
        return config.learning_rate * share

    def validated(self, improved: bool) -> None:
        """Count a validation; a plateau lowers the rate."""
        self.stale = 0 if improved else self.stale + 1
        if self.config.schedule == "plateau" and self.stale >= self.config.plateau_patience:
            self.scale = max(self.scale * self.config.plateau_factor, self.config.minimum_rate)
            self.stale = 0
