"""Read audio files as blocks of float32 samples, to their true end and in constant memory, and resample them.

libsndfile decodes, but its frame counts are not trusted (see `Recording`). Hostile files belong in `isolate`.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from wavewright.corpus.lengths import Lengths, lengths
from wavewright.corpus.tags import Flac, mp3_pipe
from wavewright.errors import AudioError, WavewrightError

Channel = Literal["mix", "left", "right"]
Samples = NDArray[np.float32]

BLOCK = 1 << 18  # samples per block, all channels together: 1 MB
CONVERT = "convert it to WAV or FLAC, or leave it out"
# A file with one of these extensions is refused with a reason where it cannot be read, never passed over.
EXTENSIONS = frozenset(
    f".{name}"
    for names in (
        "wav wave w64 rf64 bwf aif aiff aifc flac ogg oga opus mp1 mp2 mp3 caf au snd raw voc",
        "m4a m4b m4p m4r mp4 aac aax alac wma ape wv tta tak shn mpc ac3 dts amr spx dsf dff",
        "3ga 3gp avi flv mka mkv mov mpeg mpg weba webm wmv",  # video, too, of which a user may want the sound
    )
    for name in names.split()
)

PAGE, FIRST_PAGE, LAST_PAGE = b"OggS\0", 2, 4  # an Ogg page: capture pattern and version, flags


class _Stream(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that is only read forwards. A seekable one seeks after each read and stops where the header says."""

    def seekable(self) -> bool:
        return False


class Recording:
    """An audio file open for reading, as a context manager.

    Attributes:
        path: where the file is.
        rate: sample rate, in Hz.
        channels: number of channels.
        format: container and sample type, such as "FLAC/PCM_16".
        notes: oddities that left the audio readable, complete once `blocks` has ended.

    Raises:
        AudioError: on opening, and from `blocks`, where the file cannot be read whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        if not os.path.isfile(path):  # a pipe or device would block for ever
            raise AudioError(path, "not a file" if os.path.lexists(path) else "no such file")
        self._flac: Flac | None = None
        self._lengths: Lengths | None = None
        self._file = self._open()
        self.rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.format = f"{self._file.format}/{self._file.subtype}"

    def _open(self) -> Any:
        try:
            path_size = self.path.stat().st_size
            if path_size == 0:
                raise AudioError(self.path, "an empty file; leave it out")
            file = _Stream(os.fsencode(self.path))
            if file.format == "MP3":
                file.close()
                file = _Stream(mp3_pipe(self.path))
            if file.format == "FLAC":
                file.close()
                self._flac = Flac(self.path)
                file = _Stream(self._flac)
            with self.path.open("rb") as source:
                self._lengths = lengths(source)
            return file
        except (OSError, TypeError, ValueError, soundfile.SoundFileRuntimeError) as error:
            raise AudioError(self.path, f"not readable ({_cause(error)}); {CONVERT}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._flac:
            self._flac.close()

    def blocks(self) -> Iterator[Samples]:
        """Yield all frames in blocks (n, channels) of finite amplitudes. Amplitudes beyond [-1, 1] stay as they are."""
        return self._blocks("float32")

    def exact_blocks(self) -> Iterator[NDArray[np.float64]]:
        """Yield the same in float64, which holds every sample of 32 bits as it is."""
        return self._blocks("float64")

    def _blocks(self, dtype: str) -> Iterator[NDArray[Any]]:
        size, frames, last = max(1, BLOCK // self.channels), 0, self._last()
        pages = self._check_ogg() if self._file.format == "OGG" else iter(())
        while len(block := self._read(min(size, last - frames), dtype)):
            if not np.isfinite(block).all():
                at = (frames + int(np.argmin(np.isfinite(block).all(axis=1)))) / self.rate
                raise AudioError(self.path, f"NaN or infinite samples, the first at {at:.3f} s; {CONVERT}")
            frames += len(block)
            yield block
            for _ in itertools.islice(pages, 1000):  # check ahead of the decoder without delaying blocks for long
                pass
        for _ in pages:
            pass
        self._check_length(frames)

    def _read(self, frames: int, dtype: str) -> NDArray[Any]:
        try:
            return self._file.read(frames, dtype=dtype, always_2d=True)
        except (soundfile.SoundFileRuntimeError, OSError, ValueError) as error:
            raise AudioError(self.path, f"damaged ({_cause(error)}); {CONVERT}") from None

    def _check_length(self, frames: int) -> None:
        """Note where the header tells of another length than the file holds, or refuse a file without samples."""
        found = Lengths(self._flac.promised, frames, frames) if self._flac else self._lengths
        told, there = (found.told, found.there) if found else (0, 0)
        if frames == 0:
            more = f", though {there} bytes of them may follow" if there else ""
            raise AudioError(self.path, f"holds no samples, or its header says so{more}; repair it or leave it out")
        if there < told:
            unit = "frames" if self._flac else "bytes of samples"
            self.notes.append(f"truncated: {there} of {told} {unit} are there")
        elif told:
            read = frames / self.rate
            whole = self._file.format in ("FLAC", "W64")
            header, file = (read * told / there, read) if whole else (read, read * there / told)
            rest = "all of them are read" if whole else "only the first are read, so repair the header"
            if file - header >= 0.01:
                self.notes.append(f"the header tells of {header:.2f} s and the file holds {file:.2f} s; {rest}")

    def _last(self) -> int:
        """Return the number of frames to read at most. In W64, libsndfile takes later chunks for samples, too."""
        if self._file.format == "W64" and self._lengths and self._lengths.rest:
            return -(-int(self._file.frames) * self._lengths.there // self._lengths.rest)
        return 1 << 62

    def _check_ogg(self) -> Iterator[None]:
        """Check one Ogg page a step, since libsndfile reads only the first of several streams joined in one file.

        Raises:
            AudioError: there are several streams. Raised at the last step.
        """
        links, heads, flags, position = 0, False, 0, 0
        with self.path.open("rb") as file:
            while (position := _find_page(file, position)) >= 0:
                header = file.read(27)
                sizes = file.read(header[26])
                flags = header[5]
                first = bool(flags & FIRST_PAGE)
                links += first and not heads  # streams that play together have their first pages side by side
                heads = first
                position += len(header) + len(sizes) + sum(sizes)
                yield
        if links > 1:
            reason = f"{links} Ogg streams joined in one file, of which only the first can be read; {CONVERT}"
            raise AudioError(self.path, reason)
        if not flags & LAST_PAGE:
            self.notes.append("truncated: no end-of-stream page")


def _cause(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".:")


def _find_page(file: BinaryIO, position: int) -> int:
    """Return where the next Ogg page at or after `position` begins, with `file` at that place, or -1."""
    while True:
        file.seek(position)
        chunk = file.read(27)
        if len(chunk) < 27:
            return -1
        if chunk.startswith(PAGE):
            file.seek(position)
            return position
        chunk += file.read(1 << 16)  # junk between pages
        found = chunk.find(PAGE, 1)
        position += found if found > 0 else len(chunk) - len(PAGE) + 1


def mono(block: Samples, channel: Channel) -> Samples:
    """Return one channel (n,) of a block (n, channels). A mono file has only one, whatever is asked for."""
    if channel == "mix":
        return np.asarray(block.mean(axis=1), np.float32)
    return block[:, 1 if channel == "right" and block.shape[1] > 1 else 0]


def resample(blocks: Iterable[Samples], source: int, target: int) -> Iterator[Samples]:
    """Yield blocks (n,) at `source` Hz as blocks at `target` Hz, band-limited (soxr VHQ).

    The samples do not depend on how the input is cut into blocks.
    """
    if source == target:
        yield from blocks
        return
    stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn libsndfile's error on a failed write, which gives no reason, into one line for the user."""
    try:
        yield
    except soundfile.SoundFileRuntimeError as error:
        raise WavewrightError(f"{path}: cannot write: {error} Is the disk full? Nothing was changed") from None
