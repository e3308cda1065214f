"""The studio's database: an index of the recordings, what was asked of corpora and trainings, and listening tests.

What a run or a corpus has become stays in its own files, so a lost database loses no sound and no training.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wavewright.errors import WavewrightError

TABLES = (  # of each version, beside those of the versions before
    """
CREATE TABLE recordings(
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    added REAL NOT NULL,
    state TEXT NOT NULL,
    facts TEXT NOT NULL
) STRICT;
CREATE TABLE jobs(
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    asked TEXT NOT NULL,
    number INTEGER NOT NULL
) STRICT;
""",
    """
CREATE TABLE tests(
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    made REAL NOT NULL,
    facts TEXT NOT NULL
) STRICT;
CREATE TABLE listeners(
    id TEXT PRIMARY KEY,
    test TEXT NOT NULL REFERENCES tests(id),
    number INTEGER NOT NULL,
    name TEXT NOT NULL
) STRICT;
CREATE TABLE answers(
    id TEXT PRIMARY KEY,
    test TEXT NOT NULL REFERENCES tests(id),
    listener INTEGER NOT NULL,
    trial INTEGER NOT NULL,
    facts TEXT NOT NULL
) STRICT;
""",
    """
CREATE TABLE invitations(
    id TEXT PRIMARY KEY,
    test TEXT NOT NULL REFERENCES tests(id),
    listener INTEGER NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    expires REAL NOT NULL
) STRICT;
""",
)
JSON = ("facts", "asked")  # columns that hold JSON


class Store:
    """The tables of a folder of work. Any thread may read and write; a write is on disk when it returns.

    Args:
        path: the database, made where it is not there.

    Raises:
        WavewrightError: the file is no database of the studio, is damaged, or is newer than this version.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._turn = path, threading.RLock()
        with self._errors():
            self._database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
            self._database.row_factory = sqlite3.Row
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute("PRAGMA foreign_keys=ON")
            with self.writing():
                version = self._database.execute("PRAGMA user_version").fetchone()[0]
                if version > len(TABLES):
                    raise WavewrightError(f"{path}: of a newer wavewright (version {version}); install that one")
                for statement in "".join(TABLES[version:]).split(";")[:-1]:
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version={len(TABLES)}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make all writes of this thread within the context one: all are on disk at its end, or none."""
        with self._turn:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a full disk has ended it already
                    self._database.execute("ROLLBACK")
                raise

    def rows(self, table: str, **where: Any) -> list[dict[str, Any]]:
        """Return the rows of a table whose columns have these values, the oldest first."""
        return self._run(f"SELECT * FROM {table}{_where(where)} ORDER BY rowid", where)

    def row(self, table: str, **where: Any) -> dict[str, Any] | None:
        """Return the first of those rows, if there is one."""
        return next(iter(self.rows(table, **where)), None)

    def put(self, table: str, **values: Any) -> None:
        """Write a row, in place of one with the same id."""
        names = ", ".join(values)
        changes = ", ".join(f"{name}=excluded.{name}" for name in values)
        marks = ", ".join(f":{name}" for name in values)
        self._run(f"INSERT INTO {table}({names}) VALUES({marks}) ON CONFLICT(id) DO UPDATE SET {changes}", values)

    def change(self, table: str, id: str, **values: Any) -> None:
        """Change columns of the row with this id, if it is there."""
        changes = ", ".join(f"{name}=:{name}" for name in values)
        self._run(f"UPDATE {table} SET {changes} WHERE id=:id", {**values, "id": id})

    def remove(self, table: str, id: str) -> None:
        """Remove the row with this id, if it is there."""
        self._run(f"DELETE FROM {table} WHERE id=:id", {"id": id})

    def close(self) -> None:
        """Close the database."""
        with self._turn:
            self._database.close()

    def _run(self, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        plain = {name: json.dumps(value) if name in JSON else value for name, value in values.items()}
        with self._errors(), self.writing():
            rows = [dict(row) for row in self._database.execute(statement, plain)]
        return [{name: json.loads(row[name]) if name in JSON else row[name] for name in row} for row in rows]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise WavewrightError(f"{self._path}: {error}; make room, or restore the file from a copy") from None


def _where(where: dict[str, Any]) -> str:
    return f" WHERE {' AND '.join(f'{name}=:{name}' for name in where)}" if where else ""
