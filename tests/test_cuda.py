"""Every model and its training on an NVIDIA GPU: `pytest -m cuda`, or `make gpu` with all that it measures.

A run resumes to the same bits because `choose_device("cuda")` sets cuDNN to be deterministic and gives cuBLAS a
workspace of its own. Where float32 is compared with float64, TF32 is off.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from support.kinds import KINDS, TINY, build, codes_of, in_parts
from support.tiny import losses, tiny
from test_resume import CASES, STEPS, same
from wavewright.corpus.corpus import Corpus
from wavewright.devices import choose_device
from wavewright.playing import engine, opening
from wavewright.playing.stream import stream
from wavewright.playing.torch_player import TorchPlayer
from wavewright.training.loop import Budget
from wavewright.training.run import train

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA here"),
]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_model = pytest.mark.parametrize("name", TINY)


@pytest.fixture
def cuda() -> torch.device:
    """The GPU, as `wavewright train` chooses it."""
    return choose_device("cuda")


@pytest.fixture
def exact() -> Iterator[None]:
    """No TF32, which has ten bits of a product's factors."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@every_kind
@pytest.mark.usefixtures("exact")
@torch.no_grad()
def test_logits_are_those_of_the_cpu_in_float64(kind: str, cuda: torch.device) -> None:
    codes = codes_of(3, 300)
    expected, _ = build(kind)(codes)
    found, _ = build(kind).float().to(cuda)(codes.to(cuda))
    torch.testing.assert_close(found.double().cpu(), expected, rtol=0, atol=1e-4)


@every_kind
def test_gradients_are_those_of_the_cpu(kind: str, cuda: torch.device) -> None:
    codes, gradients = codes_of(2, 40), []
    for device in (torch.device("cpu"), cuda):
        model = build(kind).to(device).train()
        model(codes.to(device))[0].square().mean().backward()
        gradients.append([None if p.grad is None else p.grad.cpu() for p in model.parameters()])
    for found, expected in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)


@every_kind
@torch.no_grad()
def test_whole_equals_any_chunking_of_it_equals_steps(kind: str, cuda: torch.device) -> None:
    model = build(kind).to(cuda)
    codes, more = codes_of(2, 40).to(cuda), codes_of(2, 19, seed=1).to(cuda)
    whole, after = model(codes)
    for parts in ([0] * 40, [17, 0, 1, 0, 0, 13, 7], [23, 17]):
        pieces, state = in_parts(model, codes, parts)
        torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-10)
        torch.testing.assert_close(model(more, state)[0], model(more, after)[0], rtol=0, atol=1e-10)


@every_kind
def test_bf16_is_near_and_its_gradients_are_finite(kind: str, cuda: torch.device) -> None:
    codes = codes_of(2, 64)
    model = build(kind).float().to(cuda).train()
    with torch.autocast("cuda", torch.bfloat16):
        found, state = model(codes.to(cuda))
        model(codes.to(cuda), state.detach())  # a second window, from the first one's state
    found.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    with torch.no_grad():
        expected, _ = build(kind)(codes)
    off = (found.detach().double().cpu() - expected).square().mean().sqrt() / expected.std()
    assert 1e-5 < off < 0.1


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(
    case: str, precision: str, corpus: Corpus, tmp_path: Path
) -> None:
    name, fields, training = CASES[case]
    config = tiny(name, fields, **training, precision=precision)
    train(config, corpus, tmp_path / "whole", Budget(steps=STEPS), device="cuda")
    for steps in (10, 20, STEPS):
        train(config, corpus, tmp_path / "run", Budget(steps=steps), resume=True, device="cuda")
    same(tmp_path / "run", tmp_path / "whole")


@every_model
def test_bf16_learns(name: str, corpus: Corpus, tmp_path: Path) -> None:
    found = {}
    for precision in ("fp32", "bf16"):
        run = tmp_path / precision
        train(tiny(name, precision=precision), corpus, run, Budget(steps=60), device="cuda")
        found[precision] = losses(run)
    assert fmean(found["bf16"][-10:]) < 0.9 * fmean(found["bf16"][:3])
    assert fmean(found["bf16"][-10:]) == pytest.approx(fmean(found["fp32"][-10:]), rel=0.1)
    assert found["bf16"] != found["fp32"]


@every_model
def test_what_was_trained_here_plays_alike_everywhere(name: str, corpus: Corpus, tmp_path: Path) -> None:
    """The same codes by the native engine, by torch on the CPU and, in float64, by torch here."""
    if not engine.available():
        pytest.skip("the native engine is not built")
    train(tiny(name), corpus, tmp_path / "run", Budget(steps=20), device="cuda")
    on_cpu = opening.open_run(tmp_path / "run")
    native = opening.to_native(on_cpu).player(2, seed=3)
    doubled = opening.open_run(tmp_path / "run", device="cuda").model.double()
    takes = [
        np.concatenate(list(stream(player, 500)), 1)
        for player in (native, on_cpu.player(2, seed=3), TorchPlayer(doubled, 2, seed=3))
    ]
    assert np.array_equal(takes[0], takes[1])
    assert np.array_equal(takes[0], takes[2])
