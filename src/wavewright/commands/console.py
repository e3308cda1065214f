"""Progress, tables and one-line notes on the console.

Progress is a bar on a terminal and plain lines elsewhere. Results go to standard output, all else to standard error.
"""

import codecs
import contextlib
import io
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO, cast

from wavewright.errors import WavewrightError, printable
from wavewright.progress import Advance

PLAIN_INTERVAL = 10.0  # seconds between plain progress lines
FOLDED = 12  # characters to which a column of names or words may shrink on a narrow terminal
CLOSED = 141  # the exit status that a shell shows for a command whose reader went away: 128 + SIGPIPE


class _Stream:
    """A standard stream that escapes the characters that its encoding does not have."""

    def __init__(self, file: TextIO | None) -> None:
        # Python has None for a stream that was closed before the command began.
        self._file = open(os.devnull, "w", encoding="utf-8") if file is None else file  # noqa: SIM115
        if isinstance(self._file, io.TextIOWrapper):
            self._file.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with self._failures():
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with self._failures():
            self._file.flush()

    def _failures(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    def discard(self) -> None:
        """Send the rest to the null device. Python writes out at exit what a failed write left behind."""
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._file.fileno())
            os.close(null)


class _Output(_Stream):
    """Standard output, which ends a command where it cannot be written: quietly where its reader went away.

    Raises:
        WavewrightError: standard output cannot be written.
        SystemExit: the reader went away.
    """

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.discard()
            raise SystemExit(CLOSED) from None
        except OSError as error:
            self.discard()
            raise WavewrightError(
                f"standard output: cannot write: {error.strerror or error}; send it to another place"
            ) from None


class _Notes(_Stream):
    """Standard error, which loses text rather than end a command, where it cannot be written."""

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):
            self.discard()


@contextmanager
def standard_streams() -> Iterator[None]:
    """Take the place of both standard streams, so that whatever is printed meets the same treatment."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, _Output(sys.stdout)), cast(TextIO, _Notes(sys.stderr))
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def put(text: str) -> None:
    """Print a result on standard output, with odd characters escaped."""
    print("\n".join(map(printable, text.split("\n"))), flush=True)


def say(text: str) -> None:
    """Print one line on standard error, with odd characters escaped."""
    print(printable(text), file=sys.stderr, flush=True)


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
    """Print a result on standard output as strict JSON, in ASCII where the output is not UTF-8."""
    is_utf8 = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    print(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=not is_utf8), flush=True)


@contextmanager
def progress(text: str, total: float | None) -> Iterator[Advance]:
    """Show the progress of `total` units of work, or None where the total is not known."""
    with _bar(text, total) if sys.stderr.isatty() else _lines(text, total) as advance:
        yield advance


@contextmanager
def parts(text: str, total: float | None) -> Iterator[Advance]:
    """Show the progress of one of several parts of a command, where there is no bar also by a line when it begins."""
    if not sys.stderr.isatty():
        say(text)
    with progress(text, total) as advance:
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
    with Progress(*columns, console=Console(stderr=True)) as bar:
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
    cells = [[printable(cell) for cell in row] for row in rows]
    if not (sys.stdout.isatty() and _drawn(printable(title), header, cells)):
        print("\n".join("\t".join(row) for row in (header, *cells)), flush=True)


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
    console.print(drawn)
    return True
