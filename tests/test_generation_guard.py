"""The guard in generation: what is trouble and what is not, and what becomes of a stream that is in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wavewright.corpus.rendering import audio_like_corpus
from wavewright.corpus.settings import LEVELLING, prepare_settings
from wavewright.formats.model_file import Training
from wavewright.models import configure
from wavewright.playing import guard
from wavewright.playing import stream as streaming
from wavewright.playing.guard import BLOCK, GenerationGuard, Trouble, measure
from wavewright.playing.opening import open_model
from wavewright.playing.stream import Playable, play, stream
from wavewright.quantize import Encoding, Quantizer, silence
from wavewright.sampling import Controls

RATE = 14700
LEVELS = 256
Codes = NDArray[np.int64]


def music(seconds: float, seed: int = 0) -> Codes:
    """Decaying tones over a quiet hiss."""
    rng, t = np.random.default_rng(seed), np.arange(blocks(seconds) * BLOCK) / RATE
    tone = 0.5 * np.sin(2 * np.pi * (220 + 110 * (np.floor(2 * t) % 3)) * t) * np.exp(-4 * (t % 0.5))
    return Quantizer(LEVELS, "mu-law").encode(tone + 0.002 * rng.standard_normal(len(t))).astype(np.int64)


def noise(seconds: float, deviation: float = 0.3) -> Codes:
    drawn = deviation * np.random.default_rng(1).standard_normal(blocks(seconds) * BLOCK)
    return Quantizer(LEVELS, "mu-law").encode(np.clip(drawn, -1, 1)).astype(np.int64)


def rumble(seconds: float, level: float) -> Codes:
    """Low noise at a level in dBFS: several codes of mu-law, and yet no sound to speak of."""
    drawn = np.random.default_rng(2).standard_normal(blocks(seconds) * BLOCK + 63)
    low = np.convolve(drawn, np.ones(64) / 8, mode="valid")  # variance 1
    return Quantizer(LEVELS, "mu-law").encode(10 ** (level / 20) * low).astype(np.int64)


def constant(seconds: float, code: int) -> Codes:
    return np.full(blocks(seconds) * BLOCK, code)


def blocks(seconds: float) -> int:
    return round(seconds * RATE / BLOCK)


def judged(
    codes: Codes,
    heard: Codes | None = None,
    quantizer: Quantizer = Quantizer(LEVELS, "mu-law"),  # noqa: B008
) -> list[tuple[float, Trouble]]:
    """Every trouble of a stream, with the seconds at which it is noticed."""
    watch = GenerationGuard(quantizer, RATE, np.zeros(0, np.int64) if heard is None else heard)
    found = []
    for start in range(0, len(codes) - BLOCK + 1, BLOCK):
        if trouble := watch.judge(codes[start : start + BLOCK]):
            found.append(((start + BLOCK) / RATE, trouble))
    return found


# What is trouble


@pytest.mark.parametrize("deviation", [0.01, 0.1, 0.3])
def test_white_noise_is_flat_and_as_surprising_as_it_is_loud(deviation: float) -> None:
    # Of Hann-windowed frames of n samples of variance v, |X|^2 has the mean v sum(w^2) = v 3n / 8 at every frequency.
    codes = Quantizer(65536, "linear").encode(deviation * np.random.default_rng(0).standard_normal(BLOCK))
    found = measure(codes, Quantizer(65536, "linear"))
    assert found.surprise == pytest.approx(10 * np.log10(deviation**2 * 3 / 8 * guard.FRAME), abs=0.5)
    assert found.flatness == pytest.approx(0, abs=0.5)
    assert found.spread == pytest.approx(deviation * 32768, rel=0.1)


def test_a_tone_is_not_flat_and_a_shifted_one_shows_its_mean() -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(BLOCK) / RATE) + 0.2
    found = measure(Quantizer(65536, "linear").encode(tone), Quantizer(65536, "linear"))
    assert found.flatness < -30
    assert found.mean == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("fault", "patience", "what"),
    [
        (constant(20, silence(LEVELS)), 10, "silent"),
        (rumble(20, -61), 10, "silent"),
        (constant(20, 250), 2, "stuck at +0.79"),
        (noise(20), 2, "noise"),
    ],
)
def test_a_fault_is_noticed_when_it_has_lasted(fault: Codes, patience: float, what: str) -> None:
    (when, trouble), *_ = judged(np.concatenate((music(10), fault)))
    assert trouble.what.startswith(what)
    assert trouble.past
    assert when - blocks(10) * BLOCK / RATE == pytest.approx(patience, abs=0.2)
    assert trouble.blocks == pytest.approx(blocks(patience), abs=1)


@pytest.mark.parametrize(
    "pause",
    [
        constant(9, silence(LEVELS)),
        rumble(9, -61),
        rumble(20, -45),
        constant(1.5, 250),
        noise(1.5),
        music(20, seed=5) // 2 + 64,
    ],
)
def test_what_passes_is_none(pause: Codes) -> None:
    assert judged(np.concatenate((music(10), pause, music(10)))) == []


def square(seconds: float, low: int, high: int) -> Codes:
    """A square wave of 230 Hz between two codes: nothing in it surprises, whatever the quantiser."""
    return np.resize(np.repeat([low, high], 32), blocks(seconds) * BLOCK)


def sine(seconds: float, level: float) -> Codes:
    """A tone at a level in dBFS, in mu-law."""
    t = np.arange(blocks(seconds) * BLOCK) / RATE
    return Quantizer(LEVELS, "mu-law").encode(10 ** (level / 20) * np.sqrt(2) * np.sin(2 * np.pi * 220 * t))


def whats(found: list[tuple[float, Trouble]]) -> set[str]:
    return {trouble.what for _, trouble in found}


@pytest.mark.parametrize(("deviation", "faults"), [(1.5, set()), (2.5, {"noise"})])
def test_noise_of_a_code_or_two_is_the_quantisers_own(deviation: float, faults: set[str]) -> None:
    drawn = deviation * np.random.default_rng(0).standard_normal(blocks(8) * BLOCK)
    codes = np.concatenate((square(8, 14, 50), np.rint(32 + drawn).astype(np.int64)))
    assert whats(judged(codes, quantizer=Quantizer(64, "linear"))) == faults


@pytest.mark.parametrize(("share", "faults"), [(0.03, {"silent"}), (0.25, set())])
def test_codes_that_are_nearly_all_one_are_silence(share: float, faults: set[str]) -> None:
    """A few codes of a coarse quantiser are a loud sound, so only their spread (0.17 and 0.43) tells."""
    other = np.random.default_rng(0).random(blocks(15) * BLOCK) < share
    codes = np.concatenate((square(8, 5, 10), 8 + other.astype(np.int64)))
    assert whats(judged(codes, quantizer=Quantizer(16, "linear"))) == faults


@pytest.mark.parametrize(("height", "faults"), [(3, {"silent"}), (6, set())])
def test_codes_that_hardly_move_beside_the_usual_ones_are_silence(height: int, faults: set[str]) -> None:
    """The usual spread is 80 codes, of which a sixteenth is 5. The fall of 28 dB is not yet one of 30."""
    codes = np.concatenate((square(8, 48, 208), square(15, 128 - height, 128 + height)))
    assert whats(judged(codes, quantizer=Quantizer(256, "linear"))) == faults


@pytest.mark.parametrize(("level", "faults"), [(-43, {"silent"}), (-37, set())])
def test_a_fall_by_more_than_30_db_is_silence(level: float, faults: set[str]) -> None:
    """Neither is quiet by itself, nor are its codes still."""
    assert whats(judged(sine(15, level))) == set()
    assert whats(judged(np.concatenate((sine(8, -10), sine(15, level))))) == faults


@pytest.mark.parametrize(("level", "faults"), [(-58, {"silent"}), (-52, set())])
def test_below_55_dbfs_is_silence_without_a_past(level: float, faults: set[str]) -> None:
    assert whats(judged(rumble(15, level))) == faults


def test_a_model_of_noise_may_make_noise() -> None:
    assert judged(noise(20), heard=noise(10)) == []
    assert judged(music(8), heard=noise(10)) == []


@pytest.mark.parametrize("fault", [constant(12, silence(LEVELS)), rumble(12, -61)])
def test_without_a_healthy_past_there_is_nothing_to_go_back_to(fault: Codes) -> None:
    ((_, trouble),) = judged(fault)
    assert not trouble.past


@settings(max_examples=20, deadline=None)
@given(st.floats(0.02, 1), st.sampled_from([64, 256, 1024]), st.sampled_from(["linear", "mu-law"]))
def test_decaying_tones_are_none_at_any_level(gain: float, levels: int, encoding: Encoding) -> None:
    codes = Quantizer(levels, encoding).encode(gain * Quantizer(LEVELS, "mu-law").decode(music(12))).astype(np.int64)
    watch = GenerationGuard(Quantizer(levels, encoding), RATE, codes[:0])
    assert not any(watch.judge(codes[start : start + BLOCK]) for start in range(0, len(codes), BLOCK))


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["piano_real", "real_audio"])
def test_recordings_are_none(folder: str, data: Path) -> None:
    levelling = {**prepare_settings().model_dump(mode="json", include=LEVELLING), "common_gain": None}
    files = sorted(path for path in (data / folder).iterdir() if path.suffix in (".flac", ".ogg"))
    assert files
    for file in files:
        amplitude = np.concatenate(list(audio_like_corpus(file, levelling)))
        assert judged(Quantizer(LEVELS, "mu-law").encode(amplitude).astype(np.int64)) == [], file


# What becomes of it


@dataclass(frozen=True)
class Script(Playable):
    """A model whose players play given codes: `original` (streams, n) first, then those of `redrawn`, one a redraw."""

    original: Codes
    redrawn: Sequence[Codes]

    def player(self, streams: int = 1, seed: int = 0) -> "ScriptPlayer":
        if not PLAYERS:
            return _register(ScriptPlayer(self.original[:streams]))
        return _register(ScriptPlayer(self.redrawn[min(len(PLAYERS), len(self.redrawn)) - 1][None]))

    def score(self, samples: Any, sections: Any) -> Any:
        raise NotImplementedError

    def entropy(self, codes: Any) -> Any:
        raise NotImplementedError


@dataclass
class ScriptPlayer:
    codes: Codes
    heard: Codes | None = None
    place: int = 0

    def prime(self, codes: NDArray[np.integer]) -> None:
        self.heard = codes.astype(np.int64)

    def generate(self, samples: int, *settings: Any) -> Codes:
        self.place += samples
        return self.codes[:, self.place - samples : self.place]


PLAYERS: list[ScriptPlayer] = []


def _register(player: ScriptPlayer) -> ScriptPlayer:
    PLAYERS.append(player)
    return player


@pytest.fixture(autouse=True)
def _no_players() -> None:
    PLAYERS.clear()


def script(original: Codes, *redrawn: Codes) -> Script:
    facts = {"config": configure("naive-rnn", units=4), "encoding": "mu-law", "rate": RATE, "levelling": {}}
    training = Training("run", 1, 1, None, "0", "0")
    return Script(training=training, path=Path("run"), original=original, redrawn=redrawn, **facts)  # type: ignore[arg-type]


def played(model: Playable, samples: int, **options: Any) -> Codes:
    return np.concatenate(list(play(model, samples, **options)), 1)


def test_a_healthy_stream_is_the_raw_one(caplog: pytest.LogCaptureFixture) -> None:
    codes = np.stack([music(25, seed) for seed in range(3)])
    samples = codes.shape[1] - 700  # the last block is short
    assert np.array_equal(played(script(codes), samples, count=3), codes[:, :samples])
    assert caplog.messages == []


@pytest.mark.parametrize(("fault", "patience"), [(constant(40, silence(LEVELS)), 10), (noise(40), 2)])
def test_trouble_is_drawn_again_from_before_it(fault: Codes, patience: float, caplog: pytest.LogCaptureFixture) -> None:
    good, again = music(8), music(60, seed=1)
    original = np.concatenate((good, fault))[None]
    made = played(script(original, again), original.shape[1])[0]
    cut = len(good) - blocks(1) * BLOCK  # a second before the trouble
    assert np.array_equal(made[:cut], good[:cut])
    assert np.array_equal(made[cut:], again[: len(made) - cut])
    (line,) = caplog.messages
    assert "take 1" in line
    assert f"at {len(good) / RATE:.1f} s; back to {cut / RATE:.1f} s and drawn again" in line
    heard = PLAYERS[1].heard
    assert heard is not None
    assert np.array_equal(heard, good[:cut][-3 * RATE :])  # what it had played before


def test_only_the_take_in_trouble_is_drawn_again() -> None:
    good, bad = music(40), np.concatenate((music(8, seed=2), noise(40)))[: blocks(40) * BLOCK]
    made = played(script(np.stack((good, bad)), music(60, seed=3)), len(good), count=2)
    assert np.array_equal(made[0], good)
    assert not np.array_equal(made[1], bad)
    assert judged(made[1]) == []


def test_it_goes_back_further_each_time_and_then_gives_up(caplog: pytest.LogCaptureFixture) -> None:
    good = music(12)
    original = np.concatenate((good, noise(30)))[None]
    made = played(script(original, noise(60)), original.shape[1])
    assert made.shape == original.shape
    lines = caplog.messages
    assert len(lines) == streaming.ATTEMPTS + 1
    assert "3 redraws did not help: it goes on as it is, unguarded" in lines[-1]
    places = [float(line.split("back to ")[1].split()[0]) for line in lines[:-1]]
    start = len(music(12)) / RATE
    assert places == pytest.approx([start - 1, start - 1 - 2, start - 1 - 2 - 3], abs=0.3)


@pytest.mark.parametrize(("healthy", "attempt"), [(9.3, 2), (10.5, 1)])
def test_after_ten_healthy_seconds_a_fault_is_a_new_one(
    healthy: float, attempt: int, caplog: pytest.LogCaptureFixture
) -> None:
    original = np.concatenate((music(8), noise(60)))[None]
    again = np.concatenate((music(healthy, seed=1), noise(60)))
    played(script(original, again, music(80, seed=2)), original.shape[1])
    assert [line[-3:] for line in caplog.messages] == ["(1)", f"({attempt})"]


def test_faults_that_come_again_and_again_are_drawn_again_while_the_sound_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Five faults with twelve healthy seconds between them, more than the attempts at one fault."""
    original = np.concatenate((music(8), noise(90)))[None]
    again = [np.concatenate((music(12, seed=k), noise(90))) for k in range(1, 5)]
    made = played(script(original, *again, music(90, seed=9)), original.shape[1])[0]
    assert [line[-3:] for line in caplog.messages] == ["(1)"] * 5
    assert judged(made) == []


def test_guard_off_is_the_raw_truth(caplog: pytest.LogCaptureFixture) -> None:
    original = np.concatenate((music(8), noise(10)))[None]
    assert np.array_equal(played(script(original), original.shape[1], guard=False), original)
    assert caplog.messages == []


@pytest.mark.parametrize("controls", [Controls(temperature=0), Controls(top_k=1)])
def test_what_cannot_be_drawn_otherwise_is_only_told(controls: Controls, caplog: pytest.LogCaptureFixture) -> None:
    original = np.concatenate((music(8), noise(10)))[None]
    assert np.array_equal(played(script(original), original.shape[1], controls=controls), original)
    assert "the likeliest code alone would be drawn again" in caplog.text


def test_live_sound_is_given_at_once_and_goes_on_in_the_present(caplog: pytest.LogCaptureFixture) -> None:
    good, fault, again = music(8), noise(30), music(60, seed=4)
    original = np.concatenate((good, fault))[None]
    given_out: list[Codes] = []
    for block in play(script(original, again), original.shape[1], live=True):
        given_out.append(block[0])
        assert PLAYERS[0].place <= len(given_out) * BLOCK  # nothing was made ahead
    made = np.concatenate(given_out)
    bad = len(good) + blocks(2) * BLOCK
    assert np.array_equal(made[: bad - BLOCK], original[0, : bad - BLOCK])  # what was heard stays
    assert "goes on as from" in caplog.text
    tail = made[bad + BLOCK :]
    assert any(np.array_equal(tail, again[start : start + len(tail)]) for start in range(0, 4 * BLOCK, BLOCK))


def test_a_stream_that_is_stopped_gives_out_what_was_held_back() -> None:
    original = music(40)[None]
    made = played(script(original), original.shape[1], stop=lambda: PLAYERS[0].place >= 10 * BLOCK)
    assert np.array_equal(made, original[:, : 10 * BLOCK])


def test_a_prime_is_a_healthy_past() -> None:
    original = noise(20)[None]
    assert np.array_equal(played(script(original), original.shape[1], prime=[noise(8)]), original)


@pytest.mark.slow
def test_a_models_redraw_follows_what_it_has_heard_and_is_the_same_again(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLAT", "JUMP", "COARSE"):  # everything is noise after two healthy seconds
        monkeypatch.setattr(guard, name, -1000.0)
    run, prime = open_model(trained), np.full(4 * BLOCK, 20)
    raw = np.concatenate(list(stream(run.player(1, 3), 12 * BLOCK, prime=[prime])), 1)
    made = played(run, 12 * BLOCK, seed=3, prime=[prime])
    assert np.array_equal(made, played(run, 12 * BLOCK, seed=3, prime=[prime]))
    assert made.shape == raw.shape
    assert not np.array_equal(made, raw)
