"""A model split into stages: its parts make the whole, and stages in several processes follow one process."""

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from conftest import HANGS
from support.controlled import HOP, NOTES, VOICE, make_controlled
from support.kinds import CONDITIONED, KINDS, PREDICTED, SPLIT, build, codes_of
from support.launcher import process_of, together, torchrun
from support.tiny import as_arguments, hashes, losses, records, tiny
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError
from wavewright.formats import checkpoint
from wavewright.formats.config import RunConfig
from wavewright.models.pieces import Part, balanced
from wavewright.training.loop import Budget
from wavewright.training.pipeline import Pipeline
from wavewright.training.run import train

STEPS = 50
WINDOWS = (29, 1, 2, 3, 40)  # shorter and longer than frames, which begin and end inside them
EVERY_KIND = pytest.mark.parametrize("kind", sorted(KINDS | PREDICTED | SPLIT | CONDITIONED))
SHARED = ("encoder", "embedding")  # weights for all stages, though a small model may have one that uses them
slow = pytest.mark.slow


def frames(model: Any, codes: Tensor, state: Any) -> Tensor | None:
    """Return control frames for a window, if the model has a condition."""
    if model.config.condition is None:
        return None
    condition = model.config.condition
    count = condition.frames(codes.shape[1], int(state.phase))
    return torch.rand(len(codes), count, condition.features, dtype=torch.float64)


@EVERY_KIND
def test_parts_make_the_whole(kind: str) -> None:
    """Each part has a state of its own, from which nothing reaches the others, and the gradients are the whole's."""
    model = build(kind)
    count = len(model.pieces())
    assert count > 1
    for cut in range(1, count):
        torch.manual_seed(cut)
        whole, states = model.initial_state(2), [model.initial_state(2), model.initial_state(2)]
        for length in WINDOWS:
            codes = codes_of(2, length)
            condition = frames(model, codes, whole)
            expected, whole = model(codes, whole, condition)
            handed, states[0] = model(codes, states[0], condition, Part(slice(None, cut)))
            leaf = handed.detach().requires_grad_()
            found, states[1] = model(codes, states[1], condition, Part(slice(cut, None), leaf))
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
            weight = torch.randn_like(expected)
            gradients = torch.autograd.grad((expected * weight).sum(), list(model.parameters()), allow_unused=True)
            model.zero_grad()
            (found * weight).sum().backward()
            if leaf.grad is not None and handed.requires_grad:
                handed.backward(leaf.grad)
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                if gradient is not None:
                    assert parameter.grad is not None
                    torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-9)
            whole, states = whole.detach(), [state.detach() for state in states]


@EVERY_KIND
def test_pieces_name_what_they_alone_use(kind: str) -> None:
    model = build(kind)
    pieces, state, codes = model.pieces(), model.initial_state(2).detach(), codes_of(2, 48)
    condition = frames(model, codes, state)
    torch.manual_seed(0)
    using: dict[str, set[int]] = {name: set() for name, _ in model.named_parameters()}
    changing: dict[str, set[int]] = {name: set() for name in state.flat()}
    handed: Tensor | None = None
    for i in range(len(pieces)):
        last = i == len(pieces) - 1
        model.zero_grad()
        part = Part(slice(i, None if last else i + 1), handed)
        outputs, after = model(codes, state, condition, part)
        handed = outputs.detach()
        outputs = model.logits(outputs, codes) if last else outputs
        (outputs * torch.randn_like(outputs)).sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and parameter.grad.any():
                using[name].add(i)
        for name, value in after.flat().items():
            if not torch.equal(value, state.flat()[name]):
                changing[name].add(i)
    assert all(piece.work > 0 for piece in pieces)
    for name, users in using.items():
        named = {i for i, piece in enumerate(pieces) if piece.holds(name)}
        if len(users) == 1:
            assert named == users or (not named and name.startswith(SHARED)), name
        else:
            assert not named or not users, name
    for name, users in changing.items():
        named = {i for i, piece in enumerate(pieces) if name in piece.state}
        assert named == (users if len(users) == 1 else set()), name


@pytest.mark.parametrize(
    ("work", "parts", "most"), [([1] * 8 + [3], 3, 4), ([5, 1, 1, 1], 2, 5), ([1, 1, 7], 3, 7), ([2, 3], 1, 5)]
)
def test_stages_have_like_work(work: list[float], parts: int, most: float) -> None:
    division = balanced(work, parts)
    assert len(division) == parts
    assert [value for part in division for value in work[part]] == work
    assert max(sum(work[part]) for part in division) == most
    assert all(work[part] for part in division)


def test_what_cannot_be_split_is_refused(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny("naive-rnn")
    with pytest.raises(ConfigError, match=r"--split-layers 2: 1 process is no multiple of it; start .* with torchrun"):
        train(config, corpus, tmp_path / "run", Budget(steps=1), device="cpu", split_layers=2)
    assert not (tmp_path / "run" / "config.json").exists()
    with pytest.raises(ConfigError, match="--split-layers 0: give 1 or more"):
        Pipeline(config.model.build(), 0)
    monkeypatch.setenv("WORLD_SIZE", "6")
    with pytest.raises(ConfigError, match="--split-layers 4: 6 processes are no multiple of it"):
        Pipeline(config.model.build(), 4)
    with pytest.raises(ConfigError, match="this naive-rnn can be split into 2 parts at most; give 2 or less"):
        Pipeline(config.model.build(), 3)


def launch(
    config: RunConfig, corpus: Corpus, run: Path, steps: int, *, stages: int = 2, processes: int = 2
) -> subprocess.CompletedProcess[str]:
    return together(arguments_of(config, corpus, run, steps, stages), processes)


def arguments_of(config: RunConfig, corpus: Corpus, run: Path, steps: int, stages: int = 2) -> list[object]:
    arguments = ["train", corpus.path, *as_arguments(config), "--out", run, "--steps", steps, "--resume"]
    return [*arguments, "--split-layers", stages]


def tensors(run: Path, step: int) -> dict[str, Tensor]:
    folder = checkpoint.path(run, step)
    return load_file(folder / "model.safetensors") | load_file(folder / "training.safetensors")


def follow(config: RunConfig, corpus: Corpus, folder: Path, **options: Any) -> Path:
    """Train in stages as in one process, and compare the first gradient, all losses and validations, and the files.

    Both stop after the first step and go on. Returns the run in stages.
    """
    runs = one, split = folder / "one", folder / "split"
    for steps in (1, STEPS):
        train(config, corpus, one, Budget(steps=steps), device="cpu", resume=True)
        result = launch(config, corpus, split, steps, **options)
        assert result.returncode == 0, result.stderr
        expected, found = tensors(one, steps), tensors(split, steps)
        assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
            name: (value.shape, value.dtype) for name, value in expected.items()
        }
        if steps == 1:
            moments = [name for name in expected if name.endswith(".exp_avg")]
            assert moments
            for name in moments:
                gradients = (run[name] / (1 - config.training.beta1) for run in (found, expected))
                torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)
    assert losses(split) == pytest.approx(losses(one), rel=1e-4)
    assert len(losses(split)) == STEPS
    validations = [[record["bits"] for record in records(run) if "bits" in record] for run in runs]
    assert validations[0] == pytest.approx(validations[1], rel=1e-4)
    return split


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "wavenet": ({}, {"clip": "value", "ema": 0.9}),
    "naive-rnn": ({"layers": 2, "prediction": {"order": 6, "window": 20.0, "hop": 5}}, {}),
    "sample-rnn": ({"frame_sizes": [8, 4, 2]}, {"length": 37, "clip": "norm"}),
    "linear-rnn": ({}, {"length": 35}),
}


@slow
@pytest.mark.parametrize("name", FIELDS)
def test_two_stages_follow_one_process(name: str, corpus: Corpus, tmp_path: Path) -> None:
    fields, training = FIELDS[name]
    config = tiny(name, fields, **training)
    split = follow(config, corpus, tmp_path)
    begun = json.loads((split / "config.json").read_text())["made_by"]
    assert (begun["processes"], begun["stages"]) == (2, 2)


@slow
def test_stages_share_controls_and_leads(tmp_path: Path) -> None:
    sounds = make_controlled(tmp_path / "sounds")
    condition = {"controls": [asdict(control) for control in (VOICE, NOTES)], "hop": HOP, "width": 8}
    follow(tiny("sample-rnn", {"condition": condition}, lead_seconds=0.05, batch_size=3), sounds, tmp_path)


@slow
def test_two_pipelines_of_two_stages_follow_one_process(corpus: Corpus, tmp_path: Path) -> None:
    follow(tiny("wavenet", clip="norm", clip_limit=0.5), corpus, tmp_path, processes=4)


@slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_a_killed_stage_comes_back(corpus: Corpus, tmp_path: Path) -> None:
    """The launcher starts both stages anew, and they go on from the last checkpoint to the same bits."""
    config, run, whole = tiny("linear-rnn", ema=0.9), tmp_path / "run", tmp_path / "whole"
    assert launch(config, corpus, whole, STEPS).returncode == 0

    def kill(launcher: int) -> None:
        until = time.monotonic() + HANGS
        while not ((run / "checkpoints").exists() and max(checkpoint.steps(run), default=0) >= 14):
            assert time.monotonic() < until
            time.sleep(0.01)
        killed = process_of(launcher, 1)
        assert killed
        os.kill(killed, signal.SIGKILL)

    arguments = arguments_of(config, corpus, run, STEPS)
    result = torchrun(arguments, options=["--max-restarts", "3"], disturb=kill)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert records(run) == records(whole)
    assert hashes(run, STEPS) == hashes(whole, STEPS)


@slow
def test_any_run_goes_on_with_any_split(corpus: Corpus, tmp_path: Path) -> None:
    """The number of stages is no part of a checkpoint but as a fact, and a change is told."""
    config, run, whole = tiny("sample-rnn"), tmp_path / "run", tmp_path / "whole"
    train(config, corpus, whole, Budget(steps=STEPS), device="cpu")
    train(config, corpus, run, Budget(steps=20), device="cpu")
    result = launch(config, corpus, run, 40)
    assert result.returncode == 0, result.stderr
    assert "layers split into 1 before, into 2 now" in result.stderr
    copy = shutil.copytree(run, tmp_path / "copy")
    train(config, corpus, run, Budget(steps=STEPS), device="cpu", resume=True)
    result = launch(config, corpus, copy, STEPS, stages=1)  # two processes with half of the lanes each
    assert result.returncode == 0, result.stderr
    for folder in (run, copy):
        assert losses(folder) == pytest.approx(losses(whole), rel=1e-3)
        changes = [record for record in records(folder) if record.get("event") == "stages"]
        assert changes == [
            {"step": 20, "event": "stages", "before": 1, "now": 2},
            {"step": 40, "event": "stages", "before": 2, "now": 1},
        ]


@slow
def test_too_few_lanes_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    result = launch(tiny("wavenet", batch_size=1), corpus, tmp_path / "run", 2)
    assert result.returncode != 0
    assert "--split-layers 2: the 2 processes need as many sections side by side, and there are 1;" in result.stderr
    assert not (tmp_path / "run" / "config.json").exists()
