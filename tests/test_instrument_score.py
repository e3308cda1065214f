"""A score under an instrument, and two models under one pair of hands, beside what `generate` plays."""

from pathlib import Path

import numpy as np
import pytest

from support.kinds import CONDITION
from support.model_files import make
from support.scores import read_score, write_score
from wavewright.conditioning.controls import Performance, curve, find
from wavewright.conditioning.events import Events, Kind, events
from wavewright.errors import ConfigError
from wavewright.playing.instrument import Instrument
from wavewright.playing.mixture import Mixture, mix
from wavewright.playing.native_model import NativeModel
from wavewright.playing.opening import load
from wavewright.playing.performance import live_events
from wavewright.playing.playable import Playable
from wavewright.playing.stream import stream
from wavewright.sampling import Controls

KEYS, OTHER_KEYS = "tiers 8 4 2, conditioned", "gated of 3 taps, conditioned"
ROWS = [
    (0.0, Kind.strike, 60, 90),
    (0.01, Kind.pedal, 0, 127),
    (0.0203, Kind.strike, 61, 40),
    (0.0203, Kind.strike, 60, 99),
    (0.05, Kind.release, 60, 0),
    (0.08, Kind.release, 61, 0),
    (0.11, Kind.pedal, 0, 0),
]
SAMPLES = 1000


@pytest.fixture
def played(tmp_path: Path) -> Events:
    write_score(tmp_path / "score.mid", ROWS)
    return read_score(tmp_path / "score.mid").at(4000)


def opened(path: Path, kind: str = KEYS, hop: int = 16) -> NativeModel:
    make(path, kind, condition={**CONDITION, "hop": hop})
    return load(path)


def part(model: Playable, score: Events | None, **controls: str) -> Performance:
    condition = model.config.condition
    assert condition
    curves = {name: curve(find(condition, name), value) for name, value in controls.items()}
    return Performance(condition, model.rate, curves, score)


def by_generate(model: Playable, controls: Controls) -> np.ndarray:
    return np.concatenate([*stream(model.player(1, 3), SAMPLES, controls)], 1)[0]


def by_hand(instrument: Instrument, samples: int = SAMPLES, block: int = 77) -> np.ndarray:
    sizes = [min(block, samples - start) for start in range(0, samples, block)]
    return np.concatenate([instrument.codes(size) for size in sizes])


@pytest.mark.parametrize("hop", [1, 7, 16])
def test_a_score_is_played_as_generate_plays_it(hop: int, played: Events, tmp_path: Path) -> None:
    model = opened(tmp_path / "one.safetensors", hop=hop)
    instrument = model.instrument(3)
    instrument.perform(played)
    assert np.array_equal(by_hand(instrument), by_generate(model, Controls(part=part(model, played))))
    assert not instrument.plays_score


def test_hands_play_along_with_a_score_that_begins_later(played: Events, tmp_path: Path) -> None:
    model = opened(tmp_path / "one.safetensors")
    instrument = model.instrument(3)
    by_hand(instrument, 96)  # six frames
    instrument.perform(played)
    by_hand(instrument, 112)
    instrument.note_on(61, 70)
    later = played.copy()
    later["sample"] += 96
    both = np.concatenate((later, events((208, Kind.strike, 61, 70))))
    both = both[np.argsort(both["sample"], kind="stable")]
    expected = by_generate(model, Controls(part=part(model, both)))
    assert np.array_equal(by_hand(instrument, SAMPLES - 208), expected[208:])


def test_a_score_ends_with_all_notes_off_and_goes_on_from_a_moment(played: Events, tmp_path: Path) -> None:
    instrument = opened(tmp_path / "one.safetensors").instrument(3)
    instrument.perform(played)
    by_hand(instrument, 100)
    assert (instrument.held, instrument.plays_score) == ({60, 61}, True)
    moment = instrument.state()
    rest = by_hand(instrument, 500)
    instrument.all_notes_off()
    by_hand(instrument, 1)
    assert (instrument.held, instrument.plays_score) == (set(), False)
    instrument.restore(moment)
    assert instrument.plays_score
    assert np.array_equal(by_hand(instrument, 500), rest)


def test_what_a_score_leaves_down_is_released_after_its_tail(tmp_path: Path) -> None:
    write_score(tmp_path / "score.mid", [*ROWS[:2], (0.25, Kind.strike, 61, 9)])
    live = live_events(read_score(tmp_path / "score.mid"), 4000)
    end = [(9000, Kind.release, 60, 0), (9000, Kind.release, 61, 0), (9000, Kind.pedal, 0, 0)]
    assert live[-3:].tolist() == events(*end).tolist()
    write_score(tmp_path / "score.mid", ROWS)
    live = live_events(read_score(tmp_path / "score.mid"), 4000)
    assert live[len(ROWS) :].tolist() == events((440 + 8000, Kind.pedal, 0, 0)).tolist()


def mixture(tmp_path: Path) -> Mixture:
    first = opened(tmp_path / "first.safetensors")
    return mix(first, opened(tmp_path / "second.safetensors", OTHER_KEYS, hop=3))


def test_two_models_play_one_score_and_follow_the_controls_of_both(played: Events, tmp_path: Path) -> None:
    model = mixture(tmp_path)
    instrument = model.instrument(3, amount=0.3)
    instrument.perform(played)
    instrument.control("loudness", -20)
    expected = by_generate(
        model,
        Controls(
            part=part(model, played, loudness="-20"), second=part(model.second, played, loudness="-20"), amount=0.3
        ),
    )
    assert np.array_equal(by_hand(instrument), expected)
    assert not np.array_equal(expected, by_generate(model.first, Controls(part=part(model, played, loudness="-20"))))


@pytest.mark.parametrize("amount", [0, 1])
def test_the_amount_is_a_setting_of_the_draw(amount: int, tmp_path: Path) -> None:
    model = mixture(tmp_path)
    instrument = model.instrument(3)
    assert instrument.is_draw("amount")
    instrument.control("amount", amount)
    instrument.note_on(60)
    alone = model.models[amount].instrument(3)
    alone.note_on(60)
    assert np.array_equal(by_hand(instrument), by_hand(alone))
    with pytest.raises(ConfigError, match="amount: 101"):
        instrument.control("amount", 101)
    with pytest.raises(ConfigError, match="no such control"):
        alone.control("amount", 0.5)


def test_the_amount_follows_a_curve(tmp_path: Path) -> None:
    model = mixture(tmp_path)
    instrument = model.instrument(3)
    instrument.curve("amount", [(0, 0.0), (0.1, 1.0)])
    ramp = np.minimum(np.arange(SAMPLES) / 400, 1)
    expected = Controls(part=part(model, events()), second=part(model.second, events()), amount=ramp)
    assert np.array_equal(by_hand(instrument), by_generate(model, expected))


def test_a_model_without_a_keyboard_plays_no_score(played: Events, tmp_path: Path) -> None:
    make(tmp_path / "plain.safetensors", "tiers 8 4 2")
    with pytest.raises(ConfigError, match="no keyboard"):
        load(tmp_path / "plain.safetensors").instrument(3).perform(played)
