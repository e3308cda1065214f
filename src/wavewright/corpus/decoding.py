"""Decode one recording in a process of its own: to the corpus's rate, without the quiet at its ends, and measured."""

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.audio import BLOCK, CONVERT, Recording, Samples, mono, resample
from wavewright.corpus.corpus import Source
from wavewright.corpus.impulse import LONGEST, Room, without_decay
from wavewright.corpus.levelling import SILENT, SectionMeter, offsets, peaks
from wavewright.corpus.mixing import SILENCE, Mixdown
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import AudioError, WavewrightError


@dataclass(frozen=True)
class Decoded:
    """A recording in a temporary file of float32, of which the corpus takes every `step`-th sample."""

    file: Path
    source: Source
    step: int
    start: int  # trimmed before the first sample, in samples of the corpus
    frames: int  # length, in samples of the corpus
    meter: SectionMeter  # over all samples between the first and the last, also those that `step` skips
    silent: bool  # throughout, so that it gets no gain of its own
    impulse: Room | None = None  # of an impulse response, whose decay is taken out

    def blocks(self) -> Iterator[Samples]:
        """Return blocks (n,) of the samples for the corpus."""
        start, stop = self.start * self.step, (self.start + self.frames) * self.step
        return (block[:: self.step] for block in _read(self.file, start, stop, BLOCK // self.step * self.step))


def _read(file: Path, start: int, stop: int, size: int = BLOCK) -> Iterator[Samples]:
    """Yield samples `start` to `stop` of a file of float32, in blocks of `size`."""
    with file.open("rb") as source:
        source.seek(4 * start)
        while len(block := np.fromfile(source, np.float32, min(size, stop - start))):
            yield block
            start += len(block)


def decode(path: Path, to: Path, settings: PrepareSettings) -> Generator[None, None, Decoded]:
    """Write `path` at the corpus's rate to `to`, trim and measure it, as a task for `isolate`.

    Raises:
        AudioError: the file cannot be read whole, or cannot be decimated since its rate is no multiple of the corpus's,
            its channels cancel one another, or it is to be an impulse response and is none.
        OSError: `to` cannot be written.
    """
    digest = yield from digest_of(path)
    with Recording(path) as recording, to.open("wb") as out:
        mixdown = Mixdown(settings.channel)
        signal: Iterator[Samples] = map(mixdown.mono, recording.blocks())
        if settings.resample == "decimate":
            step = _step(recording, settings.rate)
        else:
            step, signal = 1, resample(signal, recording.rate, settings.rate)
        whole = SectionMeter(1 << 62)
        for block in signal:
            if not np.isfinite(block).all():  # `recording` gives finite samples only
                raise AudioError(path, f"samples so great that mixing or resampling them overflows; {CONVERT}")
            out.write(block.tobytes())
            whole.add(block)
            yield
    if reason := mixdown.cancelled():
        raise AudioError(path, reason)
    if whole.count == 0:
        raise AudioError(path, f"shorter than one sample at {settings.rate} Hz; leave it out")
    impulse = None
    if settings.impulse_responses:
        impulse, whole = _take_decay_out(path, to, settings.rate)
        yield
    start, stop = sounding(to, whole, settings.trim) if settings.trim else (0, whole.count)
    start -= start % step
    meter = SectionMeter(settings.section * step)  # the thesis levels its sections before it decimates them
    for block in _read(to, start, stop):
        meter.add(block)
        yield
    offset = offsets(meter, settings.levels, settings.remove_dc)
    silent = mixdown.silent() or not (peaks(meter, settings.levels, offset) > SILENT).any()
    left_quiet = silent and settings.levels in ("track", "section")
    notes = (*recording.notes, *filter(None, [mixdown.weak(), SILENCE if left_quiet else None]))
    source = Source(digest, recording.format, recording.rate, recording.channels, notes)
    return Decoded(to, source, step, start // step, -(-meter.count // step), meter, silent, impulse)


def _take_decay_out(path: Path, samples: Path, rate: int) -> tuple[Room, SectionMeter]:
    """Put an impulse response without its decay in the place of its samples, and measure it.

    Raises:
        AudioError: the samples are no impulse response.
    """
    try:
        recording = np.fromfile(samples, np.float32, round(LONGEST * rate) + 1)  # one more than it may have
        sound, impulse = without_decay(recording.astype(np.float64), rate)
    except WavewrightError as error:
        raise AudioError(path, str(error)) from None
    rounded, meter = sound.astype(np.float32), SectionMeter(len(sound))
    rounded.tofile(samples)
    meter.add(rounded)
    return impulse, meter


def mix(path: Path, to: Path, most: int) -> Generator[None, None, int]:
    """Write the mean of the channels of `path` to `to`, in float32 and at its own rate, as a task for `isolate`.

    Returns:
        The rate, in Hz.

    Raises:
        AudioError: the file cannot be read whole, or has more than `most` frames.
        OSError: `to` cannot be written.
    """
    frames = 0
    with Recording(path) as recording, to.open("wb") as out:
        for block in recording.blocks():
            frames += len(block)
            if frames > most:
                raise AudioError(path, f"longer than {most / recording.rate:.1f} s; cut it or leave it out")
            out.write(mono(block, "mix").tobytes())
            yield
    return recording.rate


def rate_of(path: Path) -> Generator[None, None, int]:
    """Return the rate of `path` in Hz, as a task for `isolate`.

    Raises:
        AudioError: the file cannot be opened.
    """
    yield
    with Recording(path) as recording:
        return recording.rate


def sounding(file: Path, whole: SectionMeter, trim: float) -> tuple[int, int]:
    """Return where the samples within `trim` dB of the peak start and stop. Silence is kept whole."""
    centre = float(whole.whole().means()[0])
    peak = max(float(whole.highs()[0]) - centre, centre - float(whole.lows()[0]))
    if peak <= SILENT:
        return 0, whole.count
    quiet = peak * 10 ** (-trim / 20)

    def loud(start: int) -> NDArray[np.intp]:
        (block,) = _read(file, start, min(start + BLOCK, whole.count))
        return start + np.flatnonzero(np.abs(block - centre) > quiet)

    starts = range(0, whole.count, BLOCK)
    first = next(found[0] for found in map(loud, starts) if len(found))
    last = next(found[-1] for found in map(loud, reversed(starts)) if len(found))
    return int(first), int(last) + 1


def _step(recording: Recording, rate: int) -> int:
    if recording.rate % rate:
        reason = f"{recording.rate} Hz is no multiple of {rate} Hz, so it cannot be decimated"
        raise AudioError(recording.path, f"{reason}; use --resample band-limited or another --rate")
    return recording.rate // rate


def digest_of(path: Path) -> Generator[None, None, str]:
    """Return the SHA-256 of a file, as a part of a task for `isolate`. What is no file has none.

    Raises:
        AudioError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if not path.is_file():  # a pipe would block, and `Recording` refuses it with a reason
            return ""
        with path.open("rb") as file:
            while chunk := file.read(1 << 22):
                digest.update(chunk)
                yield
    except OSError as error:
        raise AudioError(path, f"not readable ({error.strerror}); check its permissions") from None
    return digest.hexdigest()
