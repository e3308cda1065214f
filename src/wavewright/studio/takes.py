"""Takes: what was recorded of a player, a WAV file each with its origin in a JSON file beside it."""

import contextlib
import threading
import time
import wave
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import WavewrightError
from wavewright.files import disk_errors, read_json, write_json
from wavewright.playing.live import RECORDED_BITS
from wavewright.playing.sound import to_pcm
from wavewright.playing.takes import take_file
from wavewright.studio.folder import Folder, id_of, remove_hidden

SUFFIX = ".wav"
MOST_PLAYED = 100_000  # messages that a take tells of
MOST_TOLD = 16 << 20  # characters of them


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


class Recorder:
    """A take that is being recorded, with what was played meanwhile.

    Args:
        takes: where it is written.
        rate: samples in a second.
        model: name of what is heard, as listening tests tell takes apart.
        facts: what else the JSON file tells.
        origin: what the metadata of the WAV file tell.
    """

    def __init__(
        self, takes: Takes, rate: int, model: str, facts: Mapping[str, Any], origin: Mapping[str, Any]
    ) -> None:
        self._takes, self._rate, self._facts = takes, rate, facts
        self.model = model
        self._made = time.time()
        self._frames = self._told = 0
        self._messages: list[tuple[float, Mapping[str, Any]]] = []
        self._name = takes.new_name(f"{model} {datetime.fromtimestamp(self._made):%Y-%m-%d %H.%M.%S}")
        self._open = contextlib.ExitStack()
        self._file = self._open.enter_context(take_file(takes.file(self._name), rate, RECORDED_BITS, origin))

    def write(self, block: NDArray[np.float32]) -> None:
        """Add a block of sound."""
        self._file.write(to_pcm(block, RECORDED_BITS))
        self._frames += len(block)

    def note(self, message: Mapping[str, Any], length: int) -> None:
        """Note a message of so many characters that was played before the next block."""
        if len(self._messages) < MOST_PLAYED and self._told + length <= MOST_TOLD:
            self._told += length
            self._messages.append((self._frames / self._rate, message))

    def close(self) -> dict[str, Any] | None:
        """Finish the file, and return its row. A take without any sound is none."""
        if not self._frames:
            with contextlib.suppress(_Empty), self._open:
                raise _Empty
            return None
        facts = {"model": self.model, **self._facts, "made": self._made, "seconds": self._frames / self._rate}
        path = self._takes.file(self._name).with_suffix(".json")
        write_json(path, {**facts, "played": self._messages})
        self._open.close()
        self._takes.changed()
        return self._takes.row(self._name)


class _Empty(Exception):
    """A take that holds no sound, whose file is not kept."""
