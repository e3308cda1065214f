"""The GPU drill: one prepared script for a few minutes of a CUDA machine (`make gpu`, docs/training.md).

It builds the native engine where that is missing, runs the tests marked `cuda`, measures training and generating, and
trains one model at full size for the rest of the time. All results go to `drill.json` in the output folder, which is
rewritten after every row. Each part is a process of its own with its own share of the time, so that none can stop or
spoil another. Without CUDA the same parts run on the CPU at tiny sizes.
"""

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from gpu import environment
from gpu.work import Options, Work

FORMAT = 1
GRACE = 15.0  # seconds beyond its time after which a part is killed
# Parts in order, and how much of the whole time each may take. The last takes what is left.
SHARES = {"tests": 0.2, "speed": 0.2, "playing": 0.13, "faster": 0.13, "long_run": 1.0}
RECORDINGS = Path(".gpu/recordings")


def main() -> None:
    """Run the drill, or one part of it as a child of the drill."""
    options, arguments = parsed()
    if arguments.part:
        run_part(arguments.part, options, arguments.seconds)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        drill(options, 60 * arguments.minutes, arguments.parts.split(","))


def parsed() -> tuple[Options, argparse.Namespace]:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu-out"), help="where results go")
    parser.add_argument("--minutes", type=float, default=8.0, help="how long all of it may take")
    parser.add_argument("--small", action="store_true", help="tiny sizes on the CPU, as without a GPU")
    parser.add_argument("--parts", default=",".join(SHARES), help="some of them, separated by commas")
    parser.add_argument("--model", default="wavenet", help="what the long run trains: wavenet, sample-rnn, naive-rnn")
    parser.add_argument(
        "--recordings", type=Path, help=f"what it trains on: {RECORDINGS} if there are any, else the bundled clip"
    )
    parser.add_argument("--resume", type=Path, help="the output folder of an earlier drill, whose run goes on")
    parser.add_argument("--part", choices=list(SHARES), help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts.split(",")) - set(SHARES):
        parser.error(f"--parts: no {min(unknown)}; there are {', '.join(SHARES)}")
    small = arguments.small or not torch.cuda.is_available()
    recordings = arguments.recordings or (RECORDINGS if RECORDINGS.is_dir() and not small else None)
    return Options(arguments.out.resolve(), small, arguments.model, recordings, arguments.resume), arguments


class Results:
    """What `drill.json` holds; every change is written at once, and never half."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.value: dict[str, Any] = {"format": FORMAT, **facts, "parts": {}}

    def part(self, name: str) -> dict[str, Any]:
        """Return the place of a part: its facts, and its rows by their cells."""
        place: dict[str, Any] = self.value["parts"].setdefault(name, {"rows": {}})
        return place

    def save(self) -> None:
        """Write all to disk."""
        temporary = self.path.with_suffix(".partial")
        temporary.write_text(json.dumps(self.value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(temporary, self.path)


def drill(options: Options, seconds: float, parts: list[str]) -> None:
    """Run the parts one after the other, each for its share of the time."""
    begun = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() and not options.small else "the CPU"
    if options.small:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # the parts' sizes are too small to share
        say("no GPU, or the small form was asked for: tiny sizes on the CPU, which measure nothing")
    facts = {"small": options.small, "device": where, "cores": os.cpu_count(), "minutes": seconds / 60}
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None  # type: ignore[no-untyped-call]
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": cudnn}
    results = Results(options.out / "drill.json", {**facts, "python": platform.python_version(), **versions})
    results.save()
    results.part("environment")["rows"], path = environment.prepare()
    results.save()
    for name in parts:
        left = begun + seconds - time.monotonic()
        share = left if name == parts[-1] else min(SHARES[name] * seconds, left)
        say(f"{name}: up to {share:.0f} s")
        start, place = time.monotonic(), results.part(name)
        place["ended"] = follow(name, share, place["rows"], results, path)
        place["seconds"] = round(time.monotonic() - start, 1)
        results.save()
    results.value["seconds"] = round(time.monotonic() - begun, 1)
    results.save()
    show(results.value)


def follow(name: str, seconds: float, rows: dict[str, Any], results: Results, path: str) -> str:
    """Run one part as a process, keep its rows as they come, and return how it ended."""
    if seconds < 5:
        return "not run: the time was up"
    command = [sys.executable, __file__, *sys.argv[1:], "--part", name, "--seconds", str(seconds)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}, text=True, start_new_session=True
    )
    timer = threading.Timer(seconds + GRACE, stop, [child])
    timer.start()
    try:
        assert child.stdout is not None
        for line in child.stdout:
            if line.endswith("\n"):  # whole, whenever the part was killed
                cell, row = json.loads(line)
                rows[cell] = row
                results.save()
        status = child.wait()
    finally:
        timer.cancel()
        stop(child)
    return {0: "in time", -signal.SIGKILL: "killed: its time was up"}.get(status, f"exit status {status}")


def stop(child: subprocess.Popen[str]) -> None:
    """Kill a part and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def run_part(name: str, options: Options, seconds: float) -> None:
    """Run one part in this process; rows go to what was standard output, all else to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as rows:
        os.dup2(2, 1)
        from wavewright.devices import choose_device, keep_memory

        keep_memory()
        device = choose_device("cpu" if options.small else "cuda")
        importlib.import_module(f"gpu.{name}").run(Work(options, device, seconds, rows))


def show(value: dict[str, Any]) -> None:
    """Print what was measured, a line for each cell; those with nothing to tell share a line."""
    for name, part in value["parts"].items():
        print(f"{name} ({part.get('seconds', 0)} s, {part.get('ended', 'done')})")
        alike: dict[str, list[str]] = {}
        for cell, row in part["rows"].items():
            if row.get("outcome") in ("passed", "skipped"):
                alike.setdefault(" ".join([row["outcome"], *row.get("why", "").split()]), []).append(cell)
            elif list(row) == ["not_run"]:
                alike.setdefault(f"not run: {row['not_run']}", []).append(cell)
            else:
                print(f"  {cell}: {', '.join(f'{key} {short(item)}' for key, item in row.items())}")
        for what, cells in alike.items():
            print(f"  {len(cells)} {what}: {short(cells)}")


def short(item: Any) -> str:
    """Return a value in a few characters."""
    return f"{item:.4g}" if isinstance(item, float) else " ".join(str(item).split())[:80]


def say(text: str) -> None:
    """Tell the person, on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
