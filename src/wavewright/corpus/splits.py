"""Which recording goes to which split: whole, so that nothing heard in training is asked in the test."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wavewright.corpus.discovery import Found
from wavewright.corpus.settings import SPLITS, PrepareSettings, SplitName
from wavewright.errors import WavewrightError


@dataclass(frozen=True)
class Stretch:
    """Part of a recording, from sample `start` up to `stop`, for one split."""

    split: SplitName
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def choose(
    found: Sequence[Found], listed: Mapping[SplitName, Sequence[str]] | None
) -> tuple[list[Found], tuple[str, ...]]:
    """The files to decode, and the names of those that no split lists.

    Raises:
        WavewrightError: a listed file that was not found.
    """
    if listed is None:
        return list(found), ()
    names = {name for split in listed.values() for name in split}
    if missing := sorted(names - {file.name for file in found}):
        raise WavewrightError(f"{missing[0]}: listed in the splits but not found below the paths")
    left_out = tuple(file.name for file in found if file.name not in names and file.certain)
    return [file for file in found if file.name in names], left_out


def assign(lengths: Mapping[str, int], settings: PrepareSettings) -> dict[str, list[Stretch]]:
    """The stretches of every recording; `lengths` are in samples.

    Fewer recordings than splits are each cut into one stretch per split, in the order train, valid, test.
    """
    if settings.splits is not None:
        whole = {name: split for split, names in settings.splits.items() for name in names}
    else:
        wanted = [split for split, share in zip(SPLITS, settings.split, strict=True) if share > 0]
        if len(lengths) < len(wanted):
            return {name: _cut(length, settings) for name, length in lengths.items()}
        whole = _deal(lengths, settings)
    return {name: [Stretch(whole[name], 0, length)] for name, length in lengths.items()}


def _deal(lengths: Mapping[str, int], settings: PrepareSettings) -> dict[str, SplitName]:
    """Deal the recordings in a seeded order, each to the split that lacks most, and leave none without."""
    total = sum(lengths.values())
    lacking = {s: share * total for s, share in zip(SPLITS, settings.split, strict=True) if share > 0}
    empty = set(lacking)
    dealt: dict[str, SplitName] = {}
    order = sorted(lengths, key=lambda name: hashlib.sha256(f"{settings.seed}:{name}".encode()).digest())
    for i, name in enumerate(order):
        last_chance = len(order) - i == len(empty)
        split = max(sorted(empty) if last_chance else lacking, key=lacking.__getitem__)
        dealt[name] = split
        lacking[split] -= lengths[name]
        empty.discard(split)
    return dealt


def _cut(length: int, settings: PrepareSettings) -> list[Stretch]:
    """Cut a recording between sections where each split gets one, else at the sample."""
    last = max(i for i, share in enumerate(settings.split) if share > 0)
    shares = [sum(settings.split[: i + 1]) if i < last else 1.0 for i in range(len(SPLITS))]
    for grain in (settings.section, 1):
        edges = [0, *(length if share == 1 else min(length, grain * round(share * length / grain)) for share in shares)]
        pieces = list(zip(SPLITS, settings.split, edges, edges[1:], strict=False))
        if all(stop > start for _, share, start, stop in pieces if share > 0):
            break
    return [Stretch(split, start, stop) for split, _, start, stop in pieces if stop > start]
