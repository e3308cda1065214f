"""Write what a run leaves on its way: metrics.jsonl, TensorBoard events and listening samples."""

import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavewright.corpus.audio import writing
from wavewright.files import atomic_file, disk_errors
from wavewright.metrics import bits
from wavewright.training.trainer import StepRecord

TENSORBOARD_INTERVAL = 10  # steps; metrics.jsonl has every one


class Records:
    """Writes a run's records.

    Args:
        run: the run's folder.
        rate: of the listening samples, in Hz.
        resume_at: where metrics.jsonl and TensorBoard go on from, (bytes, step); none for a fresh run.
    """

    def __init__(self, run: Path, rate: int, resume_at: tuple[int, int] | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.run = run
        self.rate = rate
        self.path = run / "metrics.jsonl"
        threading.excepthook = _but_for_disk_errors
        with disk_errors(self.path):
            run.mkdir(parents=True, exist_ok=True)
            self.file: TextIO = self.path.open("r+" if resume_at and self.path.exists() else "w", encoding="utf-8")
            if resume_at:
                self.file.truncate(resume_at[0])
                self.file.seek(0, 2)
            self.board = SummaryWriter(str(run), purge_step=resume_at[1] if resume_at else None)

    def step(self, step: int, record: StepRecord, *, seconds: float, samples_per_second: int) -> None:
        """Write a training step, with the seconds since the run's start and its speed."""
        times = {"seconds": round(seconds, 3), "samples_per_second": samples_per_second}
        self._write({"step": step, **asdict(record), "time": times})
        if step % TENSORBOARD_INTERVAL == 0 and record.loss:
            for tag, value in (
                ("bits_per_sample", bits(record.loss)),
                ("gradient_norm", record.gradient_norm),
                ("learning_rate", record.rate),
                ("samples_per_second", samples_per_second),
            ):
                self._scalar(f"train/{tag}", value, step)

    def validation(self, step: int, value: float) -> None:
        """Write a validation's bits per sample."""
        self._write({"step": step, "event": "validation", "bits": value})
        self._scalar("validation/bits_per_sample", value, step)

    def sample(self, step: int, amplitude: NDArray[np.float32]) -> None:
        """Write a listening sample (T,), amplitudes in [-1, 1]."""
        wav = self.run / "samples" / f"step-{step:08d}.wav"
        with atomic_file(wav) as path, writing(wav):
            soundfile.write(path, amplitude, self.rate, "PCM_16", format="WAV")
        with disk_errors(self.run):
            self.board.add_audio("generated/sample", amplitude[None], step, self.rate)

    def rollback(self, step: int, reason: str) -> None:
        """Write that the run went back to `step`, and why."""
        self._write({"step": step, "event": "rollback", "reason": reason})

    def _scalar(self, tag: str, value: float | None, step: int) -> None:
        with disk_errors(self.run):
            self.board.add_scalar(tag, value, step)

    def _write(self, record: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        with disk_errors(self.path):
            self.file.write(json.dumps(record, allow_nan=False) + "\n")
            self.file.flush()

    def position(self) -> int:
        """Return the length of metrics.jsonl in bytes."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Flush and close all."""
        with disk_errors(self.run):
            self.file.close()
            self.board.close()


def _but_for_disk_errors(arguments: threading.ExceptHookArgs) -> None:
    """Print what ends a thread, unless it is a full disk that ends TensorBoard's: its next call raises the same."""
    if not isinstance(arguments.exc_value, OSError):
        threading.__excepthook__(arguments)
