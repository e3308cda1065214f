"""Trainings in several processes, as torchrun starts them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import HANGS
from support.tiny import start

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


def together(arguments: Sequence[object], processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Run `wavewright ARGUMENTS` as torchrun does, in processes that start at once and are never started anew."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    with tempfile.TemporaryDirectory() as folder:
        logs, outs = ([Path(folder, f"{rank}.{kind}") for rank in range(processes)] for kind in ("log", "out"))
        commands = [
            start(logs[rank], *arguments, out=outs[rank], RANK=str(rank), LOCAL_RANK=str(rank), **meeting)
            for rank in range(processes)
        ]
        over = time.monotonic() + HANGS
        while None in (ended := [command.process.exitcode for command in commands]) and not any(ended):
            assert time.monotonic() < over, [command.output for command in commands]
            time.sleep(0.01)
        for command in commands:  # where one has failed, the others may wait for it
            command.send(signal.SIGTERM)
            command.process.join(30)
            command.process.kill()
            command.process.join()
        out, err = ("".join(path.read_text(encoding="utf-8") for path in paths) for paths in (outs, logs))
        return subprocess.CompletedProcess(arguments, max(map(abs, filter(None, ended)), default=0), out, err)


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
