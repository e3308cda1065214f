"""The contracts of both back ends: `Playable`, what can be played, and `Player`, which plays it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import Events
from wavewright.corpus.batches import ControlSource
from wavewright.errors import ConfigError
from wavewright.formats.model_file import ModelFacts
from wavewright.progress import Advance, ignore
from wavewright.quantize import Samples16
from wavewright.sampling import Controls

if TYPE_CHECKING:
    from wavewright.playing.instrument import Instrument

DEFAULT = Controls()  # the model's own distribution
Dense = NDArray[np.floating] | None


def per_voice(models: int, dense: Dense, second: Dense) -> list[Dense]:
    """Return the dense values of each of a player's models.

    Raises:
        ConfigError: there are values for a second model, but it is not there.
    """
    if models == 1 and second is not None:
        raise ConfigError("second: there is one model; leave it out")
    return [dense, second][:models]


class Player(Protocol):
    """Streams of one model, or of two that are mixed, in torch (torch_player.py) or in the engine (engine.py).

    Streams begin in silence. Two models read the same codes, and each has control frames of its own. `dense` belongs to
    the first model and `second` to the second.

    A model with a condition (models/condition.py) is played by control frames, one for each `hop` samples from a
    stream's start on. A keyboard's own features come from the events that `feed` is given. The features of the other
    controls and the flags of absent controls, of the keyboard too, are `dense` values: (streams, M, D) or, for all
    streams, (M, D), in their order in a frame. M is the number of frames that begin within the call, or 1. One frame
    holds from the next frame that begins on. Without dense values, those given last are held. At a stream's start,
    every control is absent.

    Attributes:
        streams: number of streams.
    """

    streams: int

    def feed(self, stream: int, events: Events, voice: int = 0) -> int:
        """Give a stream's keyboard events, whose samples are counted from the stream's start, primes included.

        An event of a frame that has begun counts from the next frame on, with its true age. Up to `events.CAPACITY`
        events can wait for their frames. Beyond them, the oldest strikes are dropped. No other event ever is.

        Args:
            stream: number of the stream.
            events: table of events.
            voice: number of the model, 0 or 1.

        Returns:
            Number of strikes that were dropped.

        Raises:
            ConfigError: the model has no keyboard, a number is out of range, or releases and pedal events alone are
                more than can wait. The events are then not taken.
        """

    def prime(self, codes: NDArray[np.integer], dense: Dense = None, second: Dense = None) -> None:
        """Read codes (streams, n), or (n,) for all streams.

        Raises:
            ConfigError: dense values have another shape, or the model takes none.
        """

    def generate(
        self, samples: int, controls: Controls = DEFAULT, dense: Dense = None, second: Dense = None
    ) -> NDArray[np.integer]:
        """Return new codes (streams, samples). A curve in `controls` has a value for each sample.

        Raises:
            ConfigError: a curve is too short, dense values have another shape, the model takes none, or the amount of
                two models is missing.
        """


@dataclass(frozen=True)
class Playable(ModelFacts, ABC):
    """What can be played, a `TrainedModel` or a mixture of two (mixture.py).

    Attributes:
        path: the run's folder or the model file.
    """

    path: Path

    @property
    def step(self) -> int:
        """Step of the checkpoint."""
        return self.training.step

    @property
    def models(self) -> "tuple[Playable, ...]":
        """The models that play, one or two."""
        return (self,)

    @property
    def receptive_field(self) -> float:
        """Number of past samples that can reach a prediction, infinite for recurrent models."""
        return max(model.config.receptive_field for model in self.models)

    @property
    def state_bytes(self) -> int:
        """Bytes that a stream remembers, see ModelConfig."""
        return sum(model.config.state_bytes for model in self.models)

    @abstractmethod
    def player(self, streams: int = 1, seed: int = 0) -> Player:
        """Return a player of streams that begin in silence. Stream k does not depend on their number."""


@dataclass(frozen=True)
class TrainedModel(Playable):
    """A trained model with a back end, torch (`TorchModel`) or the engine (`NativeModel`)."""

    @abstractmethod
    def player(self, streams: int = 1, seed: int = 0, second: Self | None = None) -> Player:
        """See Playable. With `second`, the player mixes the two models. For checks, see mixture.mix."""

    def instrument(self, seed: int = 0, *, guidance: float | None = None, **settings: Any) -> "Instrument":
        """Return an instrument to play by hand.

        Args:
            seed: decides the stream.
            guidance: how far the sound is moved away from that of absent controls. See mixture.guided.
            settings: the fields of Controls, each a single value. Without one, the model's own holds (`draw`).

        Raises:
            ConfigError: the model makes impulse responses, or a setting is out of range.
        """
        from wavewright.playing.instrument import Instrument
        from wavewright.playing.mixture import guided

        if guidance is None:
            return Instrument(self, seed, replace(self.draw, **settings))
        return Instrument(guided(self, guidance), seed, replace(self.draw, amount=-guidance, **settings))

    @abstractmethod
    def score(
        self,
        samples: Samples16,
        sections: NDArray[np.int64],
        *,
        leads: NDArray[np.int64] | None = None,
        conditions: ControlSource | None = None,
        advance: Advance = ignore,
    ) -> NDArray[np.float64]:
        """Return the nats (S,) of each section (S, 2) of samples, with the true state carried through the section.

        The leads (S,) before the sections are heard, but not scored. Without `conditions`, every control is absent.
        `advance` is called with the number of samples scored since the last call.
        """

    @abstractmethod
    def logits(self, codes: NDArray[np.integer]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits (B, n, L) of codes (B, T) that begin after silence, block by block (models/output.py)."""

    def entropy(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the entropy in bits (B, T) of each code's distribution, for codes (B, T) that begin after silence."""
        return np.concatenate([self.config.output.entropy(block) for block in self.logits(codes)], 1)

    def variance(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the variance (B, T) of what each code stands for, under its distribution. See `entropy`."""
        values = self.quantizer.centres(np.arange(self.quantizer.levels))
        found, start = [], 0
        for block in self.logits(codes):
            stop = start + block.shape[1]
            found.append(self.config.output.variance(block, codes[:, start:stop], values))
            start = stop
        return np.concatenate(found, 1)
