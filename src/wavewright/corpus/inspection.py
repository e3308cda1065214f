"""Inspect every audio file below some paths, and say why some cannot be read."""

import hashlib
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wavewright.conditioning.alignment import Alignment
from wavewright.corpus import isolate, scores
from wavewright.corpus.audio import Recording, Samples
from wavewright.corpus.copies import find_copies
from wavewright.corpus.corpus import Refused
from wavewright.corpus.discovery import count_kinds, find
from wavewright.corpus.mixing import Mixdown
from wavewright.errors import AudioError
from wavewright.metrics import Meter
from wavewright.progress import Progress, silent

FULL_SCALE = 32767 / 32768  # the greatest 16-bit sample; 24-bit and float samples count as clipped from here, too
SILENCE = 1e-3  # -60 dBFS
SILENCE_SECONDS = 0.05


@dataclass(frozen=True)
class Inspected:
    """Measures of one recording over all its channels."""

    name: str
    format: str
    rate: int  # Hz
    channels: int
    seconds: float
    peak: float  # greatest absolute amplitude; 1 is full scale
    rms_dbfs: float | None  # root mean square, dB below a full-scale square wave; None for digital silence
    dc: float  # the mean of the channel where it is farthest from 0
    clipped: int  # samples at or beyond full scale
    silence_seconds: float  # in stretches of 50 ms that stay below -60 dBFS in every channel
    notes: tuple[str, ...]  # oddities, the same as in a corpus that `prepare` makes with its defaults
    sha256: str  # of the samples mixed to one channel, at the recording's own rate
    score: Alignment | None = None  # of the score beside it; `notes` tells why a score is not used


@dataclass(frozen=True)
class Report:
    """The result of `inspect`. `passed_over` counts hidden files and files of other kinds, and `kinds` counts each."""

    files: tuple[Inspected, ...]
    refused: tuple[Refused, ...]
    passed_over: int
    kinds: dict[str, int]
    seconds: float
    clipped: int


def _silent_frames(loudness: Samples, rate: int) -> int:
    """Count the frames of a block's stretches that stay silent in every channel."""
    starts = np.arange(0, len(loudness), max(1, round(SILENCE_SECONDS * rate)))
    quiet = np.maximum.reduceat(loudness.max(axis=1), starts) < SILENCE
    return int(np.diff(starts, append=len(loudness))[quiet].sum())


def examine(path: Path, name: str) -> Generator[None, None, Inspected]:
    """Read the whole of `path` and measure it, as a task for `isolate`.

    Raises:
        AudioError: the file cannot be read whole.
    """
    meter, mixdown, clipped, silent, digest = Meter(), Mixdown("mix"), 0, 0, hashlib.sha256()
    with Recording(path) as recording:
        rate, channels = recording.rate, recording.channels
        for block in recording.blocks():
            meter.add(block)
            digest.update(mixdown.mono(block).tobytes())
            loudness = np.abs(block)
            clipped += int(np.count_nonzero(loudness >= FULL_SCALE))
            silent += _silent_frames(loudness, rate)
            yield
    rms = math.sqrt(meter.squares / (meter.frames * channels))
    return Inspected(
        name=name,
        format=recording.format,
        rate=rate,
        channels=channels,
        seconds=meter.frames / rate,
        peak=float(max(meter.high.max(), -meter.low.min())),
        rms_dbfs=20 * math.log10(rms) if rms > 0 else None,
        dc=float(max(meter.mean, key=abs)),
        clipped=clipped,
        silence_seconds=silent / rate,
        notes=(*recording.notes, *mixdown.notes()),
        sha256=digest.hexdigest(),
    )


def inspect(paths: Sequence[Path], workers: int = 1, progress: Progress = silent) -> Report:
    """Read every audio file at and below `paths`, and the scores beside them, in `workers` processes.

    Raises:
        WavewrightError: a path does not exist.
    """
    everything, hidden = find(paths)
    found = [file for file in everything if not scores.is_score(file.path)]
    with progress("inspecting", len(found)) as advance:
        results = isolate.each(examine, [(file.path, file.name) for file in found], workers, advance)
    healthy = _note_copies([result for result in results if isinstance(result, Inspected)])
    refused = tuple(
        Refused(file.name, result.reason)
        for file, result in zip(found, results, strict=True)
        if isinstance(result, AudioError) and file.certain
    )
    read = {one.name for one in healthy}
    beside = scores.beside(file for file in found if file.name in read)
    healthy = _with_scores(healthy, {file.name: file.path for file in found}, beside, workers, progress)
    kinds = count_kinds(scores.passed_over(everything, read, beside), hidden)
    seconds, clipped = sum(one.seconds for one in healthy), sum(one.clipped for one in healthy)
    return Report(healthy, refused, sum(kinds.values()), kinds, seconds, clipped)


def _with_scores(
    files: Sequence[Inspected],
    paths: Mapping[str, Path],
    beside: Mapping[str, Sequence[Path]],
    workers: int,
    progress: Progress,
) -> tuple[Inspected, ...]:
    """Return the same with how the scores beside them fit, or why a score is not used."""
    if not beside:
        return tuple(files)
    with progress("aligning", len(beside)) as advance:
        jobs = [(first, paths[name], others) for name, (first, *others) in beside.items()]
        results = dict(zip(beside, isolate.each(scores.match_recording, jobs, workers, advance), strict=True))

    def scored(one: Inspected) -> Inspected:
        result = results.get(one.name)
        if isinstance(result, scores.Matched):
            return replace(one, score=result.alignment, notes=(*one.notes, *result.notes()))
        if result is not None:
            return replace(one, notes=(*one.notes, scores.not_used(beside[one.name][0], result.reason)))
        return one

    return tuple(map(scored, files))


def _note_copies(files: Sequence[Inspected]) -> tuple[Inspected, ...]:
    """Return the same with a note on every recording that has the same samples as another."""
    copies = find_copies({one.name: (one.rate, one.sha256) for one in files})
    note = {name: (f"the same samples as {kept}, so `prepare` leaves it out",) for name, kept in copies.items()}
    return tuple(replace(one, notes=one.notes + note.get(one.name, ())) for one in files)
