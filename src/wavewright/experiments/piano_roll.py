"""Train each model with and without the scores of its recordings, and let it play scores that it never heard.

The thesis supposed that a model conditioned on MIDI can spend itself on the sound (5.1).
"""

from dataclasses import replace
from importlib import resources

import numpy as np

from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus, Track
from wavewright.corpus.settings import SplitName
from wavewright.errors import ConfigError
from wavewright.experiments.demo import CLIP
from wavewright.experiments.experiment import Experiment, Result, Trial
from wavewright.experiments.one_second import play, write_sound
from wavewright.experiments.piano import NOTHING, OWN, SILENT, corpus_of
from wavewright.files import atomic_file
from wavewright.measuring import transcription
from wavewright.measuring.evaluation import evaluate
from wavewright.measuring.keyboard import has_scores
from wavewright.models import CONFIGS
from wavewright.models.condition import Notes
from wavewright.playing.opening import open_model
from wavewright.playing.playable import TrainedModel
from wavewright.playing.stream import perform
from wavewright.training.loop import Budget

SCORE = "bwv846_prelude.mid"  # of the clip


def run(experiment: Experiment, preset: str | None = None, minutes: float | None = None) -> None:
    """Do the experiment with the models that have `preset`, for `minutes` a trial.

    The scale decides what is not given.
    """
    corpus = corpus_of(_with_recordings(experiment))
    notes = next((control for control in corpus.controls if isinstance(control, Notes)), None)
    if notes is None:
        raise ConfigError(f"{corpus.path}: has no scores; name recordings with a MIDI file beside each")
    budget = Budget(minutes=experiment.size.piano_minutes if minutes is None else minutes)
    preset = preset or experiment.size.preset
    plain = {
        name: Trial(name, budget, preset, SILENT, remark="without scores")
        for name, config in CONFIGS.items()
        if preset in config.presets
    }
    scored = {f"{name}-scores": replace(one, controls=(notes,), remark="with scores") for name, one in plain.items()}
    _keep_recording(experiment, corpus)

    def do(name: str, trial: Trial) -> Result:
        result = experiment.train(name, trial, corpus)
        opened = open_model(experiment.folder(name) / "run")
        _play(experiment, result, opened, corpus)
        _measure(experiment, result, opened, corpus)
        return result

    experiment.work(plain | scored, do)


def _with_recordings(experiment: Experiment) -> Experiment:
    """Return the experiment with the clip and its score as its recordings, where none are named."""
    if experiment.data or experiment.scale == "full":
        return experiment
    folder = experiment.out / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in ((CLIP, CLIP), (SCORE, f"scores/{SCORE}")):
        content = (resources.files("wavewright") / "data" / source).read_bytes()
        with atomic_file(folder / name) as temporary:
            temporary.write_bytes(content)
    return replace(experiment, data=(folder,))


def _keep_recording(experiment: Experiment, corpus: Corpus) -> None:
    """Write OUT/original.wav, the recording whose score the models play."""
    track, split = _held_out(corpus)
    sound = corpus.samples(split)[track.start : track.start + _length(experiment, track, corpus.rate)]
    write_sound(experiment.out / "original.wav", sound, corpus.rate)


def _play(experiment: Experiment, result: Result, opened: TrainedModel, corpus: Corpus) -> None:
    """Play the score of the held-out recording, or from silence with a model that knows no scores."""
    (track, split), condition = _held_out(corpus), opened.config.condition
    length = _length(experiment, track, corpus.rate)
    if condition is None:
        experiment.keep(result, "silence.wav", "from silence", play(opened, NOTHING, length, OWN), corpus.rate)
        return
    excerpt = Conditions(corpus, split, condition).excerpt(track.start, length)
    made = opened.quantizer.decode(np.concatenate(list(perform(opened.player(), [excerpt], length)), 1)[0])
    experiment.keep(result, "score.wav", "the score of the recording", made, corpus.rate)


def _measure(experiment: Experiment, result: Result, opened: TrainedModel, corpus: Corpus) -> None:
    """Measure how well the scores of the held-out recordings are played (docs/evaluation.md)."""
    heard = opened.config.condition is not None and not transcription.missing()
    seconds = experiment.size.transcribe_seconds if heard else 0.0
    split = _held_out(corpus)[1]
    found = evaluate(
        opened, corpus, split, continuations=0, transcribe=seconds, context=True, progress=experiment.progress
    )
    result.context = found.context
    result.measures["bits"] = found.bits_per_sample
    if found.conditioned is not None:
        result.measures |= {"bits_with_another_score": found.conditioned.other, "bits_alone": found.conditioned.none}
    if found.single_notes is not None:
        single = found.single_notes
        result.measures |= {
            "single_notes_in_tune": single.in_tune,
            "loudness_follows_velocity": single.loudness,
            "attack_ms": single.attack_ms,
            "silence_dbfs": single.silence_dbfs,
        }
    if found.transcribed is not None:
        result.measures |= {
            "onset_f1": found.transcribed.f1,
            "onset_f1_of_the_recording": found.transcribed.ceiling,
            "onset_f1_by_chance": found.transcribed.chance,
            "velocity_correlation": found.transcribed.velocity_correlation,
        }


def _held_out(corpus: Corpus) -> tuple[Track, SplitName]:
    """Return the first held-out recording that has a score, and its split."""
    split: SplitName = "valid" if has_scores(corpus, "valid") else "train"
    return next(track for track in corpus.tracks_of(split) if track.events), split


def _length(experiment: Experiment, track: Track, rate: int) -> int:
    """Return how many samples of a held-out recording are played."""
    return min(round(experiment.size.take_seconds * rate), track.frames)
