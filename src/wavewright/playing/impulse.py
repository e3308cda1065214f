"""Read impulse responses: find the direct sound, leave out the noise at the end, and level them."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavewright.corpus import isolate
from wavewright.corpus.audio import Recording, resample
from wavewright.corpus.impulse import find_direct, find_onset
from wavewright.corpus.inspection import examine
from wavewright.corpus.levelling import SILENT
from wavewright.errors import AudioError, ConfigError
from wavewright.playing.convolution import Signal
from wavewright.playing.sound import fade_in, fade_samples

MOST_SECONDS = 60  # a longer file is no impulse response, and all of it would be held in memory
FLOOR = 1e-6  # of the greatest power, -60 dB: what is below is not heard
LOUD_NOISE = 0.1  # of the greatest power: a louder end is no noise
STEADY = 2.0  # ratio of power, 3 dB: what falls by less from the third to the last quarter is noise
MEASURABLE = 20  # windows, without which the noise is not known


@dataclass(frozen=True)
class Impulse:
    """An impulse response.

    Attributes:
        path: the file.
        rate: sample rate, in Hz.
        taps: samples (n, channels) from the onset on. A channel's mean energy is 1, so that broadband sound keeps its
            loudness.
        direct: place of the direct sound's peak, the same in all channels.
    """

    path: Path
    rate: int
    taps: Signal
    direct: int


def read_impulse(path: Path, rate: int, tail: float | None = None, mixed: bool = False) -> Impulse:
    """Read an impulse response and resample it.

    It ends where it has fallen by 60 dB, or where the noise at its end begins. What is cut off there is faded out.

    Args:
        path: the file.
        rate: sample rate of the sound that it is for, in Hz.
        tail: seconds to keep after the direct sound, more than 0. None means all.
        mixed: whether to mix its channels to one.

    Raises:
        ConfigError: `tail` is out of range.
        AudioError: the file cannot be read whole, or is silent or too long.
    """
    if tail is not None and not 0 < tail < math.inf:
        raise ConfigError(f"--tail {tail:g}: give more than 0 seconds, or leave it out")
    taps = read_whole(path, rate, mixed)
    loudness = np.abs(taps).max(axis=1)
    if loudness.max(initial=0.0) <= SILENT:
        raise AudioError(path, "a silent impulse response; name another one")
    onset = find_onset(loudness)
    direct = find_direct(loudness, rate) - onset
    taps = taps[onset:]
    end = _end(taps, rate)
    if tail is not None:
        end = min(end, direct + 1 + round(tail * rate))
    if end < len(taps):
        edge = min(fade_samples(rate), end - direct - 1)
        taps = taps[:end]
        taps[end - edge :] *= fade_in(edge)[::-1, None]
    return Impulse(path, rate, taps / math.sqrt(np.square(taps).sum() / taps.shape[1]), direct)


def read_whole(path: Path, rate: int, mixed: bool = True) -> Signal:
    """Return the samples (n, channels) of an impulse response's file at `rate` Hz, `mixed` to one channel or not.

    Raises:
        AudioError: the file cannot be read whole, or is too long.
    """
    found = isolate.one(examine, path, path.name)
    if found.seconds > MOST_SECONDS:
        raise AudioError(path, f"longer than {MOST_SECONDS} s; name an impulse response")
    with Recording(path) as recording:
        samples = np.concatenate(list(recording.blocks()))
    if mixed:
        samples = samples.mean(axis=1, keepdims=True)
    channels = [np.concatenate(list(resample([channel], found.rate, rate))) for channel in samples.T]
    return np.stack(channels, axis=1).astype(np.float64)


def _end(taps: Signal, rate: int) -> int:
    """Return how many of the taps (n, channels) come before the sound has sunk by 60 dB, or into the noise.

    Noise is what hardly falls in the second half.
    """
    window = max(1, fade_samples(rate))
    power = np.array([np.square(taps[start : start + window]).mean() for start in range(0, len(taps), window)])
    floor = FLOOR * power.max()
    if len(power) >= MEASURABLE:
        third, last = (float(np.median(quarter)) for quarter in np.array_split(power, 4)[2:])
        if third < STEADY * last and last < LOUD_NOISE * power.max():
            floor = max(floor, STEADY * last)
    return min(len(taps), (int(np.flatnonzero(power > floor)[-1]) + 2) * window)  # the last window is for the fade
