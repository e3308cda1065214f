"""Watches a stream while it is made: has it fallen silent, does it stick, has it turned to noise?

A model file does not say how its corpus sounds, so a block is compared with the stream's own healthy past, and only a
long unbroken run of odd blocks is trouble: docs/generation.md has the measurements behind the numbers here.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavewright.metrics import level
from wavewright.quantize import Quantizer

BLOCK = 2048  # samples that are judged together

PAST = 30.0  # seconds of healthy blocks to compare with
WARM = 2.0  # seconds of them from which comparing means something
PATIENCE = {"silent": 10.0, "stuck": 2.0, "noise": 2.0}  # seconds of one fault that are trouble
STILL = 0.3  # standard deviation of codes: nearly all are the same one
STILL_SHARE = 1 / 16  # of the past's median deviation
QUIET = -55.0  # dBFS: quieter than any ten seconds of music at a common level
FALL = 30.0  # dB below the past's median level
MEAN = 0.1  # amplitude: no recording's silence has such an offset
FLAT = -6.0  # dB of spectral flatness; white noise has 0
JUMP = 10.0  # dB that a noise's surprise is above the past's median
COARSE = 2.0  # standard deviation of codes below which the quantiser's own noise is most of what there is
FRAME = 256  # samples of a spectrum

Fault = Literal["silent", "stuck", "noise"]


@dataclass(frozen=True)
class Trouble:
    """What is wrong, in words; for how many blocks; whether there is a healthy past to go back to."""

    what: str
    blocks: int
    past: bool


class Measures(NamedTuple):
    """Of a block: standard deviation of its codes; level in dBFS and mean amplitude; surprise and flatness in dB.

    Spectral flatness is the geometric over the arithmetic mean of the power spectrum. By Kolmogorov's formula it is the
    error of the best linear prediction of the next sample, as a share of the power; the surprise is that error itself.
    """

    spread: float
    level: float
    mean: float
    surprise: float
    flatness: float


NO_PAST = Measures(
    spread=0.0, level=-np.inf, mean=0.0, surprise=-np.inf, flatness=0.0
)  # a block is then judged by itself


def measure(codes: NDArray[np.integer], quantizer: Quantizer) -> Measures:
    """Return the measures of codes (n,); n is FRAME or more."""
    amplitude = quantizer.decode(codes).astype(np.float64)
    mean = amplitude.mean()
    centred = amplitude - mean
    frames = np.lib.stride_tricks.sliding_window_view(centred, FRAME)[:: FRAME // 2]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(FRAME)))[:, 2:-1]  # without what is left of the mean
    power = np.square(spectrum).mean(0) + 1e-9
    surprise = np.log10(power).mean()
    flatness = surprise - np.log10(power.mean())
    return Measures(codes.std(), level(centred)[0], mean, 10 * surprise, 10 * flatness)


class GenerationGuard:
    """Judges the blocks of one stream, in their order.

    Args:
        quantizer: of the codes.
        rate: in Hz.
        heard: codes (n,) of a recording that the stream goes on from: they are healthy.
    """

    def __init__(self, quantizer: Quantizer, rate: int, heard: NDArray[np.integer]) -> None:
        self._quantizer = quantizer
        self._rate = rate / BLOCK  # blocks a second
        self._past: deque[Measures] = deque(maxlen=round(PAST * self._rate) + 1)
        self._fault: Fault | None = None
        self._run = 0
        for start in range(len(heard) % BLOCK, len(heard), BLOCK):
            self._past.append(measure(heard[start : start + BLOCK], quantizer))

    def judge(self, codes: NDArray[np.integer]) -> Trouble | None:
        """The trouble that a block (BLOCK,) completes; with the next block another run begins."""
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
        still = block.spread < max(STILL, STILL_SHARE * usual.spread)
        if still or block.level < max(QUIET, usual.level - FALL):
            return "stuck" if abs(block.mean) > MEAN else "silent"
        if block.spread > COARSE and block.flatness > FLAT and block.surprise > usual.surprise + JUMP:
            return "noise"
        return None
