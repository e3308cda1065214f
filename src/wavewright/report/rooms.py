"""Make the section of the experiment on rooms."""

from collections.abc import Sequence

import numpy as np

from wavewright.measuring.rooms import CURVE_SECONDS, decay_curve
from wavewright.report import drawing, figures
from wavewright.report.format import number
from wavewright.report.page import Figure, Section, Sounds, Table
from wavewright.report.reading import Experiment, Trial
from wavewright.report.sound_card import sound_card

DRY = 3  # sounds of a trial without the piano: a room, the model and noise
MEASURES = {  # their headings, and what is best, where that is not as in the rooms
    "decay_within_10_percent": ("octaves within 10% of the asked decay time", 1.0),
    "decay_error_percent": ("error of the decay time (%)", 0.0),
    "decay_curve_db_from_the_room": ("decay curve, from the room's (dB)", 0.0),
    "clarity_db_from_the_room": ("clarity C80, from the room's (dB)", 0.0),
    "echo_density": ("echo density", 1.0),
    "ringing_db": ("ringing (dB)", None),
    "mean": ("mean over the peak", 0.0),
}
NEARER = " *"  # marks a model's figure


def rooms(experiment: Experiment) -> Section:
    """Return the section of an experiment on rooms."""
    trials = experiment.trials
    return Section(
        experiment,
        "Rooms",
        "Does a model make impulse responses that are nearer to real ones than noise of the same envelope? The thesis "
        "wished for such models (5.2).",
        [_table(trials)],
        [figures.validation(trials), [_curves(trial) for trial in trials if len(trial.sounds) >= DRY]],
        [Sounds(trial.result.title, [sound_card(sound) for sound in trial.sounds]) for trial in trials if trial.sounds],
        trials=trials,
    )


def _table(trials: Sequence[Trial]) -> Table:
    """Return a table of the models' figures beside those of noise and of the rooms."""
    rows = [
        [trial.result.title, *(number(_of(trial, name)) + NEARER * _is_nearer(trial, name) for name in MEASURES)]
        for trial in trials
    ]
    others = [
        [title, *(number(_of(trial, name + suffix)) for name in MEASURES)]
        for trial in trials[:1]
        for title, suffix in (("noise", "_of_noise"), ("the rooms", "_of_the_rooms"))
    ]
    headings = [heading for heading, _ in MEASURES.values()]
    return Table(
        "Medians of all takes. A star: the model is nearer than noise. No star: noise is nearer, or as near",
        ["", *headings],
        rows + others,
    )


def _of(trial: Trial, name: str) -> float | None:
    return trial.result.measures.get(name)


def _is_nearer(trial: Trial, name: str) -> bool:
    """Tell whether the model's figure is nearer to the best one than that of noise."""
    own, noise, room = (_of(trial, name + suffix) for suffix in ("", "_of_noise", "_of_the_rooms"))
    best = MEASURES[name][1]
    goal = room if best is None else best
    return None not in (own, noise, goal) and abs(own - goal) < abs(noise - goal)  # type: ignore[operator]


def _curves(trial: Trial) -> Figure:
    """Draw how the energy of a room, of the model's take and of noise decays."""
    lines = []
    for sound in trial.sounds:
        if not sound.title.startswith("piano"):
            level = decay_curve(sound.samples, sound.rate)
            lines.append(drawing.Line(sound.title, CURVE_SECONDS * np.arange(len(level)), level))
    return Figure(
        "",
        f"How the energy decays: {trial.result.title}",
        drawing.curves(lines, "time (s)", "energy that is still to come (dB)"),
        "Schroeder's integral of a held-out room, of the model's take with the same controls, and of noise.",
    )
