"""Play sound while it is generated, as a WAV stream for a pipe, through the sound card or into a file.

Sound that was played cannot be taken back. After a fault, the generation guard therefore goes on from an earlier state
without going back in time (stream.play).
"""

import contextlib
import itertools
import logging
import math
import struct
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import WavewrightError, install
from wavewright.playing.instrument import Instrument
from wavewright.playing.playable import DEFAULT, Playable
from wavewright.playing.prime import Prime
from wavewright.playing.reverb import Reverb, reverberated
from wavewright.playing.sound import fade, fade_in, fade_samples, sounds, to_pcm
from wavewright.playing.stream import play
from wavewright.playing.takes import MOST_BYTES, check_file, frames_of, origin, samples_for, take_file
from wavewright.progress import Progress, silent
from wavewright.sampling import Controls
from wavewright.signals import Stop, stoppable

log = logging.getLogger(__name__)

ENDLESS = 1 << 62  # samples
HAND_BLOCK = 128  # samples, 9 ms at 14.7 kHz
RECORDED_BITS = 16  # of each sample in a file of what was heard
UNKNOWN = 0xFFFFFFFF  # the size in a WAV header that means "not known"

Sound = Generator[NDArray[np.float32], None, None]  # blocks (n,) of amplitudes


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
    out: Path | None = None,
    reverb: Reverb | None = None,
    progress: Progress = silent,
) -> None:
    """Play a model through the sound card. Arguments are as in takes.record, but `seconds` may be infinite.

    What is heard is also written to `out`, a .wav or .flac file. Without a sound card, it is written in real time. A
    WAV file holds 4 GB at most, and playing ends there. With `reverb`, a reverberation of one channel at the model's
    rate, its tail comes after `seconds`.

    Raises:
        WavewrightError: there is neither a sound card with sounddevice nor `out`, or `out` cannot be written.
        ConfigError: an argument is out of range.
        AudioError: the recording of `prime` cannot be read whole.
        KeyboardInterrupt: Ctrl-C or SIGTERM came. All sound made until then was played and written, and faded out.
    """
    seconds = _until_full(seconds, model.rate, out)
    frames = _frames(seconds, model.rate, seed, out=out)
    with stoppable() as stop:
        options = {"controls": controls, "seed": seed, "guard": guard, "progress": progress, "stop": stop}
        sound = _sound(model, seconds, prime, model.rate, frames, **options)
        _send(sound, model.rate, out, origin(model, seed, prime, controls), reverb=reverb, stop=stop)
        if stop():
            raise KeyboardInterrupt


def play_by_hand(
    instrument: Instrument,
    *,
    seconds: float = math.inf,
    out: Path | None = None,
    facts: Mapping[str, Any] | None = None,
    reverb: Reverb | None = None,
) -> None:
    """Play an instrument through the sound card, in blocks of HAND_BLOCK samples. No guard watches it.

    What is heard is also written to `out`, with `facts` in the metadata. See play_aloud.

    Raises:
        WavewrightError: there is neither a sound card with sounddevice nor `out`, or `out` cannot be written.
        ConfigError: the length is out of range, or `out` is no such file.
        KeyboardInterrupt: Ctrl-C or SIGTERM came. All sound made until then was played and written, and faded out.
    """
    frames = _frames(_until_full(seconds, instrument.rate, out), instrument.rate, 0, out=out)
    instrument.clock = time.monotonic
    with stoppable() as stop:
        sound = _by_hand(instrument, frames, stop)
        _send(sound, instrument.rate, out, facts or {}, reverb=reverb, stop=stop, latency="low")
        if stop():
            raise KeyboardInterrupt


def _by_hand(instrument: Instrument, frames: float, stop: Stop) -> Sound:
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


def _send(
    sound: Sound,
    rate: int,
    out: Path | None,
    facts: Mapping[str, Any],
    *,
    reverb: Reverb | None,
    stop: Stop,
    **options: Any,
) -> None:
    """Play sound and its reverberation through the sound card, and write it to `out`, if there is one."""
    if reverb:
        sound, facts = reverberated(sound, reverb, stop), {**facts, **reverb.facts}
    heard = _recorded(sound, rate, out, facts) if out else sound
    with contextlib.closing(heard), _outlet(rate, out, **options) as play_block:
        for block in heard:
            play_block(block)


def _recorded(sound: Sound, rate: int, out: Path, facts: Mapping[str, Any]) -> Sound:
    """Yield sound that is also written to a file. The file is whole however the playing ends."""
    with take_file(out, rate, RECORDED_BITS, facts) as file:
        try:
            for block in sound:
                file.write(to_pcm(block, RECORDED_BITS))
                yield block
        except (GeneratorExit, KeyboardInterrupt):  # the sound card failed, or Ctrl-C came twice
            if not file.frames:
                raise
        seconds = file.frames / rate
    log.info(f"{out}: {seconds:.2f} s of what was heard")


@contextlib.contextmanager
def _outlet(rate: int, out: Path | None, **options: Any) -> Iterator[Callable[[NDArray[np.float32]], object]]:
    """Yield a function that plays a block (n,), and waits as a sound card does where there is `out` but no card."""
    with contextlib.ExitStack() as stack:
        try:
            play_block = stack.enter_context(_sound_card(rate, **options))
        except WavewrightError as error:
            if out is None:
                raise
            log.warning(f"{out}: written in real time and not heard: {error}")
            play_block = _pace(rate)
        yield play_block


@contextlib.contextmanager
def _sound_card(rate: int, **options: Any) -> Iterator[Callable[[NDArray[np.float32]], object]]:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: sounddevice finds no PortAudio
        raise WavewrightError(
            f"playing needs sounddevice and PortAudio ({error}): {install('play')},"
            " or pipe `wavewright generate MODEL --out -` into a player"
        ) from None
    try:
        with sounddevice.OutputStream(rate, channels=1, dtype="float32", **options) as card:
            yield lambda block: card.write(block[:, None])
    except sounddevice.PortAudioError as error:
        raise WavewrightError(f"the sound card: {error}; pipe `wavewright generate MODEL --out -` elsewhere") from None


def _pace(rate: int) -> Callable[[NDArray[np.float32]], object]:
    """Return a function that waits until a block is over, when one block after the other is played from now on."""
    over = time.monotonic()

    def wait(block: NDArray[np.float32]) -> None:
        nonlocal over
        over += len(block) / rate
        time.sleep(max(0.0, over - time.monotonic()))

    return wait


def _frames(seconds: float, rate: int, seed: int, bits: int = 16, out: Path | None = None) -> float:
    """Return the number of samples at `rate`, which may be infinite, after checking the arguments."""
    endless = seconds == math.inf
    frames = frames_of(1.0 if endless else seconds, rate, seed, bits)
    if out is not None:
        check_file(out, frames, RECORDED_BITS)
    return math.inf if endless else frames


def _until_full(seconds: float, rate: int, out: Path | None) -> float:
    """Return the length of what is written to `out`. An endless one ends where a WAV file is full."""
    if seconds == math.inf and out is not None and out.suffix.lower() == ".wav":
        return MOST_BYTES * 8 / RECORDED_BITS / rate
    return seconds


def _sound(model: Playable, seconds: float, prime: Prime | None, rate: int, frames: float, **options: Any) -> Sound:
    """Yield blocks (n,) of the sound of one stream, as soon as they are made."""
    if model.config.condition and model.config.condition.decay:
        raise WavewrightError("the model makes impulse responses, which are no stream; write files with --out NAME.wav")
    samples = ENDLESS if seconds == math.inf else samples_for(seconds, model.rate)
    heard = model.quantizer.decoder()
    codes = play(model, samples, prime=heard.follow(prime.codes(model)) if prime else None, live=True, **options)
    for block in sounds(model, codes, count=1, rate=rate, frames=frames, after=heard if prime else None):
        yield block[0]
