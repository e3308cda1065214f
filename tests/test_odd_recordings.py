"""Recordings and folders as users really have them: what is healthy in a file and yet harms a corpus."""

import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import FAST, fingerprint, melody
from wavewright.corpus.discovery import find
from wavewright.corpus.inspection import inspect
from wavewright.corpus.prepare import audio_like_corpus, prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import AudioError, WavewrightError

Record = Callable[..., Path]
WHOLE = PrepareSettings(**FAST, split=(1, 0, 0))


# Levels


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_channels_that_cancel_are_refused_and_a_weak_mix_is_noted(
    record: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture, shift: float
) -> None:
    left = melody(2, 4000)
    for name, right in (("cancel", -left), ("weak", -0.96 * left), ("well", 0.5 * left), ("mute", 0 * left)):
        record(f"a/{name}.wav", np.stack([left, right], axis=1) + shift, 4000, "PCM_24")
    corpus = prepare([tmp_path / "a"], tmp_path / "c", WHOLE)
    (refused,) = corpus.refused
    assert refused.name == "cancel.wav"
    assert "--channel left" in refused.reason
    notes = {track.name: track.source.notes for track in corpus.tracks}
    assert {name: len(found) for name, found in notes.items()} == {"mute.wav": 0, "weak.wav": 1, "well.wav": 0}
    assert "34 dB" in notes["weak.wav"][0]
    seen = {one.name: one.notes for one in inspect([tmp_path / "a"]).files}
    assert "--channel left" in seen["cancel.wav"][0]
    assert {name: seen[name] for name in notes} == notes
    caplog.clear()
    assert list(audio_like_corpus(tmp_path / "a/weak.wav", corpus.levelling()))
    assert "34 dB" in caplog.text
    with pytest.raises(AudioError, match=r"cancel\.wav: .*--channel left"):
        list(audio_like_corpus(tmp_path / "a/cancel.wav", corpus.levelling()))
    one_channel = prepare([tmp_path / "a"], tmp_path / "c", WHOLE.model_copy(update={"channel": "left"}))
    assert len(one_channel.tracks) == 4
    assert not any(track.source.notes for track in one_channel.tracks)


@pytest.mark.parametrize("levels", ["track", "section"])
@pytest.mark.parametrize("remove_dc", [True, False])
def test_a_muted_track_with_dither_stays_silent(record: Record, tmp_path: Path, levels: str, remove_dc: bool) -> None:
    rng = np.random.default_rng(0)
    dither = rng.integers(-1, 2, (3, 8000)) / 32768
    record("a/muted.wav", dither[0], 4000)
    record("a/shifted.wav", dither[1] + (0.1 if remove_dc else 0), 4000)
    record("a/mutedstereo.wav", dither[1:].T, 4000)
    record("a/quiet.wav", melody(2, 4000, peak=0.001), 4000, "PCM_24")
    settings = WHOLE.model_copy(update={"levels": levels, "remove_dc": remove_dc})
    corpus = prepare([tmp_path / "a"], tmp_path / "c", settings)
    assert not corpus.refused
    for track in corpus.tracks:
        samples = corpus.samples("train")[track.start :][: track.frames]
        if track.name == "quiet.wav":
            assert np.abs(samples).max() == 32767
            assert track.source.notes == ()
        else:
            assert np.abs(samples).max() <= 3
            assert set(track.gain) == {1.0}
            assert "-80 dBFS" in track.source.notes[0]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [4000, 8000])
def test_amplitudes_near_the_greatest_float_refuse_their_file_only(
    record: Record, tmp_path: Path, channels: int, rate: int
) -> None:
    tone = melody(2, rate)
    record("a/fine.wav", tone, rate)
    alone = fingerprint(prepare([tmp_path / "a"], tmp_path / "c", WHOLE).path)
    square = 3.3e38 * np.sign(np.sin(np.arange(2 * rate) / 5))
    record("a/huge.wav", np.stack([square] * channels, axis=1), rate, "FLOAT")
    corpus = prepare([tmp_path / "a"], tmp_path / "c", WHOLE)
    if (channels, rate) == (1, 4000):  # nothing is computed of it, so nothing overflows
        assert not corpus.refused
        return
    (refused,) = corpus.refused
    assert refused.name == "huge.wav"
    assert "overflow" in refused.reason
    assert fingerprint(corpus.path)["train.i16"] == alone["train.i16"]
    assert len(inspect([tmp_path / "a"]).files) == 2


# Folders


def test_linked_folders_are_followed_once_and_loops_are_not(record: Record, tmp_path: Path) -> None:
    for name in ("a/real/1.wav", "a/real/deep/2.wav", "elsewhere/3.wav", "elsewhere/deep/4.wav"):
        record(name, melody(0.1, 4000), 4000)
    root = tmp_path / "a"
    (root / "0-first").symlink_to(root / "real")  # the real folder's names win
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "linked-again").symlink_to(tmp_path / "elsewhere/deep")
    (root / "real/deep/up").symlink_to(root)
    (root / "real/above").symlink_to(tmp_path)
    (tmp_path / "elsewhere/back").symlink_to(root)
    (root / "self").symlink_to("self")
    (root / "self.wav").symlink_to("self.wav")
    (root / "0.wav").symlink_to("real/1.wav")
    names = ["linked/3.wav", "linked/deep/4.wav", "real/1.wav", "real/deep/2.wav", "self.wav"]
    found, _ = find([root])
    assert [file.name for file in found if file.certain] == names
    report = inspect([root])
    assert [one.name for one in report.files] == names[:-1]
    assert [one.name for one in report.refused] == ["self.wav"]
    corpus = prepare([root], tmp_path / "c", WHOLE.model_copy(update={"section_seconds": 0.05}))
    assert [track.name for track in corpus.tracks] == names[:-1]
    found, _ = find([root / "linked"])
    assert [file.name for file in found if file.certain] == [
        *("3.wav", "back/real/1.wav", "back/real/deep/2.wav", "back/self.wav", "deep/4.wav")
    ]
    with pytest.raises(WavewrightError, match="no readable audio; 1 refused"):
        prepare([root / "self"], tmp_path / "d", WHOLE)


def test_earlier_runs_and_corpora_are_no_recordings(
    record: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record("a/1.wav", melody(2, 4000), 4000)
    record("a/settings/2.wav", melody(2, 4000), 4000)
    (tmp_path / "a/settings/config.json").write_text("{}")  # no run, whatever it is
    for run, left in (("run", "metrics.jsonl"), ("deep/run", "checkpoints/step-00000001/state.json")):
        record(f"a/{run}/samples/step-00000001.wav", melody(2, 4000), 4000)
        (tmp_path / "a" / run / "config.json").write_text("{}")
        (tmp_path / "a" / run / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / run / left).write_text("{}")
    caplog.set_level(logging.INFO, "wavewright")
    older = prepare([tmp_path / "a/1.wav"], tmp_path / "a/older", WHOLE)
    assert not caplog.records
    corpus = prepare([tmp_path / "a"], tmp_path / "a/corpus", WHOLE)
    assert {track.name for track in corpus.tracks} == {"1.wav", "settings/2.wav"}
    (line,) = [record.getMessage() for record in caplog.records]
    assert "3 folders" in line
    assert [one.name for one in inspect([tmp_path / "a"]).files] == ["1.wav", "settings/2.wav"]
    assert [file.name for file in find([tmp_path / "a/run/samples"])[0]] == ["step-00000001.wav"]  # asked for by name
    assert older.path.is_dir()


def test_audio_in_containers_that_cannot_be_read_is_refused_by_name(record: Record, tmp_path: Path) -> None:
    record("a/1.wav", melody(2, 4000), 4000)
    kinds = ["3gp", "aax", "avi", "m4a", "m4b", "mka", "mkv", "mov", "shn", "spx", "tta", "webm", "WEBM"]
    for kind in kinds:
        (tmp_path / f"a/take {kind}.{kind}").write_bytes(b"\x1aE\xdf\xa3 not for us")
    corpus = prepare([tmp_path / "a"], tmp_path / "c", WHOLE)
    assert sorted(one.name for one in corpus.refused) == sorted(f"take {kind}.{kind}" for kind in kinds)
    assert all("convert it to WAV or FLAC" in one.reason for one in corpus.refused)


# Names


def test_listed_splits_match_names_in_another_unicode_form(record: Record, tmp_path: Path) -> None:
    names = [f"Frédéric/Étude {i}.wav" for i in range(3)]
    on_disk = [unicodedata.normalize("NFD", name) for name in names]
    for name in on_disk:
        record(f"a/{name}", melody(2, 4000), 4000)
    listed = {"train": [names[0]], "valid": [on_disk[1]]}
    corpus = prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, splits=listed))
    assert {track.name: track.split for track in corpus.tracks} == {on_disk[0]: "train", on_disk[1]: "valid"}
    assert corpus.contents.left_out == (on_disk[2],)
    record(f"a/{names[0]}", melody(2, 4000), 4000)  # both forms are there: the name as listed is meant
    corpus = prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, splits=listed))
    assert {track.name: track.split for track in corpus.tracks} == {names[0]: "train", on_disk[1]: "valid"}
    with pytest.raises(WavewrightError, match="listed in the splits but not found"):
        prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, splits={"train": [*names, on_disk[1]]}))
