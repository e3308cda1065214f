"""An instrument played by hand: what is played is what a player is given, from any thread."""

import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import wavewright
from support.kinds import CONDITION
from support.model_files import make
from wavewright.conditioning.events import Kind, events
from wavewright.errors import ConfigError
from wavewright.models.condition import Time
from wavewright.playing.opening import open_model
from wavewright.sampling import Controls

BLOCK = 40
KEYBOARD = np.array([[0, 0, 0, 0, 1, 1, 0]], np.float32)  # dense values where the keyboard is there, all else is absent


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a category, a number and a keyboard of keys 60 and 61."""
    return make(tmp_path_factory.mktemp("model") / "m.safetensors", "tiers 8 4 2, conditioned").path


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_what_is_played_takes_effect_where_the_next_block_begins(file: Path, engine: Any) -> None:
    model = open_model(file, engine=engine)
    instrument, player = model.instrument(3, temperature=0.9), model.player(seed=3)
    prime = np.arange(BLOCK) % 12
    instrument.prime(prime)
    player.prime(prime)
    rows, codes, expected = [], [], []
    dense = np.array([[0, 0, 0, 0, 1, 1, 0]], np.float32)  # the keyboard is there, all else is absent
    temperature = 0.9
    for block in range(1, 9):
        if block == 2:
            instrument.note_on(60, 90)
            instrument.pedal(127)
            rows = [(block, Kind.strike, 60, 90), (block, Kind.pedal, 0, 127)]
        elif block == 3:
            instrument.note_off(60)
            instrument.control("loudness", -15)
            rows, dense = [(block, Kind.release, 60, 0)], np.array([[0, 0, 0, 0.5, 1, 0, 0]], np.float32)
        elif block == 4:
            instrument.note_on(61)
            instrument.control("voice", "high:1,low:1")
            rows, dense = [(block, Kind.strike, 61, 100)], np.array([[0.5, 0, 0.5, 0.5, 0, 0, 0]], np.float32)
        elif block == 5:
            instrument.note_on(61, 0)
            instrument.control("loudness", None)
            instrument.control("temperature", 1.3)
            rows, dense, temperature = (
                [(block, Kind.release, 61, 0)],
                np.array([[0.5, 0, 0.5, 0, 0, 1, 0]], np.float32),
                1.3,
            )
        else:
            rows = []
        player.feed(0, events(*((at * BLOCK, kind, key, value) for at, kind, key, value in rows)))
        expected.append(player.generate(BLOCK, Controls(temperature), dense)[0])
        codes.append(instrument.codes(BLOCK))
    assert np.array_equal(codes, expected)
    assert np.array_equal(instrument.generate(9), model.quantizer.decode(player.generate(9, Controls(1.3), dense)[0]))


def test_a_time_runs_until_it_is_held(tmp_path: Path) -> None:
    """It runs from 0 at the start, at `begin` and at a strike, in blocks whose ends lie within frames."""
    time = Time(0.02)
    condition = {**CONDITION, "controls": (*CONDITION["controls"][2:], {"kind": "time", "seconds": 0.02})}
    model = open_model(make(tmp_path / "m.safetensors", "tiers 8 4 2, conditioned", condition=condition).path)
    instrument, player, hop, block = model.instrument(3), model.player(seed=3), 5, 18
    began: float | None = 0
    for number in range(12):
        start = number * block
        if number == 2:
            instrument.begin()
            began = start
        elif number == 4:
            instrument.note_on(60, 90)
            player.feed(0, events((start, Kind.strike, 60, 90)))
            began = start
        elif number == 6:
            instrument.control("time", 0.01)
            began = None
        elif number == 8:
            instrument.control("time", None)
        elif number == 10:
            instrument.begin()
            began = start
        frames = hop * np.arange(-(-start // hop), -(-(start + block) // hop))
        passed = np.full(len(frames), 0.01) if began is None else np.maximum(frames - began, 0) / model.rate
        dense = np.concatenate((time.features(passed), np.zeros((len(frames), 2))), 1)
        if number in (8, 9):
            dense[:] = [0] * time.size + [0, 1]
        expected = player.generate(block, dense=dense)[0]
        assert np.array_equal(instrument.codes(block), expected)


def test_a_stream_is_what_is_played_from_any_thread(file: Path) -> None:
    model = wavewright.load(file)
    streamed, instrument = model.instrument(2), model.instrument(2)
    blocks = streamed.stream(BLOCK)
    found, expected = [next(blocks)], [instrument.generate(BLOCK)]
    assert abs(found[0][0]) < 0.01
    thread = threading.Thread(target=streamed.note_on, args=(60,))
    thread.start()
    thread.join()
    instrument.note_on(60)
    found += islice(blocks, 5)
    expected += [instrument.generate(BLOCK) for _ in range(5)]
    assert np.array_equal(np.stack(found)[1:], np.stack(expected)[1:])


def test_a_stream_that_continues_a_sound_is_not_faded_in(file: Path) -> None:
    streamed, instrument = (wavewright.load(file).instrument() for _ in "12")
    for each in (streamed, instrument):
        each.prime(np.arange(BLOCK) % 12)
    assert np.array_equal(next(streamed.stream(BLOCK)), instrument.generate(BLOCK))


def test_all_notes_off_releases_what_is_held(file: Path) -> None:
    model = wavewright.load(file)
    silenced, released = model.instrument(), model.instrument()
    for instrument in (silenced, released):
        for key in (60, 61):
            instrument.note_on(key, 80)
        instrument.note_off(61)
        instrument.generate(BLOCK)
    silenced.all_notes_off()
    released.note_off(60)
    assert np.array_equal(silenced.codes(400), released.codes(400))


def test_a_player_by_hand_never_waits_for_a_block(file: Path) -> None:
    """Notes are taken from another thread while a block is being made, and none is lost."""
    model = wavewright.load(file)
    instrument, player = model.instrument(), model.player()
    begun, played = threading.Event(), threading.Event()
    real = instrument._player.generate

    def slow(*arguments: Any) -> Any:
        with instrument._player._turn:  # as the engine does while it makes a block
            begun.set()
            assert played.wait(30)  # a block that is not done before the notes are in
        return real(*arguments)

    instrument._player.generate = slow  # type: ignore[method-assign]

    def hands() -> None:
        assert begun.wait(60)
        for i in range(1500):
            (instrument.note_on if i % 2 == 0 else instrument.note_off)(60)
        instrument.note_on(61)
        played.set()

    thread = threading.Thread(target=hands)
    maker = threading.Thread(target=instrument.codes, args=(BLOCK,))
    maker.start()
    thread.start()
    thread.join(30)
    maker.join(30)
    assert played.is_set()
    codes = [instrument.codes(BLOCK) for _ in range(5)]
    dense = np.array([[0, 0, 0, 0, 1, 1, 0]], np.float32)
    player.generate(BLOCK, dense=dense)
    player.feed(0, events((BLOCK, Kind.strike, 60, 100), (BLOCK, Kind.release, 60, 0)))
    player.generate(BLOCK)
    player.feed(0, events((2 * BLOCK, Kind.strike, 60, 100), (2 * BLOCK, Kind.release, 60, 0)))
    player.feed(0, events((2 * BLOCK, Kind.strike, 61, 100)))
    assert np.array_equal(np.concatenate(codes[1:]), player.generate(4 * BLOCK)[0])


@pytest.mark.parametrize(
    ("play", "line"),
    [
        (lambda hands: hands.note_on(128), "key: 128; give 0 to 127"),
        (lambda hands: hands.note_on(60, -1), "velocity or pedal: -1; give 0 to 127"),
        (lambda hands: hands.pedal(128), "velocity or pedal: 128; give 0 to 127"),
        (lambda hands: hands.control("loudness", 1), "loudness: 1; give -60 to 0"),
        (lambda hands: hands.control("bass", 1), "bass: no such control; this model has the controls voice "),
        (lambda hands: hands.control("notes", 1), "notes: a keyboard takes notes, not a value"),
        (lambda hands: hands.control("temperature", -1), "temperature: -1.0; give 0"),
        (lambda hands: hands.control("temperature", None), "temperature: None; give a number"),
        (lambda hands: hands.control("temperature", "hot"), "temperature: hot; give a number"),
    ],
)
def test_what_cannot_be_played_is_refused_at_once(play: Any, line: str, file: Path) -> None:
    model = wavewright.load(file)
    instrument = model.instrument()
    with pytest.raises(ConfigError, match=f"^{line}"):
        play(instrument)
    assert np.array_equal(instrument.codes(BLOCK), model.instrument().codes(BLOCK))


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_a_model_without_controls_has_the_settings_of_the_draw(engine: Any, tmp_path: Path) -> None:
    model = open_model(make(tmp_path / "m.safetensors", "tiers 8 4 2").path, engine=engine)
    instrument, player = model.instrument(3), model.player(seed=3)
    assert instrument.controls == ()
    prime = np.arange(BLOCK) % 12
    instrument.prime(prime)
    player.prime(prime)
    codes = [instrument.codes(BLOCK)]
    instrument.control("temperature", 0.8)
    instrument.control("top_p", 0.7)
    codes.append(instrument.codes(BLOCK))
    instrument.control("top_p", None)
    instrument.all_notes_off()
    instrument.begin()
    codes.append(instrument.codes(BLOCK))
    drawn = (Controls(), Controls(0.8, top_p=0.7), Controls(0.8))
    assert np.array_equal(codes, [player.generate(BLOCK, controls)[0] for controls in drawn])
    for play in (lambda: instrument.note_on(60), lambda: instrument.control("loudness", 1)):
        with pytest.raises(ConfigError, match="this model was made without controls"):
            play()


def test_a_model_of_impulse_responses_is_no_instrument(tmp_path: Path) -> None:
    decay = {"kind": "decay", "name": "decay", "low": 0.2, "high": 4.0, "ratios": (1.0, 1.0, 1.0, 1.0)}
    condition = {"controls": (decay,), "hop": 5, "width": 6}
    file = make(tmp_path / "m.safetensors", "tiers 8 4 2, conditioned", condition=condition).path
    with pytest.raises(ConfigError, match="instrument: the model makes impulse responses"):
        wavewright.load(file).instrument()


def test_a_curve_is_followed_sample_by_sample_and_then_held(file: Path) -> None:
    """The draw has a value for each sample, and a control one for each frame. A value that is set ends a curve."""
    model = wavewright.load(file)
    instrument, player, rate, hop = model.instrument(3), model.player(seed=3), model.rate, 5
    codes, expected = [instrument.codes(BLOCK)], [player.generate(BLOCK, dense=KEYBOARD)[0]]
    instrument.curve("temperature", [(0, 1.0), (BLOCK / rate, 0.5)])
    instrument.curve("loudness", [(0, -60), (2 * BLOCK / rate, 0)])
    for block in range(3):
        samples = block * BLOCK + np.arange(BLOCK)
        temperature = np.interp(samples, [0, BLOCK], [1.0, 0.5])
        dense = np.repeat(KEYBOARD, BLOCK // hop, 0)
        dense[:, 3] = np.interp(samples[::hop], [0, 2 * BLOCK], [-1, 1])
        dense[:, 5] = 0  # no longer absent
        codes.append(instrument.codes(BLOCK))
        expected.append(player.generate(BLOCK, Controls(temperature.astype(np.float32)), dense)[0])
    instrument.control("temperature", 1.2)
    instrument.control("loudness", None)
    codes.append(instrument.codes(BLOCK))
    expected.append(player.generate(BLOCK, Controls(1.2), KEYBOARD)[0])
    assert np.array_equal(codes, expected)


def test_classes_glide_along_a_curve(file: Path) -> None:
    model = wavewright.load(file)
    instrument, player, rate, hop = model.instrument(3), model.player(seed=3), model.rate, 5
    instrument.curve("voice", [(0, "low"), (BLOCK / rate, "high")])
    dense = np.repeat(KEYBOARD, BLOCK // hop, 0)
    dense[:, 4] = 0
    classes = next(control for control in instrument.controls if control.name == "voice").classes
    share = np.arange(0, BLOCK, hop) / BLOCK
    dense[:, classes.index("low")], dense[:, classes.index("high")] = 1 - share, share
    assert np.array_equal(instrument.codes(BLOCK), player.generate(BLOCK, dense=dense)[0])


def test_a_time_follows_a_curve_until_a_strike(tmp_path: Path) -> None:
    time = Time(0.02)
    condition = {**CONDITION, "controls": ({"kind": "time", "seconds": 0.02},)}
    model = open_model(make(tmp_path / "m.safetensors", "tiers 8 4 2, conditioned", condition=condition).path)
    instrument, player, hop = model.instrument(3), model.player(seed=3), 5
    instrument.curve("time", [(0, 0.02), (BLOCK / model.rate, 0.0)])
    back = np.interp(np.arange(0, BLOCK, hop), [0, BLOCK], [0.02, 0])
    codes = [instrument.codes(BLOCK)]
    instrument.begin()
    codes.append(instrument.codes(BLOCK))
    absent = np.zeros((BLOCK // hop, 1), np.float32)
    expected = [
        player.generate(BLOCK, dense=np.concatenate((time.features(passed), absent), 1))[0]
        for passed in (back, np.arange(0, BLOCK, hop) / model.rate)
    ]
    assert np.array_equal(codes, expected)


@pytest.mark.parametrize(
    ("points", "line"),
    [
        ([], "loudness: a curve has points of seconds"),
        ([(-1, 0)], "loudness: a curve has points of seconds"),
        ([(1, 0), (0, 0)], "loudness: a curve has points of seconds"),
        ([(float("nan"), 0)], "loudness: a curve has points of seconds"),
        ([(0, 0), (1, 1)], "loudness: 1; give -60 to 0"),
    ],
)
def test_an_odd_curve_is_refused(points: Any, line: str, file: Path) -> None:
    model = wavewright.load(file)
    instrument = model.instrument()
    with pytest.raises(ConfigError, match=f"^{line}"):
        instrument.curve("loudness", points)
    assert np.array_equal(instrument.codes(BLOCK), model.instrument().codes(BLOCK))


def test_an_instrument_goes_back_to_a_moment_to_the_same_codes(file: Path) -> None:
    """Everything comes back: the model's state, held keys, values, curves on their way, and notes that are due."""
    instrument = wavewright.load(file).instrument(3)
    now = 0.0
    instrument.clock = lambda: now
    instrument.note_on(60, 90)
    instrument.control("loudness", -15)
    instrument.curve("temperature", [(0, 1.0), (1, 0.2)])
    instrument.curve("voice", [(0, "low"), (1, "high")])
    instrument.codes(33)
    now = 20 / instrument.rate
    instrument.note_on(61)  # is due in sample 53
    instrument.codes(1)
    moment = instrument.state()

    def go_on() -> NDArray[np.integer]:
        held = instrument.codes(300)
        instrument.all_notes_off()
        return np.concatenate((held, instrument.codes(300)))

    first = go_on()
    instrument.control("loudness", None)
    instrument.control("temperature", 1.5)
    instrument.control("voice", "low")
    assert not np.array_equal(go_on(), first)
    for _ in "12":
        instrument.restore(moment)
        assert np.array_equal(go_on(), first)


def test_torch_keeps_no_moments(file: Path) -> None:
    with pytest.raises(ConfigError, match="torch keeps no states"):
        open_model(file, engine="torch").instrument().state()


def test_after_a_rest_a_note_takes_effect_at_once(file: Path) -> None:
    """While nobody asks for sound, time passes. A note of that time is not late by as much."""
    model = wavewright.load(file)
    clocked, plain = model.instrument(3), model.instrument(3)
    now = 0.0
    clocked.clock = lambda: now
    assert np.array_equal(clocked.codes(BLOCK), plain.codes(BLOCK))
    now = 10.0
    for each in (clocked, plain):
        each.note_on(60)
    now = 20.0
    assert np.array_equal(clocked.codes(BLOCK), plain.codes(BLOCK))


def test_an_instrument_plays_without_torch(file: Path) -> None:
    code = f"""if True:
        import sys, wavewright
        instrument = wavewright.load({str(file)!r}).instrument()
        instrument.note_on(60, 90)
        assert instrument.generate(256).shape == (256,)
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
