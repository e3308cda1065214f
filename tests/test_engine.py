"""The native engine against torch in float64 (itself held to the oracles by test_model_maths) and against itself."""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.engines import conditioned, native
from support.kinds import (
    CONDITION,
    CONDITIONED,
    KINDS,
    LEVELS,
    PREDICTED,
    RATE,
    SPLIT,
    Score,
    build,
    codes_of,
    score_of,
)
from support.oracles import ORACLES, of_codes, weights_of
from wavewright.conditioning.events import CAPACITY, Kind, events
from wavewright.conditioning.frames import Frames
from wavewright.errors import ConfigError, WavewrightError
from wavewright.formats.config import resolve
from wavewright.formats.precision import Precision
from wavewright.measuring.speed import random_weights
from wavewright.models.base import Model
from wavewright.models.condition import Condition
from wavewright.models.output import Softmax
from wavewright.playing import engine
from wavewright.playing.engine import Engine, instruction_sets, measure_limits
from wavewright.playing.stream import stream
from wavewright.playing.torch_player import TorchPlayer
from wavewright.sampling import Controls, Uniforms

LENGTH = 1500

every_kind = pytest.mark.parametrize("kind", [*KINDS, *PREDICTED, *SPLIT, *CONDITIONED])


def forced(model: Model[Any], codes: NDArray[np.integer], condition: torch.Tensor | None = None) -> NDArray[np.float64]:
    """The torch model's logits (B, T, C) for each of codes (B, T) of streams that begin with them."""
    heard = np.concatenate([np.full((len(codes), 1), model.config.q_levels // 2), codes[:, :-1]], 1)
    with torch.no_grad():
        return model.logits(model(torch.from_numpy(heard), None, condition)[0], torch.from_numpy(codes)).numpy()


def test_the_engine_is_built() -> None:
    """Where there is a compiler, as there is wherever these tests run, a silent fall-back would be a fault."""
    assert engine.available()
    assert instruction_sets()[-1] == "scalar"


@every_kind
def test_logits_are_those_of_the_float64_model(kind: str) -> None:
    model, score = build(kind), score_of(build(kind), 3, LENGTH)
    codes, frames, player = codes_of(3, LENGTH).numpy(), score.frames(LENGTH), native(model, streams=3, threads=2)
    expected = forced(model, codes, frames)
    found = player.logits(codes, score.feed(player))
    rtol = 1e-7 if frames is None else 1e-6  # controls drive the logits of the plain form to 60
    atol = 2e-5 if model.config.prediction is None else 11 * 2e-5  # Student's t takes the spread to the power of 11
    np.testing.assert_allclose(found, expected, rtol, atol)
    best = np.sort(expected, 2)
    clear = best[..., -1] - best[..., -2] > 1e-4
    assert np.array_equal(found.argmax(2)[clear], expected.argmax(2)[clear])
    control = None if frames is None else frames[0].numpy()
    own, heard = weights_of(model), [model.config.q_levels // 2, *codes[0, :99].tolist()]
    oracle = of_codes(
        model.config, own, ORACLES[model.name](model.config, own, heard, control), codes[0].tolist()[:100]
    )
    np.testing.assert_allclose(found[0, :100], oracle, atol=atol)


def played(player: Engine, score: Score, edges: list[int]) -> NDArray[np.integer]:
    """The codes (streams, n) of blocks between `edges`, where each block is given its own part of the score."""
    blocks = [player.generate(b - a, dense=score.feed(player, a, b)) for a, b in pairwise(edges)]
    return np.concatenate(blocks, 1)


@every_kind
def test_float32_has_the_same_bits_in_every_way_of_running_it(kind: str) -> None:
    model = build(kind)
    reference = native(model, isa="scalar", threads=1, seed=5)
    expected = played(reference, score_of(model, 1, 600), [0, 600])[0]
    for isa in instruction_sets():
        for threads, streams, block in ((1, 1, 1), (2, 1, 17), (2, 3, 509), (1, 3, 4096), (2, 17, 100)):
            player = native(model, isa=isa, threads=threads, streams=streams, seed=5)
            found = played(player, score_of(model, streams, 600), [*range(0, 600, block), 600])
            assert np.array_equal(found[0], expected), (isa, threads, streams, block)


@conditioned
@given(
    st.integers(0, 99),
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.sampled_from(instruction_sets()),
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
)
@settings(max_examples=15, deadline=None)
def test_any_score_has_the_same_bits_in_every_way(
    kind: str, seed: int, parts: list[int], isa: str, count: tuple[int, int]
) -> None:
    model, length, (streams, threads) = build(kind), sum(parts), count
    expected = played(native(model, isa="scalar", threads=1), score_of(model, 1, length, seed), [0, length])[0]
    player = native(model, isa=isa, streams=streams, threads=threads)
    found = played(player, score_of(model, streams, length, seed), np.cumsum([0, *parts]).tolist())
    assert np.array_equal(found[0], expected)


@pytest.mark.parametrize("kind", [*KINDS, *PREDICTED, *SPLIT])
def test_it_plays_what_torch_plays(kind: str) -> None:
    """The same uniforms, so the same codes; a primed stream too."""
    model = build(kind).float()
    prime = [codes_of(1, 40, seed=3).numpy()[0], codes_of(1, 7, seed=4).numpy()[0]]
    controls = Controls(0.9, top_k=9, top_p=0.97)
    takes = [
        np.concatenate(list(stream(player, 700, controls, prime)), 1)
        for player in (native(model, streams=2, seed=8), TorchPlayer(model, 2, seed=8))
    ]
    differ = np.flatnonzero((takes[0] != takes[1]).any(0))
    assert not len(differ), f"first difference at sample {differ[0]}"


@pytest.mark.parametrize("kind", ["plain", "gated", "plain of 3 taps"])
@pytest.mark.parametrize(("streams", "threads"), [(1, 1), (1, 2), (3, 2), (8, 1)])
def test_a_wavenet_with_long_dilations_plays_what_torch_plays(kind: str, streams: int, threads: int) -> None:
    """Dilations of 16 and more, where past taps are computed for fewer samples at once than they know."""
    model = build(kind, layers=5).float()
    players = native(model, streams=streams, threads=threads, seed=8), TorchPlayer(model, streams, seed=8)
    for player in players:
        player.prime(codes_of(streams, 5).numpy())
    expected = players[1].generate(300)
    edges = [0, 1, 4, 12, 21, 22, 87, 300]
    found = np.concatenate([players[0].generate(b - a) for a, b in pairwise(edges)], 1)
    assert np.array_equal(found, expected)


def improvised(player: Engine | TorchPlayer, condition: Condition) -> NDArray[np.integer]:
    """The codes (2, n) of a player that is given something new for every block, for frames gone by too."""
    rng, codes, clock = np.random.default_rng(5), [], 0
    for samples in (40, 1, 7, 60, 3, 5, 2, 80):
        for number in range(2):
            times = rng.integers(max(0, clock - 30), clock + samples + 30, 6)
            player.feed(number, events(*((int(t), Kind(rng.integers(3)), rng.integers(59, 64), 90) for t in times)))
        begun = -(-(clock + samples) // condition.hop) - -(-clock // condition.hop)
        dense = rng.uniform(-1, 1, (2, rng.choice([0, 1, begun]), condition.dense))
        dense[:, :, condition.dense_flag(condition.notes)] = rng.random(dense.shape[:2]) < 0.3
        if clock == 0:
            player.prime(codes_of(2, samples).numpy(), dense)
        else:
            codes.append(player.generate(samples, Controls(0.9, top_k=9, top_p=0.97), dense))
        clock += samples
    return np.concatenate(codes, 1)


@conditioned
def test_what_is_improvised_is_what_torch_plays(kind: str) -> None:
    model = build(kind).float()
    condition = model.config.condition
    takes = [
        improvised(player, condition)
        for player in (native(model, streams=2, seed=8), TorchPlayer(model, 2, seed=8, rate=RATE))
    ]
    differ = np.flatnonzero((takes[0] != takes[1]).any(0))
    assert not len(differ), f"first difference at sample {differ[0]}"


@conditioned
def test_what_is_not_given_is_absent_or_held(kind: str) -> None:
    model, codes = build(kind), codes_of(2, 60).numpy()
    np.testing.assert_allclose(native(model, streams=2).logits(codes), forced(model, codes), atol=2e-5)
    frame = score_of(model, 2, 1).dense
    assert frame is not None
    held, each = native(model, streams=2), native(model, streams=2)
    parts = [held.logits(codes[:, :13], frame), held.logits(codes[:, 13:])]  # inside a frame
    assert np.array_equal(np.concatenate(parts, 1), each.logits(codes, np.repeat(frame, 12, 1)))


@pytest.mark.parametrize("kind", ["naive scalar, conditioned"])
def test_beyond_what_can_wait_the_oldest_strikes_are_dropped(kind: str) -> None:
    """In the engine as in torch. Neither takes a part of what it refuses."""
    model, rng = build(kind), np.random.default_rng(0)
    frames, player = Frames(model.config.condition, 1, RATE), native(model)
    table = events(
        *((int(rng.integers(300)), Kind(rng.integers(3)), 60 + i % 2, i % 128) for i in range(CAPACITY + 900))
    )
    table = rng.permutation(table)
    for part in np.array_split(table, 7):
        assert player.feed(0, part) == frames.feed(0, part)
    for full in (player, frames):
        with pytest.raises(ConfigError, match=f"but {CAPACITY} can wait"):
            full.feed(0, events(*((9, Kind.release, 60, 0) for _ in range(CAPACITY))))
    dense = np.zeros((1, 7), np.float32)
    frames.give(dense, 300)
    codes = codes_of(1, 300).numpy()
    expected = forced(model, codes, torch.from_numpy(frames.next(300)).double())
    np.testing.assert_allclose(player.logits(codes, dense), expected, atol=2e-5)
    assert player.feed(0, events(*((300, Kind.strike, 60, 1) for _ in range(CAPACITY)))) == 0


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize(
    "kind",
    [
        "thesis tiers",
        "tier 16",
        "short window",
        "tiers 8 4 2, conditioned",
        "gated of 3 taps, conditioned",
        "linear 6 3 1, conditioned",
        "tiers 8 2, split",
    ],
)
def test_reduced_precisions_are_near(kind: str, precision: Precision) -> None:
    model = build(kind, **({"condition": {**CONDITION, "width": 24}} if kind in CONDITIONED else {}))
    score = score_of(model, 2, 300)
    codes, player = codes_of(2, 300).numpy(), native(model, streams=2, precision=precision)
    expected = forced(model, codes, score.frames(300))
    off = player.logits(codes, score.feed(player)) - expected
    rms = np.sqrt(np.mean(off**2)) / expected.std()
    assert 1e-5 < rms < {"bfloat16": 0.01, "int8": 0.02}[precision]


def test_threads_take_turns_and_a_fork_is_refused() -> None:
    player, alone = native(build("gated"), threads=2), native(build("gated"), threads=2)
    with ThreadPoolExecutor(4) as pool:
        blocks = list(pool.map(lambda _: player.generate(50), range(20)))
    expected = [alone.generate(50) for _ in range(20)]
    assert sorted(block.tobytes() for block in blocks) == sorted(block.tobytes() for block in expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which is the point
        child = os.fork()
    if not child:
        try:
            player.generate(1)
        except WavewrightError as error:
            del player, alone  # which must not wait for threads that are not there
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_many_streams_on_two_threads_are_those_of_one_thread(precision: Precision) -> None:
    """Each thread plays its own streams, here 8 and 9."""
    model = build("tiers 8 4 2")
    one, two = (native(model, streams=17, threads=threads, precision=precision, seed=2) for threads in (1, 2))
    for block in (1, 300, 7):
        assert np.array_equal(two.generate(block), one.generate(block))
    assert two.state() == one.state()


@contextmanager
def one_core() -> Iterator[None]:
    """Confine this process to one core of the machine."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def test_a_process_of_one_core_takes_one_thread() -> None:
    """Two would hold each other up, however many cores the machine has."""
    config = resolve("sample-rnn", "thesis", None, []).model
    with one_core():
        assert Engine(config, random_weights(config)).threads == 1


def test_samples_made_alone_are_counted() -> None:
    """Two threads on one core hold each other up, so the caller plays on alone. One thread is never held up."""
    model = build("naive scalar")
    with one_core():
        two, one = native(model, threads=2), native(model, threads=1)
        for _ in range(50):
            two.generate(100)
            if two.samples_alone:
                break
    assert two.samples_alone > 0
    one.generate(100)
    assert one.samples_alone == 0


# What a sample costs, by hand: (multiply-adds, weights read, weights stored). An LSTM has four gates. A tier of frames
# of eight samples makes a step every eight samples.
N, S = 512, 128  # units
COSTS = {
    # The first layer's input matrix is folded into a table.
    ("naive-rnn", "thesis"): (3 * 4 * N * N + 256 * N,) * 3,
    # Tiers of 8 and 2 samples. The slow one conditions four steps of the fast one, whose matrix it reads once.
    ("sample-rnn", "thesis"): (
        (4 + 4) * N * N / 8 + (4 + 4 + 2) * N * N / 2 + N * N + 256 * N,
        (4 + 4 + 4) * N * N / 8 + (4 + 2) * N * N / 2 + N * N + 256 * N,
        (4 + 4 + 4) * N * N + (4 + 2) * N * N + N * N + 256 * N,
    ),
    # Tiers of 8, 4 and 2 samples, each of which conditions two steps of the next.
    ("sample-rnn", "small"): (
        (4 + 2) * S * S / 8 + (4 + 4 + 2) * S * S / 4 + (4 + 4 + 2) * S * S / 2 + S * S + 256 * S,
        (4 + 2 + 4) * S * S / 8 + (4 + 2 + 4) * S * S / 4 + (4 + 2) * S * S / 2 + S * S + 256 * S,
        (4 + 2 + 4) * S * S + (4 + 2 + 4) * S * S + (4 + 2) * S * S + S * S + 256 * S,
    ),
    # Two taps in each of 24 layers of 128 channels. The first has one input. The weights of a past tap serve as many
    # samples at once as its dilation, and eight at most: 1, 2, 4, then nine times 8 in each of two blocks.
    ("wavenet", "thesis"): (
        2 * 128 + 23 * 2 * 128 * 128 + 256 * 128,
        2 * 128 + (23 + 1 + 2 * (1 / 2 + 1 / 4 + 9 / 8)) * 128 * 128 + 256 * 128,
        2 * 128 + 23 * 2 * 128 * 128 + 256 * 128,
    ),
    # Blocks of 8 modes, a gate and, in the slow tier of 8 samples, a network. A mode has six constants. Lambda's four
    # are multiplied twice.
    ("linear-rnn", "small"): (
        (3 * (128 * 81 + 6 * 128 * 128) + 8 * 64 * 128) / 8 + 4 * (64 * 81 + 2 * 64 * 64) + 256 * 64,
        (3 * (128 * 49 + 6 * 128 * 128) + 8 * 64 * 128) / 8 + 4 * (64 * 49 + 2 * 64 * 64) + 256 * 64,
        (3 * (128 * 49 + 6 * 128 * 128) + 8 * 64 * 128) + 4 * (64 * 49 + 2 * 64 * 64) + 256 * 64,
    ),
}


@pytest.mark.parametrize(("name", "preset"), COSTS)
def test_the_work_of_a_sample_is_counted(name: str, preset: str) -> None:
    """The bench compares speeds with it, and an engine takes two threads only where a sample costs enough."""
    config = resolve(name, preset, None, []).model
    player = Engine(config, random_weights(config))
    multiply_adds, read, stored = COSTS[name, preset]
    assert player.work == (multiply_adds, 4 * read, 4 * stored)
    assert player.threads == (2 if multiply_adds >= 300_000 and len(os.sched_getaffinity(0)) > 1 else 1)


def test_limits_of_an_unknown_instruction_set_are_refused() -> None:
    assert min(measure_limits(1000, 1)) > 0
    with pytest.raises(ConfigError, match="mmx"):
        measure_limits(1000, 1, "mmx")


def test_settings_change_between_blocks_and_along_curves() -> None:
    model = build("tiers 8 2")
    cool, hot = native(model, seed=3), native(model, seed=3)
    blocks = np.concatenate([cool.generate(50, Controls(0.5)), cool.generate(50, Controls(1.5, top_k=4))], 1)
    curve = hot.generate(100, Controls(np.repeat([0.5, 1.5], 50), top_k=np.repeat([LEVELS, 4], 50)))
    assert np.array_equal(blocks, curve)


@given(st.integers(0, 2**32), st.floats(0, 3), st.integers(1, 300), st.floats(0.01, 1))
@settings(max_examples=60, deadline=None)
def test_the_sampler_is_that_of_sampling_py(seed: int, temperature: float, top_k: int, top_p: float) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((20, 256)) * rng.choice([0.1, 1, 5, 30])).astype(np.float32)
    logits[:5] = np.round(logits[:5])  # ties
    uniforms = rng.random(20)
    uniforms[:2] = 0, 1 - 2**-53
    expected = Softmax(256).draw(logits, uniforms, Controls(temperature, top_k, top_p))
    pairs = zip(logits, uniforms, strict=True)
    found = [engine.draw(row, uniform, temperature, top_k, top_p) for row, uniform in pairs]
    assert found == expected.tolist()


def test_uniforms_are_numpys() -> None:
    """With equal logits and 2^16 levels a code is its uniform number, cut to 16 bits."""
    model = build("naive scalar")
    flat = {name: np.zeros_like(weight, np.float32) for name, weight in weights_of(model).items()}
    player = Engine(model.config, flat, streams=3, seed=9)
    expected = np.floor(Uniforms(9, 3)(1001) * LEVELS)
    assert np.array_equal(player.generate(1001), expected)
