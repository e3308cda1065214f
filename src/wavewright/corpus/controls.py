"""Add controls to the tracks of a corpus: what a keyboard plays in them, their labels, and curves that are measured."""

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from wavewright import files
from wavewright.conditioning import describe
from wavewright.conditioning.alignment import Alignment
from wavewright.conditioning.events import Events, Kind, events
from wavewright.conditioning.labels import Labels
from wavewright.conditioning.roll import settled
from wavewright.corpus import isolate
from wavewright.corpus.corpus import Contents, Track, TrackScore, curve_file, events_file, samples_file
from wavewright.corpus.impulse import Room
from wavewright.corpus.settings import SPLITS, PrepareSettings
from wavewright.errors import AudioError, ConfigError, explain, printable
from wavewright.models.condition import LONGEST_TIME, Condition, Control, Decay, Notes, Number, Time
from wavewright.progress import Progress

MEASURING = isolate.Limits(step_seconds=1800, wait_seconds=3600, memory_bytes=4 << 30)  # pYIN takes 0.5 GB
MEASURED = ("t60", "direct")  # labels of impulse responses: decay time in seconds, and level of the direct sound in dB
VELOCITY = 100  # of a note whose label has none


@dataclass(frozen=True)
class Played:
    """What a keyboard plays in a recording.

    Attributes:
        events: the events, at samples of the recording at the corpus's rate, before any trim.
        alignment: of the score that they are from.
    """

    events: Events
    alignment: Alignment | None = None


def struck_once(row: Mapping[str, str | float], start: int) -> Played:
    """Return the note of a recording's labels, struck at sample `start` and held."""
    velocity = max(1, round(float(row.get("velocity", VELOCITY))))
    return Played(events((start, Kind.strike, int(row["note"]), velocity)))


def _of_labels(labels: Labels) -> tuple[Control, ...]:
    """Return the controls that labels make, but for the keyboard."""
    if "velocity" in labels.sorts and "note" not in labels.sorts:
        return (*labels.controls(), Number("velocity", 0, 127))
    return labels.controls()


def of_impulse(impulse: Room | None) -> dict[str, Any]:
    """Return the fields of a track that tell what was measured of an impulse response, if it is one."""
    if impulse is None:
        return {}
    return {"labels": dict(zip(MEASURED, (impulse.t60, impulse.direct), strict=True)), "decay": impulse.times}


def _of_impulses(tracks: Sequence[Track]) -> tuple[Decay, Number]:
    """Return the controls of impulse responses: the decay time and how loud the direct sound is."""
    t60, direct = (np.array([track.labels[name] for track in tracks], np.float64) for name in MEASURED)
    ratios = np.median(np.array([track.decay for track in tracks]) / t60[:, None], axis=0)
    longest = float(t60.max()) if t60.max() > t60.min() else 2 * float(t60.min())
    loudest = float(direct.max()) if direct.max() > direct.min() else float(direct.min()) + 1
    decay = Decay(MEASURED[0], float(t60.min()), longest, ratios=tuple(ratios.tolist()))
    return decay, Number(MEASURED[1], float(direct.min()), loudest)


def check(labels: Labels | None, settings: PrepareSettings) -> None:
    """Check that one model can have the controls of these labels beside a keyboard and curves.

    Raises:
        ConfigError: two have one name, there are too many, or one is like no control, such as one of 5000 classes.
    """
    for name in labels.sorts if labels else ():
        if any(character.isspace() or character in "=,:" for character in name):
            raise ConfigError(
                f"--labels: column {printable(name)!r}; give it a name without spaces, =, comma and colon"
            )
    try:
        own = _of_labels(labels) if labels else ()
        measured = (*(MEASURED if settings.impulse_responses else ()), *settings.describe)
        Condition((Notes(), *own, *(Number(name, 0, 1) for name in measured)))
    except ValidationError as error:
        raise ConfigError(explain(error, "--labels")) from None


def add(
    folder: Path,
    contents: Contents,
    played: Mapping[str, Played],
    labels: Labels | None,
    *,
    workers: int,
    progress: Progress,
) -> Contents:
    """Write the files of controls beside the samples in `folder`, and return the contents with controls.

    Args:
        folder: the corpus that is being made.
        contents: what is in it.
        played: what a keyboard plays, by the recording's name.
        labels: the recordings' labels.
        workers: number of processes that measure.
        progress: told of each part of a track that is measured.
    """
    rows = labels.rows if labels else {}
    tracks = tuple(replace(track, labels={**rows.get(track.name, {}), **track.labels}) for track in contents.tracks)
    contents = replace(contents, tracks=tracks)
    controls: tuple[Control, ...] = _of_labels(labels) if labels else ()
    if contents.settings.impulse_responses:
        controls = (*controls, *_of_impulses(tracks))
    if played:
        contents, notes = _add_events(folder, contents, played)
        controls = (notes, *controls)
    for name in contents.settings.describe:
        if name == "time":
            longest = max(track.frames for track in contents.tracks) / contents.rate
            controls = (*controls, Time(min(longest, LONGEST_TIME)))
            continue
        contents = _add_curve(folder, contents, name, workers, progress)
        controls = (*controls, _number(folder, name))
    return replace(contents, controls=controls)


def _add_events(folder: Path, contents: Contents, played: Mapping[str, Played]) -> tuple[Contents, Notes]:
    """Write the events of every split, and return the contents with them and the keyboard that they need."""
    tracks, digests, keys = [], dict(contents.control_sha256), {*()}
    for split in SPLITS:
        parts = []
        for track in (track for track in contents.tracks if track.split == split):
            if one := played.get(track.name):
                parts.append(_within(one.events, track))
                tracks.append(_with_events(track, parts[-1], one.alignment))
                keys |= set(parts[-1]["key"][parts[-1]["kind"] == Kind.strike].tolist())
            else:
                tracks.append(track)
        if sum(map(len, parts)):
            file = events_file(folder, split)
            file.write_bytes(np.concatenate(parts).tobytes())
            digests[file.name] = files.sha256(file)
    notes = Notes(low=min(keys), high=max(keys)) if keys else Notes()
    return replace(contents, tracks=tuple(tracks), control_sha256=digests), notes


def _within(played: Events, track: Track) -> Events:
    """Return the events of a track at samples of its split's file, and before them what matters at its start."""
    first, stop = np.searchsorted(played["sample"], (track.source_start, track.source_start + track.frames))
    found = np.concatenate((settled(played[:first]), played[first:stop]))
    found["sample"] += track.start - track.source_start
    return found


def _with_events(track: Track, own: Events, alignment: Alignment | None) -> Track:
    if alignment is None:
        return replace(track, events=len(own))
    strikes = int(np.count_nonzero((own["kind"] == Kind.strike) & (own["sample"] >= track.start)))
    score = TrackScore(alignment.lag, alignment.drift, alignment.fit, strikes)
    return replace(track, events=len(own), score=score)


def _add_curve(folder: Path, contents: Contents, name: str, workers: int, progress: Progress) -> Contents:
    """Write a curve of every split that has tracks, and return the contents with it."""
    digests, curves = dict(contents.control_sha256), defaultdict[Path, list[bytes]](list)
    jobs = [
        (samples_file(folder, track.split), name, contents.rate, (track.start, track.start + track.frames), start)
        for track in contents.tracks
        for start in range(0, track.frames, describe.PIECE)
    ]
    with progress(f"measuring {name}", len(jobs)) as advance:
        parts = isolate.each(measure, jobs, workers, advance, MEASURING)
    for (samples, *_), part in zip(jobs, parts, strict=True):
        if isinstance(part, AudioError):
            raise part
        curves[samples].append(part.astype("<f4").tobytes())
    for split in dict.fromkeys(track.split for track in contents.tracks):
        file = curve_file(folder, split, name)
        file.write_bytes(b"".join(curves[samples_file(folder, split)]))
        digests[file.name] = files.sha256(file)
    return replace(contents, control_sha256=digests)


def measure(
    path: Path, name: str, rate: int, track: tuple[int, int], start: int
) -> Generator[None, None, describe.Curve]:
    """Return a part of the curve of a track, as a task for `isolate`.

    Args:
        path: the samples of a split.
        name: one of `describe.MEASURES`.
        rate: sample rate, in Hz.
        track: where the track starts and stops in the file.
        start: see `describe.part`.
    """
    yield
    return describe.part(name, np.memmap(path, "<i2", "r")[slice(*track)], rate, start)


def _number(folder: Path, name: str) -> Number:
    """Return the control of a curve, whose range leaves out the lowest and highest percent of the training split.

    Loudness has the same range in every corpus, since levelled recordings end at full scale and -80 dBFS is silence.
    """
    if name == "loudness":
        return Number(name, describe.QUIETEST, 0.0)
    file = curve_file(folder, "train", name)
    values = np.fromfile(file, "<f4") if file.exists() else np.zeros(0, "<f4")
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, (1, 99)).tolist() if len(values) else (0.0, 127.0)
    return Number(name, low, high if high > low else low + 1)
