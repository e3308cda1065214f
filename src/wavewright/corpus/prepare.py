"""Make a corpus of audio files in two passes.

The first pass decodes, resamples and measures each file. The second pass levels and writes them all. In between, each
recording lies in a temporary float32 file, so memory does not grow with the length of a file.
"""

import contextlib
import functools
import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wavewright import files
from wavewright.conditioning.labels import Labels, label
from wavewright.corpus import controls, isolate, scores, shards, split_files, splits
from wavewright.corpus.copies import find_copies
from wavewright.corpus.corpus import INDEX, Copy, Corpus, Refused, file_names
from wavewright.corpus.decoding import Decoded, decode
from wavewright.corpus.discovery import Found, count_kinds, find
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import AudioError, WavewrightError, need
from wavewright.progress import Progress, silent

log = logging.getLogger(__name__)

SPACES = "{space}/*"  # the labels of impulse responses that have no others: their folders


class TooShort(WavewrightError):
    """Recordings that are all shorter than a section. `fitting_seconds` is a section that fits."""

    def __init__(self, longest: float, section_seconds: float) -> None:
        self.fitting_seconds = float(f"{longest / 2:.1g}")
        super().__init__(
            f"the longest track is {longest:.3g} s, a section is {section_seconds:g} s:"
            f" use --section-seconds {self.fitting_seconds:g}"
        )


def prepare(
    paths: Sequence[Path],
    out: Path,
    settings: PrepareSettings,
    workers: int = 1,
    progress: Progress = silent,
    *,
    labels: str | None = None,
    merge: bool = False,
) -> Corpus:
    """Make the corpus `out` of all audio below `paths`, decoding in `workers` processes.

    The same recordings and settings give the same bytes. An older corpus is replaced only once the new one is complete.
    Of recordings with the same samples, the one with the shortest name is taken.

    Args:
        paths: audio files, or folders to search for them.
        out: folder for the corpus.
        settings: how recordings become a corpus.
        workers: number of processes.
        progress: told of each recording.
        labels: a source of labels for the recordings, as `conditioning.labels.label` takes it.
        merge: whether to take the recordings that `prepare_shard` decoded.

    Raises:
        TooShort: all recordings are shorter than a section.
        WavewrightError: there is no readable audio, `out` holds other files or cannot be written, the labels do not
            fit the recordings, or a shard is missing.
    """
    sources = _find(paths, out, settings, labels)
    beside = sources.beside
    with files.atomic_folder(out) as folder, _scratch(folder) as scratch:
        if merge:
            results = shards.collect(sources.chosen, out, settings)
        else:
            results = _decode(sources.chosen, scratch, settings, workers, progress)
        decoded, refused = _sorted_out(sources.chosen, results, settings)
        known = sources.labelled([*decoded])
        passed_over = count_kinds(scores.passed_over(sources.found, decoded, beside), sources.hidden)
        copies = _take_out_copies(decoded, settings)
        _say_other_labels(copies, known)
        beside |= {
            copy.same_as: beside[copy.name] for copy in copies if copy.same_as not in beside and copy.name in beside
        }
        played = _match(decoded, beside, settings, workers, progress)
        if known and "note" in known.sorts:
            played = {name: controls.struck_once(known.rows[name], one.start) for name, one in decoded.items()}
        if settings.scores == "require":
            refused += _take_out_unscored(decoded, played, beside, settings)
        _check_lengths(decoded, refused, paths, settings)
        settings = _fitted(settings, decoded)
        contents = replace(
            split_files.write(folder, decoded, settings, progress),
            score_sha256=sources.score_sha256,
            refused=refused,
            left_out=sources.left_out,
            copies=copies,
            passed_over=passed_over,
        )
        files.write_json(
            folder / INDEX, controls.add(folder, contents, played, known, workers=workers, progress=progress).as_json()
        )
    return Corpus.open(out)


def prepare_shard(
    paths: Sequence[Path],
    out: Path,
    settings: PrepareSettings,
    shard: shards.Shard,
    *,
    workers: int = 1,
    progress: Progress = silent,
    labels: str | None = None,
) -> shards.Decoding:
    """Decode a share of the recordings below `paths` into `out`, for `prepare` to merge.

    Shards can be made at any time and in any order, on any machines that see the recordings and `out`. One that is made
    again decodes only what is missing or has changed. The arguments are those of `prepare`.

    Raises:
        WavewrightError: `out` holds other files or cannot be written, or the labels do not fit the recordings.
    """
    sources = _find(paths, out, settings, labels)
    return shards.decode_share(sources.chosen, out, settings, shard, workers=workers, progress=progress)


@dataclass(frozen=True)
class _Sources:
    """What lies below the paths.

    Attributes:
        found: all files, and the number of hidden ones that were passed over.
        chosen: those to decode.
        left_out: names of files that no split lists.
        beside: the scores beside each recording, by its name.
        score_sha256: see Contents.
        labelled: returns the labels of the recordings of some names, after checking them.
    """

    found: list[Found]
    hidden: int
    chosen: list[Found]
    left_out: tuple[str, ...]
    beside: dict[str, Sequence[Path]]
    score_sha256: dict[str, str] | None
    labelled: Callable[[Sequence[str]], Labels | None]


def _find(paths: Sequence[Path], out: Path, settings: PrepareSettings, labels: str | None) -> _Sources:
    _check_out(out)
    if "pitch" in settings.describe:
        need("experiments", "librosa")
    found, hidden = find(paths, exclude=out)
    candidates = [file for file in found if not scores.is_score(file.path)]
    chosen, left_out = splits.choose(candidates, settings.splits)
    if labels is None and settings.impulse_responses and all("/" in file.name for file in chosen):
        labels = SPACES
    beside = {} if settings.scores == "ignore" else scores.beside(chosen)
    score_sha256 = None if settings.scores == "ignore" else _score_digests(beside)
    labelled = functools.partial(_labels, source=labels, others=candidates, settings=settings, beside=beside)
    labelled([file.name for file in chosen if file.certain])  # said now, not after the work
    return _Sources(found, hidden, chosen, left_out, dict(beside), score_sha256, labelled)


def _check_out(out: Path) -> None:
    if out.is_dir():
        names = {file.name for file in out.iterdir()} - {shards.FOLDER}
        others = sorted(names - file_names())
        if others or (names and INDEX not in names):
            raise WavewrightError(f"{out}: holds other files ({', '.join(others[:3])}); choose another --out")
    elif out.exists():
        raise WavewrightError(f"{out}: is a file; choose another --out")


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        yield Path(scratch)


def _decode(
    chosen: Sequence[Found], scratch: Path, settings: PrepareSettings, workers: int, progress: Progress
) -> list[Decoded | AudioError]:
    jobs = [(file.path, scratch / f"{i}.f32", settings) for i, file in enumerate(chosen)]
    with progress("decoding", len(jobs)) as advance:
        return isolate.each(decode, jobs, workers, advance)


def _sorted_out(
    chosen: Sequence[Found], results: Sequence[Decoded | AudioError], settings: PrepareSettings
) -> tuple[dict[str, Decoded], tuple[Refused, ...]]:
    """Return the decoded recordings by name, and the refused ones without files that only might be audio."""
    refused = [
        Refused(file.name, result.reason)
        for file, result in zip(chosen, results, strict=True)
        if isinstance(result, AudioError) and file.certain
    ]
    decoded = {f.name: r for f, r in zip(chosen, results, strict=True) if isinstance(r, Decoded)}
    _say_refused(refused, settings)
    return decoded, tuple(refused)


def _say_refused(refused: Sequence[Refused], settings: PrepareSettings) -> None:
    for one in refused:
        if settings.splits is not None:
            raise WavewrightError(f"{one.name}: {one.reason} (it is listed in the splits)")
        log.warning(f"refused {one.name}: {one.reason}")


def _labels(
    names: Sequence[str],
    source: str | None,
    others: Sequence[Found],
    settings: PrepareSettings,
    beside: Mapping[str, Sequence[Path]],
) -> Labels | None:
    """Return the labels of the recordings called `names`, after checking that a model can follow all controls.

    Raises:
        WavewrightError: they do not fit the recordings, the other controls or one another.
    """
    found = label(names, source, [file.name for file in others]) if source is not None and names else None
    controls.check(found, settings)
    if found and "note" in found.sorts and (both := sorted(found.rows.keys() & beside.keys())):
        raise WavewrightError(
            f"{both[0]}: has a score and a label for its note; use --scores ignore, or call the label note:ignore"
        )
    return found


def _match(
    decoded: dict[str, Decoded],
    beside: Mapping[str, Sequence[Path]],
    settings: PrepareSettings,
    workers: int,
    progress: Progress,
) -> dict[str, controls.Played]:
    """Return what the scores beside the recordings play. Note in `decoded` why a score is not used."""
    names = [name for name in decoded if name in beside]
    if not names:
        return {}
    with progress("aligning", len(names)) as advance:
        jobs = [(beside[name][0], decoded[name], settings.rate, beside[name][1:]) for name in names]
        results = isolate.each(scores.match, jobs, workers, advance)
    played = {}
    for name, result in zip(names, results, strict=True):
        if isinstance(result, AudioError):
            notes: tuple[str, ...] = (scores.not_used(beside[name][0], result.reason),)
        else:
            notes = result.notes()
            played[name] = controls.Played(result.score.at(settings.rate), result.alignment)
        source = decoded[name].source
        decoded[name] = replace(decoded[name], source=replace(source, notes=(*source.notes, *notes)))
    return played


def _take_out_unscored(
    decoded: dict[str, Decoded],
    played: Mapping[str, controls.Played],
    beside: Mapping[str, Sequence[Path]],
    settings: PrepareSettings,
) -> tuple[Refused, ...]:
    """Take the recordings out of `decoded` that no score plays, and return them as refused."""
    without = {name: decoded.pop(name).source.notes for name in [*decoded] if name not in played}
    refused = tuple(
        Refused(name, notes[-1] if name in beside else "there is no score beside it") for name, notes in without.items()
    )
    _say_refused(refused, settings)
    return refused


def _fitted(settings: PrepareSettings, decoded: Mapping[str, Decoded]) -> PrepareSettings:
    """Return settings whose section has a length: where it had none, that of the longest recording.

    Raises:
        WavewrightError: a section is a whole recording, and there are fewer recordings than splits.
    """
    if settings.section_seconds is not None:
        return settings
    due = 1 if settings.splits else np.count_nonzero(settings.split)
    if len(decoded) < due:
        raise WavewrightError(
            f"each recording is to stay whole, and there are {len(decoded)} for {due} splits; use --split 1,0,0"
        )
    longest = max(one.frames for one in decoded.values())
    return settings.model_copy(update={"section_seconds": longest / settings.rate})


def _check_lengths(
    decoded: dict[str, Decoded], refused: Sequence[Refused], paths: Sequence[Path], settings: PrepareSettings
) -> None:
    if not decoded:
        where = ", ".join(str(path) for path in paths)
        why = f"; {len(refused)} refused, the first: {refused[0].reason}" if refused else ""
        raise WavewrightError(f"{where}: no readable audio{why}")
    longest = max(one.frames for one in decoded.values()) / settings.rate
    if settings.section_seconds is not None and longest * settings.rate < settings.section:
        raise TooShort(longest, settings.section_seconds)


def _take_out_copies(decoded: dict[str, Decoded], settings: PrepareSettings) -> tuple[Copy, ...]:
    """Take the recordings out of `decoded` that have the same samples as another one, and return them.

    Raises:
        WavewrightError: a copy is listed in another split than the recording.
    """
    lengths = Counter(one.frames for one in decoded.values())
    alone = {name for name, one in decoded.items() if lengths[one.frames] == 1}  # they need no digest
    kept = find_copies({name: name if name in alone else _digest(one) for name, one in decoded.items()})
    if settings.splits is not None:
        dealt = splits.assign({name: one.frames for name, one in decoded.items()}, settings)
        for name, same_as in kept.items():
            if dealt[name][0].split != dealt[same_as][0].split:
                raise WavewrightError(
                    f"{name}: the same samples as {same_as}, but listed in another split; list only one of them"
                )
    return tuple(Copy(name, same_as, decoded.pop(name).source.sha256) for name, same_as in sorted(kept.items()))


def _say_other_labels(copies: Sequence[Copy], labels: Labels | None) -> None:
    for copy in copies if labels else ():
        if labels and labels.rows[copy.name] != labels.rows[copy.same_as]:
            log.warning(f"{copy.name}: the same samples as {copy.same_as}, whose labels differ and count for both")


def _digest(decoded: Decoded) -> bytes:
    """Return a digest of the samples before they are levelled."""
    digest = hashlib.sha256()
    for block in decoded.blocks():
        digest.update(block.tobytes())
    return digest.digest()


def _score_digests(beside: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """Return the SHA-256 of each recording's score, the first where there are several."""
    return {name: files.sha256(paths[0]) for name, paths in beside.items()}


def changes(corpus: Corpus, paths: Sequence[Path], progress: Progress = silent) -> tuple[list[str], list[str]]:
    """Compare the recordings at `paths` with those that `corpus` was made of.

    Returns:
        The names of recordings that are new or have other contents or another score, and of those that are gone.

    Raises:
        WavewrightError: a path that does not exist, or a recording that cannot be read.
    """
    contents = corpus.contents
    before = {track.name: track.source.sha256 for track in contents.tracks}
    before |= {copy.name: copy.sha256 for copy in contents.copies}
    unused = {*contents.left_out, *(one.name for one in contents.refused)}
    now, _ = find(paths, exclude=corpus.path)
    played = None if contents.score_sha256 is None else _score_digests(scores.beside(now))
    other = []
    with progress("comparing", len(now)) as advance:
        for file in now:
            if scores.is_score(file.path):
                pass
            elif file.name in before:
                if not file.path.is_file() or files.sha256(file.path) != before[file.name]:
                    other.append(file.name)
                elif played is not None and played.get(file.name) != (contents.score_sha256 or {}).get(file.name):
                    other.append(f"the score of {file.name}")
            elif file.certain and file.name not in unused:
                other.append(file.name)
            advance()
    return other, sorted(before.keys() - {file.name for file in now})
