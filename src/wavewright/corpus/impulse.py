"""Take the decay out of an impulse response, so that codes of a few bits can hold its tail, and put a decay back.

A tail dies away to -60 dB, where codes of 8 bits are silent. With its decay taken out, a response is about as loud at
its end as at its beginning. Any decay can be put back, and so the decay time is free.

The filter bank is a modified discrete cosine transform (Princen and Bradley 1986). It is orthogonal, so what its
coefficients were multiplied by can be taken back exactly. Its bands are groups of octaves: up to 345 Hz, to 1378 Hz, to
5513 Hz, and above. A decay time is the time of a fall by 60 dB. It comes from the line that fits the backward integral
of the energy (Schroeder 1965) from -5 to -25 dB, with the part of the integral behind its end added (ISO 3382-1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.levelling import SILENT
from wavewright.errors import WavewrightError

Signal = NDArray[np.float64]

LEAST_RATE = 32_000  # Hz, since the treble tells a room from other sounds
FRAMES_A_SECOND = 44_100 / 128
FREE = 2  # frames that are left as they are, since the direct sound lies in them
EDGES = (2, 8, 32)  # coefficients with which the bands begin, but for the first: at 345, 1378 and 5513 Hz
LEAST_HERTZ = 20.0  # what is below is no sound, but a model's codes leave some
STEADY_SECONDS = 0.2  # over which the level of a model's sound is measured
MOST_LIFT = 20.0  # dB by which it is raised, so that silence is not
EARLY_SECONDS = 0.02  # of a room, in which single reflections are heard
AUDIBLE = 116  # coefficients up to 20 kHz, beyond which converters leave noise that does not decay
MIDDLE = 1  # the band whose decay time stands for all, as ISO 3382-1 takes the octaves of 500 and 1000 Hz

LEAD_SECONDS = 0.001  # from the start to the direct sound
DIRECT_SECONDS = 0.0025  # after the direct sound that belong to it
FALL = 6 * np.log(10) / 2  # the exponent of a fall by 60 dB, 6.91

LONGEST = 20.0  # seconds of a recording
LEAST_FALL = 30.0  # dB from a band's start to its noise

# A recording within these bounds is taken for a response. They leave room around 8 plates, 3 halls and a classroom, and
# keep out 1200 notes, drums, spoken digits and pieces of music. What the responses have stands behind each bound.
DECAYS = (0.3, 20.0)  # seconds, of the middle band
LEAST_TREBLE = -6.0  # dB of the direct sound's energy above the middle band, since a click is bright: -3.4 and more
LEAST_FLATNESS = -12.0  # dB in each third of an octave: -4 in noise, -10 in the low modes of a plate, less in tones
MOST_DAMPING = 0.9  # of the highest band's decay time over the middle's: 0.66 and less, as air and walls damp treble
MOST_GROWTH = 2.0  # of the peak, once the decay is taken out: 1.8 and less
MOST_UNEVENNESS = 5.0  # dB between the quarters of the middle band then: 2.2 and less


@dataclass(frozen=True)
class Envelope:
    """The decay of each band, exp(-6.91 t / T), where t is 0 in the first two frames, with the direct sound.

    Attributes:
        times: the decay time T of each band, in seconds.
        until: the time t after which a band decays no more, in seconds, such as when it reaches its noise.
    """

    times: tuple[float, ...]
    until: tuple[float, ...]

    def take_out(self, response: Signal, rate: int) -> Signal:
        """Return a response (n,) without its decay. `until` bounds how much a band grows."""
        return self._scaled(response, rate, 1.0)

    def put_back(self, sound: Signal, rate: int) -> Signal:
        """Return a sound (n,) with the decay. After `take_out` of the same envelope, this is the response."""
        return self._scaled(sound, rate, -1.0)

    def _scaled(self, signal: Signal, rate: int, sign: float) -> Signal:
        coefficients = _transformed(signal, _frame(rate))
        time = np.maximum(np.arange(len(coefficients)) + 1 - FREE, 0)[:, None] * (_frame(rate) / rate)
        exponent = FALL * np.minimum(time, self.until) / self.times
        return _restored(coefficients * _spread(np.exp(sign * exponent), coefficients.shape[1]), len(signal))


def falling(times: Sequence[float]) -> Envelope:
    """Return the decay of bands without noise, by their decay times in seconds."""
    return Envelope(tuple(times), (np.inf,) * len(times))


@dataclass(frozen=True)
class Room:
    """What is known of the room or plate of an impulse response.

    Attributes:
        times: the decay time of each band, in seconds.
        direct: energy of the direct sound over that of all else, in dB.
    """

    times: tuple[float, ...]
    direct: float

    @property
    def t60(self) -> float:
        """The decay time of the middle band, in seconds."""
        return self.times[MIDDLE]


def without_decay(recording: Signal, rate: int) -> tuple[Signal, Room]:
    """Return an impulse response (n,) that begins 1 ms before its direct sound, without its decay, and what it was.

    The end is cut where every band has fallen by 60 dB or has reached its noise. What lies above 20 kHz is left out.

    Args:
        recording: samples (m,) within [-1, 1].
        rate: sample rate, in Hz.

    Raises:
        WavewrightError: the recording is no impulse response with a decay. The text is the reason.
    """
    if len(recording) > LONGEST * rate:
        raise WavewrightError(f"no impulse response, since it is longer than {LONGEST:g} s; leave it out")
    if len(recording) == 0 or np.abs(recording).max() <= SILENT:
        raise WavewrightError("no impulse response, since it is silent; leave it out")
    direct, lead = find_direct(recording, rate), round(LEAD_SECONDS * rate)
    response = np.concatenate((np.zeros(max(0, lead - direct)), recording[max(0, direct - lead) :]))
    response = _audible(response, rate)
    envelope = measured(response, rate)
    response = response[: lead + round(max(envelope.until) * rate)]
    sound = envelope.take_out(response, rate)
    if reason := _oddity(response, sound, envelope, rate):
        raise WavewrightError(f"no impulse response, since {reason}; leave it out")
    return sound, Room(envelope.times, direct_ratio(response, rate))


def band_of(hertz: float) -> int:
    """Return the number of the band that has a frequency."""
    width = FRAMES_A_SECOND / 2  # of a coefficient, in Hz
    return sum(hertz >= edge * width for edge in EDGES)


def shaped_noise(sound: Signal, rate: int, samples: int, rng: np.random.Generator) -> Signal:
    """Return a sound (samples,) of the first 20 ms of a response without its decay, and of noise that goes on as loud.

    Each band's noise has the mean power that the band has after the first 20 ms. A model of impulse responses has to do
    better than that. The form is that of Steinmetz et al. (FiNS, 2021), with the bands of this module.
    """
    heard = _transformed(sound, _frame(rate))
    early, size = _early_frames(rate), heard.shape[1]
    power = _of_bands(heard[early:]).mean(0) / _widths(size)
    noise = _spread(np.sqrt(power), size) * rng.standard_normal((-(-samples // _frame(rate)) + 1, size))
    noise[:, AUDIBLE:] = 0
    noise[:early] = heard[:early]
    return _restored(noise, samples)


def steady(sound: Signal, rate: int) -> Signal:
    """Return a sound (n,) whose bands neither swell nor sink after the first 20 ms, but for what is faster than 0.2 s.

    A response without its decay is about as loud at its end as at its beginning. What a model makes in its place
    wanders by some dB. Without that, it gets the decay that is put back, and no other.
    """
    coefficients = _transformed(sound, _frame(rate))
    early = _early_frames(rate)
    energies = _of_bands(coefficients[early:])
    if not len(energies):
        return sound
    window = np.ones(min(len(energies), round(STEADY_SECONDS * rate / _frame(rate))))
    counts = np.convolve(np.ones(len(energies)), window, "same")
    level = np.array([np.convolve(energy, window, "same") / counts for energy in energies.T]).T
    usual = np.median(level, axis=0)
    gain = np.sqrt(usual / np.maximum(level, 10 ** (-MOST_LIFT / 10) * usual + 1e-30))
    coefficients[early:] *= _spread(gain, coefficients.shape[1])
    return _restored(coefficients, len(sound))


def _early_frames(rate: int) -> int:
    """Return the number of frames that have the first 20 ms of a response."""
    return round((LEAD_SECONDS + EARLY_SECONDS) * rate / _frame(rate))


def without_rumble(signal: Signal, rate: int) -> Signal:
    """Return a signal (n,) without what lies below 20 Hz, a constant included."""
    spectrum = np.fft.rfft(signal, 2 * len(signal))
    hertz = np.fft.rfftfreq(2 * len(signal), 1 / rate)
    spectrum *= np.clip(2 * hertz / LEAST_HERTZ - 1, 0, 1)  # a ramp from 10 Hz on, so that it rings for short
    restored: Signal = np.fft.irfft(spectrum)[: len(signal)]
    return restored


def _oddity(response: Signal, sound: Signal, envelope: Envelope, rate: int) -> str | None:
    """Return what a response and its sound without the decay have that none has, if anything."""
    energies = _energies(sound, rate)
    click, rest = energies[:FREE].sum(0), energies[FREE : FREE + int(envelope.until[MIDDLE] * rate / _frame(rate))]
    if click[MIDDLE + 1 :].sum() < 10 ** (LEAST_TREBLE / 10) * click.sum():
        return "it begins without the treble of a click"
    if envelope.until[-1] and envelope.times[-1] > MOST_DAMPING * envelope.times[MIDDLE]:
        return "its treble lasts as long as the rest"
    if np.abs(sound).max() > MOST_GROWTH * np.abs(response).max():
        return "a part of it hardly decays"
    quarters = [part[:, MIDDLE].mean() for part in np.array_split(rest, 4) if len(part)]
    if max(quarters) > 10 ** (MOST_UNEVENNESS / 10) * min(quarters):
        return "it decays unevenly"
    if _least_flatness(sound[FREE * _frame(rate) :], rate) < LEAST_FLATNESS:
        return "it has tones"
    return None


def find_onset(recording: Signal) -> int:
    """Return the first sample that comes within 20 dB of the peak (ISO 3382-1)."""
    amplitude = np.abs(recording)
    return int(np.argmax(amplitude >= 0.1 * amplitude.max()))


def find_direct(recording: Signal, rate: int) -> int:
    """Return the sample of the direct sound.

    It is the greatest sample within 1 ms of the onset.
    """
    first = find_onset(recording)
    return first + int(np.argmax(np.abs(recording[first : first + round(LEAD_SECONDS * rate) + 1])))


def direct_ratio(response: Signal, rate: int) -> float:
    """Return the energy within 2.5 ms of the direct sound over that of all that follows, in dB from -60 to 60."""
    energy = np.square(response)
    stop = round((LEAD_SECONDS + DIRECT_SECONDS) * rate)
    least = 1e-6 * energy.sum()
    return float(10 * np.log10((energy[:stop].sum() + least) / (energy[stop:].sum() + least)))


def measured(response: Signal, rate: int) -> Envelope:
    """Return the decay of a response (n,) that begins 1 ms before its direct sound.

    A band that is mostly noise gets the decay time of the middle band, and does not grow.

    Raises:
        WavewrightError: the middle band does not decay, or too fast or too slowly. The text is the reason.
    """
    found = [decay_time(energy, _frame(rate) / rate) for energy in _energies(response, rate).T]
    middle = found[MIDDLE]
    if middle is None:
        raise WavewrightError(f"no impulse response, since it does not decay by {LEAST_FALL:g} dB; leave it out")
    if not DECAYS[0] <= middle[0] <= DECAYS[1]:
        limits = f"{DECAYS[0]:g} to {DECAYS[1]:g} s"
        raise WavewrightError(f"its decay time is {middle[0]:.2g} s, not {limits}; prepare it with --preset one-shots")
    return Envelope(tuple((one or middle)[0] for one in found), tuple(min(one) if one else 0.0 for one in found))


def decay_time(energy: Signal, seconds: float) -> tuple[float, float] | None:
    """Return the decay time, and the time at which the noise is reached, both in seconds.

    Args:
        energy: energies (M,) of a band's frames.
        seconds: length of a frame.

    Returns:
        None where the energy does not fall by 30 dB before it reaches the noise.
    """
    last = max(1, len(energy) // 10)
    stop, time, noise = len(energy), 0.0, float(energy[-last:].mean())
    for _ in range(8):  # the end and the line depend on each other (Lundeby 1995)
        near = energy[max(0, stop - max(3, stop // 20)) : stop].mean()
        missing = near * time / (2 * FALL * seconds)  # of the integral, behind the end
        integral = np.cumsum(energy[:stop][::-1])[::-1] + missing
        if not integral[0] > 0:
            return None
        level = 10 * np.log10(integral / integral[0] + 1e-30)
        (fitted,) = np.nonzero((level <= -5) & (level >= -25))
        if len(fitted) < 3:
            return None
        slope, offset = np.polyfit(fitted * seconds, level[fitted], 1)
        if slope >= 0:
            return None
        time = float(-60 / slope)
        start = integral[0] * 10 ** (offset / 10) * 2 * FALL * seconds / time  # energy of a frame on the line at 0
        above = np.log(max(start / max(noise, 1e-300), 1.0))
        reached = int(np.clip(above * time / (2 * FALL * seconds), 1, len(energy)))
        if reached == stop:
            break
        stop = reached
        noise = float(energy[min(stop, len(energy) - last) :].mean())
    return (time, stop * seconds) if 60 * stop * seconds / time >= LEAST_FALL else None


def _energies(signal: Signal, rate: int) -> Signal:
    """Return the energy (M, 4) of each frame's bands."""
    return _of_bands(_transformed(signal, _frame(rate)))


def _of_bands(coefficients: Signal) -> Signal:
    """Return the energy (M, 4) of the bands of coefficients (M, size)."""
    return np.add.reduceat(np.square(coefficients), (0, *EDGES), 1)


def _spread(values: Signal, size: int) -> Signal:
    """Return values (..., 4) of bands for each of `size` coefficients (..., size)."""
    return np.repeat(values, _widths(size), -1)


def _widths(size: int) -> NDArray[np.int64]:
    """Return how many of `size` coefficients each band has."""
    return np.diff((0, *EDGES, size))


def _audible(signal: Signal, rate: int) -> Signal:
    """Return what a signal has up to 20 kHz."""
    coefficients = _transformed(signal, _frame(rate))
    coefficients[:, AUDIBLE:] = 0
    return _restored(coefficients, len(signal))


def _frame(rate: int) -> int:
    """Return the length of a frame, in samples."""
    return round(rate / FRAMES_A_SECOND)


def _basis(size: int) -> Signal:
    """Return the windowed cosines (2 size, size) of a frame."""
    time, number = np.arange(2 * size)[:, None] + 0.5, np.arange(size) + 0.5
    window = np.sin(np.pi / (2 * size) * time)
    return window * np.sqrt(2 / size) * np.cos(np.pi / size * (time + size / 2) * number)


def _transformed(signal: Signal, size: int) -> Signal:
    """Return the coefficients (M, size) of a signal (n,). Frame m is centred at sample m size."""
    frames = -(-len(signal) // size) + 1
    padded = np.concatenate((np.zeros(size), signal, np.zeros(frames * size - len(signal))))
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * size)[::size] @ _basis(size)


def _restored(coefficients: Signal, samples: int) -> Signal:
    """Return the first samples of the signal that has these coefficients (M, size)."""
    size = coefficients.shape[1]
    frames = coefficients @ _basis(size).T
    return np.ravel(frames[:-1, size:] + frames[1:, :size])[:samples]


def _least_flatness(sound: Signal, rate: int) -> float:
    """Return the least spectral flatness of a third of an octave, in dB: geometric over arithmetic mean of powers."""
    power = np.square(np.abs(np.fft.rfft(sound * np.hanning(len(sound))))) + 1e-30
    hertz = np.arange(len(power)) * rate / max(1, len(sound))
    found = [0.0]
    for low in 125 * 2 ** (np.arange(18) / 3):  # up to 8 kHz
        part = power[(low <= hertz) & (hertz < low * 2 ** (1 / 3))]
        if len(part) > 8:
            found.append(10 * (np.log10(part).mean() - np.log10(part.mean())))
    return float(min(found))
