"""Sharing a model on a hub and playing it from there, through the command line and a hub on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile
import yaml

from conftest import melody, refusal
from support.fake_hub import COMMIT, Hub, fake_hub
from support.model_files import make
from wavewright.sharing.card import SOUNDS_FOLDER

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

Command = Callable[..., subprocess.CompletedProcess[str]]

SAID = ("--licence", "cc-by-4.0", "--data", "Two hours of my own piano; I allow it.")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with fake_hub() as one:
        yield one


@pytest.fixture
def command(hub: Hub, tmp_path: Path) -> Command:
    """The command line as a user calls it who is logged in to the hub."""

    def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **hub.environment(tmp_path / "home"), **more}
        whole = [sys.executable, "-m", "wavewright", *map(str, arguments)]
        return subprocess.run(whole, capture_output=True, text=True, timeout=120, check=False, env=environment)

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make(tmp_path / "mine.safetensors").path


def test_a_model_is_shared_and_played_by_its_name(hub: Hub, command: Command, model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "<b>take.flac", melody(0.2), 44100)
    shared = command("push", model, "me/mine", *SAID, "--sounds", tmp_path / "<b>take.flac")
    assert shared.returncode == 0, shared.stderr
    assert f"{hub.address}/me/mine" in shared.stderr
    files = hub.files["me/mine"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors", f"{SOUNDS_FOLDER}/1.flac"]
    assert files["model.safetensors"] == model.read_bytes()
    assert json.loads(files["config.json"])["model_type"] == "sample-rnn"
    assert hub.private == {"me/mine": True}

    for number, name in enumerate(("hub:me/mine", "hub:me/mine@main", f"hub:me/mine@{COMMIT}")):
        take = command("generate", name, "--out", tmp_path / f"{number}.wav", "--seconds", 0.1, "--seed", 3)
        assert take.returncode == 0, take.stderr
    own = command("generate", model, "--out", tmp_path / "own.wav", "--seconds", 0.1, "--seed", 3)
    assert own.returncode == 0
    takes = [soundfile.read(tmp_path / f"{name}.wav")[0].tolist() for name in (0, 1, 2, "own")]
    assert takes[0] == takes[1] == takes[2] == takes[3]
    assert "SampleRNN" in command("inspect", "hub:me/mine").stdout
    code = "import sys, wavewright; wavewright.load('hub:me/mine'); assert 'torch' not in sys.modules"
    environment = {**os.environ, **hub.environment(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_the_card_says_what_is_known(hub: Hub, command: Command, model: Path) -> None:
    assert command("push", model, "me/mine", *SAID, "--public").returncode == 0
    assert hub.private == {"me/mine": False}
    card = hub.files["me/mine"]["README.md"].decode()
    _, head, text = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "license": "cc-by-4.0",
        "library_name": "wavewright",
        "tags": ["audio", "sample-rnn", "unconditional"],
    }
    digest = subprocess.run(["sha256sum", model], capture_output=True, text=True, check=True).stdout.split()[0]
    for words in ("Two hours of my own piano; I allow it.", "hub:me/mine", digest, "How it fails", "parameters"):
        assert words in text


def test_a_new_version_takes_the_place_of_the_old(hub: Hub, command: Command, model: Path, tmp_path: Path) -> None:
    assert command("push", model, "me/mine", *SAID).returncode == 0
    other = make(tmp_path / "other.safetensors", "gated").path
    assert command("push", other, "me/mine", *SAID).returncode == 0
    assert hub.files["me/mine"]["model.safetensors"] == other.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--licence", "mit"], "--data: missing; say whose recordings"),
        (["--data", "mine"], "--licence: missing; say under which terms"),
        ([*SAID, "--sounds", "take.txt"], "--sounds take.txt: a page plays .flac"),
        ([*SAID, "--sounds", "missing.flac"], "missing.flac: no such file"),
    ],
)
def test_nothing_is_guessed_and_nothing_half_shared(
    hub: Hub, command: Command, model: Path, arguments: list[str], line: str
) -> None:
    assert line in refusal(command("push", model, "me/mine", *arguments))
    assert hub.files == {}


def test_what_the_hub_refuses_is_one_line(hub: Hub, command: Command, model: Path, tmp_path: Path) -> None:
    assert "give USER/NAME" in refusal(command("push", model, "a/b/c", *SAID))
    assert "log in with `hf auth login`" in refusal(command("push", model, "me/mine", *SAID, HF_TOKEN="hf_wrong"))
    assert "hub: nobody has logged in" in refusal(command("push", model, "me/mine", *SAID, HF_TOKEN=""))
    assert "no such model on the hub" in refusal(command("inspect", "hub:me/nothing"))
    assert "give hub:USER/NAME" in refusal(command("inspect", "hub:a/b/c"))
    hub.files["me/other"] = {"README.md": b"of another library"}
    assert "holds no model.safetensors" in refusal(command("inspect", "hub:me/other"))
    hub.files["me/bad"] = {"model.safetensors": model.read_bytes()[:-100]}
    assert "truncated" in refusal(command("inspect", "hub:me/bad"))
    assert "has no revision nine" in refusal(command("inspect", "hub:me/bad@nine"))
    assert "name a .safetensors file" in refusal(command("push", tmp_path / "home", "me/mine", *SAID))


def test_without_a_connection_the_last_version_plays(hub: Hub, command: Command, model: Path) -> None:
    hub.files["me/mine"] = {"model.safetensors": model.read_bytes()}
    gone = {"HF_HUB_OFFLINE": "1"}
    assert "the hub cannot be reached" in refusal(command("inspect", "hub:me/mine", **gone))
    assert command("inspect", "hub:me/mine").returncode == 0
    asked = len(hub.asked)
    assert command("inspect", "hub:me/mine", **gone).returncode == 0
    assert len(hub.asked) == asked
