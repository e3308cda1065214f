"""What a torch model thinks of given samples: nats, over all processes, and entropy."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wavewright import metrics, processes
from wavewright.corpus.batches import Batches
from wavewright.models.base import Model
from wavewright.quantize import Quantizer, silence

SCORE_LENGTH = 4096  # samples of a lane at a time; any length gives the same result
EXCERPTS = 8  # places that a validation hears at least, where there are as many sections
SCORE_LANES = 16


def excerpts(sections: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
    """Stretches (n, 2) of about so many samples in all: the beginnings of EXCERPTS or more of the sections (S, 2).

    All of the sections where they hold no more than that. A few long ones would tell of a few places only.
    """
    total = (sections[:, 1] - sections[:, 0]).sum()
    if samples >= total:
        return sections
    count = min(len(sections), max(EXCERPTS, round(samples * len(sections) / total)))
    chosen = metrics.evenly(sections, count)
    ends = np.minimum(chosen[:, 1], chosen[:, 0] + -(-samples // count))
    return np.stack([chosen[:, 0], ends], 1)


@torch.no_grad()
def score(
    model: Model[Any],
    samples: NDArray[np.int16],
    sections: NDArray[np.int64],
    quantizer: Quantizer,
    *,
    rank: int = 0,
    world: int = 1,
) -> NDArray[np.float64]:
    """The nats of each section, (S,), summed over its samples, with true state carried through it.

    With several processes each scores its lanes, and all return the whole.
    """
    batches = Batches(
        samples,
        sections,
        batch_size=SCORE_LANES,
        length=SCORE_LENGTH,
        quantizer=quantizer,
        seed=None,
        rank=rank,
        world=world,
    )
    nats = torch.zeros(len(sections) + batches.lanes, dtype=torch.float64)
    state = None
    for first, batch in batches.rest_of_epoch():
        inputs = torch.from_numpy(batch.inputs).to(model.device)
        targets = torch.from_numpy(batch.targets).to(model.device)
        logits, state = model(inputs, None if batch.reset else state)
        loss = model.config.output.loss(logits, targets)
        nats[first : first + len(loss)] += loss.double().sum(1).cpu()
    processes.sum_([nats])
    return nats[: len(sections)].numpy()


@torch.no_grad()
def entropy(model: Model[Any], codes: NDArray[np.integer]) -> NDArray[np.float64]:
    """The bits (B, T) of the distributions from which codes (B, T), heard from silence on, would be drawn."""
    heard = np.pad(codes[:, :-1], ((0, 0), (1, 0)), constant_values=silence(model.config.q_levels))
    bits, state = [], None
    for start in range(0, heard.shape[1], SCORE_LENGTH):
        block = torch.from_numpy(heard[:, start : start + SCORE_LENGTH]).long().to(model.device)
        logits, state = model(block, state)
        bits.append(model.config.output.entropy(logits.float().cpu().numpy()))
    return np.concatenate(bits, 1)
