"""Hear which notes a piano plays, and compare them with a score.

The transcriber is transkun (arXiv:2404.09466), whose weights come with its package. Notes are matched by mir_eval as in
MIREX: a note is right if its key is that of the score and it begins within 50 ms, and each note is matched once.
docs/evaluation.md tells how to install both.
"""

import importlib.resources
import sys
import types
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wavewright import errors
from wavewright.conditioning.events import Events, Kind
from wavewright.models.condition import Notes

PACKAGES = ("transkun", "moduleconf", "mir_eval", "librosa", "soxr", "torch")
TOLERANCE = 0.05  # seconds between the onsets of two notes that are one
MODEL = "2.0"  # of transkun's networks


def missing() -> str:
    """Return which packages that transcription needs are not installed, and the remedy, or nothing."""
    if errors.missing("", *PACKAGES):
        return "a transcriber, not installed: run make transcriber in the folder of wavewright's sources"
    return ""


@dataclass(frozen=True)
class Struck:
    """Notes that were struck, in a score or as heard.

    Attributes:
        seconds: (N,) when each begins.
        keys: (N,) MIDI keys.
        velocities: (N,) 0 to 127.
    """

    seconds: NDArray[np.float64]
    keys: NDArray[np.int64]
    velocities: NDArray[np.int64]

    @classmethod
    def of(cls, events: Events, notes: Notes, rate: int) -> Self:
        """Return the notes of a keyboard's events that are within its range."""
        struck = events[events["kind"] == Kind.strike]
        struck = struck[(struck["key"] >= notes.low) & (struck["key"] <= notes.high)]
        keys, velocities = (struck[name].astype(np.int64) for name in ("key", "value"))
        return cls(struck["sample"] / rate, keys, velocities)

    def since(self, seconds: float) -> "Struck":
        """Return the notes that begin at `seconds` or later."""
        kept = self.seconds >= seconds
        return Struck(self.seconds[kept], self.keys[kept], self.velocities[kept])

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Matched:
    """How many notes of a score were heard, counted over any number of sounds, and with which velocities.

    Attributes:
        scored: notes of the scores.
        heard: notes that were heard.
        pairs: (N, 2) the velocity in the score and the velocity heard of every note that is right.
    """

    scored: int = 0
    heard: int = 0
    pairs: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: "Matched") -> "Matched":
        return Matched(self.scored + other.scored, self.heard + other.heard, self.pairs + other.pairs)

    @property
    def f1(self) -> float:
        """Twice the right notes over all notes, scored and heard. 1 where there is neither."""
        both = self.scored + self.heard
        return 2 * len(self.pairs) / both if both else 1.0

    @property
    def velocity_correlation(self) -> float | None:
        """Pearson's correlation of the velocities, or None where fewer than 3 notes are right or all are equal."""
        pairs = np.array(self.pairs, np.float64).reshape(-1, 2)
        if len(pairs) < 3 or not pairs.std(0).all():
            return None
        return float(np.corrcoef(pairs[:, 0], pairs[:, 1]).item(1))


def match(score: Struck, heard: Struck) -> Matched:
    """Match the notes that were heard with those of a score."""
    from mir_eval.transcription import match_notes

    found = []
    if len(score) and len(heard):
        found = match_notes(*_intervals(score), *_intervals(heard), onset_tolerance=TOLERANCE, offset_ratio=None)
    pairs = tuple((int(score.velocities[i]), int(heard.velocities[j])) for i, j in found)
    return Matched(len(score), len(heard), pairs)


def _intervals(notes: Struck) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what mir_eval takes: intervals of any length, since offsets do not count, and frequencies in Hz."""
    return np.stack((notes.seconds, notes.seconds + 0.1), 1), 440 * 2 ** ((notes.keys - 69) / 12)


class Transcriber:
    """Hears the notes of a piano.

    Raises:
        WavewrightError: the packages are not installed.
    """

    def __init__(self) -> None:
        if reason := missing():
            raise errors.WavewrightError(f"this needs {reason}")
        import moduleconf
        import torch

        _provide_mel_filters()
        folder = importlib.resources.files("transkun") / "pretrained"
        config = moduleconf.parseFromFile(str(folder / f"{MODEL}.conf"))["Model"]
        saved = torch.load(str(folder / f"{MODEL}.pt"), "cpu", weights_only=True)
        self._model: Any = config.module.TransKun(conf=config.config)
        self._model.load_state_dict(saved.get("best_state_dict", saved.get("state_dict")), strict=False)
        self._model.eval()

    def hear(self, sound: NDArray[np.floating], rate: int) -> Struck:
        """Return the notes of a sound (N,), amplitudes in [-1, 1] at `rate` Hz."""
        import soxr
        import torch

        resampled = soxr.resample(np.asarray(sound, np.float32), rate, self._model.fs)
        with torch.inference_mode():
            found = self._model.transcribe(torch.from_numpy(resampled)[:, None])
        notes = sorted((note.start, note.pitch, note.velocity) for note in found if note.pitch >= 0)  # below are pedals
        seconds, keys, velocities = np.array(notes, np.float64).reshape(-1, 3).T
        return Struck(seconds, keys.astype(np.int64), velocities.astype(np.int64))


def _provide_mel_filters() -> None:
    """Stand in for the one function that transkun takes from torchaudio, which is not there for every torch."""
    try:
        import torchaudio.functional
    except (ImportError, OSError):
        import torch

        librosa = errors.need_librosa()

        def filters(n_freqs: int, f_min: float, f_max: float, n_mels: int, sample_rate: int) -> Any:
            made = librosa.filters.mel(
                sr=sample_rate, n_fft=2 * (n_freqs - 1), n_mels=n_mels, fmin=f_min, fmax=f_max, htk=True, norm=None
            )
            return torch.from_numpy(made.T)

        torchaudio = types.ModuleType("torchaudio")
        torchaudio.functional = types.SimpleNamespace(melscale_fbanks=filters)  # type: ignore[attr-defined]
        sys.modules["torchaudio"] = torchaudio
