"""The command `wavewright prepare`."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wavewright.commands.console import print_json, progress, put, say, table
from wavewright.commands.options import Flag, duration, few, kinds, some, worker_count
from wavewright.errors import ConfigError, unknown

if TYPE_CHECKING:
    from wavewright.corpus.corpus import Corpus
    from wavewright.corpus.shards import Shard
    from wavewright.models.condition import Control


def prepare(
    *paths: Path,
    out: Path,
    preset: Literal["default", "thesis", "one-shots", "impulse-responses"] = "default",
    rate: int | None = None,
    section_seconds: float | None = None,
    levels: Literal["section", "track", "corpus", "none"] | None = None,
    resample: Literal["band-limited", "decimate"] | None = None,
    remove_dc: bool | None = None,
    limiter: float | None = None,
    channel: Literal["mix", "left", "right"] | None = None,
    trim: float | None = None,
    split: str | None = None,
    splits: Path | None = None,
    seed: int | None = None,
    scores: Literal["use", "require", "ignore"] | None = None,
    labels: str | None = None,
    describe: str | None = None,
    workers: int | None = None,
    shard: str | None = None,
    merge: Flag = False,
    json: Flag = False,
) -> None:
    """Make a corpus of audio files. They are resampled, levelled and split for training, validation and test.

    Of files with the same samples, only the one with the shortest name is taken. An option given with a preset
    replaces the preset's value.

    Parameters
    ----------
    paths
        Audio files, or folders to search for them.
    out
        Folder for the corpus. A corpus that is already there is replaced.
    preset
        Named set of choices. `default` resamples to 14700 Hz, removes DC, trims each track and brings its peak to
        full scale. `thesis` keeps every third sample of 44100 Hz and scales each section min-max to [-1, 1].
        `one-shots` is for short sounds. Each whole recording is one section. `impulse-responses` is for rooms and
        plates, at 44100 Hz. It takes the decay out of each recording, and refuses what is no impulse response.
    rate
        Sample rate of the corpus in Hz. The default is 14700. Half of it is the highest frequency a model can play.
    section_seconds
        Length of a section in seconds. The default is 4. Longer sections, such as 30, keep recurrent models steady
        in long takes.
    levels
        Unit that gets its own gain to full scale: each `section`, each `track` (the default), the whole `corpus`, or
        `none` for no gain.
    resample
        How to lower the sample rate: `band-limited` (the default), or `decimate` to keep every k-th sample, which
        aliases.
    remove_dc
        Subtract the mean of each track, or of each section with `--levels section`. On by default.
    limiter
        Ceiling for peaks in dB below full scale, such as -6. The whole is then raised by as much. Off by default.
    channel
        Channel to take of a recording with several: their `mix` (the default), `left` or `right`.
    trim
        Cut the quiet at both ends of a recording, where it is more than this many dB below the peak. The default is
        60. 0 keeps everything.
    split
        Shares of the duration for train, valid and test. The default is 0.88,0.06,0.06. Tracks stay whole, unless
        there are fewer tracks than splits. Then each track is cut into stretches. With few tracks, train gets the
        longest ones.
    splits
        JSON file that lists the tracks of `train`, `valid` and `test` by their names relative to PATH. Tracks with
        the same samples must be in one split.
    seed
        Seed for dealing the tracks to the splits. The default is 0.
    scores
        What to do with MIDI files beside recordings of the same name. `use` (the default) takes each score that fits
        its recording. `require` refuses recordings without one. `ignore` takes none.
    labels
        Labels of the recordings: a CSV file whose first column is `file`, an SFZ file, or a pattern over the files'
        names such as `{layer}_{note}`. Every recording needs labels.
    describe
        What to measure in every recording, so that a model can be trained to follow it: any of `loudness`,
        `brightness`, `pitch` and `time`, the time since the recording began.
    workers
        Number of processes that decode. The default is one for each processor.
    shard
        Decode only a share of the recordings, such as `2/8` for the second of eight, and keep it in the folder OUT.
        Several machines can do that at once. `--merge` then makes the corpus.
    merge
        Make the corpus of the recordings that all shards decoded. Give the same PATHS and options as with --shard.
    json
        Print a summary as JSON.
    """
    from wavewright.corpus.prepare import prepare as make
    from wavewright.corpus.prepare import prepare_shard
    from wavewright.corpus.settings import prepare_settings

    if split is not None and splits is not None:
        raise ConfigError("--split and --splits contradict each other; give one of them")
    if shard is not None and merge:
        raise ConfigError("--shard and --merge contradict each other; merge when every shard is there")
    settings = prepare_settings(
        preset,
        rate=rate,
        section_seconds=section_seconds,
        levels=levels,
        resample=resample,
        remove_dc=remove_dc,
        limiter=limiter,
        channel=channel,
        trim=trim,
        split=None if split is None else _fractions(split),
        splits=None if splits is None else _read_splits(splits),
        seed=seed,
        scores=scores,
        describe=None if describe is None else _measures(describe),
    )
    if shard is not None:
        options: dict[str, Any] = {"workers": worker_count(workers), "progress": progress, "labels": labels}
        done = prepare_shard(some(paths), out, settings, _shard(shard), **options)
        if json:
            print_json(asdict(done))
        else:
            say(f"shard {shard}: {done.decoded} recordings are decoded, {done.refused} refused; --merge tells why")
        return
    corpus = make(some(paths), out, settings, worker_count(workers), progress, labels=labels, merge=merge)
    if json:
        print_json(_summary(corpus))
    else:
        _print_summary(corpus)


def _shard(text: str) -> "Shard":
    """Return the share that `K/N` means."""
    from wavewright.corpus.shards import Shard

    try:
        number, count = map(int, text.split("/"))
    except ValueError:
        raise ConfigError(f"--shard {text}: give K/N, such as 2/8") from None
    return Shard(number, count)


def _summary(corpus: "Corpus") -> dict[str, Any]:
    frames = corpus.contents.frames
    return {
        "corpus": str(corpus.path),
        "rate": corpus.rate,
        "section": corpus.section,
        "splits": {
            split: {
                "tracks": len(corpus.tracks_of(split)),
                "sections": len(corpus.sections(split)),
                "frames": frames[split],
                "seconds": frames[split] / corpus.rate,
            }
            for split in frames
        },
        "controls": [asdict(control) for control in corpus.controls],
        "scores": len({track.name for track in corpus.tracks if track.score}),
        "clipped": sum(track.clipped for track in corpus.tracks),
        "refused": [asdict(one) for one in corpus.refused],
        "left_out": list(corpus.contents.left_out),
        "copies": [asdict(one) for one in corpus.contents.copies],
        "passed_over": sum(corpus.contents.passed_over.values()),
        "kinds": corpus.contents.passed_over,
    }


def _print_summary(corpus: "Corpus") -> None:
    summary = _summary(corpus)
    rows = [
        (split, part["tracks"], part["sections"], part["frames"], duration(part["seconds"]))
        for split, part in summary["splits"].items()
    ]
    table(f"{corpus.path}, {corpus.rate} Hz", ("split", "tracks", "sections", "samples", "duration"), rows)
    if corpus.controls:
        put(f"controls: {', '.join(map(_control, corpus.controls))}")
    say_findings(corpus)


def _control(control: "Control") -> str:
    """Return a control and what it takes, such as "notes (keys 21 to 108)"."""
    if control.kind == "notes":
        return f"{control.name} (keys {control.low} to {control.high})"
    if control.kind == "category":
        return f"{control.name} ({len(control.classes)} classes)"
    if control.kind == "time":
        return f"{control.name} (0 to {control.seconds:.4g} s)"
    return f"{control.name} ({control.low:.4g} to {control.high:.4g})"


def say_findings(corpus: "Corpus") -> None:
    """Print what is odd in the recordings of a corpus, and what was left out and why."""
    from wavewright.corpus.scores import SUFFIXES

    contents = corpus.contents
    for name, notes in {track.name: track.source.notes for track in corpus.tracks}.items():
        for note in notes:
            say(f"{name}: {note}")
    if (highest := max((track.source.rate for track in corpus.tracks), default=corpus.rate)) < corpus.rate:
        say(
            f"the recordings have at most {highest} Hz, so nothing above {highest / 2:g} Hz can be learned; "
            f"--rate {highest} leaves {highest / corpus.rate:.0%} of the samples to learn and play"
        )
    copies = few([f"{copy.name} (as {copy.same_as})" for copy in contents.copies])
    clipped = sum(track.clipped for track in corpus.tracks)
    passed_over = sum(contents.passed_over.values())
    with_scores = len({track.name for track in corpus.tracks if track.score})
    alone = sum(contents.passed_over.get(suffix, 0) for suffix in SUFFIXES) if corpus.settings.scores != "ignore" else 0
    for count, what in (
        (with_scores, "recordings have scores"),
        (alone, "scores have no recording of the same name beside them"),
        (clipped, "samples were beyond full scale and are clipped; use --levels track"),
        (len(corpus.refused), f"files were refused; the reasons are in {corpus.path / 'corpus.json'}"),
        (len(contents.left_out), "files are in no split and were left out"),
        (len(contents.copies), f"files have the same samples as another and were left out: {copies}"),
        (passed_over, f"hidden or of other kinds passed over ({kinds(contents.passed_over)})"),
    ):
        if count:
            say(f"{count} {what}")


def _fractions(text: str) -> tuple[float, ...]:
    try:
        fractions = tuple(float(part) for part in text.split(","))
    except ValueError:
        fractions = ()
    if len(fractions) != 3 or not all(math.isfinite(part) for part in fractions):
        raise ConfigError(f"--split {text}: must be three fractions, as 0.88,0.06,0.06")
    return fractions


def _measures(text: str) -> tuple[str, ...]:
    from wavewright.corpus.settings import DESCRIPTIONS

    names = tuple(dict.fromkeys(text.split(",")))
    if odd := [name for name in names if name not in DESCRIPTIONS]:
        raise ConfigError(f"--describe {text}: no curve {odd[0]!r}; {unknown(odd[0], DESCRIPTIONS)}")
    return names


def _read_splits(path: Path) -> dict[str, list[str]]:
    from wavewright.corpus.settings import SPLITS
    from wavewright.files import read_json

    listed = read_json(path)
    if not isinstance(listed, dict) or not all(isinstance(names, list) for names in listed.values()):
        raise ConfigError(f"{path}: must be lists of file names under {', '.join(SPLITS)}")
    if odd := sorted(set(listed) - set(SPLITS)):
        raise ConfigError(f"{path}: no split {odd[0]!r}; {unknown(odd[0], SPLITS)}")
    return listed
