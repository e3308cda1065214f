"""What the commands print: on a terminal, into a pipe that closes, on a full disk."""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import soundfile

from conftest import HANGS, melody


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
