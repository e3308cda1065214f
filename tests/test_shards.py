"""A corpus that several workers decode in shares: the same bytes as one process makes, and nothing lost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import FAST, fingerprint, melody, refusal
from support.scores import write_score
from support.tiny import small_disk
from wavewright.corpus.prepare import prepare, prepare_shard
from wavewright.corpus.settings import PrepareSettings
from wavewright.corpus.shards import FOLDER, Shard
from wavewright.errors import WavewrightError

Record = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]


def times(out: Path) -> dict[str, int]:
    """When each decoded recording was written."""
    return {file.name: file.stat().st_mtime_ns for file in (out / FOLDER).glob("*.f32")}


@pytest.fixture
def various(album: Path, record: Record) -> Path:
    """An album with a score, a copy, an unreadable file, silence and text."""
    write_score(album / "0/9.mid", [(0.1, 60, 100, 1)])
    shutil.copy(album / "0/9.flac", album / "copy of 9.flac")
    record("album/silence.wav", np.zeros(8000), 8000)
    (album / "broken.flac").write_bytes(b"no audio")
    (album / "notes.txt").write_text("no audio either")
    return album


@pytest.mark.parametrize(("count", "levels"), [(1, "track"), (3, "section"), (40, "corpus")])
def test_the_shards_together_are_the_corpus_of_one_process(
    various: Path, tmp_path: Path, count: int, levels: str
) -> None:
    settings = PrepareSettings(**FAST, levels=levels, describe=("loudness",))
    whole = prepare([various], tmp_path / "whole", settings)
    done = [
        prepare_shard([various], tmp_path / "out", settings, Shard(number, count))
        for number in range(count, 0, -1)  # in any order
    ]
    assert sum(one.decoded for one in done) == 12
    assert sum(one.refused for one in done) == 1
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    merged = prepare([various], tmp_path / "elsewhere", settings, merge=True)
    assert fingerprint(merged.path) == fingerprint(whole.path)


def test_a_shard_below_its_own_recordings_leaves_no_trace(various: Path) -> None:
    settings = PrepareSettings(**FAST)
    whole = fingerprint(prepare([various], various / "out", settings).path)
    shutil.rmtree(various / "out")
    for number in (1, 2):
        prepare_shard([various], various / "out", settings, Shard(number, 2))
    assert fingerprint(prepare([various], various / "out", settings, merge=True).path) == whole


def test_a_shard_made_again_decodes_only_what_changed(album: Path, record: Record, tmp_path: Path) -> None:
    settings, out = PrepareSettings(**FAST), tmp_path / "out"
    prepare_shard([album], out, settings, Shard(1, 1))
    before = times(out)
    record("album/0/0.flac", melody(2, 8000, 500), 8000)
    prepare_shard([album], out, settings, Shard(1, 1))
    assert sum(times(out)[name] != before[name] for name in before) == 1
    merged = prepare([album], out, settings, merge=True)
    assert fingerprint(merged.path) == fingerprint(prepare([album], tmp_path / "whole", settings).path)


def test_what_does_not_belong_together_is_not_merged(album: Path, record: Record, tmp_path: Path) -> None:
    settings, out = PrepareSettings(**FAST), tmp_path / "out"
    prepare_shard([album], out, settings, Shard(1, 2))
    with pytest.raises(WavewrightError, match=r"lacks 5 of 10 files, the first: 0/3\.flac; make every shard"):
        prepare([album], out, settings, merge=True)
    prepare_shard([album], out, settings, Shard(2, 2))
    other = settings.model_copy(update={"trim": 0.0})
    with pytest.raises(WavewrightError, match=r"was decoded with other settings; make the shards again"):
        prepare([album], out, other, merge=True)
    next(iter((out / FOLDER).glob("*.f32"))).unlink()
    with pytest.raises(WavewrightError, match=r"the samples of .* are missing; make the shards again"):
        prepare([album], out, settings, merge=True)
    both = [prepare_shard([album], out, settings, Shard(number, 2)) for number in (1, 2)]
    assert [one.decoded for one in both] == [5, 5]
    damaged = next(iter((out / FOLDER).glob("*.json")))
    damaged.write_text(damaged.read_text().replace('"start": ', '"start": "a", "was": '))
    with pytest.raises(WavewrightError, match=r"\.decoded\.start: .*; make the shards again"):
        prepare([album], out, settings, merge=True)
    for number in (1, 2):
        prepare_shard([album], out, settings, Shard(number, 2))
    prepare([album], out, settings, merge=True)


@pytest.mark.slow
def test_a_shard_that_is_killed_goes_on(record: Record, tmp_path: Path) -> None:
    for i in range(6):
        record(f"a/{i}.flac", melody(60, 16000, 200 + 20 * i), 16000)
    options = ["--rate", "16000", "--section-seconds", "0.5"]
    command = [sys.executable, "-m", "wavewright", "prepare", tmp_path / "a", "--out", tmp_path / "out", *options]
    worker = subprocess.Popen([*command, "--shard", "1/1", "--workers", "1"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len([*(tmp_path / "out").glob("shards/*.json")]) < 2:
        assert time.monotonic() < deadline
        assert worker.poll() is None
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    before = times(tmp_path / "out")
    subprocess.run([*command, "--shard", "1/1"], check=True, capture_output=True)
    after = times(tmp_path / "out")
    assert len(after) == 6
    assert sum(after[name] == before[name] for name in before) >= 2
    subprocess.run([*command, "--merge"], check=True, capture_output=True)
    whole = prepare([tmp_path / "a"], tmp_path / "whole", PrepareSettings(rate=16000, section_seconds=0.5))
    assert fingerprint(tmp_path / "out") == fingerprint(whole.path)


def test_a_full_disk_is_one_line(album: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "64k") as disk, pytest.raises(WavewrightError, match="No space left"):
        prepare_shard([album], disk / "out", PrepareSettings(**FAST), Shard(1, 1))


def test_the_command_makes_shards_and_refuses_what_is_none(album: Path, tmp_path: Path, wavewright: Command) -> None:
    prepared = ["prepare", album, "--out", tmp_path / "out", "--rate", 4000, "--section-seconds", 0.5]
    for wrong, line in (
        (["--shard", "3/2"], "--shard 3/2: give K/N, where K is 1 to N"),
        (["--shard", "two"], "--shard two: give K/N, such as 2/8"),
        (["--shard", "1/2", "--merge"], "contradict each other"),
        (["--merge"], "lacks 10 of 10 files"),
    ):
        assert line in refusal(wavewright(*prepared, *wrong))
    for number in (1, 2):
        result = wavewright(*prepared, "--shard", f"{number}/2")
        assert f"shard {number}/2: 5 recordings are decoded, 0 refused" in result.stderr + result.stdout
    assert wavewright(*prepared, "--merge").returncode == 0
    assert (tmp_path / "out/corpus.json").is_file()
