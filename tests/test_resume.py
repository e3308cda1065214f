"""Stopped anywhere and resumed, a run ends with the same bits as one that never stopped."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from support.tiny import as_arguments, checkpoints, hashes, records, start, tiny, wait_for_lines
from wavewright.corpus.corpus import Corpus

pytestmark = pytest.mark.slow

STEPS = 53  # two epochs and a bit; no multiple of the 7 steps between checkpoints

CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "naive-rnn": (
        "naive-rnn",
        {"layers": 2},
        {"schedule": "plateau", "plateau_patience": 1, "ema": 0.9, "learning_rate": 0.1, "emphasis": 0.85},
    ),
    "sample-rnn": (
        "sample-rnn",
        {"cell": "gru", "learned_state": True, "weight_norm": True, "n_rnn": 2},
        {"schedule": "cosine", "schedule_steps": 60, "warmup_steps": 9, "clip": "value"},
    ),
    "linear-rnn": ("linear-rnn", {"frame_sizes": [8, 2, 1], "widths": [8, 6, 8], "blocks": [1, 1, 1]}, {"ema": 0.9}),
    "split": ("sample-rnn", {"split": True}, {"noise": 2}),
    "prediction": ("wavenet", {"prediction": {"order": 9, "window": 40.0, "hop": 7}}, {"noise": 1}),
    "wavenet": ("wavenet", {"skip_channels": 5}, {"ema": 0.95, "batch_size": 3, "length": 200}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def train(case: str, corpus: Corpus) -> list[object]:
    name, fields, training = CASES[case]
    return ["train", corpus.path, *as_arguments(tiny(name, fields, **training))]


@pytest.fixture(scope="module")
def whole(train: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    command = start(folder / "log", *train, "--out", folder / "run", "--steps", STEPS)
    assert command.wait() == 0, command.output
    return folder / "run"


def test_stopped_by_its_budget(train: list[object], whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for steps in (5, 14, 25, 26, STEPS):
        command = start(tmp_path / "log", *train, "--out", run, "--steps", steps, "--resume")
        assert command.wait() == 0, command.output
    same(run, whole)


def test_stopped_by_signals(train: list[object], whole: Path, tmp_path: Path) -> None:
    run, chance = tmp_path / "run", random.Random(1)
    stops = 0
    for i, number in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGINT)):
        command = start(tmp_path / f"log-{i}", *train, "--out", run, "--steps", STEPS, "--resume")
        wait_for_lines(command, run, chance.randint(1, 12))
        command.send(number)
        status = command.wait()
        stopped = status == 128 + number
        assert stopped or status in (0, -number), command.output  # the last two where the run had ended already
        assert not stopped or "stopping after this step" in command.output
        stops += stopped
    assert stops
    finish(train, run, tmp_path)
    same(run, whole)


def test_killed_at_random_moments(train: list[object], whole: Path, tmp_path: Path) -> None:
    run, chance = tmp_path / "run", random.Random(2)
    kills = 0
    for i in range(7):
        command = start(tmp_path / f"log-{i}", *train, "--out", run, "--steps", STEPS, "--resume")
        if i:  # the first kill comes while it starts
            wait_for_lines(command, run, chance.randint(1, 14))
        time.sleep(chance.choice([0, 0, 0.003, 0.02, 0.05]))  # a checkpoint takes as long
        command.send(signal.SIGKILL)
        kills += command.wait() == -signal.SIGKILL
    assert kills >= 2
    assert len(records(run)) > 7  # they came where there was something to lose
    finish(train, run, tmp_path)
    same(run, whole)
    assert all(name.startswith("step-") for name in checkpoints(run))  # what the kills left is cleared away


def finish(train: list[object], run: Path, tmp_path: Path) -> None:
    command = start(tmp_path / "log", *train, "--out", run, "--steps", STEPS, "--resume")
    assert command.wait() == 0, command.output


def same(run: Path, whole: Path) -> None:
    assert records(run) == records(whole)
    assert hashes(run, STEPS) == hashes(whole, STEPS)


def test_the_whole_run_is_as_long_as_it_says(case: str, whole: Path) -> None:
    """That `same` compares something."""
    rates = {record["rate"] for record in records(whole) if "rate" in record}
    assert len(rates) == {"naive-rnn": 2, "sample-rnn": STEPS - 1}.get(case, 1)
    steps = [record["step"] for record in records(whole) if "loss" in record]
    assert steps == list(range(1, STEPS + 1))
    validations = [record for record in records(whole) if record.get("event") == "validation"]
    assert [record["step"] for record in validations] == [*range(7, STEPS, 7), STEPS]  # the last at its end
    assert max(record["epoch"] for record in records(whole) if "epoch" in record) == 2
    best = min(validations, key=lambda record: record["bits"])["step"]
    assert checkpoints(whole) == [f"step-{step:08d}" for step in sorted({best, 42, 49, STEPS})]
