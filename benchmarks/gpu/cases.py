"""The four configurations of the thesis that the drill measures, and tiny ones in their place where there is no GPU."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

import plain
import training_speed
from wavewright.corpus.corpus import Corpus
from wavewright.formats.config import RunConfig, resolve

RATE = 14700  # Hz, the thesis's
WINDOWS = 8  # of a lane before its section begins anew


@dataclass(frozen=True)
class Case:
    """A model at a size.

    Attributes:
        title: what to call it.
        name: the model's name.
        fields: over those of the preset `thesis`.
        plain: makes the same from the plainest torch modules.
        length: samples of a lane in a step.
        batches: lanes to try, growing.
        thesis: seconds that the thesis needed for one of sound, on a GTX 1080 Ti.
    """

    title: str
    name: str
    fields: dict[str, int]
    plain: Callable[[], nn.Module]
    length: int
    batches: tuple[int, ...]
    thesis: float

    def config(self, batch: int = 1, precision: str = "fp32") -> RunConfig:
        """Return the configuration of a run with so many lanes."""
        overrides = [f"model.{key}={value}" for key, value in self.fields.items()]
        return resolve(self.name, "thesis", None, overrides, batch_size=batch, length=self.length, precision=precision)


BATCHES = {"naive-rnn": (16, 128, 1024, 4096), "sample-rnn": (16, 128, 1024, 4096), "wavenet": (1, 8, 32, 128)}
THESIS = {"naive-rnn": 16.0, "sample-rnn": 25.0, "wavenet": 28.0}
FULL = [
    Case(title, name, fields, make, length, BATCHES[name], THESIS[name])
    for title, name, fields, make, length, _ in training_speed.CASES
]
SMALL = [
    Case("NaiveRNN 1x16", "naive-rnn", {"layers": 1, "units": 16}, lambda: plain.NaiveRNN(1, 16), 32, (1, 2), 16.0),
    Case("SampleRNN 16, 8/2", "sample-rnn", {"units": 16}, lambda: plain.SampleRNN(16), 32, (1, 2), 25.0),
    Case(
        "WaveNet 1x4",
        "wavenet",
        {"blocks": 1, "layers": 4, "channels": 16},
        lambda: plain.WaveNet(1, 4, 16),
        64,
        (1, 2),
        28.0,
    ),
]


def cases(small: bool) -> list[Case]:
    """Return the configurations to measure."""
    return SMALL if small else FULL


class Noise:
    """The methods of a corpus that training needs, over samples that take no time to make."""

    def __init__(self, lanes: int, length: int) -> None:
        section = WINDOWS * length
        self._samples = np.random.default_rng(0).integers(-32768, 32767, lanes * section, np.int16, endpoint=True)
        edges = np.arange(lanes + 1) * section
        self._sections = np.stack([edges[:-1], edges[1:]], 1)

    def reader(self, split: str) -> NDArray[np.int16]:
        """Return all samples (N,)."""
        return self._samples

    def sections(self, split: str) -> NDArray[Any]:
        """Return the start and stop (S, 2) of every section."""
        return self._sections

    def leads(self, split: str, sections: NDArray[Any], seconds: float) -> NDArray[np.int64]:
        """Return the samples (S,) before each section that are heard but not learned: none."""
        return np.zeros(len(sections), np.int64)


def noise(case: Case, batch: int) -> Corpus:
    """Return a corpus with a section of noise for every lane."""
    return cast(Corpus, Noise(batch, case.length))
