"""Generating codes: streams apart, priming by the whole state, blocks, memory; against a loop of single steps."""

import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.kinds import CONDITIONED, KINDS, LEVELS, PREDICTED, RATE, SPLIT, build, score_of
from wavewright.models.output import Softmax
from wavewright.playing.stream import BLOCK, stream
from wavewright.playing.torch_player import PRIME_BLOCK, TorchPlayer
from wavewright.quantize import silence
from wavewright.sampling import Controls, Uniforms

EVERY_MODEL = ["naive scalar", "tiers 8 2", "tiers 6 3", "gated", "plain"]


def made(model: Any, samples: int, streams: int = 1, seed: int = 0, **options: Any) -> NDArray[np.int64]:
    return np.concatenate(list(stream(TorchPlayer(model, streams, seed), samples, **options)), 1)


@torch.no_grad()
def slow(
    model: Any,
    heard: list[int],
    numbers: NDArray[np.float64],
    controls: Controls,
    frames: torch.Tensor | None = None,
) -> list[int]:
    """One stream, one step at a time: silence, what it has heard, then what it draws with `numbers` (n, draws)."""
    state, code, codes = model.initial_state(1), silence(model.config.q_levels), []
    for t in range(len(heard) + len(numbers)):
        frame = None if frames is None else frames[None, t // model.config.condition.hop]
        outputs, state = model.step(torch.tensor([code]), state, frame)
        if t < len(heard):
            code = heard[t]
        else:
            drawn: list[torch.Tensor] = []
            for number in numbers[t - len(heard)]:
                logits = model.next_logits(outputs, *drawn).numpy()
                drawn.append(torch.from_numpy(Softmax(256).draw(logits, number[None], controls)))
            code = int(drawn[0]) * 4 + int(drawn[1]) if model.config.split else int(drawn[0])
            codes.append(code)
    return codes


@pytest.mark.parametrize("kind", [*KINDS, *PREDICTED, *SPLIT, *CONDITIONED])
@pytest.mark.parametrize("prime", [0, 1, 13, 32])
def test_takes_are_those_of_a_loop_of_single_steps(kind: str, prime: int) -> None:
    model, controls = build(kind), Controls(0.9, top_k=7, top_p=0.95)
    heard = np.random.default_rng(prime).integers(0, LEVELS, (3, prime))
    score, player = score_of(model, 3, prime + 50), TorchPlayer(model, 3, 5, RATE)
    if prime:
        player.prime(heard, score.feed(player, 0, prime))
    middle = prime + 23
    found = np.concatenate(
        [
            player.generate(23, controls, score.feed(player, prime, middle)),
            player.generate(27, controls, score.feed(player, middle, prime + 50)),
        ],
        1,
    )
    frames = score.frames(prime + 50)
    for k in range(3):
        draws = 1 + model.config.split
        numbers = Uniforms(5, 3)(50 * draws)[k].reshape(50, draws)
        own = None if frames is None else frames[k]
        assert found[k].tolist() == slow(model, heard[k].tolist(), numbers, controls, own)


@pytest.mark.parametrize("kind", EVERY_MODEL)
def test_a_take_of_several_is_the_take_made_alone(kind: str) -> None:
    model = build(kind)
    several = made(model, samples=80, streams=3, seed=7)
    assert made(model, samples=80, streams=1, seed=7).tolist() == several[:1].tolist()
    assert made(model, samples=80, streams=2, seed=7).tolist() == several[:2].tolist()
    assert len({tuple(row) for row in several.tolist()}) == 3
    assert made(model, samples=80, streams=1, seed=8).tolist() != several[:1].tolist()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_prime_is_the_same_in_any_blocks(lengths: list[int]) -> None:
    heard = np.random.default_rng(0).integers(0, LEVELS, sum(lengths))
    blocks = np.split(heard, np.cumsum(lengths)[:-1])
    for kind in ("tiers 8 4 2", "gated"):
        model = build(kind)
        whole = made(model, samples=20, prime=[heard])
        assert made(model, samples=20, prime=iter(blocks)).tolist() == whole.tolist()
        assert made(model, samples=20, streams=2, prime=blocks)[:1].tolist() == whole.tolist()


def test_a_prime_of_many_internal_blocks() -> None:
    """Longer than what goes through the model at once, by an odd number."""
    model = build("plain")
    heard = np.random.default_rng(0).integers(0, LEVELS, 2 * PRIME_BLOCK + 17)
    reach = int(model.receptive_field)
    last = made(model, samples=20, prime=[heard])
    assert last.tolist() == made(model, samples=20, prime=[heard[-reach - 1 :]]).tolist()
    assert last.tolist() != made(model, samples=20).tolist()


def test_no_prime_is_silence() -> None:
    for kind in EVERY_MODEL:
        model = build(kind)
        assert made(model, samples=20).tolist() == made(model, samples=20, prime=[]).tolist()
    wavenet = build("gated")  # the only kind for which having heard silence is nothing new
    quiet = np.full(40, silence(LEVELS))
    assert made(wavenet, samples=20, prime=[quiet]).tolist() == made(wavenet, samples=20).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_lengths_around_a_block(samples: int) -> None:
    model = build("naive embedded")
    blocks = list(stream(TorchPlayer(model, 2, 1), samples))
    assert [block.shape for block in blocks[:-1]] == [(2, BLOCK)] * (len(blocks) - 1)
    whole = np.concatenate(blocks, 1)
    assert whole.shape == (2, samples)
    longest = made(model, samples=BLOCK + 1, streams=2, seed=1)
    assert whole.tolist() == longest[:, :samples].tolist()  # a longer take begins as the shorter one


def test_temperature_zero_takes_the_likeliest_whatever_the_seed() -> None:
    model = build("tiers 8 2")
    takes = [made(model, samples=60, seed=seed, controls=Controls(0)).tolist() for seed in (0, 1)]
    assert takes[0] == takes[1]
    assert takes[0][0] == slow(model, [], np.zeros((60, 1)), Controls(0))


def peak_of(model: Any, samples: int, prime: Iterator[NDArray[np.int64]] | None = None) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        for _ in stream(TorchPlayer(model), samples, prime=prime):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow_with_length() -> None:
    model = build("naive embedded")
    peak_of(model, BLOCK)  # what is made once
    assert peak_of(model, 8 * BLOCK) < peak_of(model, 2 * BLOCK) + 3 * BLOCK * 8  # bytes: half of what the codes have


def test_memory_does_not_grow_with_the_prime() -> None:
    model = build("plain of 3 taps")

    def blocks(count: int) -> Iterator[NDArray[np.int64]]:
        for i in range(count):
            yield np.full(10_000, i % LEVELS)

    peak_of(model, 1, blocks(2))
    assert peak_of(model, 1, blocks(30)) < peak_of(model, 1, blocks(3)) + 80_000
