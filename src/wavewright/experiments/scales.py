"""The scales of the experiments. Every number that differs between scales stands here, and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ScaleName = Literal["quick", "medium", "full"]


@dataclass(frozen=True)
class Smaller:
    """What a model's trials become at a smaller scale.

    Attributes:
        steps: steps of training.
        divide: fields of the model, each with the number that divides it.
        learning_rate: learning rate at the start, which falls to the end. Narrow models take a higher one.
    """

    steps: int
    divide: Mapping[str, int]
    learning_rate: float


@dataclass(frozen=True)
class Scale:
    """The numbers of a scale.

    Attributes:
        by_heart_seconds: music that `overfit` and `variations` learn by heart.
        by_heart: what becomes of the trials there, for each model. Other models' trials stay as declared.
        preset: sizes of the models of `piano`, `piano-roll` and `rooms`.
        piano_minutes: training of each model of `piano`, `piano-roll` and `rooms`.
        take_seconds: length of the sounds that `piano` and `piano-roll` generate.
        room_takes: impulse responses that `rooms` generates for each real one.
        transcribe_seconds: how much of the scores the models of `piano-roll` play for a transcriber.
        steady_seconds: length of the last sound of `piano`, whose loudness and DC are measured.
        free_play_seconds: length of each stream of free play in `piano`.
        section_seconds: length of the corpus's sections in `piano`, `piano-roll` and `search`.
        search_trials: trials of `search`.
        search_minutes: training of a trial of `search` that is not pruned.
        search_units: units that `search` chooses from.
        search_checkpoint: steps between checkpoints of `search`.
        speed_seconds: sound to generate for each figure of `speed`.
    """

    by_heart_seconds: float
    by_heart: Mapping[str, Smaller]
    preset: str
    piano_minutes: float
    take_seconds: float
    room_takes: int
    transcribe_seconds: float
    steady_seconds: float
    free_play_seconds: float
    section_seconds: float
    search_trials: int
    search_minutes: float
    search_units: tuple[int, ...]
    search_checkpoint: int
    speed_seconds: float


SCALES: dict[ScaleName, Scale] = {
    "quick": Scale(  # tests that everything works
        by_heart_seconds=1.0,
        by_heart={
            "naive-rnn": Smaller(20, {"units": 16}, 1e-3),
            "sample-rnn": Smaller(20, {"units": 16}, 1e-3),
            "wavenet": Smaller(20, {"channels": 16, "layers": 3}, 1e-3),
        },
        preset="tiny",
        piano_minutes=0.1,
        take_seconds=0.5,
        room_takes=1,
        transcribe_seconds=0.0,
        steady_seconds=2.0,
        free_play_seconds=1.0,
        section_seconds=4.0,
        search_trials=3,
        search_minutes=0.05,
        search_units=(8, 16, 32),
        search_checkpoint=2,
        speed_seconds=0.2,
    ),
    "medium": Scale(  # learns something while one waits
        by_heart_seconds=0.25,
        by_heart={
            "naive-rnn": Smaller(4000, {"units": 4}, 4e-3),
            "sample-rnn": Smaller(3000, {"units": 4}, 4e-3),
            "wavenet": Smaller(800, {"channels": 4}, 4e-3),
        },
        preset="tiny",
        piano_minutes=4.0,
        take_seconds=4.0,
        room_takes=4,
        transcribe_seconds=20.0,
        steady_seconds=10.0,
        free_play_seconds=10.0,
        section_seconds=5.0,
        search_trials=6,
        search_minutes=0.5,
        search_units=(32, 64, 128),
        search_checkpoint=20,
        speed_seconds=0.5,
    ),
    "full": Scale(  # the thesis's own
        by_heart_seconds=1.0,
        by_heart={},
        preset="thesis",
        piano_minutes=48 * 60.0,  # of a GPU
        take_seconds=10.0,
        room_takes=16,
        transcribe_seconds=120.0,
        steady_seconds=60.0,
        free_play_seconds=60.0,  # sixteen streams; a tenth of the full measure
        section_seconds=30.0,  # after sections of 4 s, an LSTM gets stuck in a drone after 4 s of a take
        search_trials=40,
        search_minutes=20.0,
        search_units=(128, 256, 512),
        search_checkpoint=100,
        speed_seconds=2.0,
    ),
}
