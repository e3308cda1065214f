"""Play streams of a torch model by stepping it in torch, on any device. The engine must draw the same codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize

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
    """

    def __init__(self, model: Model[Any], streams: int = 1, seed: int = 0) -> None:
        model.config.check_streams(streams)
        self.model = model.eval()
        self.streams = streams
        self._uniforms = Uniforms(seed, streams)
        self._code = np.full(streams, silence(model.config.q_levels))
        with torch.inference_mode():
            self._state = model.initial_state(streams)

    @one_thread()
    @torch.inference_mode()
    def prime(self, codes: NDArray[np.integer]) -> None:
        """Read codes (streams, n), or (n,) for all streams."""
        block = np.broadcast_to(codes, (self.streams, codes.shape[-1]))
        inputs = np.concatenate((self._code[:, None], block), 1)
        with parametrize.cached():  # compute weight norm once, not at every step
            for part in np.array_split(inputs[:, :-1], -(-block.shape[1] // PRIME_BLOCK), 1):
                _, self._state = self.model(torch.from_numpy(part).to(self.model.device), self._state)
        self._code = inputs[:, -1]

    @one_thread()
    @torch.inference_mode()
    def generate(self, samples: int, controls: Controls = DEFAULT) -> NDArray[np.int64]:
        """See Player."""
        controls = controls.between(0, samples)
        output = self.model.config.output
        codes = np.empty((self.streams, samples), np.int64)
        drawn = self._uniforms(samples)
        with parametrize.cached():
            for t in range(samples):
                logits, self._state = self.model.step(torch.from_numpy(self._code).to(self.model.device), self._state)
                codes[:, t] = self._code = output.draw(logits.float().cpu().numpy(), drawn[:, t], controls.at(t))
        return codes
