"""Make the section of the experiment on rooms."""

import numpy as np

from wavewright.measuring.rooms import CURVE_SECONDS, decay_curve
from wavewright.report import drawing, figures
from wavewright.report.format import number, words
from wavewright.report.page import Figure, Section, Sounds, Table
from wavewright.report.reading import Experiment, Trial
from wavewright.report.sound_card import sound_card

DRY = 3  # sounds of a trial without the piano: a room, the model and noise
WHO = (("", "the model"), ("_of_noise", "noise"), ("_of_the_rooms", "the rooms"))
BEST = {  # of each measure, for telling which is nearer
    "decay_within_10_percent": 1.0,
    "decay_error_percent": 0.0,
    "decay_curve_db_from_the_room": 0.0,
    "clarity_db_from_the_room": 0.0,
    "echo_density": 1.0,
    "ringing_db": None,  # as in the rooms
    "mean": 0.0,
}


def rooms(experiment: Experiment) -> Section:
    """Return the section of an experiment on rooms."""
    trials = experiment.trials
    return Section(
        experiment,
        "Rooms",
        "Does a model make impulse responses that are nearer to real ones than noise of the same envelope? The thesis "
        "wished for such models (5.2).",
        [_table(trial) for trial in trials],
        [figures.validation(trials), [_curves(trial) for trial in trials if len(trial.sounds) >= DRY]],
        [Sounds(trial.result.title, [sound_card(sound) for sound in trial.sounds]) for trial in trials if trial.sounds],
        trials=trials,
    )


def _table(trial: Trial) -> Table:
    """Return a table of the model's figures beside those of noise and of the rooms, and say where noise is nearer."""
    measures = trial.result.measures
    names = [name for name in BEST if name in measures]
    rows = [[who, *(number(measures.get(name + suffix)) for name in names)] for suffix, who in WHO]
    nearer = [words(name) for name in names if _noise_is_nearer(trial, name)]
    remark = f"noise is nearer in: {', '.join(nearer)}" if nearer else "noise is nearer in nothing"
    return Table(f"{trial.result.title}: {remark}", ["of", *map(words, names)], rows)


def _noise_is_nearer(trial: Trial, name: str) -> bool:
    own, noise, room = (trial.result.measures.get(name + suffix) for suffix, _ in WHO)
    goal = room if BEST[name] is None else BEST[name]
    return None not in (own, noise, goal) and abs(noise - goal) < abs(own - goal)  # type: ignore[operator]


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
