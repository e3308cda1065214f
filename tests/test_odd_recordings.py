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
from wavewright.corpus.prepare import prepare
from wavewright.corpus.rendering import audio_like_corpus
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import AudioError, WavewrightError

Record = Callable[..., Path]
WHOLE = PrepareSettings(**FAST, split=(1, 0, 0))


# Levels


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_channels_that_cancel_are_refused_and_a_weak_mix_is_noted(
    record: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture, shift: float
) -> None:
    for i, (name, ratio) in enumerate({"cancel": -1, "weak": -0.96, "well": 0.5, "mute": 0}.items()):
        left = melody(2, 4000, 220 + 30 * i)
        record(f"a/{name}.wav", np.stack([left, ratio * left], axis=1) + shift, 4000, "PCM_24")
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


@pytest.mark.parametrize("rate", [4000, 4410])  # resampled, DC has clicks at its ends
@pytest.mark.parametrize("levels", ["track", "section", "corpus"])
@pytest.mark.parametrize("remove_dc", [True, False])
def test_dc_alone_is_no_sound(record: Record, tmp_path: Path, rate: int, levels: str, remove_dc: bool) -> None:
    rng = np.random.default_rng(0)
    shifts = {"little": 0.01, "much": 0.4, "below": -0.2}
    for name, shift in shifts.items():
        record(f"a/{name}.wav", rng.integers(-1, 2, 2 * rate) / 32768 + shift, rate)
    settings = WHOLE.model_copy(update={"levels": levels, "remove_dc": remove_dc})
    corpus = prepare([tmp_path / "a"], tmp_path / "c", settings)
    assert {track.name: set(track.gain) for track in corpus.tracks} == {f"{name}.wav": {1.0} for name in shifts}
    assert all(bool(track.source.notes) == (levels != "corpus") for track in corpus.tracks)
    record("a/quiet.wav", melody(2, rate, peak=0.001) + 0.4, rate, "PCM_24")
    corpus = prepare([tmp_path / "a"], tmp_path / "c", settings)
    (quiet,) = [track for track in corpus.tracks if track.name == "quiet.wav"]
    assert min(quiet.gain) > 1  # sound beside DC still has its gain
    assert quiet.source.notes == ()


def test_inspect_notes_what_prepare_notes(record: Record, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stereo = np.stack([melody(2, 8000), -0.96 * melody(2, 8000)], axis=1)
    record("a/digital.wav", np.zeros(8000), 8000)
    record("a/muted.wav", rng.integers(-1, 2, 16000) / 32768, 8000)
    record("a/muted-with-dc.wav", rng.integers(-1, 2, 16000) / 32768 + 0.2, 8000)
    record("a/mutedstereo.wav", rng.integers(-1, 2, (16000, 2)) / 32768, 8000)
    record("a/weak.wav", stereo, 8000, "PCM_24")
    record("a/well.wav", melody(2, 8000), 8000)
    record("a/quiet.wav", melody(2, 8000, peak=0.001), 8000, "PCM_24")
    whole = record("a/cut.wav", melody(2, 8000, 300), 8000).read_bytes()
    (tmp_path / "a/cut.wav").write_bytes(whole[:-5000])
    corpus = prepare([tmp_path / "a"], tmp_path / "c", WHOLE)
    notes = {track.name: track.source.notes for track in corpus.tracks}
    assert {one.name: one.notes for one in inspect([tmp_path / "a"]).files} == notes
    assert {name for name, found in notes.items() if any("-80 dBFS" in note for note in found)} == {
        *("digital.wav", "muted.wav", "muted-with-dc.wav", "mutedstereo.wav")
    }
    assert {name for name, found in notes.items() if not found} == {"well.wav", "quiet.wav"}


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
    for i, name in enumerate(("a/real/1.wav", "a/real/deep/2.wav", "elsewhere/3.wav", "elsewhere/deep/4.wav")):
        record(name, melody(0.1, 4000, 200 + 50 * i), 4000)
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
    record("a/settings/2.wav", melody(2, 4000, 300), 4000)
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


def test_links_into_earlier_runs_and_corpora_lead_nowhere(record: Record, tmp_path: Path) -> None:
    """Whatever a link is to: the sounds of a run, a folder in a run, one sound, or a corpus."""
    record("a/1.wav", melody(2, 4000), 4000)
    record("other/2.wav", melody(2, 4000, 300), 4000)
    made = record("runs/r/samples/step-00000001.wav", melody(2, 4000, 400), 4000)
    record("runs/r/deep/er/3.wav", melody(2, 4000, 500), 4000)
    (tmp_path / "runs/r/config.json").write_text("{}")
    (tmp_path / "runs/r/metrics.jsonl").write_text("")
    prepare([tmp_path / "other"], tmp_path / "runs/c", WHOLE)
    for name, target in {
        "samples": made.parent,
        "er": tmp_path / "runs/r/deep/er",
        "sound.wav": made,
        "chain.wav": tmp_path / "a/sound.wav",
        "corpus": tmp_path / "runs/c",
        "other": tmp_path / "other",
        "other.wav": tmp_path / "other/2.wav",
    }.items():
        (tmp_path / "a" / name).symlink_to(target)
    found, _ = find([tmp_path / "a"])
    assert [file.name for file in found] == ["1.wav", "other/2.wav"]
    corpus = prepare([tmp_path / "a"], tmp_path / "c", WHOLE)
    assert {track.name for track in corpus.tracks} == {"1.wav", "other/2.wav"}
    assert [one.name for one in inspect([tmp_path / "a"]).files] == ["1.wav", "other/2.wav"]
    inside = tmp_path / "runs/r/deep"  # asked for by name, so links within the same run are followed
    (inside / "link").symlink_to(made.parent)
    assert [file.name for file in find([inside])[0]] == ["er/3.wav", "link/step-00000001.wav"]


def test_what_was_passed_over_is_counted_by_kind(record: Record, tmp_path: Path) -> None:
    record("a/1.wav", melody(2, 4000), 4000)
    record("a/3.wav", melody(2, 4000, 300), 4000)
    (tmp_path / "a/1.wav").rename(tmp_path / "a/sound without extension")
    for name in ("cover.jpg", "deep/BACK.JPG", "notes.txt", "README", ".hidden", "deep/.DS_Store", "broken.flac"):
        (tmp_path / "a" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_text("no sound")
    kinds = {".jpg": 2, "hidden": 2, ".txt": 1, "without extension": 1}
    corpus = prepare([tmp_path / "a"], tmp_path / "c", WHOLE)
    assert corpus.contents.passed_over == kinds
    assert [one.name for one in corpus.refused] == ["broken.flac"]
    report = inspect([tmp_path / "a"])
    assert (report.passed_over, report.kinds) == (6, kinds)
    listed = prepare([tmp_path / "a"], tmp_path / "c", WHOLE.model_copy(update={"splits": {"train": ("3.wav",)}}))
    assert listed.contents.passed_over == {**kinds, "without extension": 2}


# The same recording twice


def test_of_recordings_with_the_same_samples_one_is_kept(record: Record, tmp_path: Path) -> None:
    take = np.rint(melody(2, 8000) * 32768).astype(np.int16)
    record("a/take.wav", take, 8000)
    record("a/take (1).wav", take, 8000)
    record("a/old/take.flac", take, 8000)
    record("a/stereo take.wav", np.stack([take, take], axis=1), 8000)
    record("a/24 bits of the take.wav", take.astype(np.int32) << 16, 8000, "PCM_24")
    for i in range(4):
        record(f"a/other {i}.wav", melody(2, 8000, 300 + 50 * i), 8000)
    record("a/softer.wav", take // 2, 8000)
    record("a/slower.wav", take, 4000)
    kept = {"take.wav", "softer.wav", "slower.wav", *(f"other {i}.wav" for i in range(4))}
    copies = ["24 bits of the take.wav", "old/take.flac", "stereo take.wav", "take (1).wav"]
    corpus = prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST))
    assert {track.name for track in corpus.tracks} == kept
    assert [(copy.name, copy.same_as) for copy in corpus.contents.copies] == [(name, "take.wav") for name in copies]
    noted = {one.name: one.notes for one in inspect([tmp_path / "a"]).files}
    assert {name for name, notes in noted.items() if any("the same samples as take.wav" in note for note in notes)} == {
        *copies
    }
    (tmp_path / "a/take.wav").rename(tmp_path / "a/z")  # by name, not by the order of the folder
    (tmp_path / "a/z").rename(tmp_path / "a/take.wav")
    again = prepare([tmp_path / "a"], tmp_path / "d", PrepareSettings(**FAST), workers=2)
    assert fingerprint(again.path) == fingerprint(corpus.path)


def test_recordings_that_trim_to_the_same_samples_are_copies(record: Record, tmp_path: Path) -> None:
    tone = np.cos(np.arange(8000) / 3)
    record("a/bare.wav", tone, 4000, "FLOAT")
    record("a/padded.wav", np.concatenate([np.zeros(3000), tone, np.zeros(50)]), 4000, "FLOAT")
    record("a/other.wav", 0.5 + 0.1 * tone, 4000, "FLOAT")
    corpus = prepare([tmp_path / "a"], tmp_path / "c", WHOLE)
    assert [(copy.name, copy.same_as) for copy in corpus.contents.copies] == [("padded.wav", "bare.wav")]


def test_listed_copies_stay_in_one_split(record: Record, tmp_path: Path) -> None:
    for name in ("a.wav", "a (1).wav"):
        record(f"a/{name}", melody(2, 4000), 4000)
    record("a/b.wav", melody(2, 4000, 300), 4000)

    def listed(**splits: tuple[str, ...]) -> PrepareSettings:
        return PrepareSettings(**FAST, splits=splits)

    with pytest.raises(WavewrightError, match=r"a \(1\)\.wav: the same samples as a\.wav, but listed in another split"):
        prepare([tmp_path / "a"], tmp_path / "c", listed(train=("a.wav", "b.wav"), test=("a (1).wav",)))
    assert not (tmp_path / "c").exists()
    corpus = prepare([tmp_path / "a"], tmp_path / "c", listed(train=("a.wav", "a (1).wav"), test=("b.wav",)))
    assert [(track.name, track.split) for track in corpus.tracks] == [("a.wav", "train"), ("b.wav", "test")]
    assert [copy.name for copy in corpus.contents.copies] == ["a (1).wav"]
    corpus = prepare([tmp_path / "a"], tmp_path / "c", listed(train=("b.wav",), test=("a (1).wav",)))
    assert [(track.name, track.split) for track in corpus.tracks] == [("b.wav", "train"), ("a (1).wav", "test")]
    assert (corpus.contents.copies, corpus.contents.left_out) == ((), ("a.wav",))


# Containers


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
    for i, name in enumerate(on_disk):
        record(f"a/{name}", melody(2, 4000, 200 + 50 * i), 4000)
    listed = {"train": [names[0]], "valid": [on_disk[1]]}
    corpus = prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, splits=listed))
    assert {track.name: track.split for track in corpus.tracks} == {on_disk[0]: "train", on_disk[1]: "valid"}
    assert corpus.contents.left_out == (on_disk[2],)
    record(f"a/{names[0]}", melody(2, 4000, 400), 4000)  # both forms are there: the name as listed is meant
    corpus = prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, splits=listed))
    assert {track.name: track.split for track in corpus.tracks} == {names[0]: "train", on_disk[1]: "valid"}
    with pytest.raises(WavewrightError, match="listed in the splits but not found"):
        prepare([tmp_path / "a"], tmp_path / "c", PrepareSettings(**FAST, splits={"train": [*names, on_disk[1]]}))
