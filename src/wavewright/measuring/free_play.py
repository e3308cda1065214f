"""Let a model play freely for long, from silence and after music, and hold what it plays against the corpus.

docs/evaluation.md says what each figure means, and when to trust it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wavewright.corpus.corpus import Corpus
from wavewright.corpus.settings import SplitName
from wavewright.errors import ConfigError, need
from wavewright.measuring import perceptual, similarity
from wavewright.measuring.hiss import Hiss, hiss
from wavewright.measuring.long_sound import LEVEL_DB, Figures, Limits, LongSound
from wavewright.playing.playable import TrainedModel
from wavewright.playing.stream import stream
from wavewright.progress import Progress, silent

STREAMS = 8  # from silence, and as many after music
SEED = 0
PRIME_SECONDS = 3.0
REAL_STRETCHES = 60  # of the split, ten minutes of it
FLATTER = 2.0  # times the corpus's flatness
PEAK_OVER_FLOOR = 35.0  # dB; a piano through 8 bits of mu-law has 43
MISSED = 7.0  # dB by which a corpus's own peak over floor may be missed, where that is below the piano's
ONSETS = 1 / 3  # of the corpus's onset strength, by which it may be missed

TITLES = {  # of figures, for a reader
    "seconds_outside": "seconds too quiet or too loud",
    "level_dbfs": "level, dBFS",
    "bursts": "bursts",
    "flatness": "spectral flatness, median",
    "peak_over_floor_db": "peak over floor between partials, dB",
    "onset_strength_db": "onset strength, dB",
    "treble_db": "power above 5 kHz beside the whole, dB",
    "pauses_dbfs": "level of the quietest tenth, dBFS",
}
HISS = ("treble_db", "pauses_dbfs")  # figures that are not judged

Start = Literal["silence", "music"]


@dataclass(frozen=True)
class Bound:
    """A bound on one figure, and the verdict.

    Attributes:
        name: name of a field of Figures.
        low, high: the bound. None means that there is none on that side.
        corpus: the corpus's own figure. Where it has none, nothing is judged.
        median: median of the streams that have the figure, or None.
        within: number of streams within the bound.
        passed: whether all streams are within the bound.
    """

    name: str
    low: float | None
    high: float | None
    corpus: float | None
    median: float | None
    within: int
    passed: bool

    @property
    def text(self) -> str:
        """The bound in words."""
        if self.low is None:
            return "none" if not self.high else f"{self.high:.3g} or less"
        return f"{self.low:.3g} or more" if self.high is None else f"{self.low:.3g} to {self.high:.3g}"


@dataclass(frozen=True)
class Stream:
    """What a stream played.

    Attributes:
        start: what the stream began after.
        first_outside: the first second whose level is out of the limits, counted from 0, or None.
        first_burst: when the first burst begins, in seconds, or None.
        figures: figures of the sound.
        broken: names of the figures that are out of their bounds.
    """

    start: Start
    first_outside: int | None
    first_burst: float | None
    figures: Figures
    broken: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """Sounds that are held against a corpus.

    Attributes:
        limits: what the corpus's sound sets as limits.
        corpus: the corpus's own figures.
        bounds: verdicts on all streams together.
        streams: what each stream played.
    """

    limits: Limits
    corpus: Figures
    bounds: tuple[Bound, ...]
    streams: tuple[Stream, ...]

    def median(self, name: str) -> float | None:
        """Return the median of a field of Figures over the streams that have it, or None."""
        return _median(self.streams, name)


@dataclass(frozen=True)
class FreePlay(Judged):
    """Free play without guard, beside the corpus through the model's levels.

    Attributes:
        seconds: length of each stream.
        temperature, top_p: how codes were drawn, as the model's maker says or from the model's own distribution.
        prime_seconds: length of the music that half of the streams read first.
        hiss: spread of the model's own distribution.
    """

    seconds: float
    temperature: float
    top_p: float | None
    prime_seconds: float
    hiss: Hiss


def check(seconds: float, corpus: Corpus, split: SplitName) -> None:
    """Check that a model can play for `seconds` and be held against a split.

    Raises:
        ConfigError: the number is out of range, or the split is shorter than a second.
        WavewrightError: packages are not installed.
    """
    if not 1 <= seconds < np.inf:
        raise ConfigError(f"--free-play {seconds:g}: give 1 second or more, or 0 for none")
    need("experiments", *perceptual.PACKAGES)
    if (frames := len(corpus.reader(split))) < corpus.rate:
        raise ConfigError(f"--split {split}: {frames} samples, too few to compare with; give --free-play 0")


def free_play(
    run: TrainedModel, corpus: Corpus, split: SplitName, seconds: float, progress: Progress = silent
) -> FreePlay:
    """Play STREAMS streams from silence and as many after music, `seconds` each without guard, and judge them.

    Those from silence are the streams of seed 0. Every control is absent. Memory does not grow with `seconds`, but for
    some numbers for each tenth of a second.

    Raises:
        ConfigError: the number is out of range, or the split is shorter than a second.
        WavewrightError: packages are not installed.
    """
    check(seconds, corpus, split)
    length, primes, draw = round(seconds * run.rate), _primes(run, corpus, split), run.draw
    starts: list[tuple[Start, NDArray[np.int64] | None]] = [("silence", None), ("music", primes)]
    sounds: list[tuple[Start, LongSound]] = []
    with progress("playing freely", 2 * length) as advance:
        for start, prime in starts:
            own, decoder = [LongSound(run.rate) for _ in range(STREAMS)], run.quantizer.decoder()
            if prime is not None:
                decoder(prime)
            for block in stream(run.player(STREAMS, SEED), length, draw, prime=None if prime is None else [prime]):
                for sound, amplitude in zip(own, decoder(block), strict=True):
                    sound.add(amplitude)
                advance(block.shape[1])
            for sound in own:
                sound.end()
            sounds += [(start, sound) for sound in own]
    return FreePlay(
        **vars(judge(_real(run, corpus, split, length), sounds)),
        seconds=length / run.rate,
        temperature=float(np.mean(draw.temperature)),
        top_p=None if draw.top_p is None else float(np.mean(draw.top_p)),
        prime_seconds=primes.shape[1] / run.rate,
        hiss=hiss(run, corpus.reader(split)),
    )


def judge(real: LongSound, sounds: Sequence[tuple[Start, LongSound]]) -> Judged:
    """Hold sounds against that of a corpus."""
    limits = real.limits()
    corpus = real.figures(limits)
    bounds = _bounds(corpus)
    streams = []
    for start, sound in sounds:
        figures = sound.figures(limits)
        outside, bursts = sound.outside(limits), sound.bursts(limits)
        streams.append(
            Stream(
                start=start,
                first_outside=int(outside[0]) if len(outside) else None,
                first_burst=float(bursts[0]) if len(bursts) else None,
                figures=figures,
                broken=tuple(name for name, bound in bounds.items() if not _is_within(getattr(figures, name), *bound)),
            )
        )
    return Judged(
        limits=limits,
        corpus=corpus,
        bounds=tuple(
            Bound(
                name=name,
                low=low,
                high=high,
                corpus=getattr(corpus, name),
                median=_median(streams, name),
                within=(within := sum(name not in stream.broken for stream in streams)),
                passed=within == len(streams),
            )
            for name, (low, high) in bounds.items()
        ),
        streams=tuple(streams),
    )


def _bounds(corpus: Figures) -> dict[str, tuple[float | None, float | None]]:
    """Return the lower and the upper bound of each figure that is judged and that the corpus has."""
    bounds: dict[str, tuple[float | None, float | None]] = {
        "seconds_outside": (None, 0),
        "level_dbfs": (corpus.level_dbfs - LEVEL_DB, corpus.level_dbfs + LEVEL_DB),
        "bursts": (None, 0),
    }
    if corpus.flatness is not None:
        bounds["flatness"] = (None, FLATTER * corpus.flatness)
    if corpus.peak_over_floor_db is not None:
        bounds["peak_over_floor_db"] = (min(PEAK_OVER_FLOOR, corpus.peak_over_floor_db - MISSED), None)
    strength = corpus.onset_strength_db
    bounds["onset_strength_db"] = (strength * (1 - ONSETS), strength * (1 + ONSETS))
    return bounds


def _is_within(value: float | None, low: float | None, high: float | None) -> bool:
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _real(run: TrainedModel, corpus: Corpus, split: SplitName, length: int) -> LongSound:
    """Measure stretches of the split through the model's levels, each no longer than the sound that is judged."""
    samples, real = corpus.reader(split), LongSound(run.rate)
    for stretch in similarity.spread(samples, min(length, len(samples), real.stretch), REAL_STRETCHES):
        real.add_stretch(run.quantizer.decode(run.quantizer.encode_int16(stretch)))
    return real


def _primes(run: TrainedModel, corpus: Corpus, split: SplitName) -> NDArray[np.int64]:
    """Return codes (STREAMS, n) of music from as many recordings of the split as there are, evenly spread."""
    samples, longest = corpus.reader(split), max(track.frames for track in corpus.tracks_of(split))
    length = min(round(PRIME_SECONDS * run.rate), longest)
    tracks = [track for track in corpus.tracks_of(split) if track.frames >= length]
    chosen = [i * len(tracks) // STREAMS for i in range(STREAMS)]
    primes = []
    for k, place in enumerate(chosen):
        track, first, count = tracks[place], chosen.index(place), chosen.count(place)
        start = track.start + (track.frames - length) * (k - first + 1) // (count + 1)
        primes.append(run.quantizer.encode_part(samples, start, start + length))
    return np.stack(primes)


def _median(streams: Sequence[Stream], name: str) -> float | None:
    known = [value for stream in streams if (value := getattr(stream.figures, name)) is not None]
    return float(np.median(known)) if known else None
