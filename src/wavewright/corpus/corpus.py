"""A corpus on disk, with one memory-mapped file of 16-bit samples per split, and `corpus.json` to describe them.

A split whose tracks have a keyboard has a file of its events, too, and one for each curve that was measured.

`wavewright.corpus.prepare` writes a corpus, and this module reads it.
"""

import hashlib
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from wavewright import files
from wavewright.conditioning.describe import HOP, MEASURES, Curve
from wavewright.conditioning.events import EVENT, Events
from wavewright.corpus.reader import Reader
from wavewright.corpus.settings import LEVELLING, OPTIONAL, SPLITS, PrepareSettings, SplitName
from wavewright.errors import ConfigError, WavewrightError, printable, unknown
from wavewright.models.condition import Category, Control

FORMAT = 1  # of corpus.json; raised when an older reader would misread it
INDEX = "corpus.json"
BIG = 1 << 30  # bytes of a split; from here on, the log says that its digest is checked, since that takes seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """The audio file that a track comes from."""

    sha256: str
    format: str  # such as FLAC/PCM_16
    rate: int  # Hz
    channels: int
    notes: tuple[str, ...]  # oddities, such as a truncated file


@dataclass(frozen=True)
class TrackScore:
    """How the score of a recording lies in it, and how much of it is in a track."""

    lag: float  # seconds from a strike to its sound, by which the track's events are shifted
    drift: float  # seconds by which the lag grows over the recording
    fit: float  # see `conditioning.alignment`
    strikes: int  # in the track


@dataclass(frozen=True)
class Track:
    """A stretch of one recording in a split's file, where sample = (amplitude - offset) * gain, before any limiter.

    A recording is one track. With fewer recordings than splits, each is cut into one track per split.
    """

    name: str
    source: Source
    split: SplitName
    source_start: int  # where the stretch starts in its recording, in samples of the corpus
    start: int  # where the stretch starts in its split's file, in samples
    frames: int  # length, in samples
    clipped: int  # samples that were beyond full scale
    gain: tuple[float, ...]  # one, or one per section
    offset: tuple[float, ...]
    labels: dict[str, str | float] = field(default_factory=dict)  # value of each column, and what was measured once
    score: TrackScore | None = None
    events: int | None = None  # number of them in its split's file of events; None without a keyboard
    decay: tuple[float, ...] = ()  # decay time in seconds of each band, where the decay was taken out (corpus.impulse)

    @property
    def values(self) -> int:
        """Number of values of each curve."""
        return -(-self.frames // HOP)


@dataclass(frozen=True)
class Refused:
    """An audio file that is not in the corpus, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Copy:
    """A recording that is left out, since another one has the same samples."""

    name: str
    same_as: str  # name of the recording that is in the corpus
    sha256: str  # of the audio file


@dataclass(frozen=True)
class Contents:
    """The contents of `corpus.json`. Older corpora lack the fields that have a default."""

    format: int
    wavewright: str  # version that wrote the file
    settings: PrepareSettings
    rate: int  # Hz
    section: int  # samples
    frames: dict[SplitName, int]  # samples in each split's file
    common_gain: float | None  # gain of all tracks, for `levels: corpus`
    tracks: tuple[Track, ...]
    refused: tuple[Refused, ...]
    left_out: tuple[str, ...]  # files that no split lists
    copies: tuple[Copy, ...] = ()
    passed_over: dict[str, int] = field(default_factory=dict)  # files that are no recordings, by extension or "hidden"
    sha256: dict[SplitName, str] = field(default_factory=dict)  # of each split's file
    controls: tuple[Control, ...] = ()  # what a model can be trained to follow
    control_sha256: dict[str, str] = field(default_factory=dict)  # of each file of events or of a curve, by its name
    score_sha256: dict[str, str] | None = None  # of the score beside each recording, used or not; None: ignored

    def as_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists."""
        return {**asdict(self), "settings": self.settings.model_dump(mode="json")}


def samples_file(folder: Path, split: SplitName) -> Path:
    """Return the file that holds the samples of a split."""
    return folder / f"{split}.i16"


def events_file(folder: Path, split: SplitName) -> Path:
    """Return the file that holds the events (EVENT) of a split's tracks, one track after the other.

    An event's sample is one of the split's file. What happened before a track's start and matters there comes first.
    """
    return folder / f"{split}.events"


def curve_file(folder: Path, split: SplitName, name: str) -> Path:
    """Return the file that holds a curve of a split in float32, a value for each HOP samples, anew from each track."""
    return folder / f"{split}.{name}.f32"


def file_names() -> set[str]:
    """Return the name of every file that a corpus may have."""
    here, names = Path(), {INDEX}
    for split in SPLITS:
        made = (samples_file(here, split), events_file(here, split))
        names |= {file.name for file in (*made, *(curve_file(here, split, name) for name in MEASURES))}
    return names


@dataclass(frozen=True)
class Corpus:
    """A corpus opened for reading."""

    path: Path
    contents: Contents

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the corpus at `path` and check that its parts fit together.

        Raises:
            WavewrightError: no corpus, a damaged one, or one of another format.
        """
        if not path.exists():
            files.recover_folder(path)
        if not path.exists():
            raise WavewrightError(f"{path}: no such file or folder")
        if not (path / INDEX).is_file():
            raise WavewrightError(f"{path}: not a corpus (no {INDEX}); make one with `wavewright prepare`")
        found = files.read_json(path / INDEX)
        version = found.get("format") if isinstance(found, dict) else None
        if version != FORMAT:
            raise WavewrightError(f"{path}: corpus format {version}, not {FORMAT}; prepare it again")
        try:
            contents = TypeAdapter(Contents).validate_python(found)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise WavewrightError(f"{path / INDEX}: damaged at {where}; prepare the corpus again") from None
        corpus = cls(path, contents)
        for split in SPLITS:
            corpus._check(split)
        return corpus

    def _check(self, split: SplitName) -> None:
        file, frames = samples_file(self.path, split), self.contents.frames.get(split, 0)
        size = file.stat().st_size if file.is_file() else -1
        if size != 2 * frames:
            raise WavewrightError(f"{file}: {size} bytes instead of {2 * frames}; prepare the corpus again")
        stop = 0
        for track in self.tracks_of(split):
            if track.start != stop or track.frames < 1:
                raise WavewrightError(f"{self.path / INDEX}: damaged at {track.name}; prepare it again")
            stop += track.frames
        if stop != frames:
            raise WavewrightError(f"{self.path / INDEX}: {split} is damaged; prepare the corpus again")
        for name, size in self._control_sizes(split).items():
            file = self.path / name
            found = file.stat().st_size if file.is_file() else -1
            if found != size:
                raise WavewrightError(f"{file}: {found} bytes instead of {size}; prepare the corpus again")

    def _control_sizes(self, split: SplitName) -> dict[str, int]:
        """Return the size in bytes of each file of events or of a curve, by its name."""
        tracks = self.tracks_of(split)
        sizes = {
            curve_file(self.path, split, name).name: sum(4 * track.values for track in tracks) for name in MEASURES
        }
        sizes[events_file(self.path, split).name] = sum(EVENT.itemsize * (track.events or 0) for track in tracks)
        return {name: size for name, size in sizes.items() if name in self.contents.control_sha256}

    @property
    def rate(self) -> int:
        """Sample rate, in Hz."""
        return self.contents.rate

    @property
    def section(self) -> int:
        """Length of a section, in samples."""
        return self.contents.section

    @property
    def settings(self) -> PrepareSettings:
        """Settings that the corpus was prepared with."""
        return self.contents.settings

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Every track, in the order of its split's file."""
        return self.contents.tracks

    @property
    def refused(self) -> tuple[Refused, ...]:
        """The files that could not be read."""
        return self.contents.refused

    @property
    def controls(self) -> tuple[Control, ...]:
        """The controls that a model can be trained to follow."""
        return self.contents.controls

    def tracks_of(self, split: SplitName) -> tuple[Track, ...]:
        """Return the tracks of one split."""
        return tuple(track for track in self.tracks if track.split == split)

    def samples(self, split: SplitName) -> NDArray[np.int16]:
        """Return all samples of a split (N,), amplitude * 32767, mapped from disk and read-only.

        Raises:
            WavewrightError: the file is gone or cut short since the corpus was opened.
        """
        file, frames = samples_file(self.path, split), self.contents.frames.get(split, 0)
        if frames == 0:  # an empty file cannot be mapped
            return np.empty(0, np.int16)
        try:
            return np.memmap(file, "<i2", "r", shape=(frames,))
        except (OSError, ValueError) as error:
            raise WavewrightError(f"{file}: cannot be read: {error}; prepare the corpus again") from None

    def reader(self, split: SplitName) -> Reader:
        """Return a reader of all samples of a split, whose file stays open. Its digest is checked now.

        Raises:
            WavewrightError: the file cannot be read, or is not the one that was prepared.
        """
        file, expected = samples_file(self.path, split), self.contents.sha256.get(split)
        reader = Reader(file, self.contents.frames.get(split, 0), self._starts(split))
        if 2 * len(reader) >= BIG and expected:
            log.info(f"checking {file}, {2 * len(reader) / 1e9:.1f} GB")
        if expected and reader.sha256() != expected:
            raise WavewrightError(f"{file}: damaged, its SHA-256 is not the one in {INDEX}; prepare the corpus again")
        return reader

    def sections(self, split: SplitName) -> NDArray[np.int64]:
        """Return the start and stop (S, 2) of every section. The last section of a track may be shorter."""
        edges = [
            (start, min(start + self.section, track.start + track.frames))
            for track in self.tracks_of(split)
            for start in range(track.start, track.start + track.frames, self.section)
        ]
        return np.array(edges, np.int64).reshape(-1, 2)

    def keyboards(self, split: SplitName) -> tuple[Events | None, ...]:
        """Return the events of each track of a split, or None for a track without a keyboard.

        Raises:
            WavewrightError: the file cannot be read, or is not the one that was prepared.
        """
        tracks, file = self.tracks_of(split), events_file(self.path, split)
        if not any(track.events for track in tracks):
            return tuple(None if track.events is None else np.zeros(0, EVENT) for track in tracks)
        ends = np.cumsum([track.events or 0 for track in tracks])
        parts = np.split(np.frombuffer(self._read_control(file), EVENT), ends[:-1])
        return tuple(None if track.events is None else part for track, part in zip(tracks, parts, strict=True))

    def curve(self, split: SplitName, name: str) -> tuple[Curve, ...] | None:
        """Return a curve of each track of a split, a value for each HOP samples, or None where it was not measured.

        Raises:
            WavewrightError: the file cannot be read, or is not the one that was prepared.
        """
        tracks, file = self.tracks_of(split), curve_file(self.path, split, name)
        if file.name not in self.contents.control_sha256:
            return None
        ends = np.cumsum([track.values for track in tracks])
        return tuple(np.split(np.frombuffer(self._read_control(file), "<f4"), ends[:-1]))

    def _read_control(self, file: Path) -> bytes:
        try:
            found = file.read_bytes()
        except OSError as error:
            raise WavewrightError(f"{file}: cannot be read: {error.strerror}; prepare the corpus again") from None
        if hashlib.sha256(found).hexdigest() != self.contents.control_sha256.get(file.name):
            raise WavewrightError(f"{file}: damaged, its SHA-256 is not the one in {INDEX}; prepare the corpus again")
        return found

    def leads(self, split: SplitName, sections: NDArray[np.int64], seconds: float) -> NDArray[np.int64]:
        """Return the samples (S,) of the lead of each section (S, 2): up to `seconds`, but not before its track."""
        starts = self._starts(split)
        own = starts[np.searchsorted(starts, sections[:, 0], "right") - 1]
        return np.minimum(sections[:, 0] - own, round(seconds * self.rate))

    def classes(self, split: SplitName, name: str) -> NDArray[np.int64]:
        """Return the number (S,) of each section's class in the category `name`, and -1 for sections without one.

        Raises:
            ConfigError: the corpus has no such category.
        """
        categories = {control.name: control for control in self.controls if isinstance(control, Category)}
        if name not in categories:
            there = unknown(name, categories) if categories else "it has none; prepare it with --labels"
            raise ConfigError(f"{self.path}: no category {printable(name)!r}; {there}")
        numbers = {label: number for number, label in enumerate(categories[name].classes)}
        tracks = self.tracks_of(split)
        own = np.array([numbers.get(str(track.labels.get(name)), -1) for track in tracks], np.int64)
        return own[np.searchsorted(self._starts(split), self.sections(split)[:, 0], "right") - 1]

    def _starts(self, split: SplitName) -> NDArray[np.int64]:
        """Return where the tracks of a split start."""
        return np.array([track.start for track in self.tracks_of(split)], np.int64)

    def levelling(self) -> dict[str, Any]:
        """Return the JSON values with which `rendering.audio_like_corpus` levels another recording like this corpus."""
        return {
            **self.settings.model_dump(mode="json", include=LEVELLING),
            **({OPTIONAL: True} if self.settings.impulse_responses else {}),
            "common_gain": self.contents.common_gain,
        }
