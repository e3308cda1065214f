"""What the commands print: on a terminal, into a pipe that closes, on a full disk."""

import fcntl
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from conftest import HANGS, melody
from support.tiny import as_arguments, checkpoints, tiny
from wavewright.corpus.corpus import Corpus

Run = Callable[..., subprocess.CompletedProcess[str]]


def on_terminal(*arguments: object, columns: int = 200) -> tuple[int, str]:
    """The exit status of a command on a terminal, and what the terminal showed, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    command = [sys.executable, "-m", "wavewright", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # so Linux says that the other end has closed
        pass
    os.close(ours)
    return process.wait(HANGS), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_square_brackets_stay_in_names(tmp_path: Path) -> None:
    for name in ("kick [dry].wav", "[bold].wav", "a [/x].wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, melody(0.1, 8000), 8000)
    (tmp_path / "not [sound].wav").write_text("no sound")
    status, shown = on_terminal("inspect", tmp_path)
    assert status == 0, shown
    assert all(name in shown for name in ("kick [dry].wav", "[bold].wav", "a [/x].wav", "not [sound].wav"))


def test_square_brackets_stay_in_titles(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run [dry]")
    status, shown = on_terminal("generate", run, "--out", tmp_path / "a [/b].wav", "--seconds", 0.02)
    assert status == 0, shown
    assert "run [dry], step" in shown
    assert "a [/b].wav" in shown


def into(output: str, *arguments: object) -> tuple[int, str]:
    """The exit status of a command in bash with a redirection or a pipe, and what it said on standard error."""
    command = shlex.join([sys.executable, "-m", "wavewright", *map(str, arguments)])
    script = f"{command} {output}; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=HANGS, check=False)
    return result.returncode, result.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_goes_away_ends_a_command_quietly(options: list[str], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", melody(0.1, 8000), 8000)
    assert into("| true", "inspect", tmp_path, *options) == (141, "")
    assert into(">&-", "inspect", tmp_path, *options) == (0, "")


def test_a_full_disk_behind_standard_output_is_said_in_one_line(trained: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", melody(0.1, 8000), 8000)
    full = "cannot write: No space left on device; send it"
    for arguments in (["inspect", tmp_path], ["inspect", tmp_path, "--json"], ["generate", trained, "--out", "-"]):
        status, said = into("> /dev/full", *arguments)
        assert (status, said.count("\n")) == (2, 1), said
        assert full in said


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", "2> >(true)"])
def test_a_training_outlives_standard_error(redirection: str, corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["train", corpus.path, *as_arguments(tiny("naive-rnn")), "--out", run, "--steps", 9]
    assert into(redirection, *arguments) == (0, "")
    assert checkpoints(run)[-1] == "step-00000009"


def test_a_training_outlives_its_terminal(corpus: Corpus, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    run = tmp_path / "run"
    arguments = ["train", corpus.path, *as_arguments(tiny("naive-rnn")), "--out", run, "--steps", 9]
    command = [sys.executable, "-m", "wavewright", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    os.read(ours, 1)  # the bar has begun
    os.close(ours)
    assert process.wait(HANGS) == 0
    assert checkpoints(run)[-1] == "step-00000009"


@pytest.mark.parametrize("columns", [30, 80, 100, 200])
def test_no_figure_is_cut_on_a_narrow_terminal(columns: int, tmp_path: Path, wavewright: Run) -> None:
    name = "a long name of a recording, as people give them, take 12.wav"
    soundfile.write(tmp_path / name, melody(0.5, 16000), 16000)
    soundfile.write(tmp_path / "silent.wav", [0.0] * 16000, 16000)
    facts = [line.split("\t") for line in wavewright("inspect", tmp_path).stdout.splitlines()[1:3]]
    status, shown = on_terminal("inspect", tmp_path, columns=columns)
    assert status == 0
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    words = shown.split()
    for _, *figures, notes in facts:
        assert all(figure in words for figure in figures if " " not in figure), shown
        assert all(word in shown for word in notes.split())


def test_a_column_without_text_is_not_drawn(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", melody(0.5, 44100), 44100)
    status, shown = on_terminal("inspect", tmp_path, columns=120)
    assert status == 0
    assert "RMS dBFS" in shown
    assert "notes" not in shown
