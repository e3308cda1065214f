"""Sound from a model, a block at a time: memory does not grow with length."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize

from wavewright.models import Model
from wavewright.quantize import silence
from wavewright.sampling import Sampling, Uniforms, draw

BLOCK = 2048  # samples a block
PRIME_BLOCK = 8192


@torch.no_grad()
def stream(
    model: Model[Any],
    *,
    samples: int,
    streams: int = 1,
    sampling: Sampling | None = None,
    seed: int = 0,
    prime: NDArray[np.int64] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Yield blocks of new codes (streams, up to BLOCK), `samples` in all.

    Args:
        model: on any device.
        samples: how many to make.
        streams: how many takes to make side by side; each equals the same take made alone.
        sampling: temperature and the like; none means the model's own distribution.
        seed: decides every take.
        prime: codes (P,) that every take continues; none means silence.
    """
    sampling = sampling or Sampling()
    uniforms = Uniforms(seed, streams)
    heard = np.concatenate(([silence(model.config.q_levels)], [] if prime is None else prime)).astype(np.int64)
    with parametrize.cached():  # weight norm: once, not at every step
        model.eval()
        state = model.initial_state(streams)
        for start in range(0, len(heard) - 1, PRIME_BLOCK):
            codes = torch.from_numpy(heard[start : min(start + PRIME_BLOCK, len(heard) - 1)]).to(model.device)
            _, state = model(codes.expand(streams, -1), state)
        code = np.full(streams, heard[-1])
        for start in range(0, samples, BLOCK):
            block = np.empty((streams, min(BLOCK, samples - start)), np.int64)
            drawn = uniforms(block.shape[1])
            for t in range(block.shape[1]):
                logits, state = model.step(torch.from_numpy(code).to(model.device), state)
                block[:, t] = code = draw(logits.float().cpu().numpy(), drawn[:, t], sampling)
            yield block
