"""Progress, tables and one-line notes on the console.

Progress is a bar on a terminal and plain lines elsewhere. Results go to standard output, all else to standard error.
"""

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from wavewright.progress import Advance

PLAIN_INTERVAL = 10.0  # seconds between plain progress lines


def say(text: str) -> None:
    """Print one line on standard error."""
    print(text, file=sys.stderr, flush=True)


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
    print(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))


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
    """Print a table on standard output, drawn on a terminal and tab-separated elsewhere."""
    if not sys.stdout.isatty():
        print("\t".join(header))
        for row in rows:
            print("\t".join(str(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A Text is shown as it is. In a plain string rich would take square brackets for markup.
    drawn = Table(title=Text(title, style="table.title"))
    for name in header:
        drawn.add_column(Text(name))
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    Console().print(drawn)
