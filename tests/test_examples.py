"""The examples, with the launchers that are installed: the same corpus as one process makes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import fingerprint

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["submitit", "ray"])
def test_a_corpus_is_prepared_by_a_launcher(launcher: str, album: Path, tmp_path: Path) -> None:
    pytest.importorskip(launcher, reason=f"{launcher} is not installed")
    options = ["--rate", "4000", "--section-seconds", "0.5"]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path)}
    for command in (
        [EXAMPLES / f"prepare_with_{launcher}.py", "3", album, "--out", tmp_path / "shards"],
        ["-m", "wavewright", "prepare", album, "--out", tmp_path / "whole"],
    ):
        arguments = [sys.executable, *map(str, command), *options]
        subprocess.run(arguments, check=True, cwd=tmp_path, env=environment, timeout=280, capture_output=True)
    assert fingerprint(tmp_path / "shards") == fingerprint(tmp_path / "whole")
