"""Play streams of a torch model by stepping it in torch, on any device. The engine must draw the same codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import parametrize

from wavewright.conditioning.events import Events
from wavewright.conditioning.frames import Frames, checked_dense
from wavewright.errors import ConfigError
from wavewright.models.base import Model
from wavewright.playing.playable import DEFAULT
from wavewright.quantize import silence
from wavewright.sampling import Controls, Uniforms

PRIME_BLOCK = 8192  # most samples at once


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, since a step is too small to share, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TorchPlayer:
    """A `Player` of a torch model.

    Args:
        model: torch module on any device.
        streams: number of streams side by side. Each equals the same stream alone.
        seed: decides every stream.
        rate: samples in a second, for a model with a keyboard.

    Raises:
        ConfigError: the model has a keyboard, but there is no rate.
    """

    def __init__(self, model: Model[Any], streams: int = 1, seed: int = 0, rate: int | None = None) -> None:
        model.config.check_streams(streams)
        self.model = model.eval()
        self.streams = streams
        condition = model.config.condition
        self._frames = None if condition is None else Frames(condition, streams, rate)
        self._uniforms = Uniforms(seed, streams)
        self._code = np.full(streams, silence(model.config.q_levels))
        with torch.inference_mode():
            self._state = model.initial_state(streams)

    def feed(self, stream: int, events: Events) -> int:
        """See Player."""
        if self._frames is None:
            raise ConfigError("events: this model was made without a condition; leave them out")
        return self._frames.feed(stream, events)

    @one_thread()
    @torch.inference_mode()
    def prime(self, codes: NDArray[np.integer], dense: NDArray[np.floating] | None = None) -> None:
        """See Player."""
        self._give(dense, codes.shape[-1])
        block = np.broadcast_to(codes, (self.streams, codes.shape[-1]))
        inputs = np.concatenate((self._code[:, None], block), 1)
        with parametrize.cached():  # compute weight norm once, not at every step
            for part in np.array_split(inputs[:, :-1], -(-block.shape[1] // PRIME_BLOCK), 1):
                condition = self._condition(part.shape[1])
                _, self._state = self.model(torch.from_numpy(part).to(self.model.device), self._state, condition)
        self._code = inputs[:, -1]

    @one_thread()
    @torch.inference_mode()
    def generate(
        self, samples: int, controls: Controls = DEFAULT, dense: NDArray[np.floating] | None = None
    ) -> NDArray[np.int64]:
        """See Player."""
        controls = controls.between(0, samples)
        self._give(dense, samples)
        output = self.model.config.output
        codes = np.empty((self.streams, samples), np.int64)
        drawn = self._uniforms(samples)
        phase, condition = int(self._state.phase or 0), self._condition(samples)
        with parametrize.cached():
            for t in range(samples):
                frame = None if condition is None else condition[:, (phase + t) // self.model.config.condition.hop]
                code = torch.from_numpy(self._code).to(self.model.device)
                logits, self._state = self.model.step(code, self._state, frame)
                codes[:, t] = self._code = output.draw(logits.float().cpu().numpy(), drawn[:, t], controls.at(t))
        return codes

    def _give(self, dense: NDArray[np.floating] | None, samples: int) -> None:
        if self._frames is None:
            checked_dense(None, dense, self.streams)
        else:
            self._frames.give(dense, samples)

    def _condition(self, samples: int) -> Tensor | None:
        """Return the control frames (streams, M, F) of the next samples, for a model that takes any."""
        if self._frames is None:
            return None
        return torch.from_numpy(self._frames.next(samples)).to(self.model.device, self.model.dtype)
