"""Sound from a model, a block at a time: memory does not grow with length."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize

from wavewright.models import Model
from wavewright.quantize import silence
from wavewright.sampling import Sampling, Uniforms, draw

BLOCK = 2048  # samples a block
PRIME_BLOCK = 8192  # at most so many at once


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: a step is too small to share, above all with other programs on the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def stream(
    model: Model[Any],
    *,
    samples: int,
    streams: int = 1,
    sampling: Sampling | None = None,
    seed: int = 0,
    prime: Iterable[NDArray[np.int64]] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Yield blocks of new codes (streams, up to BLOCK), `samples` in all.

    Args:
        model: on any device.
        samples: how many to make.
        streams: how many takes to make side by side; each equals the same take made alone.
        sampling: temperature and the like; none means the model's own distribution.
        seed: decides every take.
        prime: blocks of codes that the takes continue, (P,) for all of them or (streams, P); none means silence.
    """
    sampling = sampling or Sampling()
    uniforms = Uniforms(seed, streams)
    code = np.full(streams, silence(model.config.q_levels))
    with parametrize.cached():  # weight norm: once, not at every step
        model.eval()
        state = model.initial_state(streams)
        for block in prime or ():
            heard = np.concatenate((code[:, None], np.broadcast_to(block, (streams, block.shape[-1]))), 1)
            for part in np.array_split(heard[:, :-1], -(-block.shape[-1] // PRIME_BLOCK), 1):
                _, state = model(torch.from_numpy(part).to(model.device), state)
            code = heard[:, -1]
        for start in range(0, samples, BLOCK):
            block = np.empty((streams, min(BLOCK, samples - start)), np.int64)
            drawn = uniforms(block.shape[1])
            for t in range(block.shape[1]):
                logits, state = model.step(torch.from_numpy(code).to(model.device), state)
                block[:, t] = code = draw(logits.float().cpu().numpy(), drawn[:, t], sampling)
            yield block
