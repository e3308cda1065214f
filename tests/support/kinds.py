"""The models in the tests: one small model of every kind, and sizes for other uses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wavewright import models
from wavewright.conditioning.events import Events, Kind, events
from wavewright.conditioning.frames import Frames
from wavewright.models.base import Model, State

LEVELS = 12
RATE = 1000  # Hz, for keyboards

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
    "linear 8 1": ("linear-rnn", {"frame_sizes": (8, 1), "widths": (20, 17), "blocks": (2, 2), "modes": 3}),
    "linear 6 3 1": (
        "linear-rnn",
        {"frame_sizes": (6, 3, 1), "widths": (17, 18, 16), "blocks": (1, 2, 1), "modes": 2, "window": 2},
    ),
    "linear alone": ("linear-rnn", {"frame_sizes": (1,), "widths": (18,), "blocks": (2,), "modes": 4, "window": 7}),
}
# The hop is no multiple of a frame, and shorter than the order.
PREDICTION: dict[str, Any] = {"order": 6, "window": 20.0, "hop": 5}
PREDICTED: dict[str, tuple[str, dict[str, Any]]] = {
    f"{kind}, predicted": (KINDS[kind][0], {**KINDS[kind][1], "prediction": PREDICTION})
    for kind in ("naive scalar", "tiers 8 4 2", "tiers 6 3", "gated", "linear 8 1")
} | {
    f"{kind}, predicted by density": (KINDS[kind][0], {**KINDS[kind][1], "prediction": {**PREDICTION, "density": True}})
    for kind in ("naive embedded", "tiers 8 2", "plain", "linear alone")
}
# Four parts by four. The codes of these tests are fewer, LEVELS.
SPLIT: dict[str, tuple[str, dict[str, Any]]] = {
    f"{kind}, split": (KINDS[kind][0], {**KINDS[kind][1], "split": True, "q_levels": 16})
    for kind in ("naive scalar", "naive embedded", "tiers 8 2", "tiers 6 3", "plain", "gated", "linear 6 3 1")
}
# Three controls, the last a keyboard of two keys. Its hop divides no frame, and is divided by none.
CONDITION: dict[str, Any] = {
    "controls": (
        {"kind": "category", "name": "voice", "classes": ("high", "middle", "low")},
        {"kind": "number", "name": "loudness", "low": -60.0, "high": 0.0},
        {"kind": "notes", "name": "notes", "low": 60, "high": 61},
    ),
    "hop": 5,
    "width": 8,
}
CONDITIONED: dict[str, tuple[str, dict[str, Any]]] = {
    f"{kind}, conditioned": (KINDS[kind][0], {**KINDS[kind][1], "condition": CONDITION})
    for kind in (
        "naive scalar",
        "naive embedded",
        "tier 16",
        "tiers 8 4 2",
        "tiers 6 3",
        "thesis tiers",
        "plain",
        "gated of 3 taps",
        "linear 6 3 1",
        "linear alone",
    )
}
# Two predictors, of which one hears a struck key before it sounds.
CONDITIONED["tiers 8 2, predicted and conditioned"] = (
    "sample-rnn",
    {"frame_sizes": (8, 2), "prediction": PREDICTION, "condition": CONDITION},
)
CONDITIONED["linear 8 1, predicted with strings"] = (
    "linear-rnn",
    {
        **KINDS["linear 8 1"][1],
        "prediction": {**PREDICTION, "strings": {"rate": RATE, "low": 60, "high": 61}},
        "condition": CONDITION,
    },
)
CONDITIONED["linear 8 1, split and conditioned"] = (
    "linear-rnn",
    {**KINDS["linear 8 1"][1], "split": True, "q_levels": 16, "condition": CONDITION},
)
NARROW: dict[str, dict[str, Any]] = {
    "naive-rnn": {},
    "sample-rnn": {"units": 16, "embedding": 3},
    "wavenet": {"channels": 12},
    "linear-rnn": {"embedding": 3},
}
# Wide enough for most matrices to be reduced.
WIDE: dict[str, dict[str, Any]] = {
    "naive-rnn": {"units": 18},
    "sample-rnn": {"units": 18, "embedding": 3},
    "wavenet": {"channels": 17},
    "linear-rnn": {"embedding": 17},
}
# Trained in a second or two.
TINY: dict[str, dict[str, Any]] = {
    "naive-rnn": {"layers": 1, "units": 12},
    "sample-rnn": {"frame_sizes": [8, 2], "units": 12, "embedding": 8},
    "wavenet": {"blocks": 1, "layers": 5, "channels": 8},
    "linear-rnn": {"frame_sizes": [4, 1], "widths": [12, 8], "blocks": [1, 2], "modes": 2, "embedding": 8},
}


def build(kind: str, seed: int = 0, **more: Any) -> Model[Any]:
    """A model of that kind. No parameter is zero or one, and all are numbers of float32, as the engine takes them."""
    name, fields = (KINDS | PREDICTED | SPLIT | CONDITIONED)[kind]
    torch.manual_seed(seed)
    model = models.build(name, **{**NARROW[name], "q_levels": LEVELS, **fields, **more}).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
            parameter.copy_(parameter.float())
    return model


def codes_of(streams: int, length: int, seed: int = 0) -> torch.Tensor:
    """Random codes (B, T)."""
    return torch.randint(LEVELS, (streams, length), generator=torch.Generator().manual_seed(seed))


def condition_of(model: Model[Any], streams: int, length: int, seed: int = 0) -> torch.Tensor | None:
    """Random control frames (B, M, F) for so many samples from a stream's start; None for a model that takes none."""
    if (condition := model.config.condition) is None:
        return None
    shape = (streams, condition.frames(length), condition.features)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass
class Score:
    """What is given to the players of a model: dense values (B, M, D) and a keyboard's events for each stream.

    A model without a condition is given nothing.
    """

    model: Model[Any]
    dense: NDArray[np.float32] | None
    events: list[Events]

    def feed(self, player: Any, start: int = 0, stop: int = 1 << 40) -> NDArray[np.float32] | None:
        """Feed the events of the frames that begin in [start, stop) of the streams, and return those frames' dense."""
        if self.dense is None:
            return None
        hop = self.model.config.condition.hop
        first, last = -(-start // hop), -(-stop // hop)
        for stream, table in enumerate(self.events):
            frame = table["sample"] // hop
            player.feed(stream, table[(frame >= first) & (frame < last)])
        return self.dense[:, first:last]

    def frames(self, length: int) -> torch.Tensor | None:
        """The control frames (B, M, F), in the model's type."""
        if self.dense is None:
            return None
        frames = Frames(self.model.config.condition, len(self.dense), RATE)
        frames.give(self.feed(frames, 0, length), length)
        return torch.from_numpy(frames.next(length)).to(self.model.dtype)


def score_of(model: Model[Any], streams: int, length: int, seed: int = 0) -> Score:
    """A random score. Stream k does not depend on their number. Controls are absent now and then."""
    if (condition := model.config.condition) is None:
        return Score(model, None, [])
    dense, tables = [], []
    for stream in range(streams):
        rng = np.random.default_rng([seed, stream])
        dense.append(rng.uniform(-1, 1, (condition.frames(length), condition.dense)).astype(np.float32))
        flags = dense[-1][:, -len(condition.controls) :]
        flags[:] = rng.random(flags.shape) < 0.2
        rows = zip(*(rng.integers(n, size=length // 7) for n in (length, 3, 4, 128)), strict=True)
        tables.append(events(*((int(at), Kind(kind), int(59 + key), int(value)) for at, kind, key, value in rows)))
    return Score(model, np.stack(dense), tables)


@torch.no_grad()
def in_parts(
    model: Model[Any], codes: torch.Tensor, parts: list[int], condition: torch.Tensor | None = None
) -> tuple[torch.Tensor, State]:
    """Outputs (B, T, S) and the state after codes that come in parts: n > 0 through `forward`, 0 for one `step`."""
    state, pieces, place = model.initial_state(len(codes)), [], 0
    for part in parts:
        frames = None
        if condition is not None:
            hop, after = model.config.condition.hop, place + max(1, part)
            frames = condition[:, place // hop : -(-after // hop)]
        if part:
            logits, state = model(codes[:, place : place + part], state, frames)
        else:
            inside = condition is not None and place % hop  # a step inside a frame needs none
            logits, state = model.step(codes[:, place], state, None if frames is None or inside else frames[:, 0])
            logits = logits[:, None]
        pieces.append(logits)
        place += max(1, part)
    return torch.cat(pieces, 1), state
