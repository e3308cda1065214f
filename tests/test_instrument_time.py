"""When what is played takes effect: exactly one block after it came, whatever the pace of the sound card."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wavewright
from support.model_files import make
from wavewright.conditioning.events import Kind, events
from wavewright.playing.instrument import CALLS
from wavewright.playing.opening import open_model

BLOCK = 40


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a category, a number and a keyboard of keys 60 and 61."""
    return make(tmp_path_factory.mktemp("model") / "m.safetensors", "tiers 8 4 2, conditioned").path


def live(model: Any, calls: list[float], given: list[tuple[int, str, float]]) -> Any:
    """The codes of an instrument whose blocks are made at times `calls`, while it is played at samples of that clock.

    Times of calls are in samples too. `given` has a sample, a key or `loudness`, and a velocity or a value.
    """
    now, instrument, codes = 0.0, model.instrument(3), []
    instrument.clock = lambda: 1000 + now / model.rate
    waiting = list(given)
    for call in calls:
        while waiting and waiting[0][0] < call:
            now, name, value = waiting.pop(0)
            if name == "loudness":
                instrument.control(name, value)
            else:
                instrument.note_on(int(name), int(value))
        now = call
        codes.append(instrument.codes(BLOCK))
    return np.concatenate(codes)


def known_before(model: Any, blocks: int, given: list[tuple[int, str, float]], late: int) -> Any:
    """The codes of a player that is given everything before it begins, `late` samples after it was played."""
    player, hop = model.player(seed=3), model.config.condition.hop
    dense = np.tile(np.array([0, 0, 0, 0, 1, 1, 0], np.float32), (blocks * BLOCK // hop, 1))
    rows = []
    for at, name, value in given:
        if name == "loudness":
            dense[(at + late) // hop :, 3:6] = [1 + value / 30, 1, 0]
        else:
            rows.append((at + late, Kind.strike if value else Kind.release, int(name), int(value)))
    player.feed(0, events(*rows))
    return player.generate(blocks * BLOCK, dense=dense)[0]


def played(count: int, blocks: int) -> list[tuple[int, str, float]]:
    """Events at random samples."""
    rng = np.random.default_rng(5)
    return [
        (at, ("60", "61", "loudness")[kind], float(-value if kind == 2 else value * (value % 3)))
        for at, kind, value in zip(
            sorted(rng.integers(1, blocks * BLOCK, count).tolist()),
            rng.integers(0, 3, count).tolist(),
            rng.integers(0, 43, count).tolist(),
            strict=True,
        )
    ]


@pytest.mark.parametrize("engine", ["native", "torch"])
@pytest.mark.parametrize(
    ("at_once", "lateness"),
    [(1, 0.0), (1, 0.95), (4, 0.0), (4, 0.95)],  # a card may ask for several blocks at once, and a call may be late
)
def test_each_of_200_events_takes_effect_exactly_one_block_later(
    file: Path, engine: Any, at_once: int, lateness: float
) -> None:
    """One block is what the card asks for at once."""
    model, blocks = open_model(file, engine=engine), 200 if engine == "native" else 52  # torch takes its time
    calls = BLOCK * at_once * (np.arange(blocks) // at_once).astype(float)
    late = np.random.default_rng(1).choice([0.0, lateness / 2, lateness], blocks // at_once)
    late[0] = 0
    calls += np.repeat(late, at_once) * BLOCK
    given = played(200, blocks)
    expected = known_before(model, blocks, given, at_once * BLOCK)
    assert np.array_equal(live(model, calls.tolist(), given), expected)
    assert not np.array_equal(expected, known_before(model, blocks, given, at_once * BLOCK + 1))


def test_an_event_between_two_frames_counts_from_the_next_one(file: Path) -> None:
    """A frame that began in an earlier block cannot change. The hop is 5, and the block 37."""
    model = wavewright.load(file)
    for at in range(1, 120):
        instrument, now = model.instrument(3), 0.0
        instrument.clock = lambda: now / model.rate  # noqa: B023
        player, codes = model.player(seed=3), []
        for block in range(6):
            if 37 * (block - 1) < at <= 37 * block:
                now = at
                instrument.note_on(60)
            now = 37 * block
            codes.append(instrument.codes(37))
        due = at + 37
        known = -(-at // 37) * 37  # the beginning of the first block that can know it
        first = due // 5 * 5 if due // 5 * 5 >= known else -(-known // 5) * 5
        dense = np.array([[0, 0, 0, 0, 1, 1, 0]], np.float32)
        expected = [player.generate(first, dense=dense)[0]]
        player.feed(0, events((due, Kind.strike, 60, 100)))
        expected.append(player.generate(6 * 37 - first)[0])
        assert np.array_equal(np.concatenate(codes), np.concatenate(expected))
        assert -5 < first - due < 5


def test_an_instrument_that_fell_behind_is_as_quick_again(file: Path) -> None:
    """The card waited for three blocks' time. After CALLS blocks, the delay is one block again."""
    model, blocks, gap = wavewright.load(file), 3 * CALLS, 3 * BLOCK
    calls = [float(BLOCK * i + (gap if i >= 20 else 0)) for i in range(blocks)]
    later = [(at, "60", 90.0) for at in range(BLOCK * (CALLS + 30) + 7, BLOCK * (blocks - 10), 91)]
    shifted = [(at - gap, name, value) for at, name, value in later]
    assert np.array_equal(live(model, calls, later), known_before(model, blocks, shifted, BLOCK))


@pytest.mark.parametrize("slowness", [1.5, 4.0, 50.0])
def test_where_sound_is_made_too_slowly_a_key_is_heard_with_the_sound_that_comes_next(
    file: Path, slowness: float
) -> None:
    """Each block takes longer to make than to play, for as long as it lasts."""
    model, now = wavewright.load(file), 0.0
    for blocks in (10, 100, 400):
        instrument, plain = model.instrument(3), model.instrument(3)
        instrument.clock = lambda: now  # noqa: B023
        for block in range(blocks):
            now = block * slowness * BLOCK / model.rate
            assert np.array_equal(instrument.codes(BLOCK), plain.codes(BLOCK))
        instrument.note_on(60)
        later = []
        for block in range(blocks, blocks + 200):
            now = block * slowness * BLOCK / model.rate
            later.append(instrument.codes(BLOCK))
        unlike = np.concatenate(later) != plain.codes(200 * BLOCK)
        assert unlike.any()
        assert np.argmax(unlike) < 0.25 * model.rate
