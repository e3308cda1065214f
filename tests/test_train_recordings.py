"""Training straight on recordings: which corpus a run has, and what becomes of it while training runs."""

import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from conftest import fingerprint, melody
from support.scores import write_score
from support.tiny import Command, as_arguments, checkpoints, records, start, tiny, wait_for_lines
from wavewright import files
from wavewright.conditioning.events import Kind
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import changes, prepare
from wavewright.corpus.settings import PrepareSettings

pytestmark = pytest.mark.slow

OPTIONS = as_arguments(tiny("naive-rnn", length=500, checkpoint_every=4))


def songs(folder: Path, *pitches: float, seconds: float = 5.0) -> Path:
    """A folder of recordings named for their pitches."""
    folder.mkdir(parents=True, exist_ok=True)
    for pitch in pitches:
        soundfile.write(folder / f"{pitch:g}.wav", melody(seconds, 14700, pitch), 14700)
    return folder


def train(tmp_path: Path, *arguments: object) -> Command:
    return start(tmp_path / "log", "train", *arguments, *OPTIONS, "--out", tmp_path / "run")


def names(run: Path) -> set[str]:
    return {track.name for track in Corpus.open(run / "corpus").tracks}


# Which corpus


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_without_a_checkpoint_the_recordings_given_are_prepared(tmp_path: Path, resume: list[str]) -> None:
    """Whatever an earlier command that failed has left in the run."""
    run = tmp_path / "run"
    prepare([songs(tmp_path / "a", 200, 300)], run / "corpus", PrepareSettings())
    command = train(tmp_path, songs(tmp_path / "b", 400), "--steps", 1, *resume)
    assert command.wait() == 0, command.output
    assert names(run) == {"400.wav"}


def test_what_is_refused_is_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    folder, run = songs(tmp_path / "a", 200), tmp_path / "run"
    if not torch.cuda.is_available():
        command = start(tmp_path / "log", "train", folder, "--model", "wavenet", "--out", run, "--device", "cuda")
        assert "--device cuda: not on this machine" in command.refusal()
        assert not run.exists()
    with files.locked(run):
        command = train(tmp_path, folder, "--steps", 1)
        assert "in use by another wavewright process" in command.refusal()
        assert "preparing" not in command.output
    assert train(tmp_path, folder, "--steps", 1).wait() == 0
    before = fingerprint(run / "corpus")
    command = train(tmp_path, songs(tmp_path / "b", 300), "--steps", 2)
    assert "holds a run at step 1; add --resume" in command.refusal()
    assert "preparing" not in command.output
    assert fingerprint(run / "corpus") == before


def test_precision_is_refused_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Corpus
) -> None:
    from wavewright.errors import ConfigError
    from wavewright.training import run, trainer
    from wavewright.training.loop import Budget

    monkeypatch.setattr(trainer, "has_bfloat16", lambda device: False)

    def prepared(resuming: bool) -> Corpus:
        raise AssertionError("the recordings were prepared")

    with pytest.raises(ConfigError, match=r"training\.precision: bf16"):
        run.train(tiny("naive-rnn", precision="bf16"), prepared, tmp_path / "run", Budget(steps=1), device="cpu")


def test_resuming_with_other_recordings_says_what_differs(tmp_path: Path) -> None:
    folder, run = songs(tmp_path / "a", 200, 300), tmp_path / "run"
    (folder / "notes.txt").write_text("no recording")
    soundfile.write(folder / "300 (1).wav", *soundfile.read(folder / "300.wav", dtype="int16"))
    (folder / "broken.flac").write_text("no recording either")
    assert train(tmp_path, folder, "--steps", 1).wait() == 0
    before = fingerprint(run / "corpus")
    line = train(tmp_path, songs(tmp_path / "b", 200, 400), "--steps", 2, "--resume").refusal()
    assert "made of other recordings; 1 are new or changed, the first: 400.wav" in line
    assert f"name {run / 'corpus'} in their place to go on with it" in line
    assert fingerprint(run / "corpus") == before
    command = train(tmp_path, folder, "--steps", 2, "--resume")
    assert command.wait() == 0, command.output
    assert "gone" not in command.output
    command = train(tmp_path, run / "corpus", "--steps", 3, "--resume")  # the remedy
    assert command.wait() == 0, command.output
    assert checkpoints(run)[-1] == "step-00000003"


def test_another_score_beside_a_recording_is_a_change(tmp_path: Path) -> None:
    """Used or not, a score that is changed, added or removed makes another corpus."""
    folder = songs(tmp_path / "a", 200, 300, 400)
    rows = [(0.5, Kind.strike, 60, 80), (1.0, Kind.release, 60, 0)]
    write_score(folder / "200.mid", rows)
    write_score(folder / "300.mid", rows)
    corpus = prepare([folder], tmp_path / "corpus", PrepareSettings())
    assert changes(corpus, [folder]) == ([], [])
    write_score(folder / "200.mid", [(0.5, Kind.strike, 61, 80), *rows[1:]])
    (folder / "300.mid").unlink()
    write_score(folder / "400.mid", rows)
    assert changes(corpus, [folder]) == ([f"the score of {name}.wav" for name in (200, 300, 400)], [])
    ignoring = prepare([folder], tmp_path / "ignoring", PrepareSettings(scores="ignore"))
    (folder / "200.mid").unlink()
    assert changes(ignoring, [folder]) == ([], [])


def test_resuming_goes_on_where_recordings_are_gone(tmp_path: Path) -> None:
    folder, run = songs(tmp_path / "a", 200, 300), tmp_path / "run"
    assert train(tmp_path, folder, "--steps", 1).wait() == 0
    before = fingerprint(run / "corpus")
    (folder / "200.wav").unlink()
    command = train(tmp_path, folder, "--steps", 2, "--resume")
    assert command.wait() == 0, command.output
    assert f"1 recordings are gone, the first: 200.wav; going on with {run / 'corpus'}" in command.output
    shutil.rmtree(folder)
    command = train(tmp_path, folder, "--steps", 3, "--resume")
    assert command.wait() == 0, command.output
    assert f"{folder}: no such file or folder; going on with {run / 'corpus'}" in command.output
    assert fingerprint(run / "corpus") == before
    assert (
        f"{folder}: no such file or folder"
        in start(tmp_path / "log", "train", folder, *OPTIONS, "--out", tmp_path / "fresh", "--steps", 1).refusal()
    )
    assert not (tmp_path / "fresh").exists()


def test_what_prepare_says_of_recordings_train_says_too(tmp_path: Path) -> None:
    folder = songs(tmp_path / "a", 200, 300, 400, 500)
    shutil.copy(folder / "200.wav", folder / "200 (1).wav")
    soundfile.write(folder / "silent.wav", np.zeros(80_000), 14700)
    (folder / "cover.jpg").write_text("no recording")
    said = [
        "silent.wav: silent: it stays below -80 dBFS",
        "1 files have the same samples as another and were left out: 200 (1).wav (as 200.wav)",
        "1 hidden or of other kinds passed over (1 .jpg)",
    ]
    trained = train(tmp_path, folder, "--steps", 1)
    assert trained.wait() == 0, trained.output
    prepared = start(tmp_path / "log of prepare", "prepare", folder, "--out", tmp_path / "c")
    assert prepared.wait() == 0, prepared.output
    inspected = start(tmp_path / "log of inspect", "inspect", folder)
    assert inspected.wait() == 0, inspected.output
    for line in said:
        assert line in trained.output
        assert line in prepared.output
    for line in (
        "silent: it stays below",
        "the same samples as 200.wav",
        "1 hidden or of other kinds passed over (1 .jpg)",
    ):
        assert line in inspected.output


def test_short_hits_are_trained_on_by_following_what_is_said(tmp_path: Path) -> None:
    folder, run = tmp_path / "drum hits", tmp_path / "run"
    folder.mkdir()
    for i in range(12):
        soundfile.write(
            folder / f"{i}.wav", np.exp(-np.arange(735) / 200) * np.cos(np.arange(735) * (i + 2) / 40), 14700
        )
    command = train(tmp_path, folder, "--steps", 1)
    line = command.refusal()
    assert "the longest track is 0.05 s, a section is 4 s: use --section-seconds 0.03" in line
    _, way, rest = line.split("`")
    assert rest == f", then train on {run / 'corpus'} in place of the recordings"
    program, *arguments = shlex.split(way)
    assert program == "wavewright"
    prepared = start(tmp_path / "log", *arguments)
    assert prepared.wait() == 0, prepared.output
    command = train(tmp_path, run / "corpus", "--steps", 5)
    assert command.wait() == 0, command.output
    assert len(records(run)) >= 5


# While training runs


@pytest.fixture
def copied(corpus: Corpus, tmp_path: Path) -> Path:
    return shutil.copytree(corpus.path, tmp_path / "copied")


def test_training_goes_on_when_its_corpus_is_removed(copied: Path, tmp_path: Path) -> None:
    command = train(tmp_path, copied, "--steps", 400)
    wait_for_lines(command, tmp_path / "run", 3)
    shutil.rmtree(copied)
    assert command.wait() == 0, command.output
    assert records(tmp_path / "run")[-1]["event"] == "validation"


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_corpus_cut_short_ends_training_in_one_line(split: str, copied: Path, tmp_path: Path) -> None:
    command = train(tmp_path, copied, "--steps", 1_000_000)
    wait_for_lines(command, tmp_path / "run", 3)
    os.truncate(copied / f"{split}.i16", 100)
    assert f"{split}.i16: cannot be read: cut short" in command.refusal()
    assert checkpoints(tmp_path / "run")


def test_a_flipped_bit_is_refused_before_training(copied: Path, tmp_path: Path) -> None:
    samples = np.fromfile(copied / "valid.i16", "<i2")
    samples[100] ^= 1
    samples.tofile(copied / "valid.i16")
    assert "valid.i16: damaged" in train(tmp_path, copied, "--steps", 1).refusal()
    assert not (tmp_path / "run/checkpoints").exists()
