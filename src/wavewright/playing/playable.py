"""What can be played (`Playable`) and what plays it (`Player`): the two back ends keep these contracts."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wavewright.formats.model_file import ModelFacts
from wavewright.sampling import Controls

DEFAULT = Controls()  # the model's own distribution


class Player(Protocol):
    """Streams of one model that begin in silence: torch's (torch_player.py), or the native engine's (engine.py)."""

    def prime(self, codes: NDArray[np.integer]) -> None:
        """Hear codes (streams, n), or (n,) for all streams."""

    def generate(self, samples: int, controls: Controls = DEFAULT) -> NDArray[np.integer]:
        """Return new codes (streams, samples); a curve in `controls` has a value for each of them.

        Raises:
            ConfigError: a curve is too short.
        """


@dataclass(frozen=True)
class Playable(ModelFacts, ABC):
    """A trained model with a back end to play it: `TorchModel` with torch, `NativeModel` with the engine.

    Attributes:
        path: of the run's folder or the model file.
    """

    path: Path

    @property
    def step(self) -> int:
        """That of its checkpoint."""
        return self.training.step

    @abstractmethod
    def player(self, streams: int = 1, seed: int = 0) -> Player:
        """Streams that begin in silence; stream k is the same whatever their number."""

    @abstractmethod
    def score(self, samples: NDArray[np.int16], sections: NDArray[np.int64]) -> NDArray[np.float64]:
        """The nats of each section (S, 2) of samples, (S,), with true state carried through it."""

    @abstractmethod
    def entropy(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """The bits (B, T) of the distributions from which codes (B, T), heard from silence on, would be drawn."""
