"""One small model of every kind there is, with random weights in float64; the tests of the contract go through all."""

from typing import Any

import torch

from wavewright import models
from wavewright.models.base import Model, State

LEVELS = 12

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "naive scalar": ("naive-rnn", {"layers": 2, "units": 5, "input": "scalar"}),
    "naive embedded": ("naive-rnn", {"layers": 1, "units": 6}),
    "naive of 3 layers": ("naive-rnn", {"layers": 3, "units": 4, "input": "scalar", "forget_bias": 2.0}),
    "thesis tiers": ("sample-rnn", {"frame_sizes": (8, 2), "window": 2, "input": "scalar", "frame_scale": 1.0}),
    "tiers 8 2": ("sample-rnn", {"frame_sizes": (8, 2)}),
    "tier 16": ("sample-rnn", {"frame_sizes": 16, "cell": "gru"}),
    "tiers 8 4 2": ("sample-rnn", {"frame_sizes": (8, 4, 2), "cell": "gru", "learned_state": True}),
    "tiers 6 3": ("sample-rnn", {"frame_sizes": (6, 3), "n_rnn": 2, "learned_state": True, "weight_norm": True}),
    "short window": ("sample-rnn", {"frame_sizes": (4,), "window": 3, "n_rnn": 2, "cell": "gru", "weight_norm": True}),
    "long window": ("sample-rnn", {"frame_sizes": (4, 2), "window": 7, "input": "scalar"}),
    "frame of 1": ("sample-rnn", {"frame_sizes": (3, 1), "window": 2}),
    "plain": ("wavenet", {"blocks": 2, "layers": 3, "form": "plain", "input": "scalar"}),
    "plain of 3 taps": ("wavenet", {"blocks": 1, "layers": 2, "form": "plain", "input": "scalar", "filter_width": 3}),
    "gated": ("wavenet", {"blocks": 2, "layers": 3, "skip_channels": 7}),
    "gated scalar": ("wavenet", {"blocks": 3, "layers": 1, "input": "scalar"}),
    "gated of 3 taps": ("wavenet", {"blocks": 2, "layers": 2, "filter_width": 3}),
}
NARROW: dict[str, dict[str, Any]] = {
    "naive-rnn": {},
    "sample-rnn": {"units": 16, "embedding": 3},
    "wavenet": {"channels": 12},
}


def build(kind: str, seed: int = 0, **more: Any) -> Model[Any]:
    """A model of that kind; every parameter is moved, so that none of them is zero or one."""
    name, fields = KINDS[kind]
    torch.manual_seed(seed)
    model = models.build(name, **{**NARROW[name], **fields, "q_levels": LEVELS, **more}).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


def codes_of(streams: int, length: int, seed: int = 0) -> torch.Tensor:
    """Random codes (B, T)."""
    return torch.randint(LEVELS, (streams, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def in_parts(model: Model[Any], codes: torch.Tensor, parts: list[int]) -> tuple[torch.Tensor, State]:
    """Logits (B, T, Q) and the state after codes that come in parts: n > 0 through `forward`, 0 for one `step`."""
    state, pieces, place = model.initial_state(len(codes)), [], 0
    for part in parts:
        if part:
            logits, state = model(codes[:, place : place + part], state)
        else:
            logits, state = model.step(codes[:, place], state)
            logits = logits[:, None]
        pieces.append(logits)
        place += max(1, part)
    return torch.cat(pieces, 1), state
