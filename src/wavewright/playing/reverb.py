"""Mix a sound with its reverberation: a file as a whole, or a stream while it is played.

The direct sound of the reverberation falls together with the sound itself. Else the two would cancel at some
frequencies, as the teeth of a comb.
"""

import itertools
import logging
import math
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavewright.corpus import isolate
from wavewright.corpus.audio import Recording, writing
from wavewright.corpus.inspection import examine
from wavewright.errors import ConfigError, printable
from wavewright.files import atomic_file
from wavewright.playing.convolution import PARTITION, Convolution, Signal
from wavewright.playing.impulse import Impulse, read_impulse
from wavewright.playing.sound import fade_in, fade_samples, to_pcm
from wavewright.playing.takes import check_file
from wavewright.progress import Advance, Progress, silent
from wavewright.signals import Stop

log = logging.getLogger(__name__)

WET = 0.3  # share of the reverberation
FILE_PARTITION = 1 << 13  # samples; a file comes in large blocks, so that longer partitions are faster

# Sample types of files that hold the depth of the sample types that libsndfile reads. All others have 16 bits or less.
DEEP = {
    "PCM_24": "PCM_24",
    "ALAC_20": "PCM_24",
    "ALAC_24": "PCM_24",
    "PCM_32": "PCM_32",
    "ALAC_32": "PCM_32",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
}
BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}


class Reverb:
    """The mixture of a sound and its reverberation, as a function of the sound's next block.

    The state is the sound so far. Without a share of the reverberation, the mixture is the sound, to the bit.

    Args:
        impulse: what reverberates.
        wet: share of the reverberation, 0 to 1.
        channels: channels of the sound.
        partition: see Convolution.

    Attributes:
        channels: channels of the mixture.
        late: samples by which the mixture comes later than the sound, 1 ms at most.
        tail: samples of the mixture after the sound's last, `late` ones among them.
        rate: sample rate, in Hz.
        facts: what reverberates and how much, as JSON values.

    Raises:
        ConfigError: `wet` is out of range, or the channels do not go together.
    """

    def __init__(self, impulse: Impulse, wet: float, channels: int, partition: int = PARTITION) -> None:
        if not 0 <= wet <= 1:
            raise ConfigError(f"--wet {wet:g}: give 0 to 1")
        heard = impulse.taps.shape[1]
        if 1 not in (heard, channels) and heard != channels:
            name = printable(impulse.path)
            raise ConfigError(f"{name}: {heard} channels for a sound of {channels}; give an impulse response of 1")
        taps, self.late = (impulse.taps, impulse.direct) if wet else (np.zeros((1, 1)), 0)
        self.channels = max(channels, taps.shape[1])
        self.tail = len(taps) - 1
        self.rate = impulse.rate
        self.facts: dict[str, Any] = {"impulse": impulse.path.name, "wet": wet}
        self._wet = wet
        self._convolution = Convolution(taps, channels, partition)
        self._waiting = np.zeros((self.late, channels))  # samples of the sound that the direct sound has not reached

    def __call__(self, block: NDArray[np.floating]) -> Signal:
        """Return the next samples (n, channels) of the mixture for the next samples (n, channels) of the sound."""
        dry = np.concatenate((self._waiting, block))
        self._waiting = dry[len(block) :]
        return (1 - self._wet) * dry[: len(block)] + self._wet * self._convolution(block)


def reverberated(
    sound: Iterator[NDArray[np.float32]], reverb: Reverb, stop: Stop
) -> Generator[NDArray[np.float32], None, None]:
    """Yield blocks (n,) of a sound with its reverberation, as soon as they come, and then the tail.

    Where the mixture would pass full scale, it is turned down from there on, and the log says so once. When `stop`
    tells that the work should end, the tail is faded out at once.
    """
    gain = 1.0
    for block in _with_tail(sound, reverb, stop):
        mixture = gain * block
        if (peak := float(np.abs(mixture).max(initial=0.0))) > 1:
            if gain == 1:
                log.warning("the reverberation would pass full scale; the sound is turned down from here on")
            first = int(np.argmax(np.abs(mixture) > 1))
            mixture *= np.interp(np.arange(len(mixture)), (0, first), (1 if first else 1 / peak, 1 / peak))
            gain /= peak
        yield mixture.astype(np.float32)


def _with_tail(sound: Iterator[NDArray[np.float32]], reverb: Reverb, stop: Stop) -> Iterator[Signal]:
    for block in sound:
        yield reverb(block[:, None])[:, 0]
    left, edge = reverb.tail, fade_samples(reverb.rate)
    while left and not stop():
        silence = np.zeros((min(left, PARTITION), 1))
        left -= len(silence)
        yield reverb(silence)[:, 0]
    if left:
        yield reverb(np.zeros((edge, 1)))[:, 0] * fade_in(edge)[::-1]


def reverberate(
    recording: Path,
    impulse: Path,
    out: Path,
    *,
    wet: float = WET,
    tail: float | None = None,
    progress: Progress = silent,
) -> None:
    """Write a recording with its reverberation to `out`, in constant memory.

    The file has the recording's rate and the depth of its samples, where a FLAC file can have it. A mixture that
    would pass full scale is turned down as a whole, and the log says so.

    Args:
        recording: the sound.
        impulse: impulse response of what reverberates. A response of one channel, or a mono sound, meets all channels
            of the other.
        out: a .wav or .flac file. It stays as it was until the new one is whole.
        wet: share of the reverberation, 0 to 1.
        tail: seconds of the impulse response after its direct sound. None means all of it (read_impulse).
        progress: shows the samples of the recording that were read.

    Raises:
        ConfigError: an argument is out of range, or `out` is no such file or one of the others.
        AudioError: the recording or the impulse response cannot be read whole, or the latter is silent or too long.
        WavewrightError: `out` cannot be written.
    """
    for path in (recording, impulse):
        if out.exists() and path.exists() and out.samefile(path):
            raise ConfigError(f"--out {out}: the same file as {path}; name another one")
    found = isolate.one(examine, recording, recording.name)
    room = read_impulse(impulse, found.rate, tail)
    subtype = _subtype(found.format, out)
    frames = round(found.seconds * found.rate)

    def reverb() -> Reverb:
        return Reverb(room, wet, found.channels, FILE_PARTITION)

    made = reverb()
    check_file(out, (frames + made.tail) * made.channels, BITS[subtype])
    with writing(out), atomic_file(out) as temporary:

        def write(gain: float) -> float:
            """Write the file, and return its peak before the gain."""
            options = {"subtype": subtype, "format": out.suffix[1:].upper()}
            with (
                soundfile.SoundFile(temporary, "w", found.rate, made.channels, **options) as file,
                progress(f"reverb of {recording.name}", frames) as advance,
            ):
                peak = 0.0
                for block in _mixture(recording, reverb(), advance):
                    peak = max(peak, float(np.abs(block).max(initial=0.0)))
                    file.write(to_pcm(gain * block, BITS[subtype]) if subtype.startswith("PCM") else gain * block)
                return peak

        if (peak := write(1.0)) > 1:
            log.warning(f"{printable(out)}: turned down by {20 * math.log10(peak):.1f} dB, to stay within full scale")
            write(1 / peak)


def _mixture(recording: Path, reverb: Reverb, advance: Advance) -> Iterator[Signal]:
    """Yield blocks (n, channels) of a recording's mixture, from the recording's first sample to the end of the tail."""
    with Recording(recording) as opened:
        late = reverb.late
        for block in itertools.chain(opened.exact_blocks(), [np.zeros((reverb.tail, opened.channels))]):
            mixture = reverb(block)
            yield mixture[late:]
            late -= min(late, len(block))
            advance(len(block))


def _subtype(format: str, out: Path) -> str:
    """Return the sample type of a file that keeps the depth of a recording of some format, as far as FLAC has it."""
    kept = DEEP.get(format.partition("/")[2], "PCM_16")
    return "PCM_24" if kept != "PCM_16" and out.suffix.lower() == ".flac" else kept
