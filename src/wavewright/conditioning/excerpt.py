"""What one stream plays of a corpus: a keyboard's events and the dense values of its control frames, bit by bit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import Events


@dataclass(frozen=True)
class Excerpt:
    """The events and dense values of a stream (`playing.playable.Player`), from its start on.

    Attributes:
        hop: samples in a control frame.
        events: the keyboard's events. There are none without a keyboard.
        dense: (M, D) the values of every frame.
    """

    hop: int
    events: Events
    dense: NDArray[np.float32]

    def between(self, start: int, stop: int) -> tuple[Events, NDArray[np.float32]]:
        """Return the events and the values of the frames that begin in [start, stop), in samples of the stream."""
        first, last = -(-start // self.hop), -(-stop // self.hop)
        frame = self.events["sample"] // self.hop
        return self.events[(frame >= first) & (frame < last)], self.dense[first:last]
