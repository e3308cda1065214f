"""What a listening test is: its trials, and in which order a listener hears them."""

import functools
import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Method = Literal["ab", "abx", "mos", "multi"]


@dataclass(frozen=True)
class ListeningTest:
    """A test as its row has it.

    Attributes:
        id, name, made: of the row.
        method, question, reference, seed: as asked. `reference` is a system's name.
        systems: names of the models.
        seconds: length of each stimulus, by item and system.
    """

    id: str
    name: str
    made: float
    method: Method
    question: str
    reference: str | None
    seed: int
    systems: list[str]
    seconds: list[list[float]]

    @functools.cached_property
    def trials(self) -> list[tuple[int, tuple[int, ...]]]:
        """The item and the systems of each trial."""
        sizes = {"ab": 2, "abx": 2, "mos": 1, "multi": len(self.systems)}
        groups = [*itertools.combinations(range(len(self.systems)), sizes[self.method])]
        return [(item, group) for item in range(len(self.seconds)) for group in groups]

    @property
    def reference_system(self) -> int | None:
        """The number of the system that is the reference, if one is."""
        return None if self.reference is None else self.systems.index(self.reference)

    def order(self, listener: int) -> list[int]:
        """Return the trials in a listener's order. Those of successive listeners are the rows of a Latin square."""
        return np.roll(np.random.default_rng(self.seed).permutation(len(self.trials)), -listener).tolist()

    def placed(self, trial: int, listener: int) -> list[int]:
        """Return the systems of a trial in the order in which a listener hears them. X of an ABX is the third."""
        _, systems = self.trials[trial]
        rng = np.random.default_rng((self.seed, trial))
        places = np.roll(rng.permutation(systems), -listener).tolist()
        if self.method == "abx":
            places.append(places[(int(rng.integers(2)) + listener // 2) % 2])
        return places


def read(row: dict[str, Any]) -> ListeningTest:
    """Return the test of a row of the store."""
    facts = {key: value for key, value in row["facts"].items() if key in ListeningTest.__dataclass_fields__}
    return ListeningTest(row["id"], row["name"], row["made"], **facts)
