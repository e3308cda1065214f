"""Train each model for the same time on the same data, and compare bits and sounds at the same moments (thesis 4.3)."""

import os
from dataclasses import replace
from importlib import resources

import numpy as np

from wavewright import metrics
from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import SplitName, prepare_settings
from wavewright.errors import ConfigError
from wavewright.experiments.demo import CLIP
from wavewright.experiments.experiment import Experiment, Result, Sound, Trial
from wavewright.experiments.one_second import CLIP_FACTS, START_TOKEN, play, write_sound
from wavewright.measuring.context import Context, context_curve
from wavewright.measuring.free_play import FreePlay, free_play
from wavewright.playing.opening import open_model
from wavewright.playing.playable import TrainedModel
from wavewright.quantize import to_amplitude
from wavewright.sampling import Controls
from wavewright.training.loop import Budget

SHARES = (0.25, 0.5, 1.0)  # of the training time, after which each model generates a sound
OWN = Controls(temperature=1.0)  # the model's own distribution
NOTHING = np.zeros(0, np.int64)
DEEP = ("model.blocks=4", "model.layers=10")

SILENT = (  # the time is for training; each model generates only at its SHARES
    "training.sample_seconds=0",
    "training.validation_seconds=60",
)

NAIVE = Trial("naive-rnn", Budget(), overrides=SILENT)
SAMPLE = Trial("sample-rnn", Budget(), overrides=SILENT)
WAVENET = Trial("wavenet", Budget(), overrides=SILENT)
THESIS = {
    "naive-rnn": NAIVE,
    "sample-rnn": SAMPLE,
    "wavenet-2x12": WAVENET,
    "wavenet-4x10": replace(WAVENET, overrides=(*SILENT, *DEEP)),
}
LINEAR = Trial("linear-rnn", Budget(), overrides=SILENT)
OTHER = {  # for presets of our own, which have one WaveNet
    "naive-rnn": NAIVE,
    "sample-rnn": SAMPLE,
    "wavenet": WAVENET,
    "linear-rnn": LINEAR,
    "linear-rnn-prediction": replace(LINEAR, overrides=(*SILENT, "model.prediction=on"), remark="with prediction"),
}


def run(experiment: Experiment, preset: str | None = None, minutes: float | None = None) -> None:
    """Do the experiment with the models of `preset`, for `minutes` a model. The scale decides what is not given."""
    preset = preset or experiment.size.preset
    whole = Budget(minutes=experiment.size.piano_minutes if minutes is None else minutes)
    trials = THESIS if preset == "thesis" else OTHER
    corpus = corpus_of(experiment)
    _keep_recording(experiment, corpus)

    def do(name: str, trial: Trial) -> Result:
        before, sounds = experiment.kept(name), list[Sound]()
        for share in SHARES:
            result = experiment.train(name, trial, corpus, budget=whole.part(share))
            result.sounds = sounds
            file = f"{share:.0%}.wav".replace("%", "-percent")
            if file in before:  # made in an earlier session; the model has been trained further since
                sounds.append(before[file])
                continue
            made = play(_opened(experiment, name), NOTHING, round(experiment.size.take_seconds * corpus.rate), OWN)
            experiment.keep(result, file, "from silence", made, corpus.rate)
        _continue(experiment, result, corpus)
        _hold(experiment, result, corpus)
        result.context = _context(experiment, result, corpus)
        result.free_play = _play_freely(experiment, result, corpus)
        return result

    experiment.work({name: replace(trial, preset=preset) for name, trial in trials.items()}, do)


def corpus_of(experiment: Experiment) -> Corpus:
    """Return the corpus that was named, or prepare the recordings named with the defaults.

    Raises:
        ConfigError: nothing was named at full scale.
    """
    if not experiment.data and experiment.scale == "full":
        raise ConfigError("--data: name a corpus or recordings; the thesis had forty minutes of piano")
    path, facts = experiment.out / "corpus", ", ".join(map(str, experiment.data)) or CLIP_FACTS
    if len(experiment.data) == 1 and (experiment.data[0] / INDEX).is_file():
        path = experiment.data[0]
    elif not (path / INDEX).is_file():
        with resources.as_file(resources.files("wavewright") / "data" / CLIP) as clip:
            settings = prepare_settings(section_seconds=experiment.size.section_seconds)
            prepare(experiment.data or [clip], path, settings, workers=os.cpu_count() or 1)
    corpus = Corpus.open(path)
    experiment.describe(corpus, facts)
    return corpus


def _held_out(corpus: Corpus) -> SplitName:
    """Return the split to measure on, validation where there is one."""
    return "valid" if len(corpus.sections("valid")) else "train"


def _keep_recording(experiment: Experiment, corpus: Corpus) -> None:
    """Write OUT/original.wav, the beginning of the held-out music, to hear beside the models' sounds."""
    sound = corpus.samples(_held_out(corpus))[: round(experiment.size.take_seconds * corpus.rate)]
    write_sound(experiment.out / "original.wav", sound, corpus.rate)


def _opened(experiment: Experiment, name: str) -> TrainedModel:
    return open_model(experiment.folder(name) / "run", "last")


def _continue(experiment: Experiment, result: Result, corpus: Corpus) -> None:
    """Continue a start token and a second of held-out music."""
    played = _opened(experiment, result.name)
    codes = played.quantizer.encode(to_amplitude(corpus.samples(_held_out(corpus))[: corpus.rate]))
    for token, title in (
        (codes[:START_TOKEN], f"a start token of {START_TOKEN} samples"),
        (codes, "a second of music"),
    ):
        made = play(played, token, round(experiment.size.take_seconds * corpus.rate), OWN)
        experiment.keep(result, f"after-{len(token)}.wav", f"after {title}", made, corpus.rate)


def _context(experiment: Experiment, result: Result, corpus: Corpus) -> tuple[Context, ...]:
    """Measure what memory buys."""
    split = _held_out(corpus)
    return context_curve(_opened(experiment, result.name), corpus.reader(split), corpus.sections(split))


def _play_freely(experiment: Experiment, result: Result, corpus: Corpus) -> FreePlay:
    """Play many streams from silence and after music, and hold them against the held-out music."""
    model, seconds = _opened(experiment, result.name), experiment.size.free_play_seconds
    return free_play(model, corpus, _held_out(corpus), seconds, experiment.progress)


def _hold(experiment: Experiment, result: Result, corpus: Corpus) -> None:
    """Generate a long sound from silence, and measure whether it keeps its loudness and its DC."""
    seconds = experiment.size.steady_seconds
    made = play(_opened(experiment, result.name), NOTHING, round(seconds * corpus.rate), OWN, seed=1)
    experiment.keep(result, "steady.wav", f"{seconds:g} s from silence", made, corpus.rate)
    levels = [metrics.loudness(second) for second in np.array_split(made, max(2, round(seconds)))]
    decibels, means = zip(*levels, strict=True)
    result.measures |= {
        "quietest_second_dbfs": min(decibels),
        "loudest_second_dbfs": max(decibels),
        "level_dbfs": metrics.loudness(made)[0],
        "corpus_level_dbfs": metrics.loudness(to_amplitude(corpus.samples("train")))[0],
        "greatest_dc_of_a_second": max(map(abs, means)),
    }
