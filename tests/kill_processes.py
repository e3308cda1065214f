"""Kill processes of a training in several processes, and compare it with the run that was never stopped.

    python tests/kill_processes.py --kills 20 --seed 0

Two processes train a tiny model, with half of the lanes each and then with half of the layers. A random one of them is
killed (SIGKILL) again and again, and torchrun starts both anew. Their last checkpoint and metrics must have the bits of
two processes that were never killed. Then one of two launchers is killed with its process, as where a machine fails,
and a new one joins. Training must go on both times.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from support.launcher import ELASTIC, process_of
from support.tiny import as_arguments, hashes, make_corpus, records, tiny
from wavewright.formats import checkpoint

STEPS = 400
PATIENCE = 300.0  # seconds
PORT = 29511  # where launchers meet


class Training:
    """A launcher and the processes that it starts."""

    def __init__(
        self, corpus: Path, run: Path, options: list[str], steps: int, log: Path, *, more: Sequence[str] = ()
    ) -> None:
        self.run = run
        config = as_arguments(tiny("sample-rnn", batch_size=3, checkpoint_every=20))
        train = ["wavewright", "train", str(corpus), *config, "--out", str(run), "--steps", str(steps), "--resume"]
        train += more
        with log.open("a") as output:
            self.launcher = subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", *options, "-m", *train],
                env={**ELASTIC, "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=output,
            )

    def kill(self, rank: int) -> None:
        """Kill the process of that rank, if it lives."""
        if found := process_of(self.launcher.pid, rank):
            os.kill(found, signal.SIGKILL)

    def reach(self, step: int) -> None:
        """Wait for a checkpoint at `step` or later."""
        until = time.monotonic() + PATIENCE
        while last_step(self.run) < step:
            assert time.monotonic() < until, f"no checkpoint at step {step}"
            assert self.launcher.poll() is None, f"ended with {self.launcher.returncode} before step {step}"
            time.sleep(0.02)

    def end(self) -> None:
        """Wait for the end, which must be a good one."""
        assert self.launcher.wait(PATIENCE) == 0


def last_step(run: Path) -> int:
    """The step of the last checkpoint, -1 without one."""
    return max(checkpoint.steps(run), default=-1)


def listening(port: int) -> bool:
    """Whether a process of this machine accepts connections at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def main() -> None:
    """Kill and compare. A wrong outcome is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills of one process of two, over both ways of training")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder)).path
        for name, more in (("lanes", []), ("layers", ["--split-layers", "2"])):
            kill_ranks(corpus, Path(folder) / name, random.Random(options.seed), options.kills // 2, more)
        lose_a_launcher(corpus, Path(folder))


def kill_ranks(corpus: Path, folder: Path, chance: random.Random, kills: int, more: list[str]) -> None:
    """Kill random processes, in as many runs as it takes, and compare each with a whole run."""
    folder.mkdir()
    two = ["--standalone", "--nproc-per-node", "2", "--max-restarts", str(kills)]
    Training(corpus, folder / "whole", two, STEPS, folder / "log", more=more).end()
    left, runs = kills, 0
    while left:
        runs += 1
        run = folder / f"run {runs}"
        training = Training(corpus, run, two, STEPS, folder / "log", more=more)
        for step in sorted(chance.sample(range(STEPS - 40), min(left, 5))):
            training.reach(step)
            time.sleep(chance.random() / 2)
            training.kill(chance.randrange(2))
            left -= 1
        training.end()
        assert records(run) == records(folder / "whole"), f"run {runs}: other records"
        assert hashes(run, STEPS) == hashes(folder / "whole", STEPS), f"run {runs}: other bits"
        print(f"{folder.name}, run {runs} has the same bits; {kills - left} kills so far", flush=True)


def lose_a_launcher(corpus: Path, folder: Path) -> None:
    """Kill one of two launchers with its process, and let a new one join."""
    run = folder / "elastic"
    elastic = ["--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "5", "--rdzv-backend", "c10d"]
    elastic += ["--rdzv-endpoint", f"localhost:{PORT}", "--rdzv-id", "wavewright"]
    first = Training(corpus, run, elastic, 4000, folder / "log")
    while not listening(PORT):  # the launcher that all meet at must not be the lost one
        time.sleep(0.05)
    second = Training(corpus, run, elastic, 4000, folder / "log")
    first.reach(200)
    second.launcher.kill()
    for rank in (0, 1):
        second.kill(rank)
    first.reach(last_step(run) + 300)
    third = Training(corpus, run, elastic, 4000, folder / "log")
    first.reach(4000)
    statuses = [training.launcher.wait(PATIENCE) for training in (first, third)]
    print(f"last step {last_step(run)}, exit statuses of the launchers {statuses}", flush=True)
    assert last_step(run) == 4000  # torchrun itself can fail when one launcher leaves before the other
    changes = [(r["before"], r["now"]) for r in records(run) if r.get("event") == "processes"]
    print(f"processes before and after each change: {changes}", flush=True)
    assert changes == [(2, 1), (1, 2)]
    print("a machine was lost and another came, and the run went on to its end", flush=True)


if __name__ == "__main__":
    main()
