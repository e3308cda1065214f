"""The engine at the thesis's sizes against torch in float64 (itself held to the numpy oracles by the tests).

`make parity`: teacher-forced over 100,000 samples of noise, and free running beside torch in float32.
"""

import argparse

import numpy as np
import torch

from measured import THESIS, native
from wavewright.commands.console import print_json
from wavewright.playing.torch_player import TorchPlayer

CHUNK = 5000


def compare(title: str, samples: int, free: int) -> dict[str, object]:
    playable = native(title)
    levels = playable.config.q_levels
    model = playable.config.build()
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in playable.weights.items()})
    codes = np.random.default_rng(1).integers(0, levels, (1, samples))
    heard = np.concatenate([[[levels // 2]], codes[:, :-1]], 1)
    exact = playable.config.build().double().eval()
    exact.load_state_dict(model.state_dict())
    engine, states = playable.player(), {"double": None, "single": None}
    worst = {"engine": 0.0, "torch float32": 0.0, "engine - torch": 0.0}
    disagree = clear = 0
    with torch.inference_mode():
        for start in range(0, samples, CHUNK):
            part = torch.from_numpy(heard[:, start : start + CHUNK])
            double, states["double"] = exact(part, states["double"])
            single, states["single"] = model(part, states["single"])
            found, expected = engine.logits(codes[:, start : start + CHUNK])[0], double[0].numpy()
            worst["engine"] = max(worst["engine"], float(np.abs(found - expected).max()))
            worst["torch float32"] = max(worst["torch float32"], float(np.abs(single[0].numpy() - expected).max()))
            worst["engine - torch"] = max(worst["engine - torch"], float(np.abs(single[0].numpy() - found).max()))
            ranked = np.sort(expected, 1)
            sure = ranked[:, -1] - ranked[:, -2] > 1e-4
            clear += int(sure.sum())
            disagree += int((found.argmax(1) != expected.argmax(1))[sure].sum())
    made = playable.player(seed=1).generate(free)[0]
    torch_made = TorchPlayer(model, seed=1).generate(free)[0]
    differ = np.flatnonzero(made != torch_made)
    return {
        "model": title,
        "samples": samples,
        "greatest_difference": worst,
        "scale_of_logits": float(expected.std()),
        "argmax_differs": disagree,
        "of_clear": clear,
        "free_running_samples": free,
        "first_difference": int(differ[0]) if len(differ) else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--free", type=int, default=5000)
    parser.add_argument("models", nargs="*", default=list(THESIS))
    arguments = parser.parse_args()
    print_json([compare(title, arguments.samples, arguments.free) for title in arguments.models])


if __name__ == "__main__":
    main()
