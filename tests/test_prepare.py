"""Making a corpus safely: the same bytes twice, kills, full disks, refusals; the commands as a user calls them."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import FAST, fingerprint, melody, refusal
from wavewright.corpus.corpus import Corpus
from wavewright.corpus.prepare import changes, prepare
from wavewright.corpus.reader import Reader
from wavewright.corpus.settings import SPLITS, PrepareSettings, prepare_settings
from wavewright.errors import WavewrightError

Record = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]


# The same bytes, and nothing half


def test_the_same_recordings_give_the_same_bytes(album: Path, tmp_path: Path) -> None:
    (album / "notes.txt").write_text("not audio")
    (album / "broken.flac").write_bytes(b"not audio either")
    settings = PrepareSettings(**FAST)
    prints = [
        fingerprint(prepare([album], album / name, settings, workers).path)
        for name, workers in (("corpus", 1), ("corpus", 2), ("../other", 2))
    ]
    assert prints[0] == prints[1] == prints[2]
    assert sorted(prints[0]) == ["corpus.json", "test.i16", "train.i16", "valid.i16"]
    text = (tmp_path / "other/corpus.json").read_text()
    assert str(tmp_path) not in text
    assert [one["name"] for one in json.loads(text)["refused"]] == ["broken.flac"]


RUN = """if True:
    import sys
    from pathlib import Path
    from wavewright.corpus.prepare import prepare
    from wavewright.corpus.settings import PrepareSettings
    settings = PrepareSettings(rate=16000, section_seconds=0.5, seed=int(sys.argv[3]))
    prepare([Path(sys.argv[1])], Path(sys.argv[2]), settings, workers=2)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_the_old_corpus_or_the_new(record: Record, tmp_path: Path) -> None:
    for i in range(8):
        record(f"a/{i}.flac", melody(40, 16000, 200 + 20 * i), 16000)
    out = tmp_path / "out"
    versions = []
    start = time.monotonic()
    for seed in (1, 2):
        subprocess.run([sys.executable, "-c", RUN, tmp_path / "a", out, str(seed)], check=True, stderr=-3)
        versions.append(fingerprint(out))
    duration = (time.monotonic() - start) / 2
    assert versions[0] != versions[1]
    rng = random.Random(0)
    killed = 0
    for i in range(40):
        before = fingerprint(out)
        command = [sys.executable, "-c", RUN, tmp_path / "a", out, str(1 + i % 2)]
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 1.0) * duration)
        run.send_signal(signal.SIGKILL if i % 3 else signal.SIGINT)
        if run.wait() != 0:
            killed += 1
        else:
            duration *= 0.7  # the machine is less busy than it was
        Corpus.open(out)
        assert fingerprint(out) in (before, versions[i % 2])
        if killed == 6:
            break
    assert killed == 6
    subprocess.run([sys.executable, "-c", RUN, tmp_path / "a", out, "1"], check=True, stderr=-3)
    assert fingerprint(out) == versions[0]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


def test_a_kill_between_the_two_renames_is_mended(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    before = fingerprint(prepare([album], out, PrepareSettings(**FAST)).path)
    out.rename(tmp_path / ".c.old")
    assert fingerprint(Corpus.open(out).path) == before


@pytest.mark.parametrize("limit", [1_000, 500_000])
def test_a_full_disk_leaves_the_old_corpus(album: Path, tmp_path: Path, limit: int) -> None:
    """A limit on the size of any file stands for the full disk: in decoding, and in writing the splits."""
    out = tmp_path / "c"
    before = fingerprint(prepare([album], out, PrepareSettings(**FAST)).path)
    run = subprocess.run(
        [sys.executable, "-c", RUN, album, out, "0"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        check=False,
    )
    assert run.returncode != 0
    assert "cannot write: File too large; nothing was changed" in run.stderr.splitlines()[-1]
    assert fingerprint(out) == before
    assert {path.name for path in tmp_path.iterdir()} == {"album", "c"}


def test_a_really_full_disk_leaves_the_old_corpus(record: Record, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        path = record("a.wav", melody(10, 4000), 4000)
        before = fingerprint(prepare([path], disk / "c", PrepareSettings(**FAST)).path)
        record("a.wav", melody(100, 4000), 4000)
        with pytest.raises(WavewrightError, match="No space left on device; nothing was changed"):
            prepare([path], disk / "c", PrepareSettings(**FAST))
        assert fingerprint(disk / "c") == before
        assert [p.name for p in disk.iterdir()] == ["c"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# Refusals


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"split": (0.5, 0.6, -0.1)}, "add up to 1"),
        ({"split": (0.5, 0.1, 0.1)}, "add up to 1"),
        ({"split": (float("nan"), 0.5, 0.5)}, "finite"),
        ({"rate": 10}, "rate: .*1000"),
        ({"rate": 200000}, "rate: .*192000"),
        ({"limiter": 0.0}, "limiter: .*less than 0"),
        ({"section_seconds": -1}, "section_seconds"),
        ({"section_seconds": 1e-9}, "less than one sample"),
        ({"splits": {"train": ("a",), "valid": ("a",)}}, "a is listed twice"),
        ({"splits": {"training": ("a",)}}, "splits"),
        ({"preset": "paper"}, "unknown"),
    ],
)
def test_settings_that_contradict_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(WavewrightError, match=reason) as caught:
        prepare_settings(**fields)
    assert "\n" not in str(caught.value)


def test_what_makes_no_corpus_is_refused(record: Record, tmp_path: Path) -> None:
    out, settings = tmp_path / "out", PrepareSettings()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(WavewrightError, match="empty: no readable audio"):
        prepare([empty], out, settings)
    with pytest.raises(WavewrightError, match="absent: no such file"):
        prepare([tmp_path / "absent"], out, settings)
    short = record("short.wav", melody(0.8, 8000), 8000)
    with pytest.raises(WavewrightError, match=r"0\.8 s, a section is 4 s: use --section-seconds 0\.4"):
        prepare([short], out, settings)
    with pytest.raises(WavewrightError, match="8000 Hz is no multiple of 14700 Hz"):
        prepare([short], out, prepare_settings("thesis"))
    (out / "kept").mkdir(parents=True)
    with pytest.raises(WavewrightError, match=r"out: holds other files \(kept\)"):
        prepare([short], out, settings)
    assert (out / "kept").is_dir()
    corpus = prepare([short], tmp_path / "corpus", PrepareSettings(**FAST))
    (corpus.path / "notes.txt").write_text("mine")
    with pytest.raises(WavewrightError, match=r"corpus: holds other files \(notes\.txt\)"):
        prepare([short], corpus.path, PrepareSettings(**FAST))


def test_a_damaged_corpus_is_refused_in_one_line(album: Path, tmp_path: Path) -> None:
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST))
    index = tmp_path / "c/corpus.json"
    whole = index.read_text()
    parsed = json.loads(whole)
    for text in (
        "{",
        "[]",
        "{}",
        whole.replace('"format": 1', '"format": 2', 1),
        whole.replace('"rate": 4000', '"rate": "fast"'),
        json.dumps({**parsed, "tracks": parsed["tracks"][1:]}),
    ):
        index.write_text(text)
        with pytest.raises(WavewrightError) as caught:
            Corpus.open(tmp_path / "c")
        assert "\n" not in str(caught.value)
    index.write_text(whole)
    Corpus.open(corpus.path)
    with (tmp_path / "c/train.i16").open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(WavewrightError, match=r"train\.i16: .* bytes instead of"):
        Corpus.open(tmp_path / "c")
    with pytest.raises(WavewrightError, match="not a corpus"):
        Corpus.open(album)


def test_what_is_not_as_it_was_when_a_corpus_was_made(album: Path, record: Record, tmp_path: Path) -> None:
    copy = shutil.copy(album / "0/0.flac", album / "0/a copy of 0.flac")
    (album / "broken.flac").write_text("no recording")
    (album / "notes.txt").write_text("no recording either")
    for fields in ({}, {"splits": {"train": ("0/0.flac", "1/1.flac"), "valid": ("2/2.flac",)}}):
        corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST, **fields))
        assert changes(corpus, [album]) == ([], [])
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST))
    (album / "more.txt").write_text("no recording")
    record("album/new.wav", melody(2, 4000), 4000)
    record("album/1/1.flac", melody(2, 4000), 4000)
    Path(copy).write_text("not even a recording any more")
    (album / "2/2.flac").unlink()
    (album / "broken.flac").unlink()
    assert changes(corpus, [album]) == (["0/a copy of 0.flac", "1/1.flac", "new.wav"], ["2/2.flac"])


# Samples that change on disk


def test_a_flipped_bit_is_noticed_when_training_opens_the_corpus(album: Path, tmp_path: Path) -> None:
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST))
    assert corpus.contents.sha256 == {split: fingerprint(corpus.path)[f"{split}.i16"] for split in SPLITS}
    for split in SPLITS:
        file = corpus.path / f"{split}.i16"
        whole = file.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(WavewrightError, match=rf"{split}\.i16: damaged, .* prepare the corpus again") as caught:
            Corpus.open(corpus.path).reader(split)
        assert "\n" not in str(caught.value)
        file.write_bytes(whole)
        assert np.array_equal(Corpus.open(corpus.path).reader(split)[:], corpus.samples(split))


def test_checking_a_big_corpus_is_said(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST))
    caplog.clear()
    caplog.set_level("INFO", "wavewright")
    corpus.reader("train")
    assert not caplog.records
    monkeypatch.setattr("wavewright.corpus.corpus.BIG", 1000)
    corpus.reader("train")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"checking {corpus.path / 'train.i16'}, 0.0 GB"


def test_a_corpus_of_an_earlier_version_still_opens(album: Path, tmp_path: Path) -> None:
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST))
    index = corpus.path / "corpus.json"
    contents = json.loads(index.read_text())
    for field in ("copies", "passed_over", "sha256"):
        del contents[field]
    index.write_text(json.dumps(contents))
    opened = Corpus.open(corpus.path)
    assert np.array_equal(opened.reader("train")[3:1000], corpus.samples("train")[3:1000])
    assert (opened.contents.copies, opened.contents.passed_over) == ((), {})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-30_000, 30_000) | st.none(), min_size=2, max_size=2))
def test_a_reader_slices_as_an_array_does(edges: list[int | None]) -> None:
    whole = np.random.default_rng(0).integers(-32767, 32768, 20_000).astype("<i2")
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(whole.tobytes())
        reader = Reader(Path(file.name), len(whole))
        found = reader[slice(*edges)]
    assert np.array_equal(found, whole[slice(*edges)])
    assert found.dtype == np.int16
    assert not found.flags.writeable
    assert len(reader) == len(whole)


def test_an_open_reader_outlives_the_corpus(album: Path, tmp_path: Path) -> None:
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST))
    reader, expected = corpus.reader("train"), np.array(corpus.samples("train"))
    prepare([album], tmp_path / "c", PrepareSettings(**FAST, seed=1))  # replaced
    assert np.array_equal(reader[:], expected)
    shutil.rmtree(tmp_path / "c")
    assert np.array_equal(reader[:], expected)
    for use in (corpus.reader, corpus.samples):
        with pytest.raises(WavewrightError, match=r"train\.i16: cannot be read: .*No such file"):
            use("train")


CUT_SHORT = """if True:
    import os, sys
    from pathlib import Path
    from wavewright.corpus.corpus import Corpus
    from wavewright.errors import WavewrightError
    corpus = Corpus.open(Path(sys.argv[1]))
    reader = corpus.reader("train")
    os.truncate(corpus.path / "train.i16", 2000)
    assert len(reader[:1000]) == 1000
    for part in (slice(999, 1001), slice(len(reader) - 10, None)):
        try:
            reader[part]
        except WavewrightError as error:
            print(error)
"""


def test_a_file_cut_short_under_a_reader_is_one_line(album: Path, tmp_path: Path) -> None:
    """In a process of its own, since a memory map would end it with SIGBUS."""
    corpus = prepare([album], tmp_path / "c", PrepareSettings(**FAST))
    command = [sys.executable, "-c", CUT_SHORT, corpus.path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    line = f"{corpus.path}/train.i16: cannot be read: cut short since it was opened; prepare the corpus again"
    assert (result.returncode, result.stdout.splitlines()) == (0, [line, line]), result.stderr
    with pytest.raises(WavewrightError, match=r"train\.i16: cannot be read: "):
        corpus.samples("train")


# The commands, as a user calls them


@pytest.mark.slow
def test_prepare_as_a_command(wavewright: Command, album: Path, tmp_path: Path) -> None:
    listed = tmp_path / "splits.json"
    listed.write_text(json.dumps({"train": ["0/3.flac", "0/9.flac"], "valid": ["2/8.flac"]}))
    out = tmp_path / "c"
    fast = ("--rate", 4000, "--section-seconds", 0.5)
    result = wavewright("prepare", album, "--out", out, "--splits", listed, "--limiter", -6, *fast, "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert [summary["splits"][split]["tracks"] for split in SPLITS] == [2, 1, 0]
    assert Corpus.open(out).settings.limiter == -6
    result = wavewright("prepare", album, "--out", out, "--preset", "thesis", *fast, "--levels", "track")
    assert result.returncode == 0, result.stderr
    settings = Corpus.open(out).settings
    assert (settings.levels, settings.resample, settings.remove_dc) == ("track", "decimate", False)
    for rate, told in ((16000, False), (20000, True)):  # the album has up to 16 kHz
        result = wavewright("prepare", album, "--out", out, "--rate", rate, "--section-seconds", 0.5)
        assert ("at most 16000 Hz, so nothing above 8000 Hz can be learned" in result.stderr) == told


@pytest.mark.slow
def test_prepare_refuses_in_one_line(wavewright: Command, album: Path, tmp_path: Path) -> None:
    listed = tmp_path / "splits.json"
    listed.write_text(json.dumps({"training": ["0/3.flac"]}))
    out = tmp_path / "c"
    for arguments, reason in (
        (("--split", "0.5,0.5,0", "--splits", listed), "contradict"),
        (("--splits", listed), "no split 'training'"),
        (("--split", "nan,0,1"), "--split nan,0,1"),
        (("--split", "1,2"), "--split 1,2"),
        (("--limiter", "3"), "limiter"),
        (("--rate", "fast"), "rate"),
        (("--levels", "loud"), "levels"),
        (("--workers", "0"), "--workers 0"),
        ((tmp_path / "absent",), "absent: no such file"),
    ):
        assert reason in refusal(wavewright("prepare", album, "--out", out, *arguments)).lower()
        assert not out.exists()


@pytest.mark.slow
def test_inspect_as_a_command(wavewright: Command, album: Path, record: Record, tmp_path: Path) -> None:
    record("album/quiet.wav", np.concatenate([np.zeros(8000), np.ones(8000)]), 8000)
    (album / "broken.flac").write_bytes(b"not audio")
    (album / "notes.txt").write_text("not audio")
    result = wavewright("inspect", album, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    files = {file["name"]: file for file in report["files"]}
    assert len(files) == 11
    assert report["passed_over"] == 1
    assert [one["name"] for one in report["refused"]] == ["broken.flac"]
    quiet = files["quiet.wav"]
    assert (quiet["seconds"], quiet["silence_seconds"], quiet["clipped"]) == (2.0, 1.0, 8000)
    assert quiet["rms_dbfs"] == pytest.approx(-3.01, abs=0.01)
    assert quiet["dc"] == pytest.approx(0.5, abs=1e-4)
    plain = wavewright("inspect", album)
    assert plain.returncode == 0
    assert "broken.flac\tnot readable" in plain.stdout
    assert "no readable audio; 1 refused" in refusal(wavewright("inspect", album / "broken.flac"))
    assert "no such file" in refusal(wavewright("inspect", tmp_path / "absent"))
