"""Write the page's contents as files of their own, for a paper, a slide or another program.

FOLDER/figures/*.svg
FOLDER/sounds/*.flac
FOLDER/results.json     every table, caption, curve and result, and the file of each picture and sound
"""

import base64
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from wavewright.files import atomic_file, write_json
from wavewright.report.page import Figure, Section, Table
from wavewright.report.reading import Experiment, Trial

FORMAT = 1
NAME = 72  # characters of a file's name, without the number that makes equal names differ


def export(folder: Path, sampling: Sequence[Figure], sections: Sequence[Section]) -> None:
    """Write the page's figures, sounds and numbers below `folder`. Other files there stay."""
    kept = _Kept(folder)
    write_json(
        folder / "results.json",
        {
            "format": FORMAT,
            "figures": [_figure(kept, "sound", figure) for figure in sampling],
            "sections": [_section(kept, section) for section in sections],
        },
    )


@dataclass
class _Kept:
    """A folder, and the content of each file in it."""

    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)

    def file(self, kind: str, title: str, content: bytes) -> str:
        """Write a file below `kind` and return its path in the folder. Equal contents share a file."""
        suffix = {"figures": ".svg", "sounds": ".flac"}[kind]
        name = f"{kind}/{re.sub('[^a-z0-9.]+', '-', title.lower()).strip('-.')[:NAME]}"
        names = (f"{name}{tail}{suffix}" for tail in chain([""], (f"-{n}" for n in count(2))))
        path = next(path for path in names if self.files.get(path, content) == content)
        if path not in self.files:
            self.files[path] = content
            with atomic_file(self.folder / path) as temporary:
                temporary.write_bytes(content)
        return path


def _held(data_uri: str) -> bytes:
    return base64.b64decode(data_uri.partition(",")[2])


def _section(kept: _Kept, section: Section) -> dict[str, Any]:
    name = section.experiment.header.experiment
    return {
        **section.experiment.header.model_dump(exclude={"format"}),
        "title": section.title,
        "tables": [_table(table) for table in section.tables if table.rows],
        "figures": [_figure(kept, name, figure) for group in section.figures for figure in group],
        "sounds": [
            {
                "title": f"{sounds.title}: {card.title}",
                "file": kept.file("sounds", f"{name} {sounds.title} {card.title}", _held(card.audio)),
                "facts": card.facts,
            }
            for sounds in section.sounds
            for card in sounds.cards
        ],
        "trials": [_trial(trial) for trial in section.trials],
        **_measured(section.experiment),
    }


def _figure(kept: _Kept, name: str, figure: Figure) -> dict[str, str]:
    return {
        "number": figure.number,
        "title": figure.title,
        "file": kept.file("figures", f"{name} {figure.number} {figure.title}", figure.svg.encode()),
        "thesis": figure.thesis,
        "ours": figure.ours,
    }


def _table(table: Table) -> dict[str, Any]:
    return {"number": table.number, "title": table.title, "header": table.header, "rows": table.rows}


def _trial(trial: Trial) -> dict[str, Any]:
    curve = trial.curve
    steps, nats = curve.thinned()
    return {
        **trial.result.model_dump(exclude={"sounds"}),
        "config": trial.config,
        "curve": {
            "steps": steps.tolist(),
            "nats": [round(value, 6) if math.isfinite(value) else None for value in nats.tolist()],
        },
        "validations": [
            {"step": step, "minutes": round(float(curve.minutes[curve.at(step)]), 3), "bits": bits}
            for step, bits in zip(curve.validations, curve.validation_bits, strict=True)
        ],
    }


def _measured(experiment: Experiment) -> dict[str, Any]:
    """Return the measurements of an experiment that trains no trials of its own."""
    rows = {"rows": [asdict(row) for row in experiment.rows]} if experiment.rows else {}
    search = {"search": experiment.search.model_dump()} if experiment.search else {}
    return rows | search
