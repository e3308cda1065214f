"""Time from a key to its sound, for 200 keys struck at random moments, in samples turned into milliseconds.

An instrument plays twice with one seed, with and without the key. The time to the first sample is the time until the
two differ, for any of a few seeds, since one seed can draw the same code from two distributions. "On the frame" counts
the keys that are first heard with the control frame that holds the sample due. With MODEL, a trained model that has a
keyboard, "-20 dB" is the time until the sound reaches a tenth of its peak. "In all" is the largest time, and the two
blocks of the sound card. A false clock gives each key its time, so these figures do not depend on the machine. The
share of a block's time that it takes to make the block does.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import wavewright
from measured import processor
from wavewright.commands.console import table
from wavewright.formats.config import resolve
from wavewright.formats.model_file import Training
from wavewright.measuring.speed import random_weights
from wavewright.models import CONFIGS
from wavewright.models.condition import Condition, Notes
from wavewright.playing.instrument import Instrument
from wavewright.playing.native_model import NativeModel

RATE = 14700
BLOCKS = (64, 128, 256)
CARD = 2  # blocks that a sound card holds
SEEDS = 3
BEFORE, AFTER = 1, 3  # blocks that are played before the key is struck and from then on
QUIET, ATTACK = 0.3, 0.5  # seconds of a trained model before the key is struck and after
DECIBELS = -20.0
GOAL = 50.0  # ms in all, in blocks of 128


@dataclass
class Answer:
    """Samples from a key to the first sample that differs, the samples due by contract, and the samples to the sound.

    `shares` are those of a block's time that it took to make each.
    """

    first: int
    due: int
    loud: int
    shares: list[float]


def random_model(name: str) -> NativeModel:
    """A model of the preset `small` with a keyboard, whose codes depend strongly on it."""
    settings = resolve(name, "small", None, [])
    config = settings.model.with_condition(Condition(controls=(Notes(),), hop=16))
    weights = random_weights(config)
    weights["encoder.input.weight"] *= config.condition.features**0.5  # so that one key of many counts
    for weight in (name for name in weights if name.endswith("condition.weight")):
        weights[weight] *= 30
    nobody = Training(run="none", step=0, samples=0, best_bits=None, wavewright="", torch="")
    return NativeModel(config, settings.encoding, RATE, {}, nobody, Path(name), weights, "float32", 1)


def played(instrument: Instrument, block: int, blocks: int, at: int, key: int | None) -> tuple[NDArray, list[float]]:
    """The sound of so many blocks, each made when it is due, with a key struck at sample `at` of the clock."""
    now, sound, shares = 0.0, [], []
    instrument.clock = lambda: now / instrument.rate
    for i in range(blocks):
        if key is not None and block * (i - 1) < at <= block * i:
            now = at
            instrument.note_on(key, 100)
        now, start = block * i, time.perf_counter()
        sound.append(instrument.generate(block))
        shares.append((time.perf_counter() - start) * instrument.rate / block)
    return np.concatenate(sound), shares


def answers(model: NativeModel, block: int, events: int, trained: bool) -> list[Answer]:
    rng, hop, notes = np.random.default_rng(0), model.config.condition.hop, model.config.condition.notes
    before = max(BEFORE, round(QUIET * model.rate / block)) if trained else BEFORE
    blocks = before + AFTER + (round(ATTACK * model.rate / block) if trained else 0)
    silent = np.stack([played(model.instrument(seed), block, blocks, 0, None)[0] for seed in range(SEEDS)])
    found = []
    for _ in range(events):
        at, key = before * block + int(rng.integers(block)), int(rng.integers(notes.low, notes.high + 1))
        takes = [played(model.instrument(seed), block, blocks, at, key) for seed in range(SEEDS)]
        first = int(np.argmax(np.any(silent != [sound for sound, _ in takes], 0)))
        due, (sound, shares) = (at + block) // hop * hop, takes[0]
        after = np.abs(sound[due:])
        loud = due + int(np.argmax(after >= after.max() * 10 ** (DECIBELS / 20)))
        found.append(Answer(first - at, due - at, loud - at, shares))
    return found


def row(model: NativeModel, block: int, events: int, trained: bool) -> list[str]:
    found = answers(model, block, events, trained)
    milliseconds = 1000 / model.rate
    first, due, loud = (np.array([getattr(each, name) for each in found]) for name in ("first", "due", "loud"))
    shares = np.concatenate([each.shares for each in found])

    def figures(samples: NDArray) -> list[str]:
        numbers = (np.median(samples), samples.max(), np.ptp(samples), samples.max() + CARD * block)
        return [f"{number * milliseconds:.1f}" for number in numbers]

    return [
        model.path.stem,
        str(block),
        f"{block * milliseconds:.1f}",
        f"{int((first == due).sum())} of {events}",
        *figures(first),
        *(figures(loud) if trained else []),
        f"{np.median(shares):.0%}",
        f"{shares.max():.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, help="a trained model file with a keyboard")
    parser.add_argument("--events", type=int, default=200)
    arguments = parser.parse_args()
    trained = arguments.model is not None
    models = [wavewright.load(arguments.model)] if trained else [random_model(name) for name in CONFIGS]
    rows = [row(model, block, arguments.events, trained) for model in models for block in BLOCKS]
    kinds = ["median", "largest", "spread", "in all"]
    header = ["model", "block", "block ms", "on the frame", *kinds]
    header += [f"-20 dB {kind}" for kind in kinds] if trained else []
    title = f"ms from a key to its first sample, {models[0].rate} Hz, {processor()}"
    table(title, [*header, "share median", "share largest"], rows)


if __name__ == "__main__":
    main()
