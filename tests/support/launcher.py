"""The processes that torchrun starts."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import HANGS

# Else a restart waits for ever for a store of the processes that ended (PyTorch 2.13).
ELASTIC = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def torchrun(
    arguments: Sequence[object],
    processes: int = 2,
    options: Sequence[str] = (),
    disturb: Callable[[int], None] = lambda launcher: None,
) -> subprocess.CompletedProcess[str]:
    """Run `wavewright ARGUMENTS` as several processes; where it hangs, none of them stays.

    Args:
        arguments: of wavewright.
        processes: how many.
        options: of torchrun.
        disturb: called with the launcher's number while it runs.
    """
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *options]
    command = [sys.executable, *launcher, "-m", "wavewright", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ELASTIC) as process:
        try:
            disturb(process.pid)
            out, err = process.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            process.terminate()  # the launcher ends its children; killed, it would leave them
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def process_of(launcher: int, rank: int) -> int | None:
    """The number of the launcher's process of that rank, while it lives."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == launcher and f"\0RANK={rank}\0" in folder.joinpath("environ").read_text():
                return int(folder.name)
        except (OSError, IndexError):  # it has ended
            pass
    return None
