"""Play sound while it is generated, as a WAV stream for a pipe or through the sound card.

Sound that was played cannot be taken back. After a fault, the generation guard therefore goes on from an earlier state
without going back in time (stream.play).
"""

import math
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import WavewrightError, install
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.prime import Prime
from wavewright.playing.sound import sounds, to_pcm
from wavewright.playing.stream import play
from wavewright.playing.takes import frames_of, samples_for
from wavewright.progress import Progress, silent
from wavewright.sampling import Controls
from wavewright.signals import stoppable

ENDLESS = 1 << 62  # samples
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
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: sounddevice finds no PortAudio
        raise WavewrightError(
            f"playing needs sounddevice and PortAudio ({error}): {install('play')},"
            " or pipe `wavewright generate MODEL --out -` into a player"
        ) from None
    try:
        with stoppable() as stop:
            options = {"controls": controls, "seed": seed, "guard": guard, "progress": progress, "stop": stop}
            with sounddevice.OutputStream(model.rate, channels=1, dtype="float32") as card:
                for block in _sound(model, seconds, prime, model.rate, frames, **options):
                    card.write(block[:, None])
            if stop():
                raise KeyboardInterrupt
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
