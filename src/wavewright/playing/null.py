"""Impulse responses of noise, which a model of impulse responses has to do better than."""

from pathlib import Path

import numpy as np

from wavewright.corpus.impulse import shaped_noise, without_decay
from wavewright.errors import AudioError, ConfigError, WavewrightError
from wavewright.metrics import Meter
from wavewright.playing.impulse import read_whole
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.sound import at_rate, decayed, fade, fade_samples, to_pcm
from wavewright.playing.takes import (
    Take,
    check_count,
    check_file,
    decay_of,
    frames_of,
    names,
    samples_for,
    take,
    take_file,
)
from wavewright.sampling import Controls


def record_null(
    model: Playable,
    recording: Path,
    out: Path,
    *,
    seconds: float,
    count: int = 1,
    controls: Controls = DEFAULT,
    seed: int = 0,
    rate: int | None = None,
    bits: int = 16,
) -> list[Take]:
    """Write takes that begin as a real impulse response and go on as noise, with the decay that a model would get.

    Each take is at full scale.

    Args:
        model: model of impulse responses.
        recording: impulse response whose first 20 ms and whose loudness in each band the takes have.
        out: see takes.record, as are all that follow.
        seconds: length of each take.
        count: number of takes.
        controls: those that give the decay.
        seed: decides every take.
        rate: sample rate of the files, in Hz.
        bits: bits of each sample in the files.

    Raises:
        ConfigError: an argument is out of range, or the model makes no impulse responses.
        AudioError: the recording cannot be read whole, or is no impulse response.
    """
    decay = decay_of(model, seconds, None, controls)
    if decay is None:
        raise ConfigError(f"--null {recording}: the model makes no impulse responses; leave it out")
    rate = model.rate if rate is None else rate
    frames = frames_of(seconds, rate, seed, bits)
    check_file(out, frames, bits)
    check_count(model, count)
    try:
        sound, _ = without_decay(read_whole(recording, model.rate)[:, 0], model.rate)
    except WavewrightError as error:
        raise AudioError(recording, str(error)) from None
    takes = []
    for number, path in enumerate(names(out, count), 1):
        rng = np.random.Generator(np.random.Philox(key=[seed, number]))
        noise = shaped_noise(sound, model.rate, samples_for(seconds, model.rate), rng)
        whole = decayed(noise, decay, model.rate)
        whole /= max(1e-9, np.abs(whole).max())
        faded = fade([whole], 0, fade_samples(model.rate))
        whole = np.concatenate([*at_rate(faded, model.rate, rate)])[:frames]
        meter = Meter()
        meter.add(whole)
        with take_file(path, rate, bits, {"null": recording.name, "seed": seed, "take": number}) as file:
            file.write(to_pcm(whole, bits))
        takes.append(take(path, rate, meter))
    return takes
