"""Play sound while it is generated, as a WAV stream for a pipe or through the sound card.

Sound that was played cannot be taken back. After a fault, the generation guard therefore goes on from an earlier state
without going back in time (stream.play).
"""

import itertools
import math
import struct
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import WavewrightError, install
from wavewright.playing.instrument import Instrument
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.prime import Prime
from wavewright.playing.sound import fade, fade_in, fade_samples, sounds, to_pcm
from wavewright.playing.stream import play
from wavewright.playing.takes import frames_of, samples_for
from wavewright.progress import Progress, silent
from wavewright.sampling import Controls
from wavewright.signals import Stop, stoppable

ENDLESS = 1 << 62  # samples
HAND_BLOCK = 128  # samples, 9 ms at 14.7 kHz
UNKNOWN = 0xFFFFFFFF  # the size in a WAV header that means "not known"


def stream_wav(
    model: Playable,
    out: BinaryIO,
    *,
    seconds: float,
    prime: Prime | None = None,
    controls: Controls = DEFAULT,
    seed: int = 0,
    guard: bool = True,
    rate: int | None = None,
    bits: int = 16,
    progress: Progress = silent,
) -> None:
    """Write a WAV to `out` while it is generated. Arguments are as in takes.record, but `seconds` may be infinite.

    If the reader closes the pipe, the stream ends without error.

    Raises:
        ConfigError: an argument is out of range.
        AudioError: the recording of `prime` cannot be read whole.
        WavewrightError: `out` cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM came. All sound made until then was written.
    """
    rate = model.rate if rate is None else rate
    frames, width = _frames(seconds, rate, seed, bits), bits // 8
    size = round(frames) * width if frames * width + 36 < UNKNOWN else UNKNOWN - 36
    header = (b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, rate, width * rate, width, bits, b"data", size)
    try:
        with stoppable() as stop:
            head = struct.pack("<4sI4s4sIHHIIHH4sI", *header)
            options = {"controls": controls, "seed": seed, "guard": guard, "progress": progress, "stop": stop}
            for block in _sound(model, seconds, prime, rate, frames, **options):
                pcm = to_pcm(block, bits).astype("<i4").view(np.uint8).reshape(-1, 4)
                out.write(head + pcm[:, 4 - width :].tobytes())
                out.flush()
                head = b""  # it went out with the first sound, since a prime may be refused before that
            if stop():
                raise KeyboardInterrupt
    except BrokenPipeError:
        out.close = lambda: None  # type: ignore[method-assign]  # else Python reports the closed pipe at exit
    except OSError as error:
        out.close = lambda: None  # type: ignore[method-assign]
        raise WavewrightError(f"the WAV stream: cannot write: {error.strerror or error}; send it elsewhere") from None


def play_aloud(
    model: Playable,
    *,
    seconds: float = math.inf,
    prime: Prime | None = None,
    controls: Controls = DEFAULT,
    seed: int = 0,
    guard: bool = True,
    progress: Progress = silent,
) -> None:
    """Play a model through the sound card. Arguments are as in takes.record, but `seconds` may be infinite.

    Raises:
        WavewrightError: sounddevice is not installed, or there is no sound card.
        ConfigError: an argument is out of range.
        AudioError: the recording of `prime` cannot be read whole.
        KeyboardInterrupt: Ctrl-C or SIGTERM came. All sound made until then was played, and faded out.
    """
    frames = _frames(seconds, model.rate, seed)
    with stoppable() as stop:
        options = {"controls": controls, "seed": seed, "guard": guard, "progress": progress, "stop": stop}
        _send_to_card(model.rate, _sound(model, seconds, prime, model.rate, frames, **options))
        if stop():
            raise KeyboardInterrupt


def play_by_hand(instrument: Instrument, *, seconds: float = math.inf) -> None:
    """Play an instrument through the sound card, in blocks of HAND_BLOCK samples. No guard watches it.

    Raises:
        WavewrightError: sounddevice is not installed, or there is no sound card.
        ConfigError: the length is out of range.
        KeyboardInterrupt: Ctrl-C or SIGTERM came. All sound made until then was played, and faded out.
    """
    frames = _frames(seconds, instrument.rate, 0)
    with stoppable() as stop:
        _send_to_card(instrument.rate, _by_hand(instrument, frames, stop), latency="low")
        if stop():
            raise KeyboardInterrupt


def _by_hand(instrument: Instrument, frames: float, stop: Stop) -> Iterator[NDArray[np.float32]]:
    """Yield blocks (n,) of an instrument's sound, each as soon as it is made, and a faded block at its end."""
    last = fade_samples(instrument.rate)
    sound = itertools.chain(_blocks(instrument, frames - last, stop), _ending(instrument, last))
    return (block for block in fade(sound, 0 if instrument.primed else last, 0) if len(block))


def _blocks(instrument: Instrument, frames: float, stop: Stop) -> Iterator[NDArray[np.float32]]:
    while frames > 0 and not stop():
        block = instrument.generate(int(min(HAND_BLOCK, frames)))
        frames -= len(block)
        yield block


def _ending(instrument: Instrument, samples: int) -> Iterator[NDArray[np.float32]]:
    yield instrument.generate(samples) * fade_in(samples)[::-1]


def _send_to_card(rate: int, blocks: Iterable[NDArray[np.float32]], **options: Any) -> None:
    """Play blocks (n,) through the sound card."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: sounddevice finds no PortAudio
        raise WavewrightError(
            f"playing needs sounddevice and PortAudio ({error}): {install('play')},"
            " or pipe `wavewright generate MODEL --out -` into a player"
        ) from None
    try:
        with sounddevice.OutputStream(rate, channels=1, dtype="float32", **options) as card:
            for block in blocks:
                card.write(block[:, None])
    except sounddevice.PortAudioError as error:
        raise WavewrightError(f"the sound card: {error}; pipe `wavewright generate MODEL --out -` elsewhere") from None


def _frames(seconds: float, rate: int, seed: int, bits: int = 16) -> float:
    """Return the number of samples at `rate`, which may be infinite, after checking the arguments."""
    endless = seconds == math.inf
    frames = frames_of(1.0 if endless else seconds, rate, seed, bits)
    return math.inf if endless else frames


def _sound(
    model: Playable, seconds: float, prime: Prime | None, rate: int, frames: float, **options: Any
) -> Iterator[NDArray[np.float32]]:
    """Yield blocks (n,) of the sound of one stream, as soon as they are made."""
    samples = ENDLESS if seconds == math.inf else samples_for(seconds, model.rate)
    codes = play(model, samples, prime=prime.codes(model) if prime else None, live=True, **options)
    for block in sounds(model, codes, count=1, rate=rate, frames=frames, primed=prime is not None):
        yield block[0]
