"""Make the sections of the experiments that train: variations, overfit, piano and piano-roll."""

import math
from collections.abc import Sequence

from wavewright.metrics import loudness
from wavewright.report import figures, free_play
from wavewright.report.format import NONE, clock, number, signed, words
from wavewright.report.page import Figure, Section, Sounds, Table
from wavewright.report.reading import Experiment, Trial
from wavewright.report.sound_card import sound_card

BASE = "2x256-256"
VARIATIONS = {  # figure: trial, what the thesis saw (4.2.1)
    "4.1": ("3x256-256", "a third layer makes learning no faster per step."),
    "4.2": ("2x512-256", "512 units need fewer steps to reach the same loss."),
    "4.3": ("2x256-512", "longer sections cost time and gain nothing per step."),
    "4.4": ("2x256-128", "shorter sections need more steps but less time."),
    "4.5": ("2x512-128", "about as many steps, in less time."),
}
VARIED = {("model", "layers"): "{} layers", ("model", "units"): "{} units", ("training", "length"): "sections of {}"}
OVERFIT_LOSS = {  # figure: model, who learns, what the thesis saw (4.2.2, 4.2.3)
    "4.6": ("sample-rnn", "SampleRNN learns", "it converged after about 28,000 steps, 1000 epochs."),
    "4.9": (
        "wavenet",
        "WaveNet, both sizes, learns",
        "2x12 converged after about 2,100 steps, not smoothly; 4x10 did not learn the second.",
    ),
}
ALL_THREE = "WaveNet gets most out of a step, and so converges before the two recurrent models (4.2.4)."
ALIKE = "SampleRNN's two waveforms look the same, the generated one a little smoother (4.2.2)."
CLOSE = "in SampleRNN's, subtle differences at one place only (4.2.2)."
PIANO_LOSS = {  # figure: what it is, what the thesis saw (4.3)
    "4.11": ("NaiveRNN", "it falls until about step 400,000, then a bad update from which it never recovers."),
    "4.12": ("SampleRNN", "it moves in waves and never converges; lowest near step 100,000."),
    "4.14": ("WaveNet", "of 2x12, it falls throughout, yet the sound is noise."),
    "4.15": ("WaveNet with more blocks", "of 4x10, less smooth than 2x12, with a bad update at the end."),
    "": ("LinearRNN", ""),  # which the thesis did not have
}
PIANO_SOUND = {  # figure of the loss: figure of the sound, the thesis's words on the sound (4.3)
    "4.11": ("", "class 0 for ever: no sound at all, and no figure."),
    "4.12": ("4.13", "it dies after about 2,500 samples, its centre near 0.6."),
    "4.14": ("", "nothing but noise, and no figure."),
    "4.15": ("4.16", "noise, but for a piano-like stretch from about sample 21,000 to 37,000."),
    "": ("", ""),
}
PAIRS = ["steps", "thesis", "time", "thesis", "loss", "thesis"]


def variations(experiment: Experiment) -> Section:
    trials = {trial.result.name: trial for trial in experiment.trials}
    order = [BASE, *(name for name, _ in VARIATIONS.values())]
    rows = sorted(experiment.trials, key=lambda t: order.index(t.result.name) if t.result.name in order else len(order))
    drawn, missing = [], []
    for figure, (name, thesis) in VARIATIONS.items():
        if BASE in trials and name in trials:
            title = _difference(trials[BASE], trials[name])
            drawn.append(figures.race(figure, title, trials[BASE], trials[name], thesis))
        else:
            missing.append(figure)
    return Section(
        experiment,
        f"The NaiveRNNs of table 4.1 learn {_music(experiment)}",
        "Which layers, units and section length let an LSTM that sees one sample at a time learn music by heart?",
        [_table_4_1(rows), *_measures(rows)],
        [drawn],
        _beside(experiment, rows),
        missing,
        rows,
    )


def _table_4_1(trials: Sequence[Trial]) -> Table:
    fields = (("model", "layers"), ("model", "units"), ("training", "length"))
    return Table(
        "Layers, units, section length; steps, time and loss",
        ["layers / units / length", *PAIRS],
        [[" / ".join(str(trial.field(*name)) for name in fields), *_pairs(trial)] for trial in trials],
        "4.1",
    )


def overfit(experiment: Experiment) -> Section:
    trials, music = experiment.trials, _music(experiment)
    drawn, missing = [], []
    for figure, (model, who, thesis) in OVERFIT_LOSS.items():
        if chosen := [trial for trial in trials if trial.result.model == model]:
            drawn.append(figures.loss(figure, f"{who} {music}", chosen, thesis))
        else:
            missing.append(figure)
    if best := _best_of_each_model(trials):
        drawn.append(figures.loss("4.10", f"All three models learn {music}", best, ALL_THREE))
    groups = [drawn]
    with_sounds = [trial for trial in trials if trial.result.sounds]
    if experiment.original and with_sounds:
        for trial in with_sounds:
            groups.append(
                [
                    figures.whole(experiment.original, trial, ALIKE),
                    figures.close_up(experiment.original, trial, CLOSE),
                ]
            )
    else:
        missing += ["4.7", "4.8"]
    table = Table(
        f"{music.capitalize()} by heart",
        ["model", "parameters", *PAIRS, "thesis, where"],
        [[t.result.title, number(t.result.parameters), *_pairs(t), _where(t)] for t in trials],
    )
    return Section(
        experiment,
        f"Each model learns {music}",
        "Can a model learn music so well that it plays it back, sample after sample, from silence?",
        [table, *_measures(trials)],
        groups,
        _beside(experiment, trials),
        missing,
        trials,
    )


def _best_of_each_model(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trial with the lowest final loss of each model."""
    best: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: math.inf if trial.result.nats is None else trial.result.nats):
        best.setdefault(trial.result.model, trial)
    return list(best.values())


def piano(experiment: Experiment) -> Section:
    groups: dict[str, list[Trial]] = {figure: [] for figure in PIANO_LOSS}
    for trial in experiment.trials:
        groups[_place(trial)].append(trial)
    drawn = [_piano_figures(figure, trials) for figure, trials in groups.items() if trials]
    drawn += [figures.validation(experiment.trials), figures.context(experiment.trials)]
    there = {figure.number for group in drawn for figure in group}
    return Section(
        experiment,
        "Piano music",
        "What do the models make of music that they cannot learn by heart, and what do they play when left alone?",
        [_piano_table(groups), *free_play.tables(experiment.trials), *_measures(experiment.trials)],
        drawn,
        _beside(experiment, experiment.trials),
        [figure for figure in (*PIANO_LOSS, "4.13", "4.16") if figure and figure not in there],
        experiment.trials,
    )


def piano_roll(experiment: Experiment) -> Section:
    trials = experiment.trials
    played = [figures.generated("", trial, trial.sounds[-1], "") for trial in trials if trial.sounds]
    return Section(
        experiment,
        "Scores",
        "How well do the models play scores that they never heard, and what do scores bring in training? The thesis "
        "supposed that under MIDI a model can spend itself on the sound (5.1).",
        _measures(trials, folded=False),
        [figures.validation(trials), figures.context(trials), played],
        _beside(experiment, trials),
        trials=trials,
    )


def _piano_figures(figure: str, trials: Sequence[Trial]) -> list[Figure]:
    """Draw the loss of some trials and the last sound of each."""
    title, thesis = PIANO_LOSS[figure]
    of_sound, in_words = PIANO_SOUND[figure]
    loss = figures.loss(figure, f"{title} learns from many recordings", trials, thesis, log=False)
    return [loss, *(figures.generated(of_sound, t, t.sounds[-1], in_words) for t in trials if t.sounds)]


def _place(trial: Trial) -> str:
    """Return the figure that shows a trial's loss. WaveNets of four blocks or more stand for the thesis's 4x10."""
    if trial.result.model != "wavenet":
        return {"naive-rnn": "4.11", "sample-rnn": "4.12"}.get(trial.result.model, "")
    return "4.15" if (trial.field("model", "blocks") or 0) >= 4 else "4.14"


def _piano_table(groups: dict[str, list[Trial]]) -> Table:
    rows = []
    for figure, trials in groups.items():
        for trial in trials:
            bits = trial.curve.validation_bits
            rms, mean = loudness(trial.sounds[-1].samples) if trial.sounds else (None, None)
            rows.append(
                [
                    trial.result.title,
                    number(trial.result.parameters),
                    number(trial.result.steps),
                    clock(trial.result.seconds),
                    number(trial.result.nats),
                    number(min(bits) if bits else None, 4),
                    number(rms),
                    NONE if mean is None else signed(mean),
                    PIANO_SOUND[figure][1].rstrip(".") or NONE,
                ]
            )
    header = ["model", "parameters", "steps", "time", "loss", "validation bits", "level dBFS", "DC", "thesis heard"]
    return Table("What each learned, and how its last sound stands", header, rows)


def _pairs(trial: Trial) -> list[str]:
    """Return steps, time and loss, each followed by the thesis's."""
    own, theirs = trial.result, trial.result.thesis
    return [
        number(own.steps),
        number(theirs.steps if theirs else None),
        clock(own.seconds),
        clock(theirs.seconds if theirs else None),
        number(own.nats),
        number(theirs.nats if theirs else None),
    ]


def _where(trial: Trial) -> str:
    return (trial.result.thesis and trial.result.thesis.where) or NONE


def _measures(trials: Sequence[Trial], *, folded: bool = True) -> list[Table]:
    """Return a table of all other measures, a column for each."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.result.measures))
    if not names:
        return []
    header = ["model", *map(words, names)]
    rows = [[t.result.title, *(number(t.result.measures.get(name)) for name in names)] for t in trials]
    return [Table("Measures", header, rows, folded=folded)]


def _music(experiment: Experiment) -> str:
    """Return how much music the models learn by heart."""
    seconds = experiment.header.data.seconds
    return "one second" if seconds is None or round(seconds, 2) == 1 else f"{number(seconds, 2)} s of music"


def _difference(base: Trial, other: Trial) -> str:
    """Return what differs between two trials, as `256 units and 512 units`."""
    differing = [name for name in VARIED if base.field(*name) != other.field(*name)]
    one, two = (
        ", ".join(VARIED[name].format(trial.field(*name)) for name in differing or VARIED) for trial in (base, other)
    )
    return f"{one[:1].upper()}{one[1:]} and {two}"


def _beside(experiment: Experiment, trials: Sequence[Trial]) -> list[Sounds]:
    """Return the original once, and then the sounds of each trial."""
    first = [Sounds("Original", [sound_card(experiment.original)])] if experiment.original else []
    return [*first, *(Sounds(t.result.title, list(map(sound_card, t.sounds))) for t in trials if t.sounds)]
