"""The native engine against torch in float64 (itself held to the oracles by test_model_maths) and against itself."""

import ast
import contextlib
import hashlib
import os
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conftest import ROOT
from support.kinds import KINDS, LEVELS, ORACLES, build, codes_of, weights_of
from wavewright import _engine
from wavewright.errors import ConfigError, WavewrightError
from wavewright.formats.precision import Precision
from wavewright.models.base import Model
from wavewright.models.output import Softmax
from wavewright.playing import engine
from wavewright.playing.engine import Engine, instruction_sets
from wavewright.playing.stream import stream
from wavewright.playing.torch_player import TorchPlayer
from wavewright.sampling import Controls, Uniforms

LENGTH = 1500


def native(model: Model[Any], **options: Any) -> Engine:
    """An engine with the weights of a torch model."""
    weights = {name: np.float32(weight) for name, weight in weights_of(model).items()}
    return Engine(model.config, weights, **options)


def forced(model: Model[Any], codes: NDArray[np.integer]) -> NDArray[np.float64]:
    """The torch model's logits (B, T, Q) for each of codes (B, T) of streams that begin with them."""
    heard = np.concatenate([np.full((len(codes), 1), LEVELS // 2), codes[:, :-1]], 1)
    with torch.no_grad():
        return model(torch.from_numpy(heard))[0].numpy()


def test_the_engine_is_built() -> None:
    """Where there is a compiler, as there is wherever these tests run, a silent fall-back would be a fault."""
    assert engine.available()
    assert instruction_sets()[-1] == "scalar"


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_float64_model(kind: str) -> None:
    model = build(kind)
    codes = codes_of(3, LENGTH).numpy()
    expected = forced(model, codes)
    found = native(model, streams=3, threads=2).logits(codes)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    best = np.sort(expected, 2)
    clear = best[..., -1] - best[..., -2] > 1e-4
    assert np.array_equal(found.argmax(2)[clear], expected.argmax(2)[clear])
    oracle = ORACLES[model.name](model.config, weights_of(model), [LEVELS // 2, *codes[0, :99].tolist()])
    np.testing.assert_allclose(found[0, :100], oracle, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_has_the_same_bits_in_every_way_of_running_it(kind: str) -> None:
    model = build(kind)
    reference = native(model, isa="scalar", threads=1, seed=5)
    expected = reference.generate(600)[0]
    for isa in instruction_sets():
        for threads, streams, block in ((1, 1, 1), (2, 1, 17), (2, 3, 509), (1, 3, 4096), (2, 17, 100)):
            player = native(model, isa=isa, threads=threads, streams=streams, seed=5)
            edges = [*range(0, 600, block), 600]
            found = np.concatenate([player.generate(b - a)[0] for a, b in pairwise(edges)])
            assert np.array_equal(found, expected), (isa, threads, streams, block)


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("kind", ["thesis tiers", "tier 16", "short window"])
def test_reduced_precisions_are_near(kind: str, precision: Precision) -> None:
    model = build(kind)
    codes = codes_of(2, 300).numpy()
    expected = forced(model, codes)
    off = native(model, streams=2, precision=precision).logits(codes) - expected
    rms = np.sqrt(np.mean(off**2)) / expected.std()
    assert 1e-5 < rms < {"bfloat16": 0.01, "int8": 0.02}[precision]


@pytest.mark.parametrize("kind", ["naive of 3 layers", "tiers 8 4 2", "gated"])
def test_a_stream_is_saved_forked_and_resumed_to_the_same_bits(kind: str) -> None:
    model = build(kind)
    player, fork = native(model, seed=1), native(model, seed=2, threads=1)
    player.generate(33)
    state = player.state()
    expected = player.generate(100)
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
    players = {kind: native(build(kind)) for kind in KINDS}
    states = {kind: player.state() for kind, player in players.items()}
    for kind, player in players.items():
        for other, state in states.items():
            if other != kind:
                with pytest.raises(ConfigError, match="another model"):
                    player.restore(state)
        with pytest.raises(ConfigError, match="another model"):
            native(build(kind, seed=1)).restore(states[kind])
        player.restore(states[kind])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["naive scalar", "tiers 8 4 2", "gated"]), st.randoms(use_true_random=False))
def test_no_bytes_crash_a_restore(kind: str, random: Any) -> None:
    """Random bytes are refused; with a header that is right they are refused or harmless."""
    player = native(build(kind))
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


def test_samples_made_alone_are_counted() -> None:
    """Two threads on one core hold each other up, so the caller plays on alone. One thread is never held up."""
    model = build("naive scalar")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        two, one = native(model, threads=2), native(model, threads=1)
        for _ in range(50):
            two.generate(100)
            if two.samples_alone:
                break
    finally:
        os.sched_setaffinity(0, cores)
    assert two.samples_alone > 0
    one.generate(100)
    assert one.samples_alone == 0


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


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda model: native(model, streams=0), "streams"),
        (lambda model: native(model, threads=65), "threads"),
        (lambda model: native(model, isa="mmx"), "mmx"),
        (lambda model: native(model).prime(np.array([LEVELS])), "codes"),
        (lambda model: native(model, streams=2).prime(np.zeros((3, 4), int)), "3 streams"),
        (lambda model: native(model).generate(10, Controls(-1)), "temperature"),
        (lambda model: native(model).generate(10, Controls(np.ones(9))), "9 values for 10"),
        (lambda model: native(model).generate(10, Controls(top_k=0)), "top-k"),
        (lambda model: native(model).generate(10, Controls(top_p=1.5)), "top-p"),
    ],
)
def test_bad_input_is_one_line(call: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        call(build("tiers 8 2"))
    assert "\n" not in str(caught.value)


def test_the_stub_names_what_the_module_has() -> None:
    """Classes, methods and arguments of _engine.pyi are those of the native module, in the same order."""
    stub = ast.parse((ROOT / "src" / "wavewright" / "_engine.pyi").read_text())
    found = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert set(found) == {name for name in vars(_engine) if not name.startswith("__")}
    methods = {node.name: node for node in found["Engine"].body}  # type: ignore[union-attr]
    public = {name for name in vars(_engine.Engine) if not name.startswith("__")} | {"__init__"}
    assert set(methods) == public
    for name, node in {**found, **methods}.items():
        owner = _engine.Engine if name in methods else _engine
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            signature = getattr(owner, name).__doc__ or ""
            assert re.findall(r"(\w+):", signature.splitlines()[0]) == [a.arg for a in node.args.args if a.annotation]
