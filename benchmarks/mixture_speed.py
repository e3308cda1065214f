"""How much longer a mixture of a model with itself takes than the model, on one thread, in every precision.

    .venv/bin/python benchmarks/mixture_speed.py

Both are measured in turns, in processor time, and the best of each counts.
"""

import time

from wavewright.formats.config import resolve
from wavewright.measuring.speed import random_weights
from wavewright.playing.engine import Engine, Voice
from wavewright.sampling import Controls

RATE = 14700
SAMPLES, ROUNDS = 700, 6
CASES = [
    ("wavenet", "small"),
    ("sample-rnn", "small"),
    ("naive-rnn", "thesis"),
    ("sample-rnn", "thesis"),
    ("wavenet", "thesis"),
]


def main() -> None:
    """Measure and print."""
    for name, preset in CASES:
        config = resolve(name, preset, None, []).model
        weights = random_weights(config)
        for precision in ("float32", "bfloat16", "int8"):
            options = {"threads": 1, "precision": precision}
            one = Engine(config, weights, **options)
            two = Engine(config, weights, **options, second=Voice(config, weights, precision))
            best = [float("inf")] * 2
            for _ in range(ROUNDS):
                for i, (player, controls) in enumerate(((one, Controls()), (two, Controls(amount=-1.0)))):
                    start = time.process_time()
                    player.generate(SAMPLES, controls)
                    best[i] = min(best[i], time.process_time() - start)
            print(
                f"{name} {preset}, {precision}: {best[1] / best[0]:.2f} times as long,"
                f" {SAMPLES / RATE / best[1]:.2f} times real time"
            )


if __name__ == "__main__":
    main()
