"""States of the native engine: saved, forked and resumed to the same bits, and damaged ones refused."""

import contextlib
import hashlib
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.engines import native
from support.kinds import (
    CONDITIONED,
    KINDS,
    LEVELS,
    RATE,
    build,
    score_of,
)
from wavewright.conditioning.events import CAPACITY, Kind, events
from wavewright.errors import ConfigError
from wavewright.playing import engine


@pytest.mark.parametrize("kind", ["naive of 3 layers", "tiers 8 4 2", "gated", "tiers 8 2, split", *CONDITIONED])
def test_a_stream_is_saved_forked_and_resumed_to_the_same_bits(kind: str) -> None:
    """Inside a control frame, with events waiting and dense values held."""
    model = build(kind)
    player, fork, score = native(model, seed=1), native(model, seed=2, threads=1), score_of(model, 1, 133)
    dense = score.feed(player)
    player.generate(33, dense=None if dense is None else dense[:, :7])
    state = player.state()
    expected = player.generate(100)
    score_of(model, 1, 133, seed=1).feed(fork)
    fork.generate(21)
    fork.restore(state)
    assert np.array_equal(fork.generate(100), expected)
    with pytest.raises(ConfigError, match="damaged"):
        fork.restore(state[:-1])
    with pytest.raises(ConfigError, match="bytes"):
        native(model, streams=2).restore(state)
    player.reset(1)
    assert np.array_equal(player.generate(33), native(model, seed=1).generate(33))


def test_a_state_of_another_model_is_refused() -> None:
    """Every kind's state, given to every other kind and to other weights of the same kind."""
    players = {kind: native(build(kind)) for kind in (*KINDS, *CONDITIONED)}
    states = {kind: player.state() for kind, player in players.items()}
    for kind, player in players.items():
        for other, state in states.items():
            if other != kind:
                with pytest.raises(ConfigError, match="another model"):
                    player.restore(state)
        with pytest.raises(ConfigError, match="another model"):
            native(build(kind, seed=1)).restore(states[kind])
        player.restore(states[kind])


def test_a_state_in_which_notes_age_at_another_rate_is_refused() -> None:
    model = build("plain, conditioned")
    with pytest.raises(ConfigError, match="another model"):
        native(model, rate=2 * RATE).restore(native(model).state())


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["naive scalar", "tiers 8 4 2", "gated", "naive scalar, conditioned", "plain, conditioned"]),
    st.integers(0, 2**32).map(Random),
)
def test_no_bytes_crash_a_restore(kind: str, random: Random) -> None:
    """Random bytes are refused; with a header that is right they are refused or harmless."""
    player = native(build(kind))
    score_of(build(kind), 1, 60).feed(player)
    state = player.state()
    head, body = state[: -len(player._engine.state())], player._engine.state()
    for noise in (
        random.randbytes(len(state)),
        head + random.randbytes(len(body)),
        state[: random.randrange(len(state))],
    ):
        with pytest.raises(ConfigError, match="state: "):
            player.restore(noise)
    damaged = bytearray(body)
    for _ in range(20):
        damaged[random.randrange(len(body))] = random.randrange(256)
    honest = head[: -engine.DIGEST] + hashlib.sha256(damaged).digest() + bytes(damaged)
    with contextlib.suppress(ConfigError):
        player.restore(honest)
    codes = player.generate(40)
    assert ((codes >= 0) & (codes < LEVELS)).all()


@pytest.mark.parametrize(
    ("places", "named"),
    [((0, 4), "events [1-9].* of 4096"), ((4, 8), "events 0 to [1-9]"), ((12, 20), "sample"), ((20, 24), "kind")],
)
def test_damaged_events_are_refused(places: tuple[int, int], named: str) -> None:
    """A state ends with the places and the pedal, the events and the keys of the only stream."""
    player = native(build("naive scalar, conditioned"))
    player.feed(0, events((70, Kind.strike, 60, 100), (80, Kind.release, 60, 0)))
    body = player._engine.state()
    start = len(body) - (12 + 16 * CAPACITY + 16 * 2)
    damaged = bytearray(body)
    damaged[start + places[0] : start + places[1]] = b"\x7f" * (places[1] - places[0])
    honest = player.state()[: -len(body) - engine.DIGEST] + hashlib.sha256(damaged).digest() + bytes(damaged)
    with pytest.raises(ConfigError, match=f"state: {named}"):
        player.restore(honest)


def test_a_damaged_prediction_is_refused() -> None:
    """A state ends with the samples since the last strike."""
    player = native(build("linear 8 1, predicted with strings"))
    state, body = player.state(), player._engine.state()
    damaged = body[:-8] + np.float64(-1).tobytes()
    honest = state[: -len(body) - engine.DIGEST] + hashlib.sha256(damaged).digest() + damaged
    with pytest.raises(ConfigError, match="state: the prediction's is out of range"):
        player.restore(honest)
