"""Make a corpus of audio files in two passes.

The first pass decodes, resamples and measures each file. The second pass levels and writes them all. In between, each
recording lies in a temporary float32 file, so memory does not grow with the length of a file.
"""

import contextlib
import hashlib
import importlib.metadata
import logging
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wavewright import files
from wavewright.corpus import isolate, splits
from wavewright.corpus.audio import BLOCK, Recording, Samples, mono, resample
from wavewright.corpus.corpus import FORMAT, INDEX, Contents, Corpus, Refused, Source, Track, samples_file
from wavewright.corpus.discovery import Found, find
from wavewright.corpus.levelling import (
    SILENT,
    SectionMeter,
    Signal,
    apply_gain,
    gains,
    limit,
    offsets,
    peaks,
    round_to_int16,
)
from wavewright.corpus.settings import SPLITS, PrepareSettings, SplitName, parse_levelling
from wavewright.errors import AudioError, WavewrightError
from wavewright.progress import Progress, silent
from wavewright.quantize import to_amplitude

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoded:
    """A recording in a temporary file of float32, of which the corpus takes every `step`-th sample."""

    file: Path
    source: Source
    step: int
    start: int  # trimmed before the first sample, in samples of the corpus
    frames: int  # length, in samples of the corpus
    meter: SectionMeter  # over all samples between the first and the last, also those that `step` skips

    def blocks(self) -> Iterator[Samples]:
        """Return blocks (n,) of the samples for the corpus."""
        start, stop = self.start * self.step, (self.start + self.frames) * self.step
        return (block[:: self.step] for block in _read(self.file, start, stop, BLOCK // self.step * self.step))


@dataclass(frozen=True)
class Levelling:
    """The levelling of a decoded recording to int16, that is `Corpus.levelling()` as an object."""

    settings: PrepareSettings
    common_gain: float | None = None

    def factors(self, decoded: Decoded) -> tuple[Signal, Signal]:
        """Return the gain and the offset, each one value or one per section."""
        levels = self.settings.levels
        offset = offsets(decoded.meter, levels, self.settings.remove_dc)
        if levels == "none":
            return np.ones(1), offset
        if self.common_gain is not None:
            return np.array([self.common_gain]), offset
        return gains(peaks(decoded.meter, levels, offset)), offset

    def apply(self, decoded: Decoded) -> Iterator[tuple[NDArray[np.int16], NDArray[np.bool_]]]:
        """Return blocks of samples, each with a mask of the clipped ones."""
        gain, offset = self.factors(decoded)
        signal = apply_gain(decoded.blocks(), gain, offset, self.settings.section)
        if self.settings.limiter is not None:
            signal = limit(signal, self.settings.rate, self.settings.limiter)
        return round_to_int16(signal)


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
        AudioError: the file cannot be read whole, or cannot be decimated since its rate is no multiple of the corpus's.
        OSError: `to` cannot be written.
    """
    digest = yield from _sha256(path)
    with Recording(path) as recording, to.open("wb") as out:
        signal: Iterator[Samples] = (mono(block, settings.channel) for block in recording.blocks())
        if settings.resample == "decimate":
            step = _step(recording, settings.rate)
        else:
            step, signal = 1, resample(signal, recording.rate, settings.rate)
        whole = SectionMeter(1 << 62)
        for block in signal:
            out.write(block.tobytes())
            whole.add(block)
            yield
    if whole.count == 0:
        raise AudioError(path, f"shorter than one sample at {settings.rate} Hz; leave it out")
    start, stop = _sounding(to, whole, settings.trim) if settings.trim else (0, whole.count)
    start -= start % step
    meter = SectionMeter(settings.section * step)  # the thesis levels its sections before it decimates them
    for block in _read(to, start, stop):
        meter.add(block)
        yield
    notes = tuple(recording.notes)
    source = Source(digest, recording.format, recording.rate, recording.channels, notes)
    return Decoded(to, source, step, start // step, -(-meter.count // step), meter)


def _sounding(file: Path, whole: SectionMeter, trim: float) -> tuple[int, int]:
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


def _sha256(path: Path) -> Generator[None, None, str]:
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


def prepare(
    paths: Sequence[Path], out: Path, settings: PrepareSettings, workers: int = 1, progress: Progress = silent
) -> Corpus:
    """Make the corpus `out` of all audio below `paths`, decoding in `workers` processes.

    The same recordings and settings give the same bytes. An older corpus is replaced only once the new one is complete.

    Raises:
        WavewrightError: there is no readable audio, or `out` holds other files or cannot be written.
    """
    _check_out(out)
    candidates, _ = find(paths, exclude=out)
    chosen, left_out = splits.choose(candidates, settings.splits)
    with files.atomic_folder(out) as folder, _scratch(folder) as scratch:
        decoded, refused = _decode_all(chosen, scratch, settings, workers, progress)
        _check_lengths(decoded, refused, paths, settings)
        contents = _write(folder, decoded, settings, progress)
        contents = Contents(**{**vars(contents), "refused": refused, "left_out": left_out})
        files.write_json(folder / INDEX, contents.as_json())
    return Corpus.open(out)


def _check_out(out: Path) -> None:
    if out.is_dir():
        ours = {INDEX, *(samples_file(out, split).name for split in SPLITS)}
        others = sorted({file.name for file in out.iterdir()} - ours)
        if others or (any(out.iterdir()) and not (out / INDEX).exists()):
            raise WavewrightError(f"{out}: holds other files ({', '.join(others[:3])}); choose another --out")
    elif out.exists():
        raise WavewrightError(f"{out}: is a file; choose another --out")


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        yield Path(scratch)


def _decode_all(
    chosen: Sequence[Found], scratch: Path, settings: PrepareSettings, workers: int, progress: Progress
) -> tuple[dict[str, Decoded], tuple[Refused, ...]]:
    """Return the decoded recordings by name, and the refused ones without files that only might be audio."""
    jobs = [(file.path, scratch / f"{i}.f32", settings) for i, file in enumerate(chosen)]
    with progress("decoding", len(jobs)) as advance:
        results = isolate.each(decode, jobs, workers, advance)
    refused = [
        Refused(file.name, result.reason)
        for file, result in zip(chosen, results, strict=True)
        if isinstance(result, AudioError) and file.certain
    ]
    decoded = {f.name: r for f, r in zip(chosen, results, strict=True) if isinstance(r, Decoded)}
    for one in refused:
        if settings.splits is not None:
            raise WavewrightError(f"{one.name}: {one.reason} (it is listed in the splits)")
        log.warning(f"refused {one.name}: {one.reason}")
    return decoded, tuple(refused)


def _check_lengths(
    decoded: dict[str, Decoded], refused: Sequence[Refused], paths: Sequence[Path], settings: PrepareSettings
) -> None:
    if not decoded:
        where = ", ".join(str(path) for path in paths)
        why = f"; {len(refused)} refused, the first: {refused[0].reason}" if refused else ""
        raise WavewrightError(f"{where}: no readable audio{why}")
    longest = max(one.frames for one in decoded.values()) / settings.rate
    if longest * settings.rate < settings.section:
        fitting = float(f"{longest / 2:.1g}")
        raise WavewrightError(
            f"the longest track is {longest:.3g} s, a section is {settings.section_seconds:g} s:"
            f" use --section-seconds {fitting:g}"
        )


def _write(folder: Path, decoded: dict[str, Decoded], settings: PrepareSettings, progress: Progress) -> Contents:
    levelling = Levelling(settings, _common_gain(decoded, settings))
    stretches = splits.assign({name: one.frames for name, one in decoded.items()}, settings)
    tracks: list[Track] = []
    with contextlib.ExitStack() as stack, progress("writing", len(decoded)) as advance:
        outputs = {split: stack.enter_context(samples_file(folder, split).open("wb")) for split in SPLITS}
        for name, one in decoded.items():
            tracks += _write_track(outputs, name, one, stretches[name], levelling)
            one.file.unlink()
            advance()
        frames = {split: file.tell() // 2 for split, file in outputs.items()}
    tracks.sort(key=lambda track: (SPLITS.index(track.split), track.start))
    common = (settings.rate, settings.section, frames, levelling.common_gain)
    return Contents(FORMAT, importlib.metadata.version("wavewright"), settings, *common, tuple(tracks), (), ())


def _common_gain(decoded: dict[str, Decoded], settings: PrepareSettings) -> float | None:
    if settings.levels != "corpus":
        return None
    loudest = [peaks(one.meter, "corpus", offsets(one.meter, "corpus", settings.remove_dc)) for one in decoded.values()]
    return float(gains(np.max(loudest, axis=0))[0])


def _write_track(
    outputs: Mapping[SplitName, BinaryIO],
    name: str,
    decoded: Decoded,
    stretches: Sequence[splits.Stretch],
    levelling: Levelling,
) -> list[Track]:
    """Append the stretches of a recording to the files of their splits."""
    starts = [outputs[stretch.split].tell() // 2 for stretch in stretches]
    position, clipped = 0, [0] * len(stretches)
    for block, over in levelling.apply(decoded):
        for i, stretch in enumerate(stretches):
            part = slice(max(stretch.start - position, 0), max(stretch.stop - position, 0))
            outputs[stretch.split].write(block[part].tobytes())
            clipped[i] += int(np.count_nonzero(over[part]))
        position += len(block)
    return [
        Track(
            name,
            decoded.source,
            s.split,
            decoded.start + s.start,
            start,
            len(s),
            beyond,
            *_factors(decoded, s, levelling),
        )
        for s, start, beyond in zip(stretches, starts, clipped, strict=True)
    ]


def _factors(
    decoded: Decoded, stretch: splits.Stretch, levelling: Levelling
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the gain and offset of a stretch, or those of its sections where each section has its own."""
    gain, offset = levelling.factors(decoded)
    if len(gain) > 1:
        section = levelling.settings.section
        part = slice(stretch.start // section, -(-stretch.stop // section))
        gain, offset = gain[part], offset[part]
    return tuple(gain.tolist()), tuple(offset.tolist())


def audio_like_corpus(path: Path, levelling: dict[str, Any]) -> Iterator[NDArray[np.float32]]:
    """Yield blocks (n,) of a recording, resampled and levelled like the corpus whose `levelling()` is given.

    The amplitudes are those of 16-bit samples, so that they become the same codes as a corpus's samples.

    Raises:
        AudioError: on the first block, where the recording cannot be read whole.
    """
    settings, common_gain = parse_levelling(levelling)
    with tempfile.TemporaryDirectory(prefix="wavewright-") as folder:
        (result,) = isolate.each(decode, [(path, Path(folder) / "0.f32", settings)], workers=1)
        if isinstance(result, AudioError):
            raise result
        for block, _ in Levelling(settings, common_gain).apply(result):
            yield to_amplitude(block)
