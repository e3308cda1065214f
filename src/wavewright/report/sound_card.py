"""Make a card of the page from a sound, with audio, waveform, spectrogram and a line of facts."""

import base64
import io
import json
from dataclasses import dataclass, replace

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavewright.metrics import loudness
from wavewright.report.drawing import envelope
from wavewright.report.format import minus, signed
from wavewright.report.reading import Sound

COLUMNS = 320  # of a waveform
LONGEST = 15.0  # seconds; longer sounds are cut, so that the page stays small
FRAME = 256  # samples in a column of a spectrogram
QUIET, LOUD = -90.0, -15.0  # dBFS of a spectrogram's darkest and brightest colour


@dataclass(frozen=True)
class SoundCard:
    """A card as the template takes it.

    `peaks` is for wavesurfer, and `outline` is an SVG path in a box of COLUMNS by 200.
    """

    title: str
    facts: str
    seconds: float
    limit: str
    audio: str
    peaks: str
    outline: str
    spectrogram: str


def sound_card(sound: Sound) -> SoundCard:
    """Return the card of a sound, or of its first LONGEST seconds."""
    whole = len(sound.samples) / sound.rate
    sound = replace(sound, samples=sound.samples[: round(LONGEST * sound.rate)])
    low, high = envelope(sound.samples, COLUMNS)
    return SoundCard(
        title=sound.title,
        facts=_facts(sound, whole),
        seconds=len(sound.samples) / sound.rate,
        limit=f"{sound.rate / 2000:.3g} kHz",
        audio=_data_uri("audio/flac", _flac(sound)),
        peaks=json.dumps([[round(float(v), 2) for v in side] for side in (high.clip(0, 1), (-low).clip(0, 1))]),
        outline=_outline(low, high),
        spectrogram=_data_uri("image/webp", _spectrogram(sound.samples)),
    )


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _facts(sound: Sound, whole: float) -> str:
    rms, mean = loudness(sound.samples)
    made = [f"step {sound.step:,}"] if sound.step is not None else []
    made += [f"{sound.minutes:.3g} min"] if sound.minutes is not None else []
    length = f"the first {LONGEST:g} of {whole:.3g} s" if whole > LONGEST else f"{whole:.3g} s"
    return " · ".join([*made, length, minus(f"{rms:.1f} dBFS"), f"DC {signed(mean)}"])


def _flac(sound: Sound) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound.samples.clip(-1, 1), sound.rate, "PCM_16", format="FLAC")
    return buffer.getvalue()


def _outline(low: NDArray[np.float32], high: NDArray[np.float32]) -> str:
    """Return a path along the top from left to right, and back along the bottom."""
    scale = COLUMNS / max(1, len(low) - 1)
    points = [*enumerate(high), *reversed(list(enumerate(low)))]
    return "M" + "L".join(f"{i * scale:.0f} {100 - 100 * float(np.clip(v, -1, 1)):.0f}" for i, v in points) + "Z"


def _spectrogram(samples: NDArray[np.float32]) -> bytes:
    """Return a WebP image with FRAME / 2 + 1 rows, the lowest frequency at the bottom, and about 500 columns."""
    from matplotlib.image import imsave
    from scipy.signal import ShortTimeFFT

    padded = np.pad(samples, (0, max(0, FRAME - len(samples))))
    window = np.hanning(FRAME)
    transform = ShortTimeFFT(window, hop=max(1, len(padded) // 500), fs=1, scale_to="magnitude")
    spectrum = np.abs(transform.stft(padded, p0=0, p1=-(-len(padded) // transform.hop)))
    decibel = 20 * np.log10(np.maximum(2 * spectrum, 1e-6))
    buffer = io.BytesIO()
    imsave(
        buffer,
        decibel,
        cmap="magma",
        vmin=QUIET,
        vmax=LOUD,
        origin="lower",
        format="webp",
        pil_kwargs={"quality": 60},
    )
    return buffer.getvalue()
