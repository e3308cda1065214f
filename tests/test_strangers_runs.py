"""Run folders from strangers: no link is followed, no pipe is waited for, and config.json may not ask for anything."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.tiny import again, as_arguments, contents, start, tiny
from wavewright import files
from wavewright.corpus.corpus import Corpus
from wavewright.errors import WavewrightError
from wavewright.formats import checkpoint
from wavewright.playing import opening
from wavewright.playing.torch_model import with_weights

pytestmark = pytest.mark.slow

FOREIGN = [
    ".lock",
    "config.json",
    "metrics.jsonl",
    "samples",
    "checkpoints",
    "checkpoints/step-00000016",
    "checkpoints/step-00000014/training.json",
    "checkpoints/step-00000016/training.json",
    "checkpoints/step-00000016/model.safetensors",
    "checkpoints/step-00000016/training.safetensors",
    "checkpoints/.step-00000016.old",
    "checkpoints/.step-00000018.0123abcd.tmp",
]


def link(path: Path, elsewhere: Path) -> None:
    """Move what lies there elsewhere and put a link to it in its place."""
    if path.exists():
        shutil.move(path, elsewhere)
    else:
        elsewhere.mkdir() if "step" in path.name else elsewhere.write_text("precious", encoding="utf-8")
    path.symlink_to(elsewhere)


def pipe(path: Path, elsewhere: Path) -> None:
    """Put a pipe in the place of what lies there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("put", [link, pipe])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_link_or_a_pipe_in_a_run_is_refused(name: str, put: Any, run: Path, corpus: Corpus, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    put(run / name, elsewhere / "theirs")
    before = contents(elsewhere)
    command = start(tmp_path / "log", "train", corpus.path, *as_arguments(tiny("naive-rnn")), "--out", run, "--resume")
    assert command.refusal().startswith(f"wavewright: {run / name}: ")
    with pytest.raises(WavewrightError, match=r"where a run has a|not a run"):
        opening.open_run(run)
    assert contents(elsewhere) == before


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "samples", "checkpoints"])
def test_a_run_does_not_begin_through_links(name: str, corpus: Corpus, tmp_path: Path) -> None:
    run, theirs = tmp_path / "run", tmp_path / "theirs"
    run.mkdir()
    theirs.mkdir() if "." not in name else theirs.write_text("precious", encoding="utf-8")
    (run / name).symlink_to(theirs)
    with pytest.raises(WavewrightError, match=f"{name}: a link where a run has a"):
        again(corpus, run)
    assert not (list(theirs.iterdir()) if theirs.is_dir() else theirs.read_text(encoding="utf-8") != "precious")


def test_a_run_may_itself_be_a_link(run: Path, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(run)
    again(corpus, tmp_path / "mine")
    assert checkpoint.steps(run)[-1] == 20
    assert opening.open_run(tmp_path / "mine", "last").step == 20


ODD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a list": (lambda v: v.update(model=[1]), "model: holds no fields"),
    "no corpus": (lambda v: v.pop("corpus"), "corpus: "),
    "huge rate": (lambda v: v["corpus"].update(rate=10**30), "corpus.rate: "),
    "another rate": (lambda v: v["corpus"].update(rate=8000), "corpus.rate: 8000, but corpus.levelling.rate is 4000"),
    "huge rate in levelling": (lambda v: v["corpus"]["levelling"].update(rate=10**30), "levelling.rate"),
    "gain": (lambda v: v["corpus"]["levelling"].update(common_gain=-1), "common_gain"),
    "no versions": (lambda v: v.update(made_by=None), "made_by: "),
    "version": (lambda v: v["made_by"].update(torch=2), "made_by.torch: "),
    "units": (lambda v: v["model"].update(units=20_000), "weights"),
    "bias": (lambda v: v["model"].update(forget_bias=1e30), "model.forget_bias: "),
    "batch": (lambda v: v["training"].update(batch_size=10**9), "training.batch_size: "),
    "length": (lambda v: v["training"].update(length=10**9), "training.length: "),
    "both": (lambda v: v["training"].update(batch_size=65536, length=2**20), "batch_size times length"),
    "sample": (lambda v: v["training"].update(sample_seconds=1e30), "training.sample_seconds: "),
    "validation": (lambda v: v["training"].update(validation_seconds=1e30), "training.validation_seconds: "),
    "rate of learning": (lambda v: v["training"].update(learning_rate=1e30), "training.learning_rate: "),
    "limit": (lambda v: v["training"].update(clip_limit=1e30), "training.clip_limit: "),
    "steps": (lambda v: v["training"].update(checkpoint_every=10**30), "training.checkpoint_every: "),
}


@pytest.mark.parametrize("what", ODD)
def test_a_configuration_that_asks_for_anything_is_refused(what: str, run: Path, corpus: Corpus) -> None:
    file = run / "config.json"
    values = files.read_json(file)
    ODD[what][0](values)
    file.write_text(json.dumps(values), encoding="utf-8")
    for use in (lambda: opening.open_run(run), lambda: again(corpus, run)):
        with pytest.raises(WavewrightError) as caught:
            use()
        assert str(caught.value).startswith(f"{file}: ")
        assert ODD[what][1] in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600


def test_weights_are_counted_before_a_model_is_built(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = checkpoint.load(checkpoint.path(run, 16))
    large = tiny("naive-rnn", {"units": 5000}).model
    monkeypatch.setattr(type(large), "build", None)
    with pytest.raises(WavewrightError, match=r"not of this run.s model \(it has [\d,]+ weights\)"):
        with_weights(large, saved.model, run, None)
