"""Assign recordings to splits. A recording stays whole, so that no test material is in training."""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wavewright.corpus.discovery import Found
from wavewright.corpus.settings import SPLITS, PrepareSettings, SplitName
from wavewright.errors import WavewrightError


@dataclass(frozen=True)
class Stretch:
    """A part of a recording for one split, from sample `start` up to `stop`."""

    split: SplitName
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def choose(
    found: Sequence[Found], listed: Mapping[SplitName, Sequence[str]] | None
) -> tuple[list[Found], tuple[str, ...]]:
    """Return the files to decode, and the names of files that no split lists.

    Raises:
        WavewrightError: a listed file that was not found.
    """
    if listed is None:
        return list(found), ()
    names = _listed((file.name for file in found), listed)
    if missing := sorted({name for split in listed.values() for name in split} - set(names.values())):
        raise WavewrightError(f"{missing[0]}: listed in the splits but not found below the paths")
    left_out = tuple(file.name for file in found if file.name not in names and file.certain)
    return [file for file in found if file.name in names], left_out


def _listed(found: Iterable[str], listed: Mapping[SplitName, Sequence[str]]) -> dict[str, str]:
    """Return the listed name of every found name that has one.

    One name can be written in several forms of Unicode, and macOS stores another one than people type. So names are
    compared in one form, but a name that is found just as it is listed stands for itself alone.
    """
    found = list(found)
    names = [name for split in listed.values() for name in split]
    same = {name: name for name in set(names) & set(found)}
    others = {unicodedata.normalize("NFC", name): name for name in names if name not in same}
    for name in found:
        if name not in same and (listed_name := others.get(unicodedata.normalize("NFC", name))):
            same[name] = listed_name
    return same


LEAST_SHARE = 0.75  # of its due for training: where it would get less, the longest recordings are dealt first


def assign(lengths: Mapping[str, int], settings: PrepareSettings) -> dict[str, list[Stretch]]:
    """Return the stretches of every recording, by name, for `lengths` in samples.

    With fewer recordings than splits, each is cut into one stretch per split, in the order train, valid, test.
    """
    if settings.splits is not None:
        split_of = {name: split for split, names in settings.splits.items() for name in names}
        whole = {name: split_of[listed] for name, listed in _listed(lengths, settings.splits).items()}
    else:
        wanted = [split for split, share in zip(SPLITS, settings.split, strict=True) if share > 0]
        if len(lengths) < len(wanted):
            return {name: _cut(length, settings) for name, length in lengths.items()}
        whole = _deal(lengths, settings)
    return {name: [Stretch(whole[name], 0, length)] for name, length in lengths.items()}


def training_share(stretches: Mapping[str, Sequence[Stretch]]) -> float:
    """Return the share of the whole duration that training gets."""
    every = [stretch for parts in stretches.values() for stretch in parts]
    return sum(len(stretch) for stretch in every if stretch.split == "train") / sum(map(len, every))


def _deal(lengths: Mapping[str, int], settings: PrepareSettings) -> dict[str, SplitName]:
    """Deal the recordings in a seeded order. Where training then gets too little, deal the longest ones first."""
    seeded = sorted(lengths, key=lambda name: hashlib.sha256(f"{settings.seed}:{name}".encode()).digest())
    due = settings.split[0] * sum(lengths.values())

    def trained(dealt: Mapping[str, SplitName]) -> int:
        return sum(length for name, length in lengths.items() if dealt[name] == "train")

    dealt = _deal_in_order(seeded, lengths, settings)
    if trained(dealt) >= LEAST_SHARE * due:
        return dealt
    longest_first = _deal_in_order(sorted(seeded, key=lambda name: -lengths[name]), lengths, settings)
    return max(dealt, longest_first, key=trained)


def _deal_in_order(order: Sequence[str], lengths: Mapping[str, int], settings: PrepareSettings) -> dict[str, SplitName]:
    """Deal each recording to the split that lacks most, and leave no split empty."""
    total = sum(lengths.values())
    lacking = {s: share * total for s, share in zip(SPLITS, settings.split, strict=True) if share > 0}
    empty = set(lacking)
    dealt: dict[str, SplitName] = {}
    for i, name in enumerate(order):
        last_chance = len(order) - i == len(empty)
        split = max(sorted(empty) if last_chance else lacking, key=lacking.__getitem__)
        dealt[name] = split
        lacking[split] -= lengths[name]
        empty.discard(split)
    return dealt


def _cut(length: int, settings: PrepareSettings) -> list[Stretch]:
    """Cut a recording between sections where each split then gets one, else between samples."""
    last = max(i for i, share in enumerate(settings.split) if share > 0)
    shares = [sum(settings.split[: i + 1]) if i < last else 1.0 for i in range(len(SPLITS))]
    for grain in (settings.section, 1):
        edges = [0, *(length if share == 1 else min(length, grain * round(share * length / grain)) for share in shares)]
        pieces = list(zip(SPLITS, settings.split, edges, edges[1:], strict=False))
        if all(stop > start for _, share, start, stop in pieces if share > 0):
            break
    return [Stretch(split, start, stop) for split, _, start, stop in pieces if stop > start]
