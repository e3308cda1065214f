"""Write what a run leaves on its way: metrics.jsonl, TensorBoard events and listening samples."""

import io
import json
import logging
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import soundfile
import yaml
from numpy.typing import NDArray

from wavewright.files import atomic_file, disk_errors, sync_folder
from wavewright.formats.checkpoint import Facts, step_name
from wavewright.formats.config import RunConfig
from wavewright.metrics import bits
from wavewright.training.spectrogram import spectrogram
from wavewright.training.trainer import StepRecord

TENSORBOARD_INTERVAL = 10  # steps; metrics.jsonl has every one
TRAIN, VALIDATION, ZERO_ORDER = (f"{kind}/bits_per_sample" for kind in ("train", "validation", "zero_order"))
LAYOUT = {"bits per sample": {"training, validation, zero order": ["Multiline", [TRAIN, VALIDATION, ZERO_ORDER]]}}

log = logging.getLogger(__name__)


class Records:
    """Writes a run's records.

    Args:
        run: the run's folder.
        rate: of the listening samples, in Hz.
        config: the run's configuration.
        entropy: zero-order entropy of the training data, in bits a sample.
        resumed: the numbers of the checkpoint to go on from; none for a fresh run.
    """

    def __init__(self, run: Path, rate: int, config: RunConfig, entropy: float, resumed: Facts | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.run, self.rate, self.entropy = run, rate, entropy
        self.path = run / "metrics.jsonl"
        threading.excepthook = _but_for_disk_errors
        with disk_errors(self.path):
            run.mkdir(parents=True, exist_ok=True)
            if resumed:
                _cut(self.path, resumed.metrics_bytes)
            self.file: TextIO = self.path.open("a" if resumed else "w", encoding="utf-8")
            sync_folder(run)
            self.board = SummaryWriter(str(run), purge_step=resumed.step + 1 if resumed else None)
            if not resumed:
                self.board.add_custom_scalars(LAYOUT)
                text = yaml.safe_dump(json.loads(json.dumps(config.as_dict())), sort_keys=False)
                self.board.add_text("configuration", "".join(f"    {line}\n" for line in text.splitlines()), 0)

    def step(self, step: int, record: StepRecord, *, seconds: float, samples_per_second: int) -> None:
        """Write a training step, with the seconds since the run's start and its speed."""
        times = {"seconds": round(seconds, 3), "samples_per_second": samples_per_second}
        self._write({"step": step, **asdict(record), "time": times})
        if step % TENSORBOARD_INTERVAL == 0:
            for tag, value in (
                (TRAIN, None if record.loss is None else bits(record.loss)),
                (ZERO_ORDER, self.entropy),
                ("train/gradient_norm", record.gradient_norm),
                ("train/learning_rate", record.rate),
                ("train/samples_per_second", samples_per_second),
            ):
                self._scalar(tag, value, step)

    def validation(self, step: int, value: float) -> None:
        """Write a validation's bits per sample."""
        self._write({"step": step, "event": "validation", "bits": value})
        self._scalar(VALIDATION, value, step)

    def sample(self, step: int, amplitude: NDArray[np.float32]) -> None:
        """Write a listening sample (T,), amplitudes in [-1, 1]."""
        wav = self.run / "samples" / f"{step_name(step)}.wav"
        sound = io.BytesIO()
        soundfile.write(sound, amplitude, self.rate, "PCM_16", format="WAV")
        with atomic_file(wav) as path:
            path.write_bytes(sound.getvalue())  # libsndfile would hide the system's error, such as a full disk
        with disk_errors(self.run):
            self.board.add_audio("generated/sample", amplitude[None], step, self.rate)
            self.board.add_image("generated/spectrogram", spectrogram(amplitude), step, dataformats="HWC")

    def processes(self, step: int, before: int, now: int, dealt: bool) -> None:
        """Write that another number of processes goes on, and whether the sections in progress begin anew."""
        self._write({"step": step, "event": "processes", "before": before, "now": now, "sections_begin_anew": dealt})

    def stages(self, step: int, before: int, now: int) -> None:
        """Write that the run goes on with the model split into another number of stages."""
        self._write({"step": step, "event": "stages", "before": before, "now": now})

    def rollback(self, step: int, reason: str) -> None:
        """Write that the run went back to `step`, and why."""
        self._write({"step": step, "event": "rollback", "reason": reason})

    def _scalar(self, tag: str, value: float | None, step: int) -> None:
        """Add a point to TensorBoard, but for what is not finite."""
        if value is not None:
            with disk_errors(self.run):
                self.board.add_scalar(tag, value, step)

    def _write(self, record: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        with disk_errors(self.path):
            self.file.write(json.dumps(record, allow_nan=False) + "\n")
            self.file.flush()

    def sync(self) -> int:
        """Flush all to disk, for a checkpoint that counts on it, and return the length of metrics.jsonl in bytes."""
        with disk_errors(self.path):
            self.board.flush()
            os.fsync(self.file.fileno())
            return os.fstat(self.file.fileno()).st_size

    def close(self) -> None:
        """Flush and close all."""
        with disk_errors(self.run):
            self.file.close()
            self.board.close()


def _cut(path: Path, size: int) -> None:
    """Cut a file of lines to its first `size` bytes, and to whole lines.

    A power cut or an editor can have taken lines that a checkpoint counts on. The training does not need them.
    """
    with path.open("rb+" if path.exists() else "wb+") as file:
        end = file.read(size).rfind(b"\n") + 1
        file.truncate(end)
    if end < size:
        log.warning(
            f"{path}: the last {size - end} bytes before the checkpoint are missing; the run goes on without them"
        )


def _but_for_disk_errors(arguments: threading.ExceptHookArgs) -> None:
    """Print what ends a thread, unless it is a full disk that ends TensorBoard's: its next call raises the same."""
    if not isinstance(arguments.exc_value, OSError):
        threading.__excepthook__(arguments)
