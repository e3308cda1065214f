"""How well a keyboard is played is measured on instruments whose tuning, loudness and delay are known."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.controlled import make_controlled, with_controls
from support.scores import read_score
from wavewright.conditioning.events import Events, Kind, events
from wavewright.corpus.corpus import Corpus
from wavewright.measuring import keyboard
from wavewright.measuring.keyboard import single_notes, transcribed
from wavewright.measuring.transcription import Matched, Struck, Transcriber, match, missing
from wavewright.models.condition import Condition, Notes
from wavewright.quantize import Quantizer
from wavewright.sampling import Controls

NOTES = Notes(low=21, high=108)
QUANTIZER = Quantizer(256, "mu-law")
pytest.importorskip("librosa", reason="librosa is an extra")
pytest.importorskip("mir_eval", reason="mir_eval is an extra")


@dataclass
class Organ:
    """A player of sines that are exactly in tune, or off by some cents, late, or of one loudness."""

    streams: int
    rate: int
    cents: float = 0.0
    late: float = 0.0  # seconds
    touch: float = 1.0  # how far the level follows the velocity
    clock: int = 0
    struck: list[list[tuple[int, int, int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.struck = [[] for _ in range(self.streams)]

    def feed(self, stream: int, table: Events, voice: int = 0) -> int:
        self.struck[stream] += [
            (int(one["sample"]), int(one["key"]), int(one["value"])) for one in table if one["kind"] == Kind.strike
        ]
        return 0

    def generate(self, samples: int, controls: Any, dense: NDArray[np.float32], second: Any = None) -> Any:
        assert dense.max() == 0  # no control is absent
        time = self.clock + np.arange(samples)
        self.clock += samples
        sounds = np.zeros((self.streams, samples))
        for stream, notes in enumerate(self.struck):
            for sample, key, velocity in notes:
                age = time / self.rate - sample / self.rate - self.late
                level = 0.4 * (velocity / 127) ** self.touch
                hertz = 440 * 2 ** ((key - 69 + self.cents / 100) / 12)
                sounds[stream] += np.where(age >= 0, level * np.exp(-3 * age) * np.cos(2 * np.pi * hertz * age), 0)
        return QUANTIZER.encode(sounds)


def organ(rate: int, **traits: float) -> Any:
    config = SimpleNamespace(condition=Condition((NOTES,)))
    return SimpleNamespace(
        config=config,
        rate=rate,
        quantizer=QUANTIZER,
        draw=Controls(),
        player=lambda streams, seed: Organ(streams, rate, **traits),
    )


def scale(rate: int, first: int) -> Events:
    return events(*((round((0.1 + 0.05 * i) * rate), Kind.strike, first + 3 * i, 90) for i in range(8)))


@pytest.fixture
def scored(tmp_path: Path) -> Corpus:
    """A corpus whose tracks of half a second have scales as their scores, each a semitone above the one before."""
    sounds = make_controlled(tmp_path)
    scores = {track.name: scale(sounds.rate, 52 + i) for i, track in enumerate(sounds.tracks_of("valid"))}
    return with_controls(sounds, (NOTES,), {}, scores)


def test_an_instrument_in_tune_is_told_from_one_that_is_not(scored: Corpus) -> None:
    right = single_notes(organ(scored.rate), scored, "valid")
    assert right is not None
    assert right.keys == [53 + 3 * i for i in range(8)]  # of the middle scale
    assert right.count == 48
    assert right.in_tune == 1
    assert right.loudness == pytest.approx(1)
    assert right.silence_dbfs < -40  # the hiss of mu-law's code for silence
    assert right.attack_ms < 0.5
    near, far = (single_notes(organ(scored.rate, cents=cents), scored, "valid") for cents in (20, 80))
    assert near is not None
    assert far is not None
    assert (near.in_tune, far.in_tune) == (1, 0)


def test_delay_and_touch_are_measured(scored: Corpus) -> None:
    found = single_notes(organ(scored.rate, late=0.02, touch=-1), scored, "valid")
    assert found is not None
    assert found.attack_ms == pytest.approx(20, abs=0.5)
    assert found.loudness == pytest.approx(-1)


class Ear:
    """A transcriber that hears the score of each track, a little late, first as played and then as recorded."""

    def __init__(self) -> None:
        self.sounds = 0

    def hear(self, sound: NDArray[np.floating], rate: int) -> Struck:
        first = 52 + self.sounds // 2
        self.sounds += 1
        return Struck(0.13 + 0.05 * np.arange(8), first + 3 * np.arange(8), np.arange(8) + 60)


def test_what_is_heard_is_matched_with_its_own_score(scored: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyboard, "Transcriber", Ear)
    found = transcribed(organ(scored.rate), scored, "valid", 60)
    assert (found.seconds, found.notes) == (1.5, 24)
    assert (found.f1, found.ceiling, found.chance) == (1, 1, 0)


def struck(*notes: tuple[float, int, int]) -> Struck:
    seconds, keys, velocities = np.array(notes, np.float64).reshape(-1, 3).T
    return Struck(seconds, keys.astype(np.int64), velocities.astype(np.int64))


def test_notes_are_matched_once_within_fifty_milliseconds() -> None:
    score = struck((1.0, 60, 50), (2.0, 64, 80), (3.0, 67, 100))
    heard = struck((1.04, 60, 40), (1.045, 60, 99), (2.06, 64, 70), (3.0, 68, 1), (2.96, 67, 90))
    found = match(score, heard)
    assert (found.scored, found.heard, len(found.pairs)) == (3, 5, 2)
    assert found.f1 == pytest.approx(2 * 2 / 8)
    assert match(struck(), heard).f1 == 0
    assert match(struck(), struck()).f1 == 1


def test_figures_of_several_sounds_are_counted_together() -> None:
    both = Matched(3, 5, ((50, 40), (100, 90))) + Matched(1, 0) + Matched(2, 3, ((75, 65),))
    assert (both.scored, both.heard) == (6, 8)
    assert both.f1 == pytest.approx(6 / 14)
    assert both.velocity_correlation == pytest.approx(1)
    assert Matched(3, 5, ((50, 40), (100, 90))).velocity_correlation is None
    assert Matched(3, 5, ((50, 40),) * 3).velocity_correlation is None


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason="the transcriber is not installed")
def test_a_piano_is_heard(data: Any) -> None:
    """The first 12 s of a piece with its score."""
    import soundfile

    sound, rate = soundfile.read(data / "piano/grieg/grieg_walzer.flac", frames=12 * 44100)
    score = Struck.of(read_score(data / "piano/grieg/grieg_walzer.mid").at(rate), NOTES, rate)
    heard = Transcriber().hear(sound, rate)
    first = Struck(*(part[score.seconds < 11.9] for part in (score.seconds, score.keys, score.velocities)))
    assert match(first, heard).f1 > 0.9
