"""Corpora with labels, and sounds that stay whole."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import melody, refusal
from support.scores import ONE, RATE, Record, played
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import prepare
from wavewright.corpus.settings import prepare_settings
from wavewright.errors import WavewrightError
from wavewright.models.condition import Category, Condition, Notes, Number

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]
STEINWAY = ["ff_a0", "ff_c4", "mp_fs5", "pp_c4", "pp_a2"]


@pytest.fixture
def notes(data: Path, tmp_path: Path) -> Path:
    """Some real notes of a piano, in a folder of their own."""
    (tmp_path / "notes").mkdir()
    for name in STEINWAY:
        shutil.copyfile(data / f"oneshots/piano_steinway/{name}.flac", tmp_path / f"notes/{name}.flac")
    return tmp_path / "notes"


def test_labelled_notes_are_struck_at_their_start(notes: Path, wavewright: Command, tmp_path: Path) -> None:
    options = ("--preset", "one-shots", "--labels", "{layer}_{note}", "--out", tmp_path / "out")
    result = wavewright("prepare", notes, *options)
    assert result.returncode == 0, result.stderr
    assert "controls: notes (keys 21 to 78), layer (3 classes)" in result.stdout
    corpus = Corpus.open(tmp_path / "out")
    assert corpus.controls == (Notes(low=21, high=78), Category("layer", ("ff", "mp", "pp")))
    assert corpus.section == max(track.frames for track in corpus.tracks)
    expected = {"ff_a0": 21, "ff_c4": 60, "mp_fs5": 78, "pp_c4": 60, "pp_a2": 45}
    for track in corpus.tracks:
        name = track.name.removesuffix(".flac")
        assert track.labels == {"layer": name[:2], "note": expected[name]}
        found = Conditions(corpus, track.split, Condition(corpus.controls)).frames(track.start, 0, track.frames)
        own = found[:, 4 * (expected[name] - 21) :][:, :4]
        assert (own[:, 0] == 1).all()  # held to the end
        np.testing.assert_allclose(own[:, 1], 100 / 127, rtol=1e-6)
        ages = 16 * (1 + np.arange(20)) / corpus.rate
        np.testing.assert_allclose(own[:20, 3], 100 / 127 * np.exp(-ages / 0.150), rtol=1e-5)
        assert np.count_nonzero(found[:, : 4 * 58].any(0)) <= 4
        assert found[0, -5:].tolist() == [*(float(name[:2] == layer) for layer in ("ff", "mp", "pp")), 0, 0]


def test_every_sound_is_one_section(record: Record, tmp_path: Path) -> None:
    for i in range(6):
        quiet = np.zeros(2000)
        record(f"in/{i}.wav", np.concatenate((quiet, melody(0.3 + 0.1 * i, RATE, 200 + 9 * i), quiet)), RATE)
    corpus = prepare([tmp_path / "in"], tmp_path / "out", prepare_settings("one-shots", rate=RATE))
    for split in ("train", "valid", "test"):
        tracks = corpus.tracks_of(split)
        assert corpus.sections(split).tolist() == [[track.start, track.start + track.frames] for track in tracks]
        assert tracks
    with pytest.raises(WavewrightError, match="each recording is to stay whole, and there are 2 for 3 splits"):
        prepare(
            [tmp_path / f"in/{i}.wav" for i in range(2)], tmp_path / "few", prepare_settings("one-shots", rate=RATE)
        )


def table(folder: Path, text: str) -> str:
    (folder / "labels.csv").write_text(text)
    return str(folder / "labels.csv")


def test_numbers_classes_and_velocities(record: Record, tmp_path: Path) -> None:
    for i in range(3):
        record(f"in/{i}.wav", melody(1.0 + 0.1 * i, RATE), RATE)
    (tmp_path / "in/broken.wav").write_bytes(b"RIFF")
    source = table(
        tmp_path, "file,velocity,size,kind\n0.wav,1,2,bell\n1.wav,127,4,drum\n2.wav,64,6,drum\nbroken.wav,1,9,x\n"
    )
    corpus = prepare([tmp_path / "in"], tmp_path / "out", ONE, labels=source)
    size, kind, velocity = Number("size", 2, 6), Category("kind", ("bell", "drum")), Number("velocity", 0, 127)
    assert corpus.controls == (size, kind, velocity)
    found = Conditions(corpus, "train", Condition(corpus.controls))
    rows = [found.frames(track.start, 0, 1)[0] for track in sorted(corpus.tracks, key=lambda track: track.name)]
    np.testing.assert_allclose(
        rows,
        [
            [-1, 1, 0, 2 / 127 - 1, 0, 0, 0],
            [0, 0, 1, 1, 0, 0, 0],
            [1, 0, 1, 128 / 127 - 1, 0, 0, 0],
        ],
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("labels", "options", "line"),
    [
        ("file,x\ntune.flac,1\ngone.wav,2\n", {}, "labels for gone.wav, which is not among the recordings"),
        ("file,x\n", {}, "no labels for tune.flac"),
        ("file,note\ntune.flac,60\n", {}, "tune.flac: has a score and a label for its note; use --scores ignore"),
        ("file,notes\ntune.flac,60\n", {}, "--labels: controls: notes, notes; give each name once"),
        ("file,room size\ntune.flac,60\n", {}, "--labels: column 'room size'; give it a name without spaces"),
        ("file,kind\ntune.flac,\n", {}, "tune.flac, kind: empty; give a value"),
        ("file,pitch\ntune.flac,60\n", {"describe": ("pitch",)}, "notes, pitch, pitch; give each name once"),
    ],
)
def test_labels_that_do_not_fit_are_refused_at_once(
    labels: str, options: dict[str, Any], line: str, record: Record, tmp_path: Path
) -> None:
    folder = played(tmp_path, record)
    settings = ONE.model_copy(update=options)
    with pytest.raises(WavewrightError, match=line) as caught:
        prepare([folder], tmp_path / "out", settings, labels=table(tmp_path, labels))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_labels_as_a_user_calls_them(record: Record, wavewright: Command, tmp_path: Path) -> None:
    folder = played(tmp_path, record)
    common = ("prepare", folder, "--out", tmp_path / "out")
    assert "no curve 'loud'; did you mean loudness?" in refusal(wavewright(*common, "--describe", "loud"))
    assert "cannot be read: No such file" in refusal(wavewright(*common, "--labels", tmp_path / "no.csv"))
    assert "does not match the labels' pattern" in refusal(wavewright(*common, "--labels", "{a}_{b}"))
    assert not (tmp_path / "out").exists()


def test_labels_of_files_that_no_split_lists_are_left_alone(record: Record, tmp_path: Path) -> None:
    for i in range(3):
        record(f"in/{i}.wav", melody(1.0 + 0.1 * i, RATE), RATE)
    settings = ONE.model_copy(update={"splits": {"train": ("0.wav", "1.wav")}})
    source = table(tmp_path, "file,kind\n0.wav,bell\n1.wav,drum\n2.wav,gong\n")
    assert prepare([tmp_path / "in"], tmp_path / "out", settings, labels=source).controls == (
        Category("kind", ("bell", "drum")),
    )


def test_a_copy_with_other_labels_is_named(record: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.wav", "other.wav"):
        record(f"in/{name}", melody(1.0, RATE), RATE)
    prepare([tmp_path / "in"], tmp_path / "out", ONE, labels=table(tmp_path, "file,kind\na.wav,bell\nother.wav,drum\n"))
    assert "other.wav: the same samples as a.wav, whose labels differ and count for both" in caplog.text
