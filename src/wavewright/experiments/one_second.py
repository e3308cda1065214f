"""Prepare the first second of a piece, and compare it with what a trained model plays (thesis 4.2)."""

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavewright.corpus import discovery, isolate
from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.corpus.decoding import rate_of
from wavewright.corpus.prepare import prepare
from wavewright.corpus.rendering import audio_like_corpus
from wavewright.corpus.settings import LEVELLING, prepare_settings
from wavewright.errors import ConfigError
from wavewright.experiments.demo import CLIP
from wavewright.experiments.experiment import Experiment, Result
from wavewright.files import atomic_file
from wavewright.measuring import similarity
from wavewright.playing.opening import open_model
from wavewright.playing.playable import Playable
from wavewright.playing.stream import stream
from wavewright.quantize import to_amplitude
from wavewright.sampling import Controls

ONSET = 0.01  # share of the peak at which the music begins
SEARCHED = 30.0  # seconds of the piece in which to look for the onset
START_TOKEN = 8  # samples of real sound that a take continues (thesis 4.3.2)
LAG_SECONDS = 0.05  # seconds that a take may lead or lag the original
CLIP_FACTS = "the clip in the package: J. S. Bach, Prelude BWV 846; score CC0, sound font FluidR3 GM by Frank Wen, MIT"


def one_second(experiment: Experiment) -> Corpus:
    """Return a corpus of the first music of the first recording named, prepared as in the thesis.

    The music lasts one second, or less at a smaller scale. OUT/source.wav is that music, OUT/corpus the corpus, and
    OUT/original.wav the music scaled to full range, as the models read it. The thesis keeps every third sample.
    Recordings at a rate that is no multiple of 14.7 kHz are resampled.

    Raises:
        ConfigError: there is no recording, or the recording is too short.
    """
    seconds = experiment.size.by_heart_seconds
    source, corpus, original = (experiment.out / name for name in ("source.wav", "corpus", "original.wav"))
    if not source.is_file():
        rate = prepare_settings().rate
        write_sound(source, _beginning(experiment.data, seconds, rate), rate)
    if not (corpus / INDEX).is_file():
        prepare([source], corpus, prepare_settings("thesis", section_seconds=seconds, split=(1, 0, 0)))
    opened = Corpus.open(corpus)
    if not original.is_file():
        write_sound(original, opened.samples("train"), opened.rate)
    experiment.describe(
        opened, CLIP_FACTS if not experiment.data else f"the first {seconds:g} s of {_piece(experiment.data).name}"
    )
    return opened


def write_sound(path: Path, sound: NDArray[Any], rate: int) -> None:
    """Write a sound of an experiment as WAV, of 16 bits."""
    with atomic_file(path) as temporary:
        soundfile.write(temporary, sound, rate, "PCM_16", format="WAV")


def _piece(data: tuple[Path, ...]) -> Path:
    found, _ = discovery.find(data)
    if not found:
        raise ConfigError(f"--data {data[0]}: no audio file there")
    return found[0].path


def _beginning(data: tuple[Path, ...], seconds: float, rate: int) -> NDArray[np.float32]:
    if not data:
        with resources.as_file(resources.files("wavewright") / "data" / CLIP) as clip:
            return _beginning((clip,), seconds, rate)
    path = _piece(data)
    step = isolate.one(rate_of, path) / rate
    settings = prepare_settings(levels="none", resample="decimate" if step == int(step) else "band-limited")
    levelling = {**settings.model_dump(mode="json", include=LEVELLING), "common_gain": None}
    blocks, count = [], 0
    for block in audio_like_corpus(path, levelling):
        blocks.append(block)
        count += len(block)
        if count > (SEARCHED + seconds) * rate:
            break
    sound = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    loud = np.flatnonzero(np.abs(sound) > ONSET * np.abs(sound).max(initial=0))
    length = round(seconds * rate)
    start = int(loud[0]) if len(loud) else 0
    if not len(loud) or len(sound) - start < length:
        raise ConfigError(f"--data {path}: less than {seconds:g} s of sound")
    return sound[start : start + length]


def compare(experiment: Experiment, result: Result, corpus: Corpus) -> None:
    """Generate the second from silence and from a start token, and compare both takes with the original."""
    played = open_model(experiment.folder(result.name) / "run", "last")
    original = corpus.samples("train")
    codes = played.quantizer.encode_int16(original)
    for name, token in (("silence", codes[:0]), ("start-token", codes[:START_TOKEN])):
        drawn = _draw(played, token, len(codes) - len(token), Controls(0), 0)
        made = _sound(played, token, drawn)
        truth = to_amplitude(original[len(token) :])
        title = "from silence" if not len(token) else f"from a start token of {len(token)} samples"
        experiment.keep(result, f"{name}.wav", title, made, corpus.rate)
        suffix = "" if not len(token) else "_from_token"
        result.measures |= {
            f"correlation{suffix}": similarity.cross_correlation(made, truth, round(LAG_SECONDS * corpus.rate))[0],
            f"mean_absolute_difference{suffix}": similarity.mean_absolute_difference(made, truth),
            f"codes_equal{suffix}": float(np.mean(drawn == codes[len(token) :])),
        }


def play(played: Playable, prime: NDArray[Any], samples: int, controls: Controls | None = None, seed: int = 0) -> Any:
    """Return amplitudes (samples,) that follow the codes `prime` (n,), the likeliest unless `controls` are given."""
    return _sound(played, prime, _draw(played, prime, samples, controls or Controls(0), seed))


def _draw(played: Playable, prime: NDArray[Any], samples: int, controls: Controls, seed: int) -> NDArray[np.integer]:
    blocks = stream(played.player(1, seed), samples, controls, [prime] if len(prime) else None)
    return np.concatenate(list(blocks), 1)[0]


def _sound(played: Playable, prime: NDArray[Any], codes: NDArray[np.integer]) -> NDArray[np.float32]:
    return played.quantizer.decode(np.concatenate((prime, codes)))[len(prime) :]
