"""Watch a stream while it is generated, and find where it falls silent, sticks or turns to noise.

A model file does not say how its corpus sounds, so a block is compared with the stream's own healthy past. Only a long
unbroken run of odd blocks is trouble. The numbers here were measured (docs/log/2026-11-26-guard-false-alarms.md).
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavewright.metrics import loudness
from wavewright.quantize import Quantizer

BLOCK = 2048  # samples that are judged together

PAST = 30.0  # seconds of healthy blocks to compare with
WARM = 2.0  # least seconds of healthy blocks for a comparison
PATIENCE = {"silent": 10.0, "stuck": 2.0, "noise": 2.0}  # seconds of one fault before the guard acts
STILL = 0.3  # standard deviation of codes; below it nearly all codes are equal
STILL_SHARE = 1 / 16  # of the past's median deviation
QUIET = -55.0  # dBFS; quieter than any ten seconds of music at a common loudness
FALL = 30.0  # dB below the past's median loudness
MEAN = 0.1  # amplitude; no recording's silence has such an offset
FLAT = -6.0  # dB of spectral flatness; white noise has 0
JUMP = 10.0  # dB by which the surprise of noise is above the past's median
COARSE = 2.0  # standard deviation of codes; below it the quantiser's own noise dominates
FRAME = 256  # samples of a spectrum

Fault = Literal["silent", "stuck", "noise"]


@dataclass(frozen=True)
class Trouble:
    """A fault in words, its length in blocks, and whether there is a healthy past to roll back to."""

    what: str
    blocks: int
    past: bool


class Measures(NamedTuple):
    """The measures of a block.

    Spectral flatness is the geometric over the arithmetic mean of the power spectrum. By Kolmogorov's formula, this is
    the error of the best linear prediction of the next sample, as a share of the power. The surprise is that error.

    Attributes:
        spread: standard deviation of the codes.
        loudness: without the mean, in dBFS.
        mean: mean amplitude.
        surprise: error of the best linear prediction, in dB.
        flatness: spectral flatness, in dB.
    """

    spread: float
    loudness: float
    mean: float
    surprise: float
    flatness: float


NO_PAST = Measures(
    spread=0.0, loudness=-np.inf, mean=0.0, surprise=-np.inf, flatness=0.0
)  # with these, a block is judged by itself


def measure(codes: NDArray[np.integer], quantizer: Quantizer) -> Measures:
    """Return the measures of codes (n,), where n is FRAME or more.

    With emphasis, a block in the midst of a stream begins with a transient, since it is decoded as if it began after
    silence. The transient falls by the emphasis with every sample, and is harmless.
    """
    amplitude = quantizer.decode(codes).astype(np.float64)
    mean = amplitude.mean()
    centred = amplitude - mean
    frames = np.lib.stride_tricks.sliding_window_view(centred, FRAME)[:: FRAME // 2]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(FRAME)))[:, 2:-1]  # without the lowest bins, which leak the mean
    power = np.square(spectrum).mean(0) + 1e-9
    surprise = np.log10(power).mean()
    flatness = surprise - np.log10(power.mean())
    return Measures(codes.std(), loudness(centred)[0], mean, 10 * surprise, 10 * flatness)


def is_silent(block: Measures, usual: Measures = NO_PAST) -> bool:
    """Return whether a block is silent, by itself or beside the usual measures of its stream."""
    still = block.spread < max(STILL, STILL_SHARE * usual.spread)
    return still or block.loudness < max(QUIET, usual.loudness - FALL)


class GenerationGuard:
    """A judge of the blocks of one stream, in their order.

    Args:
        quantizer: quantiser of the codes.
        rate: sample rate, in Hz.
        primed: codes (n,) of a recording that the stream continues, which count as healthy.
    """

    def __init__(self, quantizer: Quantizer, rate: int, primed: NDArray[np.integer]) -> None:
        self._quantizer = quantizer
        self._rate = rate / BLOCK  # blocks a second
        self._past: deque[Measures] = deque(maxlen=round(PAST * self._rate) + 1)
        self._fault: Fault | None = None
        self._run = 0
        for start in range(len(primed) % BLOCK, len(primed), BLOCK):
            self._past.append(measure(primed[start : start + BLOCK], quantizer))

    def judge(self, codes: NDArray[np.integer]) -> Trouble | None:
        """Return the trouble that a block (BLOCK,) completes, or None. A new run begins after trouble."""
        block = measure(codes, self._quantizer)
        warm = len(self._past) >= WARM * self._rate
        fault = self._fault_of(block, warm)
        self._run = self._run + 1 if fault == self._fault else 1
        self._fault = fault
        if fault is None:
            self._past.append(block)
        elif self._run >= PATIENCE[fault] * self._rate:
            self._fault = None
            return Trouble(f"stuck at {block.mean:+.2f}" if fault == "stuck" else fault, self._run, warm)
        return None

    def _fault_of(self, block: Measures, warm: bool) -> Fault | None:
        usual = Measures(*np.median(self._past, axis=0)) if warm else NO_PAST
        if is_silent(block, usual):
            return "stuck" if abs(block.mean) > MEAN else "silent"
        if block.spread > COARSE and block.flatness > FLAT and block.surprise > usual.surprise + JUMP:
            return "noise"
        return None
