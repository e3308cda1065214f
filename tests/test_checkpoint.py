"""The numbers of a checkpoint: none changes unnoticed, and odd ones are refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from support.tiny import again, contents, hashes
from wavewright import files
from wavewright.corpus.corpus import Corpus
from wavewright.errors import WavewrightError
from wavewright.formats import checkpoint


def change(folder: Path, act: Callable[[dict[str, Any]], Any]) -> None:
    """Change the numbers of a checkpoint, and take its digest away, which earlier versions did not write."""
    file = folder / "training.json"
    values = files.read_json(file)
    del values["digest"]
    act(values)
    file.write_text(json.dumps(values), encoding="utf-8")


def test_no_digit_of_a_checkpoint_changes_unnoticed(run: Path) -> None:
    folder = checkpoint.path(run, 14)
    file = folder / "training.json"
    text, values, noticed = file.read_text(encoding="utf-8"), files.read_json(file), 0
    for place in [i for i, c in enumerate(text) if c.isdigit()][::5]:
        file.write_text(f"{text[:place]}{9 - int(text[place])}{text[place + 1 :]}", encoding="utf-8")
        if files.read_json(file) != values:  # else it is beyond the precision of a float
            with pytest.raises(WavewrightError, match=str(file)):
                checkpoint.read_facts(folder)
            noticed += 1
    assert noticed > 100


ODD: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{
        f"no {key}": lambda v, key=key: v.pop(key)
        for key in ("step", "best", "guard", "regular", "seconds", "position")
    },
    "list for best": lambda v: v.update(best=[1]),
    "list for guard": lambda v: v.update(guard=[]),
    "word in the window": lambda v: v["guard"].update(losses=["high"]),
    "null position": lambda v: v.update(position=None),
    "no epoch": lambda v: v["position"].pop("epoch"),
    "negative offset": lambda v: v["position"].update(offset=-1),
    "offset beyond": lambda v: v["position"].update(offset=10**9),
    "group beyond": lambda v: v["position"].update(group=10**9),
    "text for step": lambda v: v.update(step="14"),
    "another step": lambda v: v.update(step=15),
    "half a byte": lambda v: v.update(metrics_bytes=1.5),
    "no lanes": lambda v: v.update(lanes=0),
    "time before the start": lambda v: v.update(seconds=-1),
    "rate above the first": lambda v: v.update(rate_scale=2),
    "unknown": lambda v: v.update(speed=1),
    "huge": lambda v: v.update(step=10**30),
    "list for hashes": lambda v: v.update(sha256=["a"]),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_numbers_in_a_checkpoint_are_refused_in_one_line(what: str, run: Path, corpus: Corpus) -> None:
    shutil.rmtree(checkpoint.path(run, 16))
    change(checkpoint.path(run, 14), ODD[what])
    before = contents(run)
    with pytest.raises(WavewrightError, match=r"step-00000014.training.json: .*") as caught:
        again(corpus, run)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert contents(run) == before


def test_a_checkpoint_without_a_digest_goes_on_as_ever(run: Path, corpus: Corpus, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other")
    again(corpus, run)
    change(checkpoint.path(tmp_path / "other", 16), lambda values: None)
    again(corpus, tmp_path / "other")
    assert hashes(tmp_path / "other", 20) == hashes(run, 20)


@pytest.mark.parametrize("name", ["optimizer.0.exp_avg", "optimizer.0.step", "state.hidden.0"])
def test_tensors_of_another_shape_are_refused(name: str, run: Path, corpus: Corpus) -> None:
    folder = checkpoint.path(run, 16)
    saved = checkpoint.load(folder)
    shutil.rmtree(folder)
    checkpoint.save(
        run, checkpoint.Checkpoint(folder, saved.model, {**saved.training, name: torch.ones(2)}, saved.facts)
    )
    with pytest.raises(WavewrightError, match=r"step-00000016: not of this model \(.*\)"):
        again(corpus, run)
