"""Scores: hostile ones are read or refused in one line, good ones are what another reader made of them."""

import csv
import functools
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest

from support.scores import read_score
from wavewright.conditioning import score
from wavewright.conditioning.events import Kind
from wavewright.conditioning.score import Score
from wavewright.corpus import isolate
from wavewright.errors import AudioError


def notes(found: Score) -> list[tuple[float, float, int, int]]:
    """(onset, end of the key's being held, key, velocity), sorted as in notes.csv; a new strike ends a note."""
    sounding: dict[int, tuple[float, int]] = {}
    rows = []
    for seconds, (_, kind, key, value) in zip(found.seconds.tolist(), found.events.tolist(), strict=True):
        if kind != Kind.pedal and key in sounding:
            onset, velocity = sounding.pop(key)
            rows.append((onset, seconds, key, velocity))
        if kind == Kind.strike:
            sounding[key] = (seconds, value)
    return sorted(rows, key=lambda row: (row[0], *row[2:]))


@pytest.mark.parametrize("name", ["grieg/grieg_walzer", "mendelssohn/mendel_op19_1", "albeniz/alb_esp2"])
def test_a_piece_is_what_another_reader_made_of_it(name: str, data: Path) -> None:
    found = notes(read_score(data / "piano" / f"{name}.mid"))
    with (data / "piano" / f"{name}.notes.csv").open() as file:
        rows = [
            (float(r["onset_s"]), float(r["offset_s"]), int(r["pitch"]), int(r["velocity"]))
            for r in csv.DictReader(file)
        ]
    expected = sorted(rows, key=lambda row: (row[0], *row[2:]))
    assert [row[2:] for row in found] == [row[2:] for row in expected]
    np.testing.assert_allclose([row[0] for row in found], [row[0] for row in expected], atol=2e-6)
    same = np.isclose([row[1] for row in found], [row[1] for row in expected], atol=2e-6)
    assert same.mean() > 0.97  # all but those whose key is struck again while it is held


HOSTILE: dict[str, Any] = {
    "gomidi__c-maj-scale": 8,
    "jazz__test-2-tracks-type-0": 16,
    "jazz__test-control-40-damper": 8,
    "jazz__test-empty-file": "not a readable MIDI file",
    "jazz__test-illegal-message-all": "not a readable MIDI file",
    "jazz__test-non-midi-track": "not a readable MIDI file",
    "krueger__mz_311_1": 2970,
    "midly__SysExTest": "without notes",
    "nfr__MIDIBadHeaderFormat": "format 3; give one of format 0 or 1",
    "nfr__MIDIBadHeaderSMTPE": "has no length",
    "ours__division_zero": "has no length",
    "ours__drums_channel10": 4,
    "ours__huge_delta": "hours",
    "ours__junk_before_header": "not a readable MIDI file",
    "ours__note_off_only": "without notes",
    "ours__running_status_vel0": 3,
    "ours__smpte_25fps_40": 3,
    "ours__truncated_mid_event": "not a readable MIDI file",
    "ours__zero_tracks": "without notes",
}


def test_hostile_scores_are_read_or_refused_in_one_line(data: Path) -> None:
    files = sorted((data / "hostile" / "midi").glob("*.mid"))
    results = isolate.each(score.read, [(path,) for path in files], 2)
    outcome = {path.stem: result for path, result in zip(files, results, strict=True)}
    assert len(outcome) >= 31
    for name, result in outcome.items():
        wanted = HOSTILE.get(name)
        if isinstance(result, AudioError):
            assert "\n" not in str(result)
            assert wanted is None or str(wanted) in str(result), name
        else:
            assert np.all(np.diff(result.seconds) >= 0)
            assert wanted is None or len(result.strikes) == wanted, name


def test_smpte_ticks_are_milliseconds(data: Path) -> None:
    found = notes(read_score(data / "hostile" / "midi" / "ours__smpte_25fps_40.mid"))
    assert [end - onset for onset, end, _, _ in found] == pytest.approx([0.5, 0.5, 0.5])


def test_a_tempo_in_another_track_counts(data: Path) -> None:
    """The file has eight beats; their 240 a minute stand in its second track."""
    assert read_score(data / "hostile" / "midi" / "ours__format1_tempo_track_last.mid").seconds[-1] == pytest.approx(2)


def write(path: Path, *tracks: list[mido.Message]) -> Path:
    midi = mido.MidiFile(ticks_per_beat=500)  # a tick is a millisecond
    midi.tracks += [mido.MidiTrack(track) for track in tracks]
    midi.save(path)
    return path


def test_drums_are_played_where_there_is_nothing_else(tmp_path: Path) -> None:
    drum, note = (mido.Message("note_on", channel=c, note=n, velocity=9, time=5) for c, n in ((9, 36), (0, 60)))
    alone = read_score(write(tmp_path / "alone.mid", [drum, drum]))
    assert alone.events["key"].tolist() == [36, 36]
    assert alone.remarks == ()
    mixed = read_score(write(tmp_path / "mixed.mid", [drum, note]))
    assert mixed.events["key"].tolist() == [60]
    assert mixed.remarks == ("its drums (channel 10) are left out",)


def test_two_hands_on_one_key(tmp_path: Path) -> None:
    """One track strikes a key as the other lets go: the key stays down. The pedal is the lower of the two."""
    one, two = (functools.partial(mido.Message, channel=channel) for channel in (0, 1))
    path = write(
        tmp_path / "x.mid",
        [two("note_on", note=60, velocity=80, time=1000), two("note_off", note=60, time=1000)],
        [
            one("control_change", control=64, value=100),
            one("note_on", note=60, velocity=50),
            one("note_off", note=60, time=1000),
            one("control_change", control=64, value=0, time=500),
        ],
    )
    found = read_score(path)
    assert list(zip(found.seconds.round(3).tolist(), [e[1:] for e in found.events.tolist()], strict=True)) == [
        (0.0, (Kind.pedal, 0, 100)),
        (0.0, (Kind.strike, 60, 50)),
        (1.0, (Kind.strike, 60, 80)),
        (1.5, (Kind.pedal, 0, 0)),
        (2.0, (Kind.release, 60, 0)),
    ]


def test_a_tempo_of_zero_is_refused(tmp_path: Path) -> None:
    track = [mido.MetaMessage("set_tempo", tempo=0), mido.Message("note_on", note=60, velocity=9)]
    with pytest.raises(AudioError, match="a tempo of 0 at"):
        read_score(write(tmp_path / "x.mid", track))


def test_all_notes_off_releases_what_its_channel_holds(tmp_path: Path) -> None:
    track = [
        mido.Message("note_on", note=60, velocity=9),
        mido.Message("note_on", note=64, velocity=9, channel=1),
        mido.Message("control_change", control=123, time=100),
    ]
    found = read_score(write(tmp_path / "x.mid", track))
    assert found.events[found.events["kind"] == Kind.release]["key"].tolist() == [60]


def test_many_events_at_one_tick(tmp_path: Path) -> None:
    strikes = [mido.Message("note_on", note=i % 128, velocity=1 + i % 127) for i in range(100_000)]
    assert len(read_score(write(tmp_path / "x.mid", strikes)).strikes) == 100_000
