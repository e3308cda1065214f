"""The parts of a page, as the template takes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wavewright.report.reading import Experiment, Trial
from wavewright.report.sound_card import SoundCard

NAMES = 8  # recordings that are named; the rest are counted
WORDS = 16  # characters; a longer cell holds words, not a number


@dataclass(frozen=True)
class Figure:
    """A picture with a sentence on the thesis's figure and one on ours.

    `number` is the thesis's, or empty where the thesis has no such figure. `svg` is the text of an SVG file.
    """

    number: str
    title: str
    svg: str
    ours: str
    thesis: str = ""


@dataclass(frozen=True)
class Table:
    """A table of texts. Columns whose header begins with "thesis" hold the thesis's values."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    number: str = ""
    folded: bool = False

    def look(self, column: int) -> str:
        """Return the style of a column's cells."""
        thesis = self.header[column].startswith("thesis")
        words = any(len(row[column]) > WORDS for row in self.rows)
        return " ".join(["thesis"] * thesis + ["words"] * words)


@dataclass(frozen=True)
class Sounds:
    """Sound cards side by side."""

    title: str
    cards: Sequence[SoundCard]


@dataclass(frozen=True)
class Section:
    """An experiment on the page, its figures in groups.

    `missing` names the figures that have no trials. `trials` are those whose notes and fields are shown.
    """

    experiment: Experiment
    title: str
    lead: str
    tables: list[Table] = field(default_factory=list)
    figures: list[list[Figure]] = field(default_factory=list)
    sounds: list[Sounds] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    trials: Sequence[Trial] = ()

    @property
    def notes(self) -> list[str]:
        """A line for each trial that has a note."""
        return [f"{trial.result.title}: {trial.result.note}" for trial in self.trials if trial.result.note]

    @property
    def configurations(self) -> list[tuple[str, str]]:
        """Title and fields of each trial."""
        return [(trial.result.title, flat(trial.config)) for trial in self.trials]

    @property
    def recordings(self) -> str:
        """The recordings in a sentence or two."""
        data = self.experiment.header.data
        names = ", ".join(data.files[:NAMES]) + (f" and {len(data.files) - NAMES} more" if data.files[NAMES:] else "")
        if data.seconds is None or data.rate is None:
            return data.facts
        length = f"{data.seconds / 60:,.3g} minutes" if data.seconds > 60 else f"{data.seconds:.3g} s"
        return f"{names}: {length} at {data.rate:,} Hz. {data.facts}"


def flat(fields: dict[str, object], prefix: str = "") -> str:
    """Write nested fields as `model.units = 256, ...`."""
    parts = []
    for key, value in fields.items():
        name = f"{prefix}{key}"
        parts.append(flat(value, f"{name}.") if isinstance(value, dict) else f"{name} = {value}")
    return ", ".join(part for part in parts if part)
