"""What the commands print: on a terminal, into a pipe that closes, on a full disk."""

import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from conftest import HANGS, melody, refusal
from support.tiny import as_arguments, checkpoints, tiny
from wavewright import files
from wavewright.corpus.corpus import Corpus

pytestmark = pytest.mark.slow

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
        assert all(figure in words for figure in figures if figure and " " not in figure), shown
        assert all(word in shown for word in notes.split())


def test_a_column_without_text_is_not_drawn(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", melody(0.5, 44100), 44100)
    status, shown = on_terminal("inspect", tmp_path, columns=120)
    assert status == 0
    assert "RMS dBFS" in shown
    assert "notes" not in shown


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"]])
def test_help_meets_a_full_disk_and_a_closed_output_as_results_do(arguments: list[str]) -> None:
    status, said = into("> /dev/full", *arguments)
    assert (status, said) == (
        2,
        "wavewright: standard output: cannot write: No space left on device; send it to another place\n",
    )
    assert into(">&-", *arguments) == (0, "")
    assert into("<&-", *arguments)[0] == 0


ODD = os.fsdecode(b"b\xff\xe9d")  # a name in latin-1


def test_names_that_are_not_utf8_are_read_and_shown(trained: Path, tmp_path: Path, wavewright: Run) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    soundfile.write(tmp_path / "a.wav", melody(9.0, 4000), 4000)
    (tmp_path / "a.wav").rename(folder / f"{ODD}.wav")
    report = json.loads(wavewright("inspect", folder, "--json").stdout)
    assert [file["name"] for file in report["files"]] == ["b\\udcff\\udce9d.wav"]
    assert wavewright("prepare", folder, "--out", tmp_path / "corpus", "--rate", 4000).returncode == 0
    corpus = Corpus.open(shutil.copytree(tmp_path / "corpus", folder / "corpus"))
    assert {track.name for track in corpus.tracks} == {"b\\udcff\\udce9d.wav"}
    options = ("--seconds", "0.02", "--prime", folder / f"{ODD}.wav")
    assert wavewright("generate", trained, "--out", tmp_path / "take.wav", *options).returncode == 0
    run = shutil.copytree(trained, folder / "run")
    line = refusal(wavewright("generate", run, "--out", tmp_path / "take.wav"))
    assert "b\\udcff\\udce9d/run/checkpoints/" in line
    assert "the name is not utf-8; rename it" in line


def test_names_that_are_not_utf8_are_not_written(trained: Path, tmp_path: Path, wavewright: Run) -> None:
    out = tmp_path / ODD
    soundfile.write(tmp_path / "a.wav", melody(9.0, 4000), 4000)
    for arguments in (
        ("generate", trained, "--out", f"{out}.wav", "--seconds", "1e5"),
        ("export", trained, "--out", f"{out}.safetensors"),
        ("prepare", tmp_path / "a.wav", "--out", out),
        ("train", tmp_path / "a.wav", "--model", "wavenet", "--out", out),
        ("experiment", "overfit", "--out", out),
        ("demo", "--out", out / "demo"),
    ):
        assert "the name is not utf-8; rename it, or choose another name" in refusal(wavewright(*arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_json_files_give_odd_names_back(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {ODD: "é"})
    assert "é" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert files.read_json(tmp_path / "a.json") == {ODD: "é"}


PLAIN = [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}]


@pytest.mark.parametrize("plain", PLAIN)
def test_output_that_is_not_utf8(plain: dict[str, str], tmp_path: Path) -> None:
    names = ["\u00e9.wav", "\u30d4.wav"]  # in latin-1, and not
    for name in names:
        soundfile.write(tmp_path / name, melody(0.2, 8000), 8000)

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "wavewright", *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, env={**os.environ, **plain}, timeout=HANGS, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout.decode("latin-1")

    shown = run("inspect", tmp_path)
    assert shown.count("WAV/PCM_16") == 2
    found = [file["name"] for file in json.loads(run("inspect", tmp_path, "--json"))["files"]]
    if "LC_ALL" not in plain:  # else the names are bytes to Python too
        assert found == names
    assert len(found) == 2
    assert "Usage: wavewright" in run("--help")


def test_control_characters_in_a_name_are_escaped(tmp_path: Path, wavewright: Run) -> None:
    soundfile.write(tmp_path / "a.wav", melody(0.2, 8000), 8000)
    (tmp_path / "a.wav").rename(tmp_path / "a\x1b[31m\tb\n.wav")
    header, row, *_ = wavewright("inspect", tmp_path).stdout.splitlines()
    assert row.startswith("a\\x1b[31m\\tb\\n.wav\t")
    assert row.count("\t") == header.count("\t")
    assert "\x1b" not in refusal(wavewright("generate", "\x1b[31m", "--out", tmp_path / "a.wav"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_a_command_with_its_own_status(number: int, status: int) -> None:
    code = (
        "import os, time\nfrom wavewright import cli\n"
        f"cli.app = lambda *_, **__: (os.kill(os.getpid(), {int(number)}), time.sleep(60))\ncli.main([])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=HANGS, check=False)
    assert (result.returncode, result.stderr) == (status, b"")
