"""Corpora with scores beside recordings, and what a corpus with controls has on disk."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from conftest import FAST, fingerprint, melody, refusal
from support.scores import ONE, RATE, TUNE, Record, played, read_score, sound, struck, write_score
from wavewright import files
from wavewright.conditioning.events import Kind
from wavewright.corpus.conditions import Conditions
from wavewright.corpus.corpus import INDEX, Corpus
from wavewright.corpus.inspection import inspect
from wavewright.corpus.prepare import changes, prepare
from wavewright.corpus.settings import PrepareSettings
from wavewright.errors import WavewrightError
from wavewright.models.condition import Condition, Notes

pytestmark = pytest.mark.slow
Command = Callable[..., subprocess.CompletedProcess[str]]


# Scores


@pytest.mark.parametrize("silence", [0.0, 1.7])
def test_a_strike_lies_where_it_sounds(silence: float, record: Record, tmp_path: Path) -> None:
    """Also after a trimmed silence. The sound itself tells where: 0.3 s before a strike it is far softer than after."""
    corpus = prepare([played(tmp_path, record, silence)], tmp_path / "out", ONE)
    (track,) = corpus.tracks
    assert track.source_start == pytest.approx((TUNE[0][0] + silence) * RATE, abs=0.005 * RATE)
    assert track.score is not None
    assert abs(track.score.lag) < 0.012  # sound out of nothing seems to begin a little early
    assert track.score.fit > 3
    found = struck(corpus)
    assert [key for _, key in found] == [key for _, key in TUNE]
    due = [at * RATE - (track.source_start - silence * RATE) for at, _ in TUNE]
    np.testing.assert_allclose([sample for sample, _ in found], due, atol=0.012 * RATE)
    assert corpus.controls == (Notes(low=60, high=72),)


def test_a_late_score_is_shifted_by_its_lag(record: Record, tmp_path: Path) -> None:
    folder = played(tmp_path, record)
    write_score(folder / "tune.mid", [(at + 0.05, Kind.strike, key, 90) for at, key in TUNE])
    early = prepare([folder], tmp_path / "late", ONE)
    (track,) = early.tracks
    assert track.score is not None
    assert track.score.lag == pytest.approx(-0.05, abs=0.012)
    played(tmp_path, record)
    expected = struck(prepare([folder], tmp_path / "out", ONE))
    np.testing.assert_allclose(struck(early), expected, atol=0.003 * RATE)


@pytest.mark.parametrize("name", ["TUNE.MID", "tune.midi", "Tune.Mid"])
def test_upper_and_lower_case_are_the_same(name: str, record: Record, tmp_path: Path) -> None:
    folder = played(tmp_path, record)
    (folder / "tune.mid").rename(folder / name)
    assert prepare([folder], tmp_path / "out", ONE).controls
    assert prepare([folder / "tune.flac"], tmp_path / "alone", ONE).controls  # its score is still beside it


def test_two_scores_of_a_recording_are_named(record: Record, tmp_path: Path) -> None:
    folder = played(tmp_path, record)
    shutil.copy(folder / "tune.mid", folder / "tune.midi")
    shutil.copy(folder / "tune.mid", folder / "Tune.mid")  # another case than the recording's own
    corpus = prepare([folder], tmp_path / "out", ONE)
    assert corpus.controls == ()
    assert corpus.tracks[0].source.notes == (
        "its score tune.mid is not used: there is tune.midi, too; leave out one of them",
    )


def test_a_piece_of_a_real_piano(data: Path, wavewright: Command, tmp_path: Path) -> None:
    """The first half minute of a piece, with its pedal, another piece with the wrong score, and one without any."""
    for name, of in (
        ("a", "grieg/grieg_walzer"),
        ("b", "mendelssohn/mendel_op30_3"),
        ("c", "mendelssohn/mendel_op19_2"),
    ):
        samples, rate = soundfile.read(data / f"piano/{of}.flac", frames=30 * 44100)
        soundfile.write(tmp_path / f"in_{name}.flac", samples, rate)
    score = read_score(data / "piano/grieg/grieg_walzer.mid")
    rows = [
        (at, *(int(event[field]) for field in ("kind", "key", "value")))
        for at, event in zip(score.seconds.tolist(), score.events, strict=True)
        if at < 30
    ]
    for name in ("a", "b", "alone"):
        write_score(tmp_path / f"in_{name}.mid", rows)
    inputs = sorted(tmp_path.glob("in_*"))
    (tmp_path / "in").mkdir()
    for file in inputs:
        file.rename(tmp_path / "in" / file.name.removeprefix("in_"))
    result = wavewright("prepare", tmp_path / "in", "--out", tmp_path / "out", "--section-seconds", "1", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    strikes = [key for _, kind, key, _ in rows if kind == Kind.strike]
    assert summary["controls"] == [{"name": "notes", "kind": "notes", "low": min(strikes), "high": max(strikes)}]
    assert (summary["scores"], summary["kinds"]) == (1, {".mid": 1})
    corpus = Corpus.open(tmp_path / "out")
    tracks = {track.name: track for track in corpus.tracks}
    assert tracks["a.flac"].score is not None
    assert tracks["a.flac"].score.strikes == len(strikes)
    assert 0.003 < tracks["a.flac"].score.lag < 0.008
    assert "its score b.mid is not used: it does not belong to the recording" in tracks["b.flac"].source.notes[0]
    assert (tracks["c.flac"].score, tracks["c.flac"].source.notes) == (None, ())
    for track in corpus.tracks:  # the keyboard is absent where there is no score
        found = Conditions(corpus, track.split, Condition(corpus.controls))
        assert (found.frames(track.start, 0, track.frames)[:, -1] == (track.name != "a.flac")).all()
    shown = wavewright("prepare", tmp_path / "in", "--out", tmp_path / "out", "--section-seconds", "1")
    assert f"controls: notes (keys {min(strikes)} to {max(strikes)})" in shown.stdout
    assert "1 recordings have scores\n1 scores have no recording of the same name" in shown.stderr
    seen = wavewright("inspect", tmp_path / "in", "--json")
    by_name = {one["name"]: one for one in json.loads(seen.stdout)["files"]}
    assert by_name["a.flac"]["score"]["fit"] == pytest.approx(tracks["a.flac"].score.fit, rel=0.3)
    assert by_name["b.flac"]["score"] is None
    assert "its score b.mid is not used" in by_name["b.flac"]["notes"][0]
    assert "drift +0 ms, fit" in (text := wavewright("inspect", tmp_path / "in").stdout) or "drift -0 ms, fit" in text


def test_scores_can_be_required_or_ignored(record: Record, tmp_path: Path, wavewright: Command) -> None:
    folder = played(tmp_path, record)
    record("in/other.flac", sound(TUNE[:9], seconds=5), RATE)
    write_score(folder / "other.mid", [(3.9 * i, Kind.strike, 60, 90) for i in range(9)])
    record("in/plain.flac", sound(TUNE[:7], seconds=5), RATE)
    common = (folder, "--rate", RATE, "--section-seconds", 1, "--split", "1,0,0", "--json", "--out", tmp_path / "out")
    required = wavewright("prepare", *common, "--scores", "require")
    reasons = {one["name"]: one["reason"] for one in json.loads(required.stdout)["refused"]}
    assert "its score other.mid is not used: " in reasons["other.flac"]
    assert reasons["plain.flac"] == "there is no score beside it"
    assert [track.name for track in Corpus.open(tmp_path / "out").tracks] == ["tune.flac"]
    ignored = json.loads(wavewright("prepare", *common, "--scores", "ignore").stdout)
    assert (ignored["controls"], ignored["scores"], ignored["kinds"]) == ([], 0, {".mid": 2})
    assert sorted(fingerprint(tmp_path / "out")) == ["corpus.json", "test.i16", "train.i16", "valid.i16"]
    (folder / "tune.flac").unlink()
    assert "no readable audio; 2 refused, the first:" in refusal(wavewright("prepare", *common, "--scores", "require"))
    assert len(Corpus.open(tmp_path / "out").tracks) == 3  # the corpus that was there


def test_a_chord_is_held_over_the_cut_between_splits(record: Record, tmp_path: Path) -> None:
    """One recording is cut for three splits. Key 40 is held all along, and its strike keeps its age."""
    folder = played(tmp_path, record)
    rows = [(at, Kind.strike, key, 90) for at, key in TUNE] + [
        (0.3, Kind.pedal, 0, 100),
        (TUNE[2][0], Kind.strike, 40, 64),
    ]
    write_score(folder / "tune.mid", rows)
    corpus = prepare([folder], tmp_path / "out", PrepareSettings(rate=RATE, section_seconds=1, split=(0.6, 0.2, 0.2)))
    notes = corpus.controls[0]
    assert isinstance(notes, Notes)
    assert notes.low == 40
    for split in ("valid", "test"):
        (track,), (events,) = corpus.tracks_of(split), corpus.keyboards(split)
        assert track.score is not None
        assert track.score.strikes == np.count_nonzero(events["sample"] >= track.start)
        (held,) = events[events["key"] == 40]
        assert held["sample"] == pytest.approx(TUNE[2][0] * RATE - track.source_start + track.start, abs=0.01 * RATE)
        first = Conditions(corpus, split, Condition(corpus.controls)).frames(track.start, 0, 16)[0]
        assert first[:4] == pytest.approx([1, 64 / 127, 0, 0], abs=1e-6)
        assert first[-3:-1] == pytest.approx([100 / 127, 1])


def test_a_score_of_a_copy_plays_the_recording(record: Record, tmp_path: Path) -> None:
    folder = played(tmp_path, record, name="tune (1)")
    shutil.copy(folder / "tune (1).flac", folder / "tune.flac")
    corpus = prepare([folder], tmp_path / "out", ONE)
    assert [(track.name, track.score is not None) for track in corpus.tracks] == [("tune.flac", True)]


def test_a_new_score_is_no_new_recording(record: Record, tmp_path: Path) -> None:
    folder = played(tmp_path, record)
    named = [folder / "tune.flac", folder / "tune.mid"]
    corpus = prepare(named, tmp_path / "out", ONE)
    assert corpus.refused == ()
    assert changes(corpus, named) == ([], [])


# Hostile scores


def of_hours(path: Path) -> None:
    write_score(path, [(3.0 * i, Kind.strike, 60, 90) for i in range(2400)])


def at_one_tick(path: Path) -> None:
    write_score(path, [(TUNE[0][0], Kind.strike, 60 + i % 13, 90) for i in range(100_000)])


def without_ends(path: Path) -> None:
    write_score(path, [(at, Kind.strike, key, 90) for at, key in TUNE for _ in range(40)])


def a_second_late(path: Path) -> None:
    write_score(path, [(at + 1, Kind.strike, key, 90) for at, key in TUNE[:-3]])


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (of_hours, "100% of its notes come after the recording's end at 10 s"),
        (lambda path: path.write_text("RIFF, or so"), "not a readable MIDI file"),
        (lambda path: path.write_bytes(b""), "not a readable MIDI file"),
        (lambda path: path.write_bytes(bytes(9 << 20)), "9 MB; a score has up to 8 MB"),
        (a_second_late, "its notes come 1.0. s after their sound"),
        (at_one_tick, "its notes come 1.9. s before their sound"),
        (without_ends, None),
    ],
)
def test_a_hostile_score_costs_no_recording(
    make: Callable[[Path], Any], line: str | None, record: Record, tmp_path: Path
) -> None:
    folder = played(tmp_path, record)
    (folder / "tune.mid").unlink()
    make(folder / "tune.mid")
    corpus = prepare([folder], tmp_path / "out", ONE)
    notes = corpus.tracks[0].source.notes
    if line is None:
        assert notes == ()
        assert corpus.controls
    else:
        assert len(notes) == 1
        assert notes[0].startswith("its score tune.mid is not used: ")
        assert re.search(line, notes[0])
    if corpus.controls:
        frames = Conditions(corpus, "train", Condition(corpus.controls)).frames(0, 0, corpus.section)
        assert np.isfinite(frames).all()


@pytest.mark.parametrize("early", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("strikes", [1, 100_000])
def test_a_score_of_one_note(early: float, strikes: int, record: Record, tmp_path: Path) -> None:
    """Its strike may be before the first sound that trimming leaves, and written any number of times."""
    record("in/a.wav", sound([(0.3, 60)], seconds=1.5), RATE)
    write_score(tmp_path / "in/a.mid", [(0.3 - early, Kind.strike, 60, 90)] * strikes)
    corpus = prepare([tmp_path / "in"], tmp_path / "out", ONE.model_copy(update={"section_seconds": 0.5}))
    (track,) = corpus.tracks
    assert track.source.notes == ()
    assert track.score is not None
    assert track.score.lag == pytest.approx(early, abs=0.015)
    (events,) = corpus.keyboards("train")
    np.testing.assert_allclose(events["sample"], 0, atol=0.015 * RATE)
    frames = Conditions(corpus, "train", Condition(corpus.controls)).frames(0, 0, corpus.section)
    assert (frames[8:, :2] == np.float32([1, 90 / 127])).all()


@pytest.mark.parametrize("frames", [1, 7, 300, 400])
def test_a_score_of_a_click_costs_no_recording(frames: int, record: Record, tmp_path: Path) -> None:
    record("in/a.wav", np.cos(np.arange(frames)) / 2, RATE)
    write_score(tmp_path / "in/a.mid", [(0.0, Kind.strike, 60, 90)])
    settings = PrepareSettings(rate=RATE, section_seconds=1 / RATE, split=(1, 0, 0))
    (track,) = prepare([tmp_path / "in"], tmp_path / "out", settings).tracks
    assert track.score or "its score a.mid is not used: " in track.source.notes[-1]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_no_score(make: Callable[[Path], Any], record: Record, tmp_path: Path) -> None:
    folder = played(tmp_path, record)
    (folder / "tune.mid").unlink()
    make(folder / "tune.mid")  # a pipe would be read for ever
    corpus = prepare([folder], tmp_path / "out", ONE)
    assert (corpus.controls, corpus.tracks[0].source.notes) == ((), ())


def test_no_known_hostile_score_costs_a_recording(data: Path, record: Record, tmp_path: Path) -> None:
    scores = sorted((data / "hostile/midi").glob("*.mid"))
    for i, score in enumerate(scores):
        record(f"in/{score.stem}.wav", melody(1.0 + 0.01 * i, 4000), 4000)
        shutil.copyfile(score, tmp_path / "in" / score.name)
    corpus = prepare([tmp_path / "in"], tmp_path / "out", PrepareSettings(**FAST), workers=2)
    assert {track.name for track in corpus.tracks} == {f"{score.stem}.wav" for score in scores}
    for track in corpus.tracks:
        assert track.score or [note for note in track.source.notes if "score" in note]
    assert len(inspect([tmp_path / "in"], workers=2).files) == len(scores)


# The corpus on disk


def test_a_corpus_is_replaced_whole(record: Record, tmp_path: Path) -> None:
    folder, out = played(tmp_path, record), tmp_path / "out"
    rich = ONE.model_copy(update={"describe": ("loudness",)})
    prints = [fingerprint(prepare([folder], out, rich, workers).path) for workers in (1, 2)]
    assert prints[0] == prints[1]
    names = {"corpus.json", "test.i16", "train.events", "train.i16", "train.loudness.f32", "valid.i16"}
    assert set(prints[0]) == names
    plain = fingerprint(prepare([folder], out, ONE.model_copy(update={"scores": "ignore"})).path)
    assert set(plain) == {"corpus.json", "test.i16", "train.i16", "valid.i16"}
    (out / "train.mine.f32").touch()
    with pytest.raises(WavewrightError, match=r"holds other files \(train.mine.f32\)"):
        prepare([folder], out, ONE)


def test_a_damaged_file_of_controls_is_named(record: Record, tmp_path: Path) -> None:
    folder = played(tmp_path, record)
    corpus = prepare([folder], tmp_path / "out", ONE.model_copy(update={"describe": ("loudness",)}))
    for name in ("train.events", "train.loudness.f32"):
        file = corpus.path / name
        content = file.read_bytes()
        file.write_bytes(content[:-1])
        with pytest.raises(WavewrightError, match=f"{name}: {len(content) - 1} bytes instead of {len(content)}"):
            Corpus.open(corpus.path)
        file.unlink()
        with pytest.raises(WavewrightError, match=f"{name}: .*prepare the corpus again"):
            Corpus.open(corpus.path)
        file.write_bytes(content)
    Corpus.open(corpus.path)


def test_an_older_corpus_opens(record: Record, tmp_path: Path) -> None:
    record("in/a.wav", melody(2, RATE), RATE)
    corpus = prepare([tmp_path / "in"], tmp_path / "out", ONE)
    found = files.read_json(corpus.path / INDEX)
    for name in ("controls", "control_sha256"):
        del found[name]
    for name in ("scores", "describe"):
        del found["settings"][name]
    for track in found["tracks"]:
        for name in ("labels", "score", "events"):
            del track[name]
    files.write_json(corpus.path / INDEX, found)
    assert Corpus.open(corpus.path) == corpus
