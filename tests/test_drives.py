"""Drives that cannot do all that a local disk can, as network drives: flush a folder, lock a file, take a long name."""

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from conftest import HANGS, melody, refusal
from support.tiny import as_arguments, checkpoints, make_corpus, tiny
from wavewright import files
from wavewright.corpus.corpus import Corpus
from wavewright.errors import WavewrightError

pytestmark = pytest.mark.slow

DRIVE = """
import errno, fcntl, os, stat
own = os.fsync
def fsync(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "Invalid argument")
    own(descriptor)
def flock(file, operation):
    raise OSError(errno.ENOLCK, "No locks available")
os.fsync, fcntl.flock = fsync, flock
"""  # a drive as some SMB and FUSE mounts are
LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EBADF)


def failing(kind: Callable[[int], bool], number: int) -> Callable[[int], None]:
    """`os.fsync` of a drive that cannot flush files or folders, of the `kind` given."""
    own = os.fsync

    def fsync(descriptor: int) -> None:
        if kind(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        own(descriptor)

    return fsync


def no_locks(number: int) -> Callable[..., None]:
    """`fcntl.flock` of a drive without locks."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock


def test_all_commands_work_on_a_drive_without_folder_flushes_and_locks(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DRIVE)
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "wavewright", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": path}
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=HANGS, check=False, env=environment, cwd=tmp_path
        )
        assert result.returncode == 0, result.stderr
        return result.stderr

    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", melody(2.0, 4000), 4000)
    run("prepare", "0.wav", "1.wav", "2.wav", "--out", "corpus", "--rate", 4000, "--section-seconds", 0.5)
    arguments = ("train", "corpus", *as_arguments(tiny("naive-rnn")), "--out", "run")
    assert run(*arguments, "--steps", 3).count("run: this drive has no locks; start no other command") == 1
    run(*arguments, "--steps", 9, "--resume")
    assert checkpoints(tmp_path / "run")[-1] == "step-00000009"
    run("export", "run", "--out", "model.safetensors")
    run("generate", "model.safetensors", "--out", "take.wav", "--seconds", 0.1)
    assert soundfile.info(tmp_path / "take.wav").frames == 400


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES])
def test_a_folder_that_cannot_be_flushed_is_no_error(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(stat.S_ISDIR, number))
    files.write_json(tmp_path / "a.json", [1])
    with files.atomic_folder(tmp_path / "folder") as folder:
        (folder / "b").write_text("b")
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "folder"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_what_is_said_of_a_failed_flush_is_true(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder, reason = tmp_path / "a.json", tmp_path / "folder", os.strerror(number)

    def write(value: int) -> None:
        with files.atomic_folder(folder) as temporary:
            (temporary / "value").write_text(str(value))
        files.write_json(file, value)

    def there() -> tuple[str, str]:
        return (folder / "value").read_text(), file.read_text().strip()

    write(1)
    monkeypatch.setattr(os, "fsync", failing(stat.S_ISREG, number))
    with pytest.raises(WavewrightError, match=f"folder: cannot write: {reason}; nothing was changed"):
        write(2)
    with pytest.raises(WavewrightError, match=f"a.json: cannot write: {reason}; nothing was changed"):
        files.write_json(file, 2)
    assert there() == ("1", "1")
    flush = failing(stat.S_ISDIR, number)
    monkeypatch.setattr(os, "fsync", lambda descriptor: flush(descriptor) if os.fstat(descriptor).st_ino == top else 0)
    top = tmp_path.stat().st_ino
    with pytest.raises(WavewrightError, match=f"a.json: cannot write: {reason}; the new content is there, but"):
        files.write_json(file, 3)
    with pytest.raises(WavewrightError, match=f"folder: cannot write: {reason}; the new content is there, but"):
        write(3)
    assert there() == ("3", "3")


def test_a_folder_that_cannot_take_the_old_ones_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, own = tmp_path / "folder", os.replace
    with files.atomic_folder(path) as folder:
        (folder / "value").write_text("1")

    def replace(source: Path, target: Path) -> None:
        if source.suffix == ".tmp":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        own(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(WavewrightError, match="nothing was changed"), files.atomic_folder(path) as folder:
        (folder / "value").write_text("2")
    assert (path / "value").read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", LOCKLESS)
def test_without_locks_nothing_of_another_process_is_removed(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks(number))
    with files.locked(tmp_path / "run"):
        assert "run: this drive has no locks" in caplog.text
    with files.atomic_folder(tmp_path / "folder") as folder:
        (folder / "value").write_text("1")
        files.recover_folder(tmp_path / "folder")  # as another process does that opens the folder now
    assert (tmp_path / "folder" / "value").read_text() == "1"


NAME = "n" * 255  # the longest name that most file systems take


def test_names_as_long_as_the_file_system_takes(trained: Path, tmp_path: Path, wavewright: Callable[..., Any]) -> None:
    take = tmp_path / f"{NAME[:-4]}.wav"
    assert wavewright("generate", trained, "--out", take, "--seconds", 0.02).returncode == 0
    assert soundfile.info(take).frames == 80
    made = make_corpus(tmp_path / "a")
    recordings, corpus = tmp_path / "a" / "recordings", tmp_path / ("ö" * 127)
    arguments = ("prepare", recordings, "--out", corpus, "--rate", 4000, "--section-seconds", 0.125)
    for seed in (1, 2):  # the second time in place of the first
        assert wavewright(*arguments, "--seed", seed).returncode == 0
    assert Corpus.open(corpus).section == made.section
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a", take.name, corpus.name])


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "piano", "--out", f"n{NAME}.wav"),
        ("generate", "piano", "--out", f"{NAME[:-4]}.wav", "--count", "2", "--seconds", "0.02"),
        ("generate", f"n{NAME}", "--out", "a.wav"),
        ("prepare", ".", "--out", f"n{NAME}"),
        ("train", f"n{NAME}", "--model", "wavenet", "--out", "run"),
        ("report", f"n{NAME}"),
        ("demo", "--out", f"n{NAME}"),
    ],
)
def test_names_too_long_are_refused_in_one_line(
    arguments: tuple[str, ...], tmp_path: Path, wavewright: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", melody(9.0, 4000), 4000)
    monkeypatch.chdir(tmp_path)
    assert "File name too long" in refusal(wavewright(*arguments))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.wav"]


def test_folders_and_files_in_each_others_place(
    tmp_path: Path, wavewright: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("folder.wav").mkdir()
    before = sorted(tmp_path.rglob("*"))
    line = refusal(wavewright("generate", "piano", "--out", "folder.wav", "--seconds", "1e5"))  # said before the work
    assert "folder.wav: cannot write: is a folder; nothing was changed" in line
    for arguments in (
        ("generate", "piano", "--out", "file/below/a.wav", "--seconds", "1e5"),
        ("demo", "--out", "file/demo"),
        ("demo", "--out", "file"),
    ):
        assert "file is a file, not a folder" in refusal(wavewright(*arguments))
    assert sorted(tmp_path.rglob("*")) == before
