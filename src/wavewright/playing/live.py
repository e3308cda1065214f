"""Play sound while it is generated, as a WAV stream for a pipe or through the sound card.

Sound that was played cannot be taken back. After a fault, the generation guard therefore goes on from an earlier state
without going back in time (stream.play).
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import WavewrightError, install
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.stream import play
from wavewright.playing.takes import prime_codes, samples_of
from wavewright.quantize import to_int16
from wavewright.sampling import Controls

ENDLESS = 1 << 62  # samples
UNKNOWN = 0xFFFFFFFF  # the size in a WAV header that means "not known"


def stream_wav(
    model: Playable,
    out: BinaryIO,
    *,
    seconds: float,
    prime: Path | None = None,
    controls: Controls = DEFAULT,
    seed: int = 0,
    guard: bool = True,
) -> None:
    """Write a 16-bit WAV to `out` while it is generated. If the reader closes the pipe, the stream ends without error.

    Raises:
        ConfigError: seconds or seed out of range.
        AudioError: `prime` cannot be read whole.
        WavewrightError: `out` cannot be written.
    """
    samples = _samples(seconds, model.rate, seed)
    size = 2 * samples if 2 * samples + 36 < UNKNOWN else UNKNOWN - 36
    header = (b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, model.rate, 2 * model.rate, 2, 16, b"data", size)
    try:
        out.write(struct.pack("<4sI4s4sIHHIIHH4sI", *header))
        for block in _amplitudes(model, samples, prime, controls=controls, seed=seed, guard=guard):
            out.write(to_int16(block).tobytes())
            out.flush()
    except BrokenPipeError:
        out.close = lambda: None  # type: ignore[method-assign]  # else Python reports the closed pipe at exit
    except OSError as error:
        out.close = lambda: None  # type: ignore[method-assign]
        raise WavewrightError(f"the WAV stream: cannot write: {error.strerror or error}; send it elsewhere") from None


def play_aloud(
    model: Playable,
    *,
    seconds: float = math.inf,
    prime: Path | None = None,
    controls: Controls = DEFAULT,
    seed: int = 0,
    guard: bool = True,
) -> None:
    """Play a model through the sound card.

    Raises:
        WavewrightError: sounddevice is not installed, or there is no sound card.
        ConfigError: seconds or seed out of range.
        AudioError: `prime` cannot be read whole.
    """
    samples = _samples(seconds, model.rate, seed)
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: sounddevice finds no PortAudio
        raise WavewrightError(
            f"playing needs sounddevice and PortAudio ({error}): {install('play')},"
            " or pipe `wavewright generate MODEL --out -` into a player"
        ) from None
    try:
        with sounddevice.OutputStream(model.rate, channels=1, dtype="float32") as card:
            for block in _amplitudes(model, samples, prime, controls=controls, seed=seed, guard=guard):
                card.write(block[:, None])
    except sounddevice.PortAudioError as error:
        raise WavewrightError(f"the sound card: {error}; pipe `wavewright generate MODEL --out -` elsewhere") from None


def _samples(seconds: float, rate: int, seed: int) -> int:
    endless = seconds == math.inf
    samples = samples_of(1.0 if endless else seconds, rate, seed)
    return ENDLESS if endless else samples


def _amplitudes(model: Playable, samples: int, prime: Path | None, **options: Any) -> Iterator[NDArray[np.float32]]:
    primed = prime_codes(model, prime) if prime else None
    for codes in play(model, samples, prime=primed, live=True, **options):
        yield model.quantizer.decode(codes[0])
