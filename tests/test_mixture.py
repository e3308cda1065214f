"""Mixtures of two models, and guidance: both back ends against each other, each voice alone, and numpy's own mixing."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import wavewright
from support.kinds import CONDITION
from support.model_files import run_of
from wavewright.conditioning.controls import Amounts, Curve, Performance, amount
from wavewright.conditioning.events import Kind, events
from wavewright.errors import ConfigError
from wavewright.models.output import mixed
from wavewright.playing.engine import Engine, Voice
from wavewright.playing.mixture import Mixture, guided, mix
from wavewright.playing.opening import to_native
from wavewright.playing.playable import Player, TrainedModel
from wavewright.playing.stream import Performer, play
from wavewright.sampling import Controls, Uniforms

LEVELS = 12
KEYS, OTHER_KEYS = "tiers 8 4 2, conditioned", "gated of 3 taps, conditioned"
SPLIT = ("tiers 8 2, split", "linear 8 1, split and conditioned")
PAIRS = [("gated", "naive of 3 layers"), ("naive scalar", KEYS), (OTHER_KEYS, KEYS), (KEYS, KEYS), SPLIT]
SECOND_HOP = 3  # of OTHER_KEYS, since two models may have different frames

back_ends = pytest.mark.parametrize("back_end", ["native", "torch"])
pairs = pytest.mark.parametrize("kinds", PAIRS, ids=" with ".join)


@cache
def trained(kind: str, back_end: str) -> TrainedModel:
    hop = {"condition": {**CONDITION, "hop": SECOND_HOP}} if kind == OTHER_KEYS else {}
    run = run_of(kind, **hop)
    return to_native(run) if back_end == "native" else run


def mixture(kinds: tuple[str, str], back_end: str) -> Mixture:
    return mix(trained(kinds[0], back_end), trained(kinds[1], back_end))


def give(player: Player, model: TrainedModel, voice: int, number: float) -> NDArray[np.float32] | None:
    """Feed a keyboard, and return the one frame of dense values that holds from now on."""
    if model.config.condition is None:
        return None
    for stream in range(player.streams):
        table = events(
            (7 + number * 10, Kind.strike, 60, 90), (150 + stream, Kind.release, 60, 0), (9, Kind.pedal, 0, 99)
        )
        player.feed(stream, table, *([voice] if voice else []))
    return np.array([[0, number, 0, number, 0, 0, 0]], np.float32)


def mixed_codes(player: Player, model: Mixture, samples: int, controls: Controls) -> NDArray[np.integer]:
    """Codes (streams, samples) of a mixture whose models are given different things."""
    dense = [give(player, part, voice, voice) for voice, part in enumerate(model.models)]
    return player.generate(samples, controls, *dense)


def codes_alone(model: TrainedModel, voice: int, samples: int, streams: int, seed: int) -> NDArray[np.integer]:
    """The codes of one of them alone."""
    player = model.player(streams, seed)
    return player.generate(samples, dense=give(player, model, 0, voice))


@back_ends
@pytest.mark.parametrize("which", [0, 1])
@pairs
def test_at_0_and_1_it_is_one_model_alone(kinds: tuple[str, str], which: int, back_end: str) -> None:
    model = mixture(kinds, back_end)
    made = mixed_codes(model.player(2, 5), model, 300, Controls(amount=which))
    assert np.array_equal(made, codes_alone(model.models[which], which, 300, 2, 5))


CURVE = np.interp(np.arange(2500), [0, 500, 2000], [0, 1.3, -0.4])


@pytest.mark.parametrize("share", [0.4, -1.5, CURVE], ids=["0.4", "-1.5", "curve"])
@pairs
def test_the_engine_plays_what_torch_plays(kinds: tuple[str, str], share: Any) -> None:
    """Over thousands of free samples, in blocks, and with other settings of the draw."""
    made = []
    for back_end in ("native", "torch"):
        model = mixture(kinds, back_end)
        player, controls = model.player(2, 8), Controls(0.95, 10, 0.98, amount=share)
        blocks = [mixed_codes(player, model, 700, controls.between(0, 700))]
        blocks += [
            player.generate(stop - start, controls.between(start, stop)) for start, stop in ((700, 701), (701, 2500))
        ]
        made.append(np.concatenate(blocks, 1))
    differ = np.flatnonzero((made[0] != made[1]).any(0))
    assert not len(differ), f"first difference at sample {differ[0]}"
    assert len(np.unique(made[0])) > 3


@pairs
def test_codes_are_drawn_from_the_mixed_logits_of_both(kinds: tuple[str, str]) -> None:
    """Numpy mixes the logits that engines of each model give after the mixture's codes, and draws by itself."""
    model, samples = mixture(kinds, "native"), 900
    share = np.linspace(-1, 2, samples)
    made = mixed_codes(model.player(3, 4), model, samples, Controls(amount=share))
    logits = []
    for voice, part in enumerate(model.models):
        player = part.player(3)
        assert isinstance(player, Engine)
        logits.append(player.logits(made, give(player, part, 0, voice)).astype(np.float64))
    all_logits = (1 - share)[:, None] * logits[0] + share[:, None] * logits[1]
    draws = 2 if kinds == SPLIT else 1
    uniforms, expected = Uniforms(4, 3)(samples * draws).reshape(3, samples, draws), np.zeros_like(made)
    for i, both in enumerate(np.split(all_logits, draws, 2)):  # each part of a split code has four classes
        probabilities = np.exp(both - both.max(2, keepdims=True))
        cumulative = np.cumsum(probabilities / probabilities.sum(2, keepdims=True), 2)
        expected = 4 * expected + (cumulative <= uniforms[:, :, i, None]).sum(2)
    assert np.array_equal(made, expected)


@pytest.mark.parametrize("share", [0.0, 1.0, 0.1, -3.7, np.float64(0.9)])
def test_logits_are_mixed_in_float64(share: float) -> None:
    """Each number, by Python's own arithmetic."""
    first, second = np.random.default_rng(0).normal(0, 9, (2, 3, 400)).astype(np.float32)
    found = mixed(first, second, share)
    pairs = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
    expected = [np.float32((1 - float(share)) * one + float(share) * other) for one, other in pairs]
    assert found.dtype == np.float32
    assert found.ravel().tolist() == [float(number) for number in expected]


def engine_of(kinds: tuple[str, str], **options: Any) -> Engine:
    first, second = (trained(kind, "native") for kind in kinds)
    return Engine(first.config, first.weights, rate=first.rate, second=Voice(second.config, second.weights), **options)  # type: ignore[attr-defined]


@pairs
def test_the_bits_are_the_same_for_any_threads_streams_and_blocks(kinds: tuple[str, str]) -> None:
    model = mixture(kinds, "native")
    expected = mixed_codes(engine_of(kinds, seed=3, isa="scalar", threads=1), model, 400, Controls(amount=0.3))[0]
    for threads, streams, block in ((2, 1, 17), (1, 3, 100), (2, 17, 399)):
        player = engine_of(kinds, seed=3, threads=threads, streams=streams)
        first = mixed_codes(player, model, block, Controls(amount=0.3))
        rest = player.generate(400 - block, Controls(amount=0.3))
        assert np.array_equal(np.concatenate((first, rest), 1)[0], expected), (threads, streams, block)


@pairs
def test_a_mixture_is_saved_and_restored_in_its_midst(kinds: tuple[str, str]) -> None:
    model, controls = mixture(kinds, "native"), Controls(amount=0.6)
    player, other = engine_of(kinds, streams=2), engine_of(kinds, streams=2, seed=9, threads=2)
    mixed_codes(player, model, 101, controls)
    state = player.state()
    expected = player.generate(200, controls)
    other.generate(13, controls)
    other.restore(state)
    assert np.array_equal(other.generate(200, controls), expected)
    with pytest.raises(ConfigError, match="state: of another model"):
        model.first.player(2).restore(state)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="state: damaged"):
        other.restore(state[:-1])


def test_guidance_is_the_mixture_with_absent_controls_at_minus_the_amount() -> None:
    """(1 + w) l - w m, where the engine of m is given nothing."""
    model = trained(KEYS, "native")
    player = guided(model, 1.5).player(2, 6)
    made = player.generate(600, Controls(amount=-1.5), give(player, model, 0, 1))
    alone, absent = model.player(2), model.player(2)
    assert isinstance(alone, Engine)
    assert isinstance(absent, Engine)
    both = 2.5 * alone.logits(made, give(alone, model, 0, 1)).astype(np.float64) - 1.5 * absent.logits(made)
    weights = np.exp(both - both.max(2, keepdims=True))
    cumulative = np.cumsum(weights, 2)
    expected = (cumulative <= Uniforms(6, 2)(600)[:, :, None] * cumulative[:, :, -1:]).sum(2)
    assert np.array_equal(made, expected)


@back_ends
def test_an_instrument_is_guided(back_end: str) -> None:
    model = trained(KEYS, back_end)
    instrument, player = model.instrument(3, guidance=0.5, top_k=9), mix(model, model).player(1, 3)
    instrument.note_on(60, 90)
    instrument.control("loudness", -15)
    player.feed(0, events((0, Kind.strike, 60, 90)))
    dense = np.array([[0, 0, 0, 0.5, 1, 0, 0]], np.float32)
    found = np.concatenate([instrument.codes(128) for _ in range(3)])
    assert np.array_equal(found, player.generate(384, Controls(top_k=9, amount=-0.5), dense)[0])
    plain = model.instrument(3, top_k=9)
    plain.note_on(60, 90)
    plain.control("loudness", -15)
    assert not np.array_equal(np.concatenate([plain.codes(128) for _ in range(3)]), found)


# Takes


def part_of(model: TrainedModel, key: int) -> Performance:
    assert model.config.condition is not None
    rows = [(200 * i, Kind(i % 3), key, 20 + i) for i in range(30)]
    glide = Curve(np.array([0, 1.5]), np.array([[-1], [1]], np.float32))
    return Performance(model.config.condition, model.rate, {"loudness": glide}, events(*rows))


def given_at_once(player: Player, parts: list[Performance], place: int, samples: int) -> list[NDArray[np.float32]]:
    """Feed all events of parts that begin at sample `place`, and return the frames' dense values from there on."""
    dense = []
    for voice, part in enumerate(parts):
        table = part.events(0, 1 << 40).copy()
        table["sample"] += place
        player.feed(0, table, voice)
        frames = np.arange(-(-place // part.hop), -(-(place + samples) // part.hop))
        dense.append(part.dense(frames * part.hop - place))
    return dense


@back_ends
def test_each_model_plays_its_own_part_after_a_prime(back_end: str) -> None:
    """With frames of different lengths. A long prime is read whole, since one of the two never forgets."""
    model = mixture((OTHER_KEYS, KEYS), back_end)
    parts = [part_of(part, 60 + i) for i, part in enumerate(model.models)]
    assert parts[0].hop != parts[1].hop
    prime, samples = np.arange(977) * 7 % LEVELS, 2500
    share = amount_of(np.array([0, 0.5, 1.0]), np.array([0.2, 0.9, 0.4]), model.rate)
    controls = Controls(part=parts[0], amount=share, second=parts[1])
    made = np.concatenate(list(play(model, samples, seed=2, controls=controls, prime=[prime], guard=False)), 1)[0]
    player = model.player(1, 2)
    absent = [part.dense(np.full(-(-len(prime) // part.hop), -1)) for part in parts]
    player.prime(prime, *absent)
    dense = given_at_once(player, parts, len(prime), samples)
    expected = player.generate(samples, Controls(amount=share(np.arange(samples))), *dense)[0]
    assert np.array_equal(made, expected)


def amount_of(seconds: NDArray[np.float64], values: NDArray[np.float64], rate: int) -> Amounts:
    return Amounts(Curve(seconds, values[:, None]), rate, "c.csv")


def test_a_redraw_gives_both_models_what_sounds_at_its_place() -> None:
    model = mixture((OTHER_KEYS, KEYS), "native")
    parts = [part_of(part, 60 + i) for i, part in enumerate(model.models)]
    controls, place = Controls(amount=0.5), 1000
    player = Performer(model.player())
    player.begin([parts[0]], [parts[1]], place=place)
    made = player.generate(600, controls)
    by_hand = model.player()
    dense = []
    for voice, part in enumerate(parts):
        later = part.events(place, 1 << 40).copy()
        later["sample"] -= place
        before = events((0, Kind.strike, 60 + voice, 24), (0, Kind.pedal, 0, 22))
        by_hand.feed(0, np.concatenate((before, later)), voice)
        dense.append(part.dense(np.arange(0, 600, part.hop) + place))
    assert np.array_equal(made, by_hand.generate(600, controls, *dense))


def test_the_second_model_may_be_the_only_one_with_a_part() -> None:
    model = mixture(("naive scalar", KEYS), "native")
    second = part_of(model.second, 60)
    made = np.concatenate(list(play(model, 900, controls=Controls(amount=0.5, second=second), guard=False)), 1)
    player = model.player()
    player.feed(0, second.events(0, 1 << 40), 1)
    frames = np.arange(0, 900, second.hop)
    assert np.array_equal(made, player.generate(900, Controls(amount=0.5), None, second.dense(frames)))


# Amounts


def test_an_amount_is_a_number_or_a_curve(tmp_path: Path) -> None:
    assert amount("0.25", 100) == 0.25
    file = tmp_path / "c.csv"
    file.write_text("seconds,amount\n0.1,0\n0.3,1\n0.3,-0.5\n")
    curve = amount(str(file), 100)
    assert callable(curve)
    found = curve(np.array([0, 10, 20, 29, 30, 99]))
    np.testing.assert_allclose(found, [0, 0, 0.5, 0.95, -0.5, -0.5], atol=1e-6)
    assert found[[0, 4]].tolist() == [0.0, -0.5]  # exact at the points
    assert np.array_equal(Controls(amount=curve).between(20, 31).amount, curve(np.arange(20, 31)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("half", "amount: half; give a number such as 0.5, or a curve FILE.csv"),
        ("nan", "amount: nan; give -100 to 100"),
        ("inf", "amount: inf; give -100 to 100"),
        ("-101", "amount: -101.0; give -100 to 100"),
        ("none.csv", "none.csv: cannot be read"),
        ("BAD", "bad.csv, line 2: amount: loud; give a number"),
        ("FAR", "far.csv, line 1: amount: 1000.0; give -100"),
    ],
)
def test_what_is_no_amount(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("0,1\n1,loud\n")
    (tmp_path / "far.csv").write_text("0,1000\n")
    text = {"BAD": str(tmp_path / "bad.csv"), "FAR": str(tmp_path / "far.csv")}.get(text, text)
    with pytest.raises(ConfigError, match=line) as caught:
        amount(text, 100)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 101, [0.5, np.nan]])
def test_amounts_out_of_range_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"amount: .*; give -100 to 100"):
        Controls(amount=value)
    with pytest.raises(ConfigError, match="amount: "):
        Controls(amount=lambda samples: np.resize(np.asarray(value, float), len(samples))).between(0, 2)


# Refusals


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda player: player.generate(9), "amount: missing"),
        (lambda player: player.generate(9, Controls(amount=np.ones(8))), "amount: 8 values for 9 samples"),
        (
            lambda player: player.generate(9, Controls(amount=1), np.zeros((1, 1, 7)), np.zeros((1, 1, 6))),
            "dense: shape",
        ),
        (
            lambda player: player.prime(np.zeros(9, int), np.zeros((1, 1, 7)), np.zeros((1, 5, 7))),
            "dense: 5 frames|dense: 35",
        ),
        (lambda player: player.feed(0, events(), 2), "voice: 2; give 0 to 1"),
    ],
)
@back_ends
def test_what_cannot_be_played_changes_neither_model(call: Callable[[Player], Any], line: str, back_end: str) -> None:
    model = mixture((KEYS, KEYS), back_end)
    player, controls = model.player(), Controls(amount=0.4)
    with pytest.raises(ConfigError, match=line) as caught:
        call(player)
    assert "\n" not in str(caught.value)
    assert np.array_equal(player.generate(60, controls), model.player().generate(60, controls))


@back_ends
def test_one_model_takes_nothing_for_a_second(back_end: str) -> None:
    player = trained(KEYS, back_end).player()
    dense = np.zeros((1, 1, 7))
    for call, line in (
        (lambda: player.generate(9, Controls(amount=0.5)), "amount: there is one model"),
        (lambda: player.generate(9, Controls(), dense, dense), "second: there is one model"),
        (lambda: player.feed(0, events(), 1), "voice: 1; give 0 to 0"),
    ):
        with pytest.raises(ConfigError, match=line):
            call()


def test_models_that_do_not_fit_are_refused() -> None:
    model = trained("gated", "native")
    assert wavewright.mix is mix
    whole, split = (to_native(run_of("gated", q_levels=16, split=split)) for split in (False, True))
    with pytest.raises(ConfigError, match="number of parts of a code is 1 in runs/mine and 2 in"):
        mix(whole, split)
    for other, line in (
        (
            replace(model, rate=8000),
            "the sample rate is 4000 Hz in runs/mine and 8000 Hz in runs/mine; it must be the same",
        ),
        (replace(model, encoding="linear"), "the encoding is mu-law in runs/mine and linear in"),
        (replace(model, emphasis=0.5), "the emphasis is 0.0 in runs/mine and 0.5 in"),
        (to_native(run_of("gated", q_levels=16)), "the number of codes is 12 in runs/mine and 16 in"),
        (run_of("gated"), "different back ends"),
    ):
        with pytest.raises(ConfigError, match=f"mix: .*{line}") as caught:
            mix(model, other)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("guidance", [-0.1, np.nan, np.inf, 101])
def test_guidance_out_of_range_is_refused(guidance: float) -> None:
    with pytest.raises(ConfigError, match=r"guidance: .*; give 0 to 100"):
        trained(KEYS, "native").instrument(guidance=guidance)
    with pytest.raises(ConfigError, match="guidance: this model was made without controls"):
        guided(trained("gated", "native"), 1)
