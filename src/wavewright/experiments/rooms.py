"""Train models on impulse responses, and compare what they make with held-out rooms and with shaped noise.

The thesis wished for models of impulse responses (5.2). Noise with a room's envelope and its first 20 ms is what a
model has to do better than.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.corpus import INDEX, Corpus, Track
from wavewright.corpus.impulse import band_of, falling, find_direct, shaped_noise
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import prepare_settings
from wavewright.errors import ConfigError
from wavewright.experiments.demo import CLIP
from wavewright.experiments.experiment import Experiment, Result, Trial
from wavewright.experiments.piano import SILENT
from wavewright.measuring.rooms import RoomMeasures, curve_distance, measure
from wavewright.models import CONFIGS
from wavewright.playing.impulse import Impulse, read_whole
from wavewright.playing.opening import open_model
from wavewright.playing.performance import read_performance
from wavewright.playing.playable import TrainedModel
from wavewright.playing.reverb import WET, Reverb
from wavewright.playing.sound import decayed, sounds
from wavewright.playing.stream import play
from wavewright.quantize import to_amplitude
from wavewright.sampling import Controls
from wavewright.training.loop import Budget

Sound = NDArray[np.floating]  # amplitudes (n,)

CLOSE = 0.1  # of the decay time that was asked for
FEW = ("training.noise=4", "training.schedule=cosine")  # what helps with the few rooms that one has
WET_SECONDS = 4.0  # of the clip in the package, in each room


def run(experiment: Experiment, preset: str | None = None, minutes: float | None = None) -> None:
    """Do the experiment with the models that have `preset`, for `minutes` a model.

    The scale decides what is not given.
    """
    corpus = _corpus(experiment)
    budget = Budget(minutes=experiment.size.piano_minutes if minutes is None else minutes)
    preset = preset or experiment.size.preset
    trials = {
        name: Trial(name, budget, preset, (*SILENT, *FEW), controls=corpus.controls)
        for name, config in CONFIGS.items()
        if preset in config.presets
    }

    def do(name: str, trial: Trial) -> Result:
        result = experiment.train(name, trial, corpus)
        _compare(experiment, result, open_model(experiment.folder(name) / "run"), corpus)
        return result

    experiment.work(trials, do)


def _corpus(experiment: Experiment) -> Corpus:
    """Return the corpus that was named, or make one of the impulse responses that were.

    Raises:
        ConfigError: none are named, or the corpus is another one.
    """
    if not experiment.data:
        raise ConfigError("--data: name impulse responses, or a corpus of them")
    path = experiment.out / "corpus"
    if len(experiment.data) == 1 and (experiment.data[0] / INDEX).is_file():
        path = experiment.data[0]
    elif not (path / INDEX).is_file():
        prepare(experiment.data, path, prepare_settings("impulse-responses"), workers=os.cpu_count() or 1)
    corpus = Corpus.open(path)
    if not corpus.contents.settings.impulse_responses:
        raise ConfigError(f"{path}: no corpus of impulse responses; make it with --preset impulse-responses")
    experiment.describe(corpus, ", ".join(map(str, experiment.data)))
    return corpus


@dataclass(frozen=True)
class _Room:
    """A real response, and what a model is asked for in its place.

    Attributes:
        sound: its samples without the decay.
        response: its samples.
        times: its decay time in each band.
        settings: its controls, as the command line takes them.
    """

    sound: NDArray[np.float64]
    response: Sound
    times: Sequence[float]
    settings: tuple[str, ...]


def _room(corpus: Corpus, track: Track) -> _Room:
    sound = to_amplitude(corpus.samples(track.split)[track.start : track.start + track.frames]).astype(np.float64)
    settings = tuple(f"{name}={value}" for name, value in track.labels.items())
    return _Room(sound, decayed(sound, falling(track.decay), corpus.rate), track.decay, settings)


def _compare(experiment: Experiment, result: Result, model: TrainedModel, corpus: Corpus) -> None:
    """Measure a model's takes and as many of noise, of every room that was held out, and keep the first of each."""
    held_out = [track for split in ("test", "valid", "train") for track in corpus.tracks_of(split)]
    held_out = [track for track in held_out if track.split != "train"] or held_out[:1]
    of_model, of_noise, of_rooms = list[dict[str, float]](), list[dict[str, float]](), list[dict[str, float]]()
    for number, room in enumerate(_room(corpus, track) for track in held_out):
        takes = _takes(experiment, model, room)
        noises = [
            decayed(shaped_noise(room.sound, corpus.rate, len(room.sound), rng), falling(room.times), corpus.rate)
            for rng in np.random.default_rng(number).spawn(len(takes))
        ]
        real = measure(room.response, corpus.rate)
        of_rooms.append(_figures(room.response, room, real, corpus.rate))
        of_model += [_figures(take, room, real, corpus.rate, _asked(model, room)) for take in takes]
        of_noise += [_figures(noise, room, real, corpus.rate) for noise in noises]
        if number == 0:
            for file, title, wet, response in (
                ("room", "a real room", "piano in it", room.response),
                ("model", "the model in its place", "piano in the model's room", takes[0]),
                ("noise", "noise in its place", "piano in the noise", noises[0]),
            ):
                loud = response / max(1e-9, np.abs(response).max())
                experiment.keep(result, f"{file}.wav", title, loud, corpus.rate)
                experiment.keep(result, f"{file}-wet.wav", wet, _wet(response, corpus.rate), corpus.rate)
    for suffix, found in (("", of_model), ("_of_noise", of_noise), ("_of_the_rooms", of_rooms)):
        for name in found[0]:
            values = [one[name] for one in found if np.isfinite(one[name])]
            result.measures[name + suffix] = float(np.median(values)) if values else None


def _takes(experiment: Experiment, model: TrainedModel, room: _Room) -> list[Sound]:
    """Return the model's takes with a room's controls, as long as the room."""
    count, frames = experiment.size.room_takes, len(room.sound)
    part = read_performance(model, settings=room.settings)
    blocks = play(model, frames, count=count, controls=Controls(part=part), guard=False)
    made = sounds(model, blocks, count=count, rate=model.rate, frames=frames, decay=falling(_asked(model, room)))
    return list(np.concatenate([*made], 1))


def _asked(model: TrainedModel, room: _Room) -> Sequence[float]:
    """Return the decay times that the model is asked for, of each band."""
    condition = model.config.condition
    decay = condition.decay if condition else None
    assert decay is not None, "the corpus has this control"
    t60 = next(float(one.partition("=")[2]) for one in room.settings if one.startswith(f"{decay.name}="))
    return [t60 * ratio for ratio in decay.ratios]


def _figures(
    response: Sound, room: _Room, real: RoomMeasures, rate: int, asked: Sequence[float] | None = None
) -> dict[str, float]:
    """Return the figures of a response beside those of the room. Without `asked`, the room's decay is wanted."""
    found, asked = measure(response, rate), room.times if asked is None else asked
    errors = [abs(time / asked[band_of(hertz)] - 1) for hertz, time in found.decay.items()]
    return {
        "decay_within_10_percent": float(np.mean([error <= CLOSE for error in errors])) if errors else np.nan,
        "decay_error_percent": 100 * float(np.median(errors)) if errors else np.nan,
        "decay_curve_db_from_the_room": curve_distance(response, room.response, rate),
        "clarity_db_from_the_room": abs(found.clarity_db - real.clarity_db),
        "echo_density": found.echo_density,
        "ringing_db": found.ringing_db,
        "mean": abs(found.mean),
    }


def _wet(response: Sound, rate: int) -> Sound:
    """Return the beginning of the clip in the package with the reverberation of a response."""
    taps = np.asarray(response, np.float64) / np.sqrt(np.square(response).sum())
    with resources.as_file(resources.files("wavewright") / "data" / CLIP) as clip:
        dry = read_whole(clip, rate)[: round(WET_SECONDS * rate)]
        reverb = Reverb(Impulse(clip, rate, taps[:, None], find_direct(taps, rate)), WET, channels=1)
    sound: Sound = reverb(np.concatenate((dry, np.zeros((reverb.tail, 1)))))[:, 0]
    return sound / max(1.0, float(np.abs(sound).max()))
