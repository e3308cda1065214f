"""The README's commands, run as they stand but for how long they train and play; and the demo, cut short."""

import re
import shlex
import shutil
from importlib import resources
from pathlib import Path

import pytest
import soundfile

from conftest import ROOT
from wavewright.commands import demo as command
from wavewright.experiments import demo

pytestmark = pytest.mark.slow

SHORTER = {"--minutes 30": "--minutes 0.03", "--seconds 10": "--seconds 0.05", "--count 4": "--count 2 --seconds 0.05"}


def commands() -> list[str]:
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("wavewright ")]


def shortened(line: str) -> str:
    for long, short in SHORTER.items():
        line = line.replace(long, short)
    return line if " train " not in line or "--minutes" in line else f"{line} --steps 2"


@pytest.fixture(scope="module")
def clip() -> Path:
    return Path(str(resources.files("wavewright") / "data" / demo.CLIP))


def test_readme_commands_do_what_they_say(clip, tmp_path, wavewright, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound, rate = soundfile.read(clip)
    (tmp_path / "recordings").mkdir()
    shutil.copytree(ROOT / "src/wavewright/data/scores", "src/wavewright/data/scores")  # as in the project's folder
    for i, name in enumerate(["start", "middle", "end"]):
        soundfile.write(f"recordings/{name}.flac", sound[i * 5 * rate : (i + 1) * 5 * rate], rate)
    lines = commands()
    named = {"inspect", "prepare", "train", "generate", "export", "page", "evaluate", "experiment", "models", "report"}
    assert {shlex.split(line)[1] for line in lines} == named
    for line in map(shortened, lines):
        result = wavewright(*shlex.split(line)[1:])
        assert result.returncode == 0, (line, result.stderr)
    assert soundfile.info("new.wav").samplerate == 14700
    assert Path("more-2.wav").is_file()


def test_the_demo_leaves_sounds_and_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "STEPS", 3)
    monkeypatch.setattr(demo, "SECONDS", 0.1)
    command.demo(out=tmp_path / "demo")
    for name in ("original.wav", "generated.wav", "variation.wav"):
        info = soundfile.info(tmp_path / "demo" / name)
        assert info.duration == pytest.approx(0.1, abs=1e-3)
    for name in ("original-and-generated.png", "loss.png"):
        assert (tmp_path / "demo" / name).read_bytes().startswith(b"\x89PNG")
    assert "wavewright train FOLDER" in capsys.readouterr().out


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / "README.md").read_text())) <= targets
