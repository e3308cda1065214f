"""Kill a tiny training at random moments, resume it, and compare it with the run that was never stopped.

    python tests/kill_runs.py --kills 200 --around-rollbacks 50 --seed 0

A run with a planted spike rolls back three times on its way, twice in a row. It is killed (SIGKILL) and resumed until
its end, and then begun anew until enough kills have hit. Its last checkpoint, its metrics and its listening samples
must have the bits of the uninterrupted run. Kills around roll-backs come at a random moment from just before one to the
checkpoint after it. The others come at any time from the start of a command.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from support.tiny import checkpoints, fork, hashes, make_corpus, records, tiny

STEPS = 63
SPIKES = {25: 1, 39: 3}  # step -> roll-backs in all until which its loss is not finite
SETTLED = 0.5  # seconds after the roll-back until which a kill counts as around it
MOMENT = "moment"  # a file that a command leaves beside the run when a roll-back is about to begin


def train(corpus: str, run: str) -> None:
    """Train or resume, with the spikes, in a process that may be killed."""
    import logging

    from wavewright.corpus.corpus import Corpus
    from wavewright.training.loop import Budget, Loop
    from wavewright.training.run import train as start
    from wavewright.training.trainer import Trainer

    logging.disable()
    judge, roll_back = Trainer.train_step, Loop._roll_back

    def step(trainer: Trainer) -> Any:
        if trainer.rollbacks < SPIKES.get(trainer.step, 0):
            trainer.guard.skipped = 9  # the next bad step calls for a roll-back
            hook = trainer.parameters[0].register_hook(lambda gradient: gradient * float("inf"))
            try:
                return judge(trainer)
            finally:
                hook.remove()
        return judge(trainer)

    def announced(loop: Loop) -> None:
        Path(run).with_name(MOMENT).touch()
        roll_back(loop)

    Trainer.train_step, Loop._roll_back = step, announced  # type: ignore[method-assign]
    settings = tiny("sample-rnn", ema=0.9, sample_seconds=0.1, schedule="cosine")
    start(settings, Corpus.open(Path(corpus)), Path(run), Budget(steps=STEPS), resume=True, device="cpu")


def main() -> None:
    """Kill and compare until enough kills have hit; exit with status 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills in all")
    parser.add_argument("--around-rollbacks", type=int, default=50, help="how many of them fall around roll-backs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if compare(Path(folder), chance, options.kills, options.around_rollbacks) else 1)


def compare(folder: Path, chance: random.Random, kills: int, around: int) -> bool:
    """Tell whether all runs ended with the same bits. The remaining kills of both kinds are dealt at random."""
    corpus, whole, run = make_corpus(folder).path, folder / "whole", folder / "run"
    begun = time.monotonic()
    for _ in range(2):  # once for the imports that all commands share, and once to see how long a run takes
        shutil.rmtree(whole, ignore_errors=True)
        started = time.monotonic()
        assert killed(corpus, whole, None, chance, 0) == 0
        lasted = time.monotonic() - started
    rolled = [record["reason"] for record in records(whole) if record.get("event") == "rollback"]
    print(f"the whole run: {STEPS} steps, {len(rolled)} roll-backs, {lasted:.1f} s", flush=True)
    assert len(rolled) == 3, rolled
    expected = outcome(whole)
    left = {"any": kills - around, "roll-back": around}
    runs = commands = missed = 0
    while sum(left.values()):
        shutil.rmtree(run, ignore_errors=True)
        runs += 1
        while True:
            kind = chance.choices(list(left), list(left.values()))[0] if sum(left.values()) else None
            status = killed(corpus, run, kind, chance, lasted)
            commands += 1
            if status == 0:
                missed += kind is not None
                break
            if status != -signal.SIGKILL:
                print(f"run {runs}: exit status {status} after a kill", flush=True)
                return False
            left[str(kind)] -= 1
        if outcome(run) != expected:
            print(f"run {runs}: not the bits of the whole run, kept in {keep(run, whole)}", flush=True)
            return False
        print(f"run {runs} has the same bits; {kills - sum(left.values())} kills so far", flush=True)
    print(
        f"{kills} kills, {around} of them around roll-backs, in {runs} runs and {commands} commands: all the same bits"
    )
    print(f"{missed} commands ended before their kill; {time.monotonic() - begun:.0f} s in all", flush=True)
    return True


def killed(corpus: Path, run: Path, kind: str | None, chance: random.Random, lasted: float) -> int:
    """Train in a process and kill it, at a random moment of this kind. Return its exit status."""
    moment = run.with_name(MOMENT)
    moment.unlink(missing_ok=True)
    command = fork.Process(target=train, args=(str(corpus), str(run)))
    command.start()
    if kind == "roll-back":
        while command.is_alive() and not moment.exists():
            time.sleep(0.0005)
        command.join(chance.choice([0, 0.02, 0.1, SETTLED]) * chance.random())
    elif kind:
        command.join(chance.random() ** 2 * lasted)  # resumed, a run is shorter
    if kind and command.is_alive():
        os.kill(command.pid or 0, signal.SIGKILL)
    command.join()
    return int(command.exitcode or 0)


def outcome(run: Path) -> dict[str, Any]:
    """Return what must be the same: all metrics but times, the checkpoints, the last one's bits and the samples."""
    return {
        "metrics": json.dumps(records(run)),
        "checkpoints": checkpoints(run),
        "last": hashes(run, STEPS),
        "samples": {file.name: file.read_bytes() for file in sorted((run / "samples").glob("step-*"))},
    }


def keep(run: Path, whole: Path) -> Path:
    """Copy both runs to where they can be compared by hand."""
    place = Path(tempfile.mkdtemp(prefix="kill-runs-"))
    for folder in (run, whole):
        shutil.copytree(folder, place / folder.name)
    return place


if __name__ == "__main__":
    main()
