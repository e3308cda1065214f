"""The contracts of both back ends: `Playable`, a model that can be played, and `Player`, which plays it."""

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
    """Streams of one model that begin in silence, in torch (torch_player.py) or in the engine (engine.py)."""

    def prime(self, codes: NDArray[np.integer]) -> None:
        """Read codes (streams, n), or (n,) for all streams."""

    def generate(self, samples: int, controls: Controls = DEFAULT) -> NDArray[np.integer]:
        """Return new codes (streams, samples). A curve in `controls` has a value for each sample.

        Raises:
            ConfigError: a curve is too short.
        """


@dataclass(frozen=True)
class Playable(ModelFacts, ABC):
    """A trained model with a back end, torch (`TorchModel`) or the engine (`NativeModel`).

    Attributes:
        path: the run's folder or the model file.
    """

    path: Path

    @property
    def step(self) -> int:
        """Step of the checkpoint."""
        return self.training.step

    @abstractmethod
    def player(self, streams: int = 1, seed: int = 0) -> Player:
        """Return a player of streams that begin in silence. Stream k does not depend on their number."""

    @abstractmethod
    def score(self, samples: NDArray[np.int16], sections: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the nats (S,) of each section (S, 2) of samples, with the true state carried through the section."""

    @abstractmethod
    def entropy(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the entropy in bits (B, T) of each code's distribution, for codes (B, T) that begin after silence."""
