"""What the parts of the drill share: what was asked for, the time there is, and cells whose results go to the driver.

A cell is one measurement with a name and a row of results. Every cell of a part is announced before the first runs, so
what no time was left for stands in the results as `not_run`, and what raised stands there as `error`.
"""

import gc
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch

NO_TIME = "its time was up before this began"
STOPPED = "stopped before it ended"
NO_CUDA = "no CUDA here"

Row = dict[str, Any]
Cell = Callable[[], Row]


class NotRun(Exception):
    """Say why a cell was left out."""


@dataclass(frozen=True)
class Options:
    """What was asked of the drill.

    Attributes:
        out: where results go.
        small: tiny sizes, for a machine without a GPU.
        model: what the long run trains, a name in long_run.RUNS.
        recordings: what it trains on; none means the bundled clip.
        resume: an earlier drill's output, whose run goes on.
    """

    out: Path
    small: bool
    model: str
    recordings: Path | None
    resume: Path | None


@dataclass
class Work:
    """The time of one part and the way its rows take.

    Attributes:
        options: what was asked for.
        device: where to compute.
        seconds: how long the part may take.
        rows: where JSON lines go, one for each row.
    """

    options: Options
    device: torch.device
    seconds: float
    rows: TextIO
    begun: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.begun + self.seconds - time.monotonic()

    def emit(self, cell: str, row: Row) -> None:
        """Send a row, in the place of an earlier one of that cell."""
        self.rows.write(json.dumps([cell, row], allow_nan=False) + "\n")
        self.rows.flush()

    def run(self, cells: Mapping[str, Cell], *, room: float = 0.0) -> None:
        """Run the cells in order, each while at least `room` seconds are left."""
        for name in cells:
            self.emit(name, {"not_run": NO_TIME})
        for name, cell in cells.items():
            if self.left() > room:
                self.emit(name, {"not_run": STOPPED})
                self.emit(name, attempt(cell))

    def need_cuda(self) -> None:
        """Leave the cell out where there is no CUDA.

        Raises:
            NotRun: there is none.
        """
        if self.device.type != "cuda":
            raise NotRun(NO_CUDA)

    def synchronize(self) -> None:
        """Wait until the device has done all that it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def attempt(cell: Cell) -> Row:
    """Return the row of a cell, or why there is none."""
    try:
        row = cell()
        json.dumps(row, allow_nan=False)
        return row
    except NotRun as reason:
        return {"not_run": str(reason)}
    except Exception as error:  # whatever a measurement raises is its result
        return {"error": described(error)}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def described(error: Exception) -> str:
    """Return an exception's name and the beginning of what it says."""
    return f"{type(error).__name__}: {error}"[:600]


def bind(function: Callable[..., Row], *arguments: Any) -> Cell:
    """Return the cell that calls `function` with these arguments."""
    return partial(function, *arguments)
