"""What rounding to 8-bit mu-law codes costs with emphasis and without, on the recordings of a corpus.

    .venv/bin/python benchmarks/emphasis.py CORPUS [SPLIT]

Every recording is encoded and decoded, and the difference is the noise. Powers are in dB below the recordings' own.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.corpus import Corpus
from wavewright.metrics import zero_order_entropy
from wavewright.quantize import Quantizer, to_amplitude

EMPHASES = (0.0, 0.7, 0.85, 0.95)
FRAME = 2048  # samples of a spectrum
HIGH = 5000.0  # Hz
QUIET = 0.1  # share of the frames that are the quietest
CLIPPED = (0, 255)  # the codes at both ends


def main(path: Path, split: str = "valid") -> None:
    """Measure and print."""
    corpus = Corpus.open(path)
    reader, hertz = corpus.reader(split), np.fft.rfftfreq(FRAME, 1 / corpus.rate)
    tracks = [(track.start, track.start + track.frames) for track in corpus.tracks_of(split)]
    heard, high = weights(hertz), hertz >= HIGH
    music = np.concatenate([frames(to_amplitude(reader[start:stop])) for start, stop in tracks])
    quiet = music.sum(1) <= np.quantile(music.sum(1), QUIET)
    print(f"{len(reader) / corpus.rate:.0f} s of {split}; music above 5 kHz: {decibels(music[:, high], music):.1f} dB")
    print("emphasis  SNR  noise above 5 kHz  A-weighted noise  noise in quiet  clipped per million  offset  entropy")
    for emphasis in EMPHASES:
        quantizer, parts, clipped, offset = Quantizer(256, "mu-law", emphasis), [], 0, 0.0
        for start, stop in tracks:
            codes = quantizer.encode_part(reader, start, stop)
            difference = quantizer.decode(codes).astype(np.float64) - to_amplitude(reader[start:stop])
            parts.append(frames(difference))
            clipped += int(np.isin(codes, CLIPPED).sum())
            offset += difference.sum()
        noise = np.concatenate(parts)
        print(
            f"{emphasis:8} {-decibels(noise, music):4.1f} {decibels(noise[:, high], music):18.1f}"
            f" {decibels(noise * heard, music * heard):17.1f} {decibels(noise[quiet], music[quiet]):15.1f}"
            f" {1e6 * clipped / len(reader):20.1f} {offset / len(reader):7.0e}"
            f" {zero_order_entropy(reader, quantizer):8.2f}"
        )


def frames(sound: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the power spectra (N, FRAME / 2 + 1) of frames under a Hann window, without overlap."""
    whole = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return np.abs(np.fft.rfft(whole * np.hanning(FRAME))) ** 2


def weights(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the A-weighting of powers at frequencies (IEC 61672-1, annex E)."""
    f = hertz**2
    return (
        12194**2 * f**2 / ((f + 20.6**2) * np.sqrt((f + 107.7**2) * (f + 737.9**2)) * (f + 12194**2))
    ) ** 2 * 10**0.2


def decibels(power: NDArray[np.float64], beside: NDArray[np.float64]) -> float:
    """Return one sum of powers over another, in dB."""
    return float(10 * np.log10(power.sum() / beside.sum()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
