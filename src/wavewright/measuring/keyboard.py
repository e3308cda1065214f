"""Measure how well a model plays its keyboard: single notes, and the scores of a corpus.

docs/evaluation.md says what each figure means, and when to trust it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavewright import metrics
from wavewright.conditioning.controls import Performance
from wavewright.conditioning.events import Kind, events
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.settings import SplitName
from wavewright.errors import need_librosa
from wavewright.measuring.transcription import Matched, Struck, Transcriber, match
from wavewright.models.condition import Notes
from wavewright.playing.playable import TrainedModel
from wavewright.playing.stream import perform
from wavewright.progress import Progress, silent

SEED = 0
KEYS = 8
VELOCITIES = (20, 40, 60, 80, 100, 120)
BEFORE, HELD = 0.25, 0.8  # seconds of silence before a single note, and of the note
LOUD = 0.3  # seconds from the strike on in which the loudness is measured
PITCHED = slice(0.03, 0.63)  # seconds from the strike on in which the pitch is measured
NEAR = 50  # cents
WINDOW = 512  # samples in which a pitch is sought, at least
RISEN = 0.1  # share of the peak, -20 dB, at which a note has begun
STRETCH = 10.0  # seconds of a score that are played in one stream
CARRIED = 0.1  # seconds at a stretch's start that do not count, since keys that were held before are struck there


@dataclass(frozen=True)
class SingleNotes:
    """How single notes sound that are struck in silence: 8 keys that the corpus uses, each at 6 velocities.

    Attributes:
        count: number of notes.
        keys: the MIDI keys.
        in_tune: share of the notes whose pitch is within 50 cents of the key's (pYIN).
        in_tune_by_key: the same for each key.
        loudness: mean over the keys of Spearman's correlation between velocity and level of the first 0.3 s.
        attack_ms: median time from the strike until the sound first reaches a tenth of its peak, -20 dB.
        silence_dbfs: median level before the strikes.
    """

    count: int
    keys: list[int]
    in_tune: float
    in_tune_by_key: list[float]
    loudness: float
    attack_ms: float
    silence_dbfs: float


@dataclass(frozen=True)
class Transcribed:
    """Onset F1 of what a model plays of the split's scores, transcribed (`transcription.Matched`).

    Attributes:
        seconds: length of what was played.
        notes: notes of the scores.
        f1: of the sound against the score that it was played from.
        ceiling: of the recordings, at the model's rate and levels, against their scores.
        chance: of the sound against the score of another stretch. None where there is only one.
        velocity_correlation: Pearson's, of the velocities in the score and those heard. None where they are too few.
        ceiling_velocity_correlation: the same for the recordings.
    """

    seconds: float
    notes: int
    f1: float
    ceiling: float
    chance: float | None
    velocity_correlation: float | None
    ceiling_velocity_correlation: float | None


def has_scores(corpus: Corpus, split: SplitName) -> bool:
    """Tell whether any track of a split has events of a keyboard."""
    return any(track.events for track in corpus.tracks_of(split))


def single_notes(run: TrainedModel, corpus: Corpus, split: SplitName) -> SingleNotes | None:
    """Strike single notes and measure them. None where the split's scores have no notes in the model's range.

    Args:
        run: a model with a keyboard.
        corpus: corpus at the model's sample rate, with scores.
        split: split of the corpus, whose notes say which keys are struck.
    """
    from scipy.stats import spearmanr

    condition = run.config.condition
    assert condition is not None
    notes = condition.notes
    assert notes is not None
    keys = _used_keys(corpus, split, notes)
    if not keys:
        return None
    strike = condition.hop * round(BEFORE * run.rate / condition.hop)  # a note begins with the frame of its strike
    length = strike + round(HELD * run.rate)
    parts = [
        Performance(condition, run.rate, {}, events((strike, Kind.strike, key, velocity)))
        for key in keys
        for velocity in VELOCITIES
    ]
    codes = np.concatenate(list(perform(run.player(len(parts), SEED), parts, length, controls=run.draw)), 1)
    sounds = run.quantizer.decode(codes).reshape(len(keys), len(VELOCITIES), length)
    after = sounds[..., strike:]
    tuned = np.array([[_in_tune(sound, key, run.rate) for sound in row] for key, row in zip(keys, after, strict=True)])
    levels = np.array([[metrics.loudness(sound[: round(LOUD * run.rate)])[0] for sound in row] for row in after])
    peaks = np.abs(after[..., : round(LOUD * run.rate)])
    risen = (peaks >= RISEN * peaks.max(-1, keepdims=True)).argmax(-1)
    return SingleNotes(
        count=len(parts),
        keys=keys,
        in_tune=float(tuned.mean()),
        in_tune_by_key=tuned.mean(1).tolist(),
        loudness=float(np.mean([spearmanr(VELOCITIES, row).statistic if np.ptp(row) else 0.0 for row in levels])),
        attack_ms=float(1000 * np.median(risen) / run.rate),
        silence_dbfs=float(np.median([metrics.loudness(sound)[0] for row in sounds for sound in row[:, :strike]])),
    )


def _in_tune(sound: NDArray[np.floating], key: int, rate: int) -> bool:
    """Tell whether the median pitch of a note is near its key's. It is sought two octaves up and down."""
    librosa = need_librosa()
    hertz, pitched = float(librosa.midi_to_hz(key)), sound[round(PITCHED.start * rate) : round(PITCHED.stop * rate)]
    window = max(WINDOW, 1 << math.ceil(math.log2(2 * rate / (hertz / 4))))  # two periods of the lowest pitch
    pitches, voiced, _ = librosa.pyin(
        pitched, fmin=hertz / 4, fmax=min(4 * hertz, 0.45 * rate), sr=rate, frame_length=window
    )
    return bool(voiced.any()) and abs(1200 * math.log2(float(np.median(pitches[voiced])) / hertz)) < NEAR


def _used_keys(corpus: Corpus, split: SplitName, notes: Notes) -> list[int]:
    """Return up to KEYS keys, spread evenly over the notes of the split's scores, the rare ends left out."""
    played = [Struck.of(one, notes, corpus.rate).keys for one in corpus.keyboards(split) if one is not None]
    if not sum(map(len, played)):
        return []
    shares = (np.arange(KEYS) + 0.5) / KEYS
    return np.unique(np.quantile(np.concatenate(played), shares, method="nearest")).tolist()


def transcribed(
    run: TrainedModel, corpus: Corpus, split: SplitName, seconds: float, progress: Progress = silent
) -> Transcribed:
    """Play stretches of the split's scores, transcribe the sound and the recordings, and match both with the scores.

    Args:
        run: a model with a keyboard.
        corpus: corpus at the model's sample rate, with scores.
        split: split of the corpus.
        seconds: how much to play, in stretches of 10 s, evenly spread.
        progress: shows the stretches that were transcribed.

    Raises:
        WavewrightError: the packages are not installed.
    """
    condition = run.config.condition
    assert condition is not None
    assert condition.notes is not None
    transcriber, conditions, notes = Transcriber(), Conditions(corpus, split, condition), condition.notes
    starts, length = _stretches(corpus, split, seconds)
    parts = [conditions.excerpt(start, length) for start in starts]
    codes = np.concatenate(list(perform(run.player(len(parts), SEED), parts, length, controls=run.draw)), 1)
    scores = [Struck.of(part.events(0, length), notes, run.rate).since(CARRIED) for part in parts]
    samples = corpus.reader(split)
    made: list[Struck] = []
    real: list[Struck] = []
    with progress("transcribing", 2 * len(parts)) as advance:
        for start, row in zip(starts, codes, strict=True):
            recorded = run.quantizer.encode_int16(samples[start : start + length])
            for into, sound in ((made, row), (real, recorded)):
                into.append(transcriber.hear(run.quantizer.decode(sound), run.rate).since(CARRIED))
                advance(1)
    half = len(scores) // 2
    own, best = _matched(scores, made), _matched(scores, real)
    wrong = _matched([*scores[half:], *scores[:half]], made)
    return Transcribed(
        seconds=len(starts) * length / run.rate,
        notes=own.scored,
        f1=own.f1,
        ceiling=best.f1,
        chance=wrong.f1 if len(scores) > 1 else None,
        velocity_correlation=own.velocity_correlation,
        ceiling_velocity_correlation=best.velocity_correlation,
    )


def _stretches(corpus: Corpus, split: SplitName, seconds: float) -> tuple[list[int], int]:
    """Return where stretches of the tracks with scores start, evenly spread, and their common length in samples."""
    tracks = [track for track in corpus.tracks_of(split) if track.events]
    length = min([round(STRETCH * corpus.rate), *(track.frames for track in tracks)])
    starts = [
        start for track in tracks for start in range(track.start, track.start + track.frames - length + 1, length)
    ]
    return metrics.evenly(np.array(starts), max(1, round(seconds * corpus.rate / length))).tolist(), length


def _matched(scores: list[Struck], heard: list[Struck]) -> Matched:
    return sum((match(*pair) for pair in zip(scores, heard, strict=True)), Matched())
