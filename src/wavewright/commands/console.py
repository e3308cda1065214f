"""Progress, tables and one-line notes on the console.

Progress is a bar on a terminal and plain lines elsewhere. Results go to standard output, all else to standard error.
"""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, cast

from wavewright.errors import WavewrightError
from wavewright.progress import Advance

PLAIN_INTERVAL = 10.0  # seconds between plain progress lines
FOLDED = 12  # characters to which a column of names or words may shrink on a narrow terminal
CLOSED = 141  # the exit status that a shell shows for a command whose reader went away: 128 + SIGPIPE


class _Surviving:
    """Standard error as a file that loses text rather than end a command, where its reader went away."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


def open_streams() -> None:
    """Put the null device in place of a standard stream that was closed before the command began."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def close_streams() -> None:
    """Write out what is left, so that Python finds nothing to complain of at exit.

    Raises:
        WavewrightError: standard output cannot be written.
        SystemExit: the reader of standard output went away.
    """
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _discard(sys.stderr)
    with _output():
        sys.stdout.flush()


@contextmanager
def _output() -> Iterator[None]:
    """End quietly where the reader of standard output went away, and with one line where it cannot be written."""
    try:
        yield
    except BrokenPipeError:
        _discard(sys.stdout)
        raise SystemExit(CLOSED) from None
    except OSError as error:
        _discard(sys.stdout)
        raise WavewrightError(
            f"standard output: cannot write: {error.strerror or error}; send it to another place"
        ) from None


def _discard(file: TextIO) -> None:
    """Send the rest of a stream to the null device. Python writes out at exit what a failed write left behind."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, file.fileno())
        os.close(null)


def put(text: str) -> None:
    """Print a result on standard output."""
    with _output():
        print(text, flush=True)


def say(text: str) -> None:
    """Print one line on standard error. Where that fails, the line is lost and the command goes on."""
    print(text, file=_Surviving(sys.stderr), flush=True)


def show_log() -> None:
    """Print what the library logs on standard error, one line a record."""
    log = logging.getLogger("wavewright")
    log.handlers[:] = [_Lines()]
    log.setLevel(logging.INFO)


class _Lines(logging.Handler):
    """Print each record's message on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def print_json(value: Any) -> None:
    """Print a result on standard output as strict JSON."""
    put(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))


@contextmanager
def progress(text: str, total: float | None) -> Iterator[Advance]:
    """Show the progress of `total` units of work, or None where the total is not known."""
    with _bar(text, total) if sys.stderr.isatty() else _lines(text, total) as advance:
        yield advance


@contextmanager
def _bar(text: str, total: float | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=cast(TextIO, _Surviving(sys.stderr)))) as bar:
        task = bar.add_task(text, total=total)

        def advance(amount: float = 1, text: str | None = None) -> None:
            bar.update(task, advance=amount, description=text)

        yield advance


@contextmanager
def _lines(text: str, total: float | None) -> Iterator[Advance]:
    done, shown, start = 0.0, time.monotonic(), time.monotonic()

    def advance(amount: float = 1, new_text: str | None = None) -> None:
        nonlocal done, shown, text
        done, text = done + amount, new_text or text
        now = time.monotonic()
        if now - shown >= PLAIN_INTERVAL:
            shown = now
            share = f"{100 * done / total:.0f}%" if total else f"{done:.0f}"
            say(f"{text}: {share} after {now - start:.0f} s")

    yield lambda amount=1, text=None: advance(amount, text)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table on standard output, drawn on a terminal and tab-separated elsewhere.

    On a terminal, columns that are empty in every row are left out, and long text goes on in the next line. Figures
    are never cut: where they do not fit side by side, the table is tab-separated too.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    if not (sys.stdout.isatty() and _drawn(title, header, cells)):
        put("\n".join("\t".join(row) for row in (header, *cells)))


def _drawn(title: str, header: Sequence[str], rows: list[list[str]]) -> bool:
    """Draw a table where the terminal is wide enough, and return whether it was."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A Text is shown as it is. In a plain string rich would take square brackets for markup.
    console = Console()
    drawn, least = Table(title=Text(title, style="table.title")), 1
    shown = [i for i in range(len(header)) if not rows or any(row[i] for row in rows)]
    for i in shown:
        column = [header[i], *(row[i] for row in rows)]
        width = max(map(cell_len, column))
        folds = i == 0 or any(" " in cell for cell in column[1:])  # a name or words
        width = min(width, FOLDED) if folds else width
        least += width + 3  # with the frame
        drawn.add_column(Text(header[i]), overflow="fold", no_wrap=not folds, min_width=width)
    if least > console.width:
        return False
    for row in rows:
        drawn.add_row(*(Text(row[i]) for i in shown))
    with _output():
        console.print(drawn)
    return True
