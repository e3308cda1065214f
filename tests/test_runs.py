"""A run folder: what is refused in one line, and that nothing is lost by it."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.tiny import (
    SETTINGS,
    again,
    as_arguments,
    contents,
    hashes,
    losses,
    make_corpus,
    records,
    small_disk,
    start,
    tiny,
)
from wavewright import files
from wavewright.corpus.corpus import Corpus
from wavewright.errors import WavewrightError
from wavewright.formats import checkpoint
from wavewright.playing import opening
from wavewright.training.loop import Budget
from wavewright.training.run import train


def test_what_a_run_holds(original: Path, corpus: Corpus) -> None:
    facts = files.read_json(original / "config.json")
    assert facts["model"]["units"] == 12
    assert facts["corpus"] == {
        "sha256": files.sha256(corpus.path / "corpus.json"),
        "rate": 4000,
        "section": 500,
        "levelling": corpus.levelling(),
    }
    assert sorted(p.name for p in (original / "samples").iterdir()) == [f"step-{step:08d}.wav" for step in (7, 14, 16)]
    assert list(original.glob("events.out.tfevents.*"))
    assert len(losses(original)) == 16
    for step in (7, 14, 16):
        found = sorted(p.name for p in checkpoint.path(original, step).iterdir())
        assert found == ["model.safetensors", "training.json", "training.safetensors"]


def test_a_run_is_not_written_over(run: Path, corpus: Corpus) -> None:
    before = contents(run)
    with pytest.raises(WavewrightError, match=r"holds a run at step 16; add --resume"):
        again(corpus, run, resume=False)
    assert contents(run) == before


def test_resume_of_an_empty_folder_starts(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "run").mkdir()
    again(corpus, tmp_path / "run", 3)
    assert checkpoint.steps(tmp_path / "run") == [0, 3]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (tiny("naive-rnn", {"units": 13}), "model.units: 12 before, 13 now"),
        (tiny("sample-rnn"), "model.name: naive-rnn before, sample-rnn now"),
        (tiny("naive-rnn", seed=3), "training.seed: 0 before, 3 now"),
        (tiny("naive-rnn", length=64), "training.length: 128 before, 64 now"),
    ],
)
def test_another_configuration_is_refused_by_field(settings: Any, line: str, run: Path, corpus: Corpus) -> None:
    before = contents(run)
    with pytest.raises(WavewrightError, match=line):
        again(corpus, run, settings=settings)
    assert contents(run) == before


def test_another_corpus_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"corpus.sha256: .* before"):
        again(make_corpus(tmp_path, levels="none"), run)


def test_the_command_line_says_it_in_one_line(run: Path, corpus: Corpus, tmp_path: Path) -> None:
    other = as_arguments(tiny("naive-rnn", {"units": 13}))
    command = start(tmp_path / "log", "train", corpus.path, *other, "--out", run, "--steps", 20, "--resume")
    assert "model.units: 12 before, 13 now" in command.refusal()
    with files.locked(run):
        same = as_arguments(SETTINGS)
        command = start(tmp_path / "log", "train", corpus.path, *same, "--out", run, "--steps", 20, "--resume")
        assert command.refusal() == f"wavewright: {run}: in use by another wavewright process; " + (
            "wait for it or choose another folder"
        )


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-2] ^= 16  # of training.json, the last brace
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "training.json"])
@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_usable(
    name: str, damage: Any, run: Path, corpus: Corpus
) -> None:
    last = checkpoint.path(run, 16)
    damage(last / name)
    with pytest.raises(WavewrightError) as caught:
        again(corpus, run)
    assert str(last / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(WavewrightError, match=name):
        opening.open_run(run, "last")
    assert opening.open_run(run, "14").step == 14
    shutil.rmtree(last)
    again(corpus, run)
    assert checkpoint.steps(run)[-1] == 20
    assert len(losses(run)) == 20


def test_a_checkpoint_of_another_model_is_refused(run: Path, corpus: Corpus, tmp_path: Path) -> None:
    train(tiny("naive-rnn", {"units": 5}), corpus, tmp_path / "other", Budget(steps=16), device="cpu")
    shutil.rmtree(checkpoint.path(run, 16))
    shutil.copytree(checkpoint.path(tmp_path / "other", 16), checkpoint.path(run, 16))
    for use in (lambda: again(corpus, run), lambda: opening.open_run(run, "last")):
        with pytest.raises(WavewrightError, match=r"step-00000016: not of this .*model"):
            use()


@pytest.mark.parametrize("name", ["training.json", "model.safetensors"])
def test_a_kill_while_a_checkpoint_is_removed_costs_nothing(
    name: str, run: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "whole")
    again(corpus, tmp_path / "whole", 40)

    remove = shutil.rmtree

    def killed(folder: Path, **options: Any) -> None:
        if options:  # of another module
            return remove(folder, **options)
        (folder / name).unlink()
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.shutil, "rmtree", killed)
        with pytest.raises(InterruptedError):
            again(corpus, run, 40)
    again(corpus, run, 40)
    assert hashes(run, 40) == hashes(tmp_path / "whole", 40)
    assert records(run) == records(tmp_path / "whole")
    assert [file.name for file in (run / "checkpoints").iterdir() if file.name.startswith(".")] == []


def test_old_checkpoints_go_only_after_the_new_one_is_read_back(
    run: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses a bit of what it was given: the new checkpoint is bad, the old ones must be there."""
    before, sha256 = checkpoint.steps(run), files.sha256

    def then_damaged(path: Path) -> str:
        value = sha256(path)
        if ".tmp" in str(path):
            flip(path)
        return value

    monkeypatch.setattr(checkpoint, "sha256", then_damaged)
    with pytest.raises(WavewrightError, match="SHA-256"):
        again(corpus, run, 30)
    monkeypatch.undo()
    assert set(before) <= set(checkpoint.steps(run))


@pytest.mark.slow
def test_a_full_disk_costs_nothing(corpus: Corpus, tmp_path: Path) -> None:
    settings = tiny("naive-rnn", sample_seconds=0.3)
    train_to = ["train", corpus.path, *as_arguments(settings), "--steps", 60]
    whole = start(tmp_path / "log", *train_to, "--out", tmp_path / "whole")
    assert whole.wait() == 0
    with small_disk(tmp_path / "disk", "512k") as disk:
        run, ballast = disk / "run", disk / "ballast"
        assert start(tmp_path / "log", *train_to[:-1], 20, "--out", run).wait() == 0
        good, refusals = hashes(run, 20), []
        for left in range(0, 36_000, 6_000):  # what is written when the disk is full is another thing each time
            ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - left)))
            command = start(tmp_path / "log", *train_to[:-1], 30, "--out", run, "--resume")
            refusals.append(command.refusal())
            assert hashes(run, 20) == good
            ballast.unlink()
        assert all("No space left" in line for line in refusals)
        assert len({line.split(": ")[1] for line in refusals}) > 1
        command = start(tmp_path / "log", *train_to, "--out", run, "--resume")
        assert command.wait() == 0, command.output
        assert hashes(run, 60) == hashes(tmp_path / "whole", 60)
        assert records(run) == records(tmp_path / "whole")
