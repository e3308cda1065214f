"""Takes: what was recorded of a player, a WAV file each with its origin in a JSON file beside it."""

import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavewright.errors import WavewrightError
from wavewright.files import disk_errors, read_json
from wavewright.studio.folder import Folder, id_of, remove_hidden

SUFFIX = ".wav"


def wav_seconds(path: Path) -> float | None:
    """Return the length of a WAV file in seconds, or None where it is none."""
    try:
        with wave.open(str(path)) as sound:
            return sound.getnframes() / sound.getframerate()
    except (OSError, EOFError, ZeroDivisionError, wave.Error):
        return None


class Takes:
    """The takes of a folder of work.

    Args:
        folder: the folder of work.
        changed: called after every change, from any thread.
    """

    def __init__(self, folder: Folder, changed: Callable[[], None]) -> None:
        self._folder, self.changed = folder, changed
        self._begun: set[str] = set()  # names of takes of this session
        self._turn = threading.Lock()
        remove_hidden(folder / "takes")

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all takes, the oldest first."""
        rows = (self.row(name) for name in self._folder.names("takes", SUFFIX))
        return sorted((row for row in rows if row), key=lambda row: row["made"])

    def row(self, name: str) -> dict[str, Any] | None:
        """Return the row of a take, or None where its file is no sound."""
        path = self.file(name)
        try:
            told = read_json(path.with_suffix(".json"))
        except WavewrightError:
            told = {}
        facts = told if isinstance(told, dict) else {}
        seconds = wav_seconds(path)
        if seconds is None:
            return None
        try:
            made = facts.get("made", path.stat().st_mtime)
        except OSError:  # gone meanwhile
            return None
        about = {key: facts.get(key) for key in ("model", "seed")}
        return {"id": id_of("takes", name), "name": name, "seconds": seconds, "made": made, **about}

    def new_name(self, first: str) -> str:
        """Return a name for a new take, `first` or one with a number."""
        with self._turn:
            names = (first, *(f"{first} ({number})" for number in range(2, 1000)))
            name = next(name for name in names if name not in self._begun and not self.file(name).exists())
            self._begun.add(name)
            return name

    def file(self, name: str) -> Path:
        """Return the WAV file of a take."""
        return self._folder / "takes" / f"{name}{SUFFIX}"

    def path(self, id: str) -> Path:
        """Return the WAV file of the take with this id.

        Raises:
            Refusal: there is none.
        """
        return self.file(self._folder.named("takes", id, SUFFIX))

    def delete(self, id: str) -> None:
        """Remove a take and its JSON file.

        Raises:
            Refusal: there is none.
        """
        path = self.path(id)
        with disk_errors(path):
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)
        self.changed()
