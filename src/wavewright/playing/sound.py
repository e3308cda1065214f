"""Turn the codes of streams into sound: fade both ends, resample, and round to integers."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.audio import resample
from wavewright.corpus.impulse import Envelope, steady, without_rumble
from wavewright.corpus.levelling import limit
from wavewright.formats.model_file import ModelFacts
from wavewright.quantize import Decoder

FADE = 0.01  # seconds; after 5 ms, one take in 32 still began with its steepest step
RATES = (1000, 192_000)  # Hz, as for a corpus
BITS = (16, 24, 32)

Amplitudes = NDArray[np.float32]


def sounds(
    model: ModelFacts,
    blocks: Iterable[NDArray[np.integer]],
    *,
    count: int,
    rate: int,
    frames: float,
    after: Decoder | None = None,
    decay: Envelope | None = None,
) -> Iterator[Amplitudes]:
    """Yield blocks of sound (count, n) in [-1, 1] at `rate`, for blocks of codes (count, m).

    A model begins in the midst of a sound, as the sections do that it learned from, and it ends in the midst of one.
    Both ends of a stream are therefore faded, but not a beginning that continues a prime. A resampled sound can
    overshoot full scale. A limiter then holds its peaks down, and leaves all other samples as they are.

    Args:
        model: model that made the codes.
        blocks: codes of all streams.
        count: number of streams. Stream k does not depend on it.
        rate: sample rate of the sound, in Hz.
        frames: samples of each stream at `rate`, after which the sound is cut. Resampling can make one more.
        after: the decoder of a prime that the streams continue. None means that they begin in silence. The codes of
            the prime are decoded by the time the first block comes.
        decay: what is put back in impulse responses, of which each is then held whole. They begin with their direct
            sound, and so only their end is faded.
    """
    voices: list[Iterator[NDArray[np.floating]]] = []
    amplitudes, edge = map(after or model.quantizer.decoder(), blocks), fade_samples(model.rate)
    for k, source in enumerate(itertools.tee(amplitudes, count)):
        voice = _row(source, k)
        if decay is not None:
            voice = iter([decayed(steady(np.concatenate([*voice]).astype(np.float64), model.rate), decay, model.rate)])
        voices.append(at_rate(fade(voice, 0 if after or decay else edge, edge), model.rate, rate))
    for parts in zip(*voices, strict=True):
        sound = np.stack(parts)[:, : min(frames, len(parts[0]))].astype(np.float32)
        frames -= sound.shape[1]
        yield sound


def _row(blocks: Iterable[Amplitudes], k: int) -> Iterator[Amplitudes]:
    return (block[k] for block in blocks)


def at_rate(blocks: Iterable[Amplitudes], source: int, rate: int) -> Iterator[NDArray[np.floating]]:
    """Yield blocks (n,) of one sound at `rate` Hz, from blocks at `source` Hz.

    Peaks beyond full scale are held down.
    """
    if rate == source:
        yield from blocks
    else:
        yield from limit((block.astype(np.float64) for block in resample(blocks, source, rate)), rate, 0.0)


def decayed(sound: NDArray[np.float64], decay: Envelope, rate: int) -> Amplitudes:
    """Return a sound (n,) with a decay put back, and without what lies below 20 Hz."""
    response = without_rumble(decay.put_back(sound, rate), rate)
    return np.clip(response, -1, 1).astype(np.float32)


def fade_samples(rate: int) -> int:
    """Return the number of samples of a fade."""
    return round(FADE * rate)


def fade(blocks: Iterable[Amplitudes], first: int, last: int) -> Iterator[Amplitudes]:
    """Yield blocks (n,) of one sound with its `first` samples faded in and its `last` samples faded out.

    The last samples are held back until it is known that none follow them.
    """
    place, held = 0, np.zeros(0, np.float32)
    for block in blocks:
        begun = fade_in(first)[place:][: len(block)]
        held = np.concatenate((held, block[: len(begun)] * begun, block[len(begun) :]))
        place += len(block)
        if len(held) > last:
            yield held[: len(held) - last]
            held = held[len(held) - last :]
    yield held * fade_in(last)[: len(held)][::-1]


def fade_in(samples: int) -> Amplitudes:
    """Return the weights (samples,) of a fade, a raised cosine from 0 to 1."""
    return np.square(np.sin(np.pi / 2 * (np.arange(samples) + 0.5) / samples)).astype(np.float32)


def to_pcm(amplitude: NDArray[np.floating], bits: int) -> NDArray[np.int32]:
    """Return amplitudes in [-1, 1] of any shape, rounded to `bits`, in the upper bits of 32-bit integers.

    Amplitude 1 is one step beyond the greatest integer, and is taken as that.
    """
    steps = np.rint(amplitude * np.float64(2 ** (bits - 1)))
    return np.minimum(steps, 2 ** (bits - 1) - 1).astype(np.int32) << (32 - bits)
