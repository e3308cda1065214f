"""Prepare a corpus on a Slurm cluster: python prepare_with_submitit.py SHARDS RECORDINGS --out CORPUS ..."""

import subprocess
import sys

import submitit


def prepare(*arguments: str) -> None:
    """Run `wavewright prepare`."""
    subprocess.run([sys.executable, "-m", "wavewright", "prepare", *arguments], check=True)


def main() -> None:
    """Submit a job for each shard, wait for all, and merge them."""
    count, *arguments = sys.argv[1:]
    executor = submitit.AutoExecutor("submitit-logs")  # without Slurm, its jobs are processes on this machine
    executor.update_parameters(timeout_min=240, cpus_per_task=4)
    shards = range(1, int(count) + 1)
    jobs = [executor.submit(prepare, *arguments, "--shard", f"{shard}/{count}") for shard in shards]
    for job in jobs:
        job.result()
    prepare(*arguments, "--merge")


if __name__ == "__main__":
    main()
