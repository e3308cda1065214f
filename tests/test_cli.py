"""The command line as a user calls it: help without torch, recordings straight to a run, one line for each mistake."""

import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
import soundfile
import torch
from cyclopts import App

from conftest import melody, refusal
from support.tiny import as_arguments, checkpoints, records, start, tiny
from wavewright import __version__
from wavewright.cli import app
from wavewright.commands.options import ModelName, PresetName
from wavewright.corpus.corpus import Corpus
from wavewright.models import CONFIGS
from wavewright.playing import opening

Run = Callable[..., subprocess.CompletedProcess[str]]
IN_ORDER = [
    "demo",
    "inspect",
    "prepare",
    "train",
    "generate",
    "play",
    "reverb",
    "export",
    "models",
    "page",
    "push",
    "evaluate",
    "bench",
    "experiment",
    "report",
    "studio",
]


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after `code`."""
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import wavewright",
        "import wavewright.cli",
        "import wavewright.formats.config",
        "import wavewright.formats.model_file",
        "from wavewright.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from wavewright.cli import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass",
        "from wavewright.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass",
    ],
)
def test_help_needs_no_torch(code: str) -> None:
    assert not {"torch", "scipy", "soundfile", "soxr", "tensorboard", "matplotlib"} & loaded_by(code)


def test_that_the_test_above_would_notice() -> None:
    assert "soundfile" in loaded_by("import wavewright.corpus.audio")


def test_help_needs_no_numpy() -> None:
    """Which takes longer than all else that `--help` does."""
    code = "from wavewright.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not {"numpy", "pydantic"} & loaded_by(code)


def test_the_options_name_what_the_registry_has() -> None:
    assert get_args(ModelName) == tuple(CONFIGS)
    assert set(get_args(PresetName)) == {preset for config in CONFIGS.values() for preset in config.presets}


def commands(within: App, *names: str) -> Iterator[tuple[str, ...]]:
    """The names of every command that does something, such as ("experiment", "speed")."""
    below = [name for name in within if not name.startswith("-")]
    for name in below:
        yield from commands(within[name], *names, name)
    if not below:
        yield names


def test_the_commands_are_in_the_order_of_use() -> None:
    assert list(dict.fromkeys(names[0] for names in commands(app))) == IN_ORDER
    assert ("experiment", "speed") in commands(app)


@pytest.mark.parametrize("names", list(commands(app)), ids=" ".join)
def test_every_command_has_help(names: tuple[str, ...], tmp_path: Path) -> None:
    ran = start(tmp_path / "log", *names, "--help")
    assert ran.wait() == 0
    assert f"wavewright {' '.join(names)}" in ran.output
    command = functools.reduce(App.__getitem__, names, app)
    options = [
        argument
        for argument in command.assemble_argument_collection(parse_docstring=True)
        if argument.name.startswith("--")
    ]
    assert options
    for option in options:
        assert re.search(rf"{option.name}\b", ran.output)
        assert option.parameter.help, option.name


@pytest.mark.parametrize("names", list(commands(app)), ids=" ".join)
def test_every_command_refuses_an_unknown_option_in_one_line(names: tuple[str, ...], tmp_path: Path) -> None:
    assert "--no-such-option" in start(tmp_path / "log", *names, "--no-such-option", "3").refusal()


def test_help_and_version(wavewright: Run) -> None:
    shown = wavewright("--help")
    assert shown.returncode == 0
    assert re.findall(r"^\W? ?([a-z]+)  ", shown.stdout, re.MULTILINE) == IN_ORDER
    assert wavewright("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--model", "rnn"], "rnn"),
        (["--steps", "many"], "many"),
        (["--steps", "0"], "--steps 0: give more than 0"),
        (["--epochs", "-1"], "--epochs -1: give more than 0"),
        (["--minutes", "nan"], "--minutes nan: give more than 0"),
        (["--batch-size", "0"], "training.batch_size"),
        (["--seed", str(2**64)], f"training.seed: Input should be less than or equal to {2**63 - 1}"),
        (["--preset", "huge"], "huge"),
        (["--preset", "paper", "--model", "naive-rnn"], "naive-rnn has no 'paper'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--set", "model.units"], "write FIELD=VALUE"),
        (["--set", "model.frame_sizes=[8,3]"], "3 does not divide 8"),
        (["--device", "cuda"], "--device cuda: not on this machine"),
        (["--speed", "3"], "--speed"),
    ],
)
def test_what_train_refuses(options: list[str], line: str, corpus: Corpus, tmp_path: Path) -> None:
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    usual = [] if "--model" in options else ["--model", "sample-rnn"]
    run = tmp_path / "run"
    command = start(tmp_path / "log", "train", corpus.path, *usual, "--out", run, *options)
    assert line in command.refusal()
    assert not (run / "checkpoints").exists()


def test_train_needs_something_to_learn(tmp_path: Path, corpus: Corpus) -> None:
    def train(*paths: object) -> str:
        tiny_run = as_arguments(tiny("naive-rnn"))
        return start(tmp_path / "log", "train", *paths, *tiny_run, "--out", tmp_path / "run", "--steps", 2).refusal()

    assert "no CORPUS given" in train()
    assert "nowhere: no such file or folder" in train(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "empty: no readable audio" in train(tmp_path / "empty")
    soundfile.write(tmp_path / "short.wav", melody(0.4, 4000), 4000)
    assert "the longest track is 0.4 s, a section is 4 s: use --section-seconds 0.2" in train(tmp_path / "short.wav")
    (tmp_path / "text.wav").write_text("no sound")
    assert "no readable audio; 1 refused" in train(tmp_path / "text.wav")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_recordings_go_straight_to_a_model(tmp_path: Path) -> None:
    folder, run = tmp_path / "songs", tmp_path / "run"
    folder.mkdir()
    soundfile.write(folder / "a.flac", melody(9.0, 14700), 14700)
    soundfile.write(folder / "b.flac", melody(5.0, 14700, 300), 14700)
    options = [*as_arguments(tiny("naive-rnn", length=500, checkpoint_every=4)), "--out", run]
    command = start(tmp_path / "log", "train", folder, *options, "--steps", 4, "--json")
    assert command.wait() == 0, command.output
    assert f"preparing {folder} into {run / 'corpus'}" in command.output
    said = json.loads(command.output[command.output.index("{") : command.output.rindex("}") + 1])
    assert (said["step"], said["interrupted"], said["run"]) == (4, False, str(run))
    made = Corpus.open(run / "corpus")
    assert (made.rate, made.section) == (14700, 58800)
    assert opening.open_run(run).rate == 14700
    # Again with --resume: it is not prepared anew.
    command = start(tmp_path / "log", "train", folder, *options, "--steps", 6, "--resume")
    assert command.wait() == 0, command.output
    assert "preparing" not in command.output
    assert checkpoints(run) == ["step-00000000", "step-00000004", "step-00000006"]
    assert start(tmp_path / "log", "generate", run, "--out", tmp_path / "a.wav", "--seconds", 0.02).wait() == 0
    assert soundfile.info(tmp_path / "a.wav").samplerate == 14700


def test_epochs_and_minutes_end_a_run_too(corpus: Corpus, tmp_path: Path) -> None:
    options = as_arguments(tiny("naive-rnn"))
    command = start(tmp_path / "log", "train", corpus.path, *options, "--out", tmp_path / "a", "--epochs", 1)
    assert command.wait() == 0, command.output
    steps = [record for record in records(tmp_path / "a") if "loss" in record]
    assert len(steps) == 24  # 6 groups of 4 sections, 4 windows each
    assert sum(record["epoch"] for record in steps) == 1  # the last step is where the next epoch is due
    command = start(tmp_path / "log", "train", corpus.path, *options, "--out", tmp_path / "b", "--minutes", 0.005)
    assert command.wait() == 0, command.output
    assert len(records(tmp_path / "b")) > 0


def test_torch_missing_is_said_in_one_line(tmp_path: Path, corpus: Corpus) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"from wavewright.cli import main; main(['train', {str(corpus.path)!r}, '--model', 'wavenet', '--out', 'x'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "needs torch, not installed: run pip install '.[train]' in the folder" in refusal(result)


@pytest.mark.slow
def test_a_leading_tilde_is_the_home_folder(
    wavewright: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    (home / "songs").mkdir(parents=True)
    soundfile.write(home / "songs/a.wav", melody(2.0, 14700), 14700)
    (home / "run").symlink_to(trained)
    options = ["--out=~/takes/a.wav", "--prime=~/songs/a.wav", "--seconds", "0.02"]
    assert wavewright("generate", "~/run", *options).returncode == 0
    assert (home / "takes/a.wav").is_file()
    assert "a.wav" in wavewright("inspect", "~/songs").stdout
    assert f"{home}/x.yaml: " in refusal(
        wavewright("train", "~/songs", "--model", "wavenet", "--out=~/r", "--config=~/x.yaml")
    )
    assert f"{home}/nowhere" in refusal(wavewright("experiment", "overfit", "--data=~/nowhere", "--out=~/o"))
    wavewright("generate", "~/run", "--out=~nobody-of-this-name/a.wav", "--seconds", "0.02")
    assert [path.name for path in here.iterdir()] == ["~nobody-of-this-name"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["generat", "piano"], 'Did you mean "generate"?'),
        (["experiment", "overfi"], 'Did you mean "overfit"? Available commands: overfit, variations'),
        (["train", "x", "--model", "wavnet", "--out", "r"], 'Choose from: "linear-rnn", "naive-rnn", "sample-rnn"'),
        (["train", "x", "--model", "wavenet", "--preset", "smal", "--out", "r"], 'Did you mean "small"?'),
        (["export", "x", "--out", "r", "--precision", "int7"], 'Choose from: "float32", "bfloat16", "int8"'),
        (
            ["train", "x", "--model", "wavenet", "--set", "model.chanels=4", "--out", "r"],
            "did you mean channels? there",
        ),
        (["generate", "Piano", "--out", "a.wav"], "Piano: no such run or model file; did you mean piano, the model in"),
        (["generate", "pinao.safetensors", "--out", "a.wav"], "did you mean piano, the model in the package?"),
        (["bench", "PIANO"], "did you mean piano, the model in the package?"),
        (["export", "piano", "--out", "a.safetensors", "--title", "x\ny"], "--title: 3 characters; give one line of 1"),
        (["export", "paino", "--out", "a.safetensors"], "did you mean piano, the model in the package?"),
        (["play", "violin"], "violin: no such run or model file; make a run with `wavewright train`"),
        (["experiment", "overfit", "--only"], "--only: name a trial; there are naive-rnn, sample-rnn"),
        (["experiment", "speed", "--only", "naive-rn"], "did you mean naive-rnn? there are naive-rnn, sample-rnn"),
        (["experiment", "speed", "--data", "x"], "Unknown option: --data"),
        (["experiment", "speed", "--device", "cpu"], "Unknown option: --device"),
        (["experiment", "speed", "--storage", "x"], "Unknown option: --storage"),
    ],
)
def test_a_wrong_name_is_met_with_the_right_ones(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert line in start(tmp_path / "log", *arguments).refusal()


def test_runs_below_a_folder_are_named(trained: Path, tmp_path: Path) -> None:
    def line(folder: Path) -> str:
        return start(tmp_path / "log", "generate", folder, "--out", tmp_path / "a.wav").refusal()

    assert f"not a run (no config.json), nor a .safetensors file; name a run in it: {trained}" in line(trained.parent)
    for i in range(7):
        (tmp_path / f"exp/trials/{i}").mkdir(parents=True)
        (tmp_path / f"exp/trials/{i}/run").symlink_to(trained)
    shutil.copytree(trained, tmp_path / "exp/trials/6/copy")
    assert line(tmp_path / "exp").endswith(f"name a run in it: {tmp_path}/exp/trials/6/copy")
    for i in range(6):
        shutil.copytree(trained, tmp_path / f"exp/trials/{i}/copy")
    assert line(tmp_path / "exp").endswith("exp/trials/4/copy and 2 more")


@pytest.mark.slow
@pytest.mark.parametrize("depth", [990, 100_000])
def test_brackets_in_brackets_are_refused_in_one_line(
    depth: int, trained: Path, corpus: Corpus, tmp_path: Path
) -> None:
    nested = "[" * depth + "]" * depth
    run, other = shutil.copytree(trained, tmp_path / "run"), shutil.copytree(corpus.path, tmp_path / "corpus")
    (tmp_path / "deep.yaml").write_text(f"model: {{units: {nested}}}")
    (tmp_path / "splits.json").write_text(f'{{"train": [{nested}]}}')
    options = ("--model", "naive-rnn", "--out", tmp_path / "new")

    def refused(*arguments: object) -> str:
        return start(tmp_path / "log", *arguments).refusal()

    refused("train", other, *options, "--config", tmp_path / "deep.yaml")
    refused("train", other, *options, "--set", f"model.units={nested[:60_000]}")
    refused("prepare", tmp_path, "--out", tmp_path / "c", "--splits", tmp_path / "splits.json")
    text = json.dumps({**json.loads((other / "corpus.json").read_text()), "rate": 0})
    (other / "corpus.json").write_text(text.replace('"rate": 0', f'"rate": {nested}'))
    assert "corpus.json" in refused("train", other, *options)
    text = json.dumps({**json.loads((run / "config.json").read_text()), "encoding": 0})
    (run / "config.json").write_text(text.replace('"encoding": 0', f'"encoding": {nested}'))
    refused("generate", run, "--out", tmp_path / "a.wav")
    header = json.dumps({"__metadata__": {"wavewright": nested}}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "m.safetensors" in refused("generate", tmp_path / "m.safetensors", "--out", "a.wav")
    header = f'{{"a": {nested}}}'.encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "m.safetensors" in refused("generate", tmp_path / "m.safetensors", "--out", "a.wav")
