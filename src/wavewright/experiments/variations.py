"""Train the six NaiveRNN configurations of the thesis's table 4.1 on one second of music."""

from wavewright.experiments.experiment import Experiment, Trial
from wavewright.experiments.overfit import BY_HEART, CLIPPED, WHOLE, learn
from wavewright.training.loop import Budget

TABLE = (  # layers, units, length, steps, seconds, nats: table 4.1
    (2, 256, 256, 44_830, 6193, 0.027),
    (3, 256, 256, 32_930, 6558, 0.086),
    (2, 512, 256, 29_130, 4917, 0.049),
    (2, 256, 512, 23_240, 6351, 0.124),
    (2, 256, 128, 68_060, 4700, 0.007),
    (2, 512, 128, 42_240, 3655, 0.015),
)
TRIALS = {
    f"{layers}x{units}-{length}": Trial(
        "naive-rnn",
        Budget(steps=steps, loss=BY_HEART),
        overrides=(
            *WHOLE,
            CLIPPED,
            f"model.layers={layers}",
            f"model.units={units}",
            f"training.length={length}",
            f"training.checkpoint_every={steps // 8}",
        ),
        remark=f"length {length}",
        thesis={"steps": steps, "seconds": seconds, "nats": nats, "where": "table 4.1"},
    )
    for layers, units, length, steps, seconds, nats in TABLE
}


def run(experiment: Experiment) -> None:
    """Do the experiment."""
    learn(experiment, TRIALS)
