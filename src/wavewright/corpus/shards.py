"""Decode the recordings of a corpus in shares, on any number of machines, and collect them again.

OUT/shards/KEY.f32    the samples of a recording, as `decoding.decode` leaves them
OUT/shards/KEY.json   its name, its digest, the settings, and what was measured or why it was refused

A recording counts as decoded once its .json is there, and both files are renamed into place. So a share can be
interrupted at any time. `prepare` replaces OUT, and the shards in it, by the corpus.
"""

import contextlib
import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wavewright import files
from wavewright.corpus import isolate
from wavewright.corpus.decoding import Decoded, decode, digest_of
from wavewright.corpus.discovery import Found
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import AudioError, ConfigError, WavewrightError, explain
from wavewright.progress import Progress, silent

FOLDER = "shards"


@dataclass(frozen=True)
class Shard:
    """Share `number`, from 1 on, of `count` shares of the recordings."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ConfigError(f"--shard {self.number}/{self.count}: give K/N, where K is 1 to N")

    def of(self, chosen: Sequence[Found]) -> Sequence[Found]:
        """Return the share of the recordings, which are sorted by name."""
        return chosen[self.number - 1 :: self.count]


@dataclass(frozen=True)
class Decoding:
    """How many recordings of a share are there to merge, and how many were refused. `prepare` tells why."""

    decoded: int
    refused: int


@dataclass(frozen=True)
class _Record:
    """The contents of a recording's .json. One of `decoded` and `refused` is there."""

    name: str
    sha256: str
    settings: dict[str, Any]
    decoded: Decoded | None
    refused: str | None


_RECORD = TypeAdapter(_Record)


def decode_share(
    chosen: Sequence[Found],
    out: Path,
    settings: PrepareSettings,
    shard: Shard,
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> Decoding:
    """Decode a share of the recordings `chosen` into `out`, in `workers` processes, but for those that are there.

    Raises:
        WavewrightError: `out` cannot be written.
    """
    folder = out / FOLDER
    files.make_folder(folder)
    share = shard.of(chosen)
    jobs = [(file.path, file.name, folder, settings) for file in share]
    with progress("decoding", len(jobs)) as advance:
        results = isolate.each(_keep, jobs, workers, advance)
    for file, result in zip(share, results, strict=True):
        if isinstance(result, AudioError):  # the process died of it
            _write(folder, _Record(file.name, "", _plain(settings), None, result.reason))
    decoded = [result is True for result in results]
    refused = [file.certain and not one for file, one in zip(share, decoded, strict=True)]
    return Decoding(sum(decoded), sum(refused))


def collect(chosen: Sequence[Found], out: Path, settings: PrepareSettings) -> list[Decoded | AudioError]:
    """Return what all shares made of the recordings `chosen`, in their order.

    Raises:
        WavewrightError: a recording is missing, was decoded with other settings, or its files are damaged.
    """
    folder, plain = out / FOLDER, _plain(settings)
    if missing := [file.name for file in chosen if not _place(folder, file.name, ".json").is_file()]:
        raise WavewrightError(
            f"{folder}: lacks {len(missing)} of {len(chosen)} files, the first: {missing[0]};"
            " make every shard of the same paths first"
        )
    found: list[Decoded | AudioError] = []
    for file in chosen:
        record = _read(folder, file.name)
        if record.settings != plain:
            raise WavewrightError(f"{folder}: {file.name} was decoded with other settings; make the shards again")
        if record.decoded is None:
            found.append(AudioError(file.path, record.refused or ""))
        elif not _is_whole(record):
            raise WavewrightError(
                f"{record.decoded.file}: the samples of {file.name} are missing; make the shards again"
            )
        else:
            found.append(record.decoded)
    return found


def _keep(path: Path, name: str, folder: Path, settings: PrepareSettings) -> Generator[None, None, bool]:
    """Decode a recording into `folder`, as a task for `isolate`, and return whether it is not refused."""
    digest, plain = "", _plain(settings)
    try:
        digest = yield from digest_of(path)
        with contextlib.suppress(WavewrightError):
            before = _read(folder, name)
            if (before.sha256, before.settings) == (digest, plain) and _is_whole(before):
                return before.decoded is not None
        with files.atomic_file(_place(folder, name, ".f32")) as temporary:
            decoded = yield from decode(path, temporary, settings)
    except AudioError as error:
        _write(folder, _Record(name, digest, plain, None, error.reason))
        return False
    _write(folder, _Record(name, digest, plain, decoded, None))
    return True


def _read(folder: Path, name: str) -> _Record:
    """Return what is known of a recording.

    Raises:
        WavewrightError: nothing is, or the file is damaged.
    """
    path = _place(folder, name, ".json")
    try:
        record = _RECORD.validate_python(files.read_json(path))
    except ValidationError as error:
        raise WavewrightError(f"{path}: {explain(error, name)}; make the shards again") from None
    if record.decoded is None:
        return record
    # The folder may be mounted elsewhere than where it was written.
    return replace(record, decoded=replace(record.decoded, file=path.with_suffix(".f32")))


def _is_whole(record: _Record) -> bool:
    """Return whether a decoded recording's samples are there."""
    return record.decoded is None or record.decoded.file.is_file()


def _plain(settings: PrepareSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def _place(folder: Path, name: str, suffix: str) -> Path:
    return folder / (hashlib.sha256(name.encode()).hexdigest()[:32] + suffix)


def _write(folder: Path, record: _Record) -> None:
    files.write_json(_place(folder, record.name, ".json"), _RECORD.dump_python(record, mode="json", fallback=float))
