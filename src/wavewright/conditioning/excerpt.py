"""What one stream plays of a corpus, from a keyboard's events and the dense values of control frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import Events


@dataclass(frozen=True)
class Excerpt:
    """The part of one stream (`sampling.Part`), from the stream's start on.

    Attributes:
        hop: samples in a control frame.
        keyboard: the keyboard's events. There are none without a keyboard.
        values: (M, D) the dense values of every frame.
    """

    hop: int
    keyboard: Events
    values: NDArray[np.float32]

    def events(self, start: int, stop: int) -> Events:
        """See Part."""
        first, last = np.searchsorted(self.keyboard["sample"], (start, stop))
        return self.keyboard[first:last]

    def dense(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Part. The samples are multiples of `hop`, since a stream and its excerpt begin together."""
        return self.values[samples // self.hop]
