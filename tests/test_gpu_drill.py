"""The GPU drill in its small form, as `make gpu` runs it without a GPU: every part, and what it leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import HANGS, ROOT
from wavewright.formats import model_file

pytestmark = pytest.mark.slow
Parts = dict[str, dict[str, Any]]


def drill(out: Path, *arguments: object) -> Parts:
    """The parts in `drill.json`, each with its rows by their cells."""
    command = [sys.executable, "benchmarks/gpu_drill.py", "--small", "--out", out, *arguments]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tiny sizes on the CPU" in done.stderr
    value = json.loads((out / "drill.json").read_text(encoding="utf-8"))
    assert (value["format"], value["small"], value["device"]) == (1, True, "the CPU")
    for name, part in value["parts"].items():
        assert f"{name} (" in done.stdout
        assert part.get("ended", "in time") == "in time", (name, part, done.stderr)
        assert part["rows"], name
    parts: Parts = value["parts"]
    return parts


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drill") / "out"


@pytest.fixture(scope="module")
def parts(out: Path) -> Parts:
    """Of a whole drill; it has far more time than it needs, since the machine may be shared."""
    return drill(out, "--minutes", 8)


def test_it_has_every_part(parts: Parts) -> None:
    assert list(parts) == ["environment", "tests", "speed", "playing", "faster", "long_run"]
    assert parts["environment"]["rows"]["engine"]["native_engine"]


def test_what_needs_cuda_says_that_there_is_none(parts: Parts) -> None:
    tests = parts["tests"]["rows"]
    outcomes = {row["outcome"] for name, row in tests.items() if name != "pytest"}
    assert len(tests) > 50
    assert outcomes == {"skipped"}
    assert all(row["why"].endswith("torch sees no CUDA here") for name, row in tests.items() if name != "pytest")
    faster = parts["faster"]["rows"]
    for name, row in faster.items():
        if name.endswith("as it is"):
            assert "samples_per_second" in row or "bf16" in row["error"]
        else:
            assert row == {"not_run": "no CUDA here"}


def test_steps_are_measured_beside_plain_torch_and_the_matrix_rate(parts: Parts) -> None:
    rows = parts["speed"]["rows"]
    assert len(rows) == 3 + 3 * 2 * 4
    for name, row in rows.items():
        if "matrix" in name:
            assert row["teraflops"] > 0
        elif "bf16" not in name:
            assert row["of_matrix_rate"] > 0
            assert row["times_plain"] > 0
            assert 0 < row["data_share"] < 1


def test_the_static_step_plays_what_plain_stepping_plays(parts: Parts) -> None:
    rows = parts["playing"]["rows"]
    graphs = {name: row for name, row in rows.items() if name.endswith("graph")}
    assert len(graphs) == 6
    for row in graphs.values():
        assert row["checked_samples"] == 100
        assert row["first_difference"] is None
        assert row["not_run"].startswith("no CUDA here")
    assert {row["graphs"] for row in graphs.values()} == {1, 8}
    assert all(row["seconds_per_second_of_sound"] > 0 for name, row in rows.items() if name not in graphs)


def test_it_leaves_few_small_files(parts: Parts, out: Path) -> None:
    files = sorted(path.name for path in out.rglob("*"))
    assert files == ["drill.json", "model.safetensors", "run.tar.0", "take.wav"]
    assert model_file.load(out / "model.safetensors").config.name == "wavenet"
    assert parts["long_run"]["rows"]["run"]["pieces"] == ["run.tar.0"]


def test_an_earlier_drills_run_goes_on(parts: Parts, out: Path, tmp_path: Path) -> None:
    first = parts["long_run"]["rows"]
    more = drill(tmp_path / "more", "--parts", "long_run", "--resume", out)["long_run"]["rows"]
    begun = int(first["run"]["checkpoint"].removeprefix("step-"))
    assert more["train"]["step"] > begun >= 5
    kept = [pair for pair in first["train"]["validations"] if pair[0] < begun]
    assert more["train"]["validations"][: len(kept)] == kept


def test_a_run_that_is_not_there_is_an_entry_and_not_the_end(tmp_path: Path) -> None:
    rows = drill(tmp_path / "out", "--parts", "long_run", "--resume", tmp_path)["long_run"]["rows"]
    assert "no run.tar.0" in rows["train"]["not_run"]
    assert "error" in rows["run"]
