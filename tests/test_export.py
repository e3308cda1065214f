"""`wavewright export`: a file plays and scores as its run does, to the byte; what is not the model is not written."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import melody
from support.kinds import CONDITIONED, KINDS, PREDICTED, SPLIT
from support.model_files import make, run_of
from support.oracles import ORACLES, of_codes
from support.tiny import start, tiny
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError, ModelFileError, WavewrightError
from wavewright.formats import model_file, precision
from wavewright.measuring.evaluation import evaluate
from wavewright.playing import opening, takes
from wavewright.playing.export import export, parity_error
from wavewright.playing.prime import Prime
from wavewright.sampling import Controls
from wavewright.training.loop import Budget
from wavewright.training.run import train

PRECISIONS: tuple[precision.Precision, ...] = ("float32", "bfloat16", "int8")


@pytest.fixture(scope="module")
def normed(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with weight norm and learned states."""
    run = tmp_path_factory.mktemp("normed") / "run"
    train(tiny("sample-rnn", {"weight_norm": True, "learned_state": True}), corpus, run, Budget(steps=5), device="cpu")
    return run


@pytest.mark.parametrize("kind", [*KINDS, *PREDICTED, *SPLIT, *CONDITIONED])
@pytest.mark.parametrize("precise", PRECISIONS)
def test_the_parity_pair_is_that_of_the_equations(kind: str, precise: Any, tmp_path: Path) -> None:
    """With the weights as the file gives them, by the float64 oracle."""
    file = make(tmp_path / "m.safetensors", kind, precise)
    weights: dict[str, Any] = {name: weight.astype(np.float64) for name, weight in file.weights.items()}
    for i in range(len(file.config.frame_sizes) if file.config.name == "sample-rnn" else 0):
        for j in range(file.config.n_rnn):
            states = 2 if file.config.cell == "lstm" else 1
            weights.setdefault(f"tiers.{i}.layers.{j}.start", np.zeros((states, file.config.units)))
    pair = file.parity
    codes = pair.codes.tolist()
    outputs = ORACLES[file.config.name](file.config, weights, codes, pair.condition)
    expected = of_codes(file.config, weights, outputs, [*codes[1:], codes[0]])
    np.testing.assert_allclose(file.parity.logits, expected, rtol=0, atol=2e-4)
    assert parity_error(file) < 1e-6
    assert len(set(file.parity.codes.tolist())) > 8


@pytest.mark.parametrize("precise", PRECISIONS)
def test_the_same_model_is_the_same_bytes(precise: Any, trained: Path, tmp_path: Path) -> None:
    """Exported twice, and exported from its own file."""
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    export(opening.open_run(trained), paths[0], precise)
    export(opening.open_run(trained), paths[1], precise)
    export(opening.open_run(paths[0]), paths[2], precise)
    assert len({path.read_bytes() for path in paths}) == 1


def test_a_file_in_another_precision_is_that_of_its_run(trained: Path, tmp_path: Path) -> None:
    whole, direct, by_file = (tmp_path / f"{name}.safetensors" for name in ("whole", "direct", "by_file"))
    export(opening.open_run(trained), whole)
    export(opening.open_run(trained), direct, "int8")
    export(opening.open_run(whole), by_file, "int8")
    assert direct.read_bytes() == by_file.read_bytes()


@pytest.mark.slow
def test_a_file_plays_and_scores_as_its_run(
    trained: Path, normed: Path, corpus: Corpus, tmp_path: Path, record: Any
) -> None:
    prime = Prime(record("prime.wav", melody(0.3, 8000), 8000))
    for run in (trained, normed):
        path = tmp_path / "m.safetensors"
        export(opening.open_run(run), path)
        made = []
        for source in (run, path):
            out = tmp_path / f"{source.name}.wav"
            takes.record(opening.open_run(source), out, seconds=0.3, prime=prime, controls=Controls(0.9), seed=4)
            made.append(out.read_bytes())
        assert made[0] == made[1]
        scores = [asdict(evaluate(opening.open_run(source), corpus, continuations=2)) for source in (run, path)]
        assert scores[1].pop("run") == str(path)
        assert scores[0].pop("run") == str(run)
        assert scores[0] == scores[1]


def test_a_file_knows_its_run(trained: Path, tmp_path: Path) -> None:
    for which in ("best", "last"):
        run = opening.open_run(trained, which)
        file = opening.open_run(tmp_path / "m.safetensors") if export(run, tmp_path / "m.safetensors") else None
        assert file is not None
        assert {**file.as_dict(), "model": None} == {**run.as_dict(), "model": None}
        assert (file.config, file.step, file.path.name) == (run.config, run.step, "m.safetensors")
    facts = json.loads((trained / "checkpoints/step-00000060/training.json").read_text())
    assert asdict(file.training) == {
        "run": "run",
        "step": 60,
        "samples": facts["samples"],
        "best_bits": facts["best"]["bits"],
        "wavewright": "0.1.0",
        "torch": torch.__version__,
    }


def test_a_run_without_validation_has_no_best(normed: Path, tmp_path: Path) -> None:
    run = opening.open_run(normed)
    run = replace(run, training=replace(run.training, best_bits=None))
    assert export(run, tmp_path / "m.safetensors").training.best_bits is None


@pytest.mark.slow
def test_the_command_line(trained: Path, corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.safetensors"
    command = start(tmp_path / "log", "export", trained, "--out", path, "--precision", "int8", "--json")
    assert command.wait() == 0, command.output
    said, run = json.loads(command.output), opening.open_run(trained)
    assert said.pop("parity_error") < 1e-6
    assert said == {
        "path": str(path),
        "model": "sample-rnn",
        "step": run.step,
        "parameters": run.model.parameter_count(),
        "precision": "int8",
        "bytes": path.stat().st_size,
    }
    command = start(tmp_path / "log", "generate", path, "--out", tmp_path / "a.wav", "--seconds", 0.05)
    assert command.wait() == 0, command.output
    command = start(tmp_path / "log", "evaluate", path, corpus.path, "--json")
    assert command.wait() == 0, command.output
    assert json.loads(command.output)["run"] == str(path)
    for option in ("last", "7"):
        command = start(tmp_path / "log", "evaluate", path, corpus.path, "--checkpoint", option)
        assert f"--checkpoint {option}: {path} is a model file, which holds but one; leave it out" in command.refusal()
    command = start(tmp_path / "log", "export", trained, "--out", tmp_path / "m.pt")
    assert f"--out {tmp_path / 'm.pt'}: name a .safetensors file" in command.refusal()
    (tmp_path / "file").write_text("")
    command = start(tmp_path / "log", "export", trained, "--out", tmp_path / "file/m.safetensors")
    assert "m.safetensors: cannot write" in command.refusal()


def test_a_table_without_json(trained: Path, tmp_path: Path) -> None:
    command = start(tmp_path / "log", "export", trained, "--out", tmp_path / "m.safetensors", "--checkpoint", "49")
    assert command.wait() == 0, command.output
    header, row = (line.split("\t") for line in command.output.splitlines())
    assert header == ["model", "step", "parameters", "precision", "bytes", "parity_error"]
    assert row[:2] == ["sample-rnn", "49"]


# What is not written


def altered(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Let `save` write something else than it was given."""
    save = model_file.save

    def other(path: Path, facts: Any, precise: Any, weights: Any, parity: model_file.Parity) -> None:
        save(path, facts, precise, *change(weights, parity))

    monkeypatch.setattr(model_file, "save", other)


def other_logit(weights: Any, parity: model_file.Parity) -> tuple[Any, model_file.Parity]:
    logits = parity.logits.copy()
    logits[63, 2] += 2e-4
    return weights, replace(parity, logits=logits)


def other_weight(weights: Any, parity: model_file.Parity) -> tuple[Any, model_file.Parity]:
    return {**weights, "output.bias": weights["output.bias"] + np.float32(2e-4)}, parity


@pytest.mark.parametrize("change", [other_logit, other_weight])
def test_what_does_not_play_the_same_is_not_written(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m.safetensors"
    out.write_bytes(b"old")
    altered(monkeypatch, change)
    with pytest.raises(ModelFileError, match=r"m.safetensors: not written: .*\(its logits are 0.0002 off\)") as caught:
        make(out)
    assert "tmp" not in str(caught.value).removeprefix(str(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
    assert out.read_bytes() == b"old"


def test_a_model_that_diverged_is_not_written(tmp_path: Path) -> None:
    run = run_of("gated")
    with torch.no_grad():
        run.model.output[3].weight[2, 1] = torch.nan
    with pytest.raises(WavewrightError, match=r"runs/mine: weight output.3.weight is not finite"):
        export(run, tmp_path / "m.safetensors", "int8")
    assert not list(tmp_path.iterdir())


def test_a_name_that_would_not_be_opened_again(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--out .*mine: name a .safetensors file"):
        export(opening.open_run(trained), tmp_path / "mine")


def test_the_run_is_left_as_it_was(normed: Path, tmp_path: Path) -> None:
    run = opening.open_run(normed)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    export(run, tmp_path / "m.safetensors", "int8")
    assert run.config.weight_norm
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    make(tmp_path / "m.safetensors")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from wavewright.formats.model_file import load\n"
        f"print(load(Path({str(tmp_path / 'm.safetensors')!r})).parity.logits.shape)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "(64, 12)"
