"""Train each model on one second of music (thesis 4.2) and test whether it plays the second."""

from collections.abc import Mapping
from dataclasses import replace

from wavewright.experiments.experiment import Experiment, Result, Trial
from wavewright.experiments.one_second import compare, one_second
from wavewright.experiments.scales import Scale
from wavewright.training.loop import Budget

LEARNED = 0.015  # nats, for steps that read the whole second; the thesis's NaiveRNN 2x512 reached it (table 4.1)
# Nats, for steps that read a stretch. Ten such steps cover a tenth of the second, which may be an easy tenth.
BY_HEART = 0.001
CLIPPED = "training.clip=norm"  # not in the thesis; keeps one bad step from ending a run
CHECKPOINTS = 8  # of a trial
WHOLE = ("training.batch_size=1", "training.sample_seconds=0")
PAPER_FRAMES = "model.frame_scale=2"  # as in arXiv:1612.07837; SampleRNN learns far more slowly with the thesis's 1
GAIN = "model.gain=0.70710678"  # fast-wavenet's initial weights, which halve a signal's power at each layer


def _trial(model: str, steps: int, *overrides: str, **more: object) -> Trial:
    loss = LEARNED if model == "wavenet" else BY_HEART
    every = f"training.checkpoint_every={max(1, steps // CHECKPOINTS)}"
    return Trial(model, Budget(steps=steps, loss=loss), overrides=(*WHOLE, every, *overrides), **more)  # type: ignore[arg-type]


TRIALS = {
    "naive-rnn": _trial(
        "naive-rnn",
        42_240,
        CLIPPED,
        thesis={"steps": 42_240, "seconds": 3655, "nats": 0.015, "where": "table 4.1"},
    ),
    "sample-rnn": _trial(
        "sample-rnn",
        28_000,
        CLIPPED,
        PAPER_FRAMES,
        thesis={"steps": 28_000, "seconds": 3600, "nats": None, "where": "4.2.2"},
        note="frames in [-2, 2], as the paper has them",
    ),
    "sample-rnn-as-the-thesis": _trial(
        "sample-rnn",
        4_000,
        CLIPPED,
        remark="frames in [-1, 1]",
        note="as the thesis scales them",
    ),
    "wavenet-2x12": _trial(
        "wavenet",
        2_100,
        CLIPPED,
        thesis={"steps": 2_100, "seconds": 120, "nats": None, "where": "4.2.3"},
    ),
    "wavenet-4x10": _trial(
        "wavenet",
        2_100,
        CLIPPED,
        "model.blocks=4",
        "model.layers=10",
        thesis={"steps": None, "seconds": None, "nats": None, "where": "4.2.3: never learned"},
    ),
    "wavenet-4x10-as-the-thesis": _trial(
        "wavenet",
        400,
        "model.blocks=4",
        "model.layers=10",
        GAIN,
        remark="fast-wavenet's weights",
        note="as the thesis began it: each layer halves the signal's power",
    ),
}


def at_scale(trial: Trial, scale: Scale) -> Trial:
    """Return the trial at a scale. A trial that becomes smaller loses the thesis's figures."""
    smaller = scale.by_heart.get(trial.model)
    if smaller is None:
        return trial
    declared = trial.config().model.as_dict()
    return replace(
        trial,
        budget=replace(trial.budget, steps=smaller.steps),
        overrides=(
            *trial.overrides,
            *(f"model.{field}={declared[field] // by}" for field, by in smaller.divide.items()),
            f"training.learning_rate={smaller.learning_rate}",
            "training.schedule=cosine",
            f"training.schedule_steps={smaller.steps}",
            f"training.checkpoint_every={max(1, smaller.steps // CHECKPOINTS)}",
        ),
        thesis=None,
    )


def run(experiment: Experiment) -> None:
    """Do the experiment."""
    learn(experiment, TRIALS)


def learn(experiment: Experiment, declared: Mapping[str, Trial]) -> None:
    """Train each trial on the beginning of the music, generate from it and compare."""
    corpus = one_second(experiment)

    def do(name: str, trial: Trial) -> Result:
        result = experiment.train(name, trial, corpus)
        compare(experiment, result, corpus)
        return result

    experiment.work({name: at_scale(trial, experiment.size) for name, trial in declared.items()}, do)
