"""Score given samples with a torch model, in nats over all processes, and compute their logits."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wavewright import metrics, processes
from wavewright.corpus.batches import Batches, ControlSource
from wavewright.models.base import Model
from wavewright.quantize import Quantizer, Samples16, silence

SCORE_LENGTH = 4096  # samples of a lane at a time; any length gives the same result
EXCERPTS = 8  # least number of places that a validation reads, where there are as many sections
SCORE_LANES = 16


def excerpts(sections: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
    """Return stretches (n, 2) of about `samples` samples in all, from the start of EXCERPTS or more sections (S, 2).

    Sections with no more samples than that are returned whole. A few long stretches would cover only a few places.
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
    samples: Samples16,
    sections: NDArray[np.int64],
    quantizer: Quantizer,
    *,
    leads: NDArray[np.int64] | None = None,
    conditions: ControlSource | None = None,
    rank: int = 0,
    world: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> NDArray[np.float64]:
    """Return the nats (S,) of each section, summed over its samples, with the true state carried through the section.

    The leads (S,) before the sections are heard, but not scored. Without `conditions`, a model with a condition is
    scored with every control absent.

    With several processes, each scores its own lanes, and all return the whole. `advance` is called with the number of
    samples scored since the last call.
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
        leads=leads,
        conditions=conditions,
    )
    nats = torch.zeros(len(sections) + batches.lanes, dtype=torch.float64)
    state = None
    for first, batch in batches.rest_of_epoch():
        inputs = torch.from_numpy(batch.inputs).to(model.device)
        targets = torch.from_numpy(batch.targets).to(model.device)
        condition = (
            None if batch.condition is None else torch.from_numpy(batch.condition).to(inputs.device, model.dtype)
        )
        outputs, state = model(inputs, None if batch.reset else state, condition)
        loss = model.config.output.loss(model.logits(outputs, targets), targets)
        nats[first : first + len(loss)] += loss.double().sum(1).cpu()
        advance(batch.count)
    processes.sum_([nats])
    return nats[: len(sections)].numpy()


@torch.no_grad()
def logits(model: Model[Any], codes: NDArray[np.integer]) -> Iterator[NDArray[np.float32]]:
    """Yield the logits (B, n, L) of codes (B, T) that begin after silence, SCORE_LENGTH samples at a time."""
    inputs = np.pad(codes[:, :-1], ((0, 0), (1, 0)), constant_values=silence(model.config.q_levels))
    state = None
    for start in range(0, inputs.shape[1], SCORE_LENGTH):
        block = torch.from_numpy(inputs[:, start : start + SCORE_LENGTH]).long().to(model.device)
        outputs, state = model(block, state)
        own = torch.from_numpy(codes[:, start : start + SCORE_LENGTH]).long().to(model.device)
        yield model.logits(outputs, own).float().cpu().numpy()
