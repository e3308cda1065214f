"""Prepare a corpus on a Ray cluster: python prepare_with_ray.py SHARDS RECORDINGS --out CORPUS ..."""

import subprocess
import sys

import ray


def prepare(*arguments: str) -> None:
    """Run `wavewright prepare`."""
    subprocess.run([sys.executable, "-m", "wavewright", "prepare", *arguments], check=True)


def main() -> None:
    """Start a task for each shard, wait for all, and merge them."""
    count, *arguments = sys.argv[1:]
    ray.init(include_dashboard=False)  # `ray job submit` and RAY_ADDRESS join a cluster; else it is this machine
    task = ray.remote(num_cpus=1)(prepare)
    ray.get([task.remote(*arguments, "--shard", f"{shard}/{count}") for shard in range(1, int(count) + 1)])
    prepare(*arguments, "--merge")


if __name__ == "__main__":
    main()
