"""Keep bad updates from the weights, and call for a roll-back when a run has gone astray.

The thesis lost two of its long runs to one bad step each (4.3: NaiveRNN near step 400,000, WaveNet 4x10 at its end).
Three lines of defence:

1. A loss or gradient that is not finite is never applied.
2. Nor is one that explodes: far outside a window of recent steps by a robust z-score (median and median absolute
   deviation, which one outlier cannot move), and large in itself: a loss above ln Q, that of a model that knows
   nothing, or a gradient many times the window's median. Without the second half a loud section after a silent one
   would count as an explosion. What was seen enters the window all the same, so a lasting change is soon the norm.
3. When a run of steps is skipped, when the median of recent losses is above ln Q, or when the validation loss has
   left the best one far behind (or ln Q, where there is none yet: a diverged model must not become the checkpoint
   that a roll-back returns to), the verdict is `rollback` (see Trainer.roll_back).
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Literal

from wavewright.formats.checkpoint import GuardState

Verdict = Literal["apply", "skip", "rollback"]

WINDOW = 100  # steps that the z-score looks back on
WARM = 20  # steps before there is a z-score at all
LIMIT = 8.0  # robust standard deviations
GRADIENT_FACTOR = 30.0  # times the window's median norm
PATIENCE = 10  # skipped steps in a row
RECENT = 25  # steps whose median loss must not exceed that of a model that knows nothing
MARGIN = 0.5  # nats above ln Q, or bits of validation above the best, that are still called noise
DRIFT = 1.25  # times the best validation bits
HOPELESS = 2.0  # bits above log2 Q at a run's first checkpoints; the deepest fresh models start 1.7 above


@dataclass
class Guard:
    """Judges every step before its gradient is applied.

    Attributes:
        levels: Q, the number of codes.
    """

    levels: int

    def __post_init__(self) -> None:
        self.uniform_nats = math.log(self.levels)  # the loss of a model that knows nothing
        self.losses: deque[float] = deque(maxlen=WINDOW)
        self.norms: deque[float] = deque(maxlen=WINDOW)  # logarithms
        self.skipped = 0  # in a row
        self.reason = ""

    def judge(self, loss: float, norm: float) -> Verdict:
        """Say what to do with a step of this loss (nats a sample) and gradient norm (before clipping)."""
        fault = self._fault(loss, norm)
        if math.isfinite(loss) and math.isfinite(norm):
            self.losses.append(loss)
            self.norms.append(math.log(norm + 1e-12))
        self.skipped = self.skipped + 1 if fault else 0
        if self.skipped >= PATIENCE:
            self.reason = f"{self.skipped} bad steps in a row, the last with a {fault}"
            return "rollback"
        if len(self.losses) >= RECENT and self.recent > self.uniform_nats + MARGIN:
            self.reason = f"the loss stays above that of a model that knows nothing ({loss:.2f} nats)"
            return "rollback"
        self.reason = fault
        return "skip" if fault else "apply"

    @property
    def recent(self) -> float:
        """The median of recent training losses, in nats a sample."""
        return median(list(self.losses)[-RECENT:] or [self.uniform_nats])

    def drifted(self, bits: float, best: float | None) -> bool:
        """Tell whether a result (bits a sample) is far behind the best one, or hopeless where there is none."""
        if best is None:
            limit, start = self.uniform_nats / math.log(2) + HOPELESS, "nothing"
        else:
            limit, start = max(DRIFT * best, best + MARGIN), f"{best:.3f}"
        if bits <= limit:  # which no NaN is
            return False
        self.reason = f"validation went from {start} to {bits:.3f} bits"
        return True

    def _fault(self, loss: float, norm: float) -> str:
        if not math.isfinite(loss):
            return f"loss of {loss}"
        if not math.isfinite(norm):
            return f"gradient norm of {norm}"
        if loss > self.uniform_nats and _far_above(loss, self.losses, floor=0.05):
            return f"loss of {loss:.2f} nats"
        log_norm = math.log(norm + 1e-12)
        if _far_above(log_norm, self.norms, floor=0.1) and log_norm > median(self.norms) + math.log(GRADIENT_FACTOR):
            return f"gradient norm of {norm:.3g}"
        return ""

    def state(self) -> GuardState:
        """Return what `restore` needs."""
        return GuardState(list(self.losses), list(self.norms), self.skipped)

    def restore(self, state: GuardState) -> None:
        """Go on from `state()`."""
        self.losses = deque(state.losses, maxlen=WINDOW)
        self.norms = deque(state.norms, maxlen=WINDOW)
        self.skipped = state.skipped


def _far_above(value: float, window: Iterable[float], floor: float) -> bool:
    """Tell whether `value` is LIMIT robust standard deviations (at least `floor` each) above the window's median."""
    values = list(window)
    if len(values) < WARM:
        return False
    middle = median(values)
    spread = 1.4826 * median(abs(item - middle) for item in values)  # a normal distribution's standard deviation
    return value > middle + LIMIT * max(spread, floor)
