"""Codes that are known are read in blocks. The engine gives the bits that one sample after the other gives."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.kinds import CONDITIONED, KINDS, PREDICTED, RATE, SPLIT, Score, build, codes_of, score_of
from support.oracles import ORACLES, nats_of, of_codes, weights_of
from wavewright.formats.precision import Precision
from wavewright.models.base import Model
from wavewright.playing.engine import Engine, instruction_sets

every_kind = pytest.mark.parametrize("kind", [*KINDS, *PREDICTED, *SPLIT, *CONDITIONED])
calls = st.lists(st.tuples(st.sampled_from(["prime", "logits", "score"]), st.integers(1, 150)), min_size=1, max_size=4)


def native(model: Model[Any], **options: Any) -> Engine:
    weights = {name: np.float32(weight) for name, weight in weights_of(model).items()}
    return Engine(model.config, weights, **{"rate": RATE, **options})


def stepped(player: Engine, codes: NDArray[np.integer], score: Score, start: int) -> NDArray[np.float32]:
    """The logits (B, T, L) of codes (B, T) from sample `start` on, which are read one by one."""
    dense, logits = score.feed(player, start, start + codes.shape[1]), []
    for i in range(codes.shape[1]):
        hop = score.model.config.condition.hop if score.dense is not None else 1
        first, last = (-(-place // hop) - -(-start // hop) for place in (start + i, start + i + 1))
        logits.append(player.logits(codes[:, i : i + 1], None if dense is None else dense[:, first:last]))
    return np.concatenate(logits, 1)


@every_kind
@given(
    calls,
    st.integers(0, 99),
    st.sampled_from([(1, 1), (1, 2), (3, 2), (17, 1), (17, 2), (130, 1)]),
    st.tuples(st.sampled_from(["float32", "float32", "bfloat16", "int8"]), st.sampled_from(instruction_sets())),
)
@settings(max_examples=6, deadline=None)
def test_blocks_of_known_codes_have_the_bits_of_single_samples(
    kind: str, calls: list[tuple[str, int]], seed: int, count: tuple[int, int], way: tuple[Precision, str]
) -> None:
    model, (streams, threads), (precision, isa) = build(kind), count, way
    length = sum(samples for _, samples in calls)
    codes, score = codes_of(streams, length, seed).numpy(), score_of(model, streams, length, seed)
    one = native(model, streams=streams, threads=1, precision=precision)
    many = native(model, streams=streams, threads=threads, precision=precision, isa=isa)
    place = 0
    for method, samples in calls:
        stop = place + samples
        read = getattr(many, method)(codes[:, place:stop], score.feed(many, place, stop))
        own = stepped(one, codes[:, place:stop], score, place)
        if method == "logits":
            assert np.array_equal(read, own)
        if method == "score":
            expected = nats_of(model.config.output, own, codes[:, place:stop])
            np.testing.assert_allclose(read, expected, 1e-6, 1e-6)
        place = stop
    assert many.state() == one.state()
    assert np.array_equal(many.generate(20), one.generate(20))


@pytest.mark.parametrize("kind", ["naive scalar", "tiers 8 4 2", "gated of 3 taps, conditioned", "linear 6 3 1"])
def test_scores_are_those_of_the_float64_oracle(kind: str) -> None:
    """The oracles of test_model_maths are plain numpy, one sample after the other."""
    model = build(kind)
    codes, score, player = codes_of(1, 200).numpy(), score_of(model, 1, 200), native(model)
    frames, heard = score.frames(200), [model.config.q_levels // 2, *codes[0, :-1].tolist()]
    control = None if frames is None else frames[0].numpy()
    own = weights_of(model)
    logits = ORACLES[model.name](model.config, own, heard, control)
    exact = np.asarray(of_codes(model.config, own, logits, codes[0].tolist()))
    expected = nats_of(model.config.output, exact, codes[0])
    np.testing.assert_allclose(player.score(codes, score.feed(player))[0], expected, 1e-6, 2e-5)
