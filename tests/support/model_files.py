"""Small model files of every kind, and files made from them by hand."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.kinds import WIDE, build
from wavewright.formats.model_file import ModelFile, Training
from wavewright.formats.precision import Precision
from wavewright.playing.export import export
from wavewright.playing.torch_model import TorchModel

LEVELLING = {
    "rate": 4000,
    "section_seconds": 0.5,
    "levels": "corpus",
    "resample": "band-limited",
    "remove_dc": True,
    "limiter": None,
    "channel": "mix",
    "common_gain": 1.5,
}
TRAINING = Training(run="mine", step=7, samples=900, best_bits=3.25, wavewright="0.1.0", torch="2.13.0")


def run_of(kind: str, **more: Any) -> TorchModel:
    """A run with a model of that kind, in float32, whose strings have the run's rate."""
    name, prediction = build(kind).name, build(kind).config.prediction
    if prediction and prediction.strings:
        more = {"prediction": replace(prediction, strings=replace(prediction.strings, rate=LEVELLING["rate"]))} | more
    model = build(kind, **{**WIDE[name], **more}).float()
    return TorchModel(model.config, "mu-law", 4000, LEVELLING, TRAINING, Path("runs/mine"), model)


def make(path: Path, kind: str = "tiers 6 3", precision: Precision = "float32", **more: Any) -> ModelFile:
    """A model file of that kind."""
    return export(run_of(kind, **more), path, precision)


def parts(path: Path) -> tuple[dict[str, Any], dict[str, Any], bytearray]:
    """The metadata, the rest of the header and the tensors' bytes of a sound file."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    return json.loads(header.pop("__metadata__")["wavewright"]), header, bytearray(content[start:])


def assemble(path: Path, metadata: Any, header: Any, body: bytes) -> None:
    """A file of these parts, whatever they are; metadata may be given as text."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    whole = json.dumps({"__metadata__": {"wavewright": text}, **header}).encode()
    path.write_bytes(len(whole).to_bytes(8, "little") + whole + body)


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any], bytearray], None]) -> None:
    """Change a file's parts in place; its SHA-256 is set right again."""
    metadata, header, body = parts(path)
    change(metadata, header, body)
    if "sha256" in metadata:
        metadata["sha256"] = hashlib.sha256(body).hexdigest()
    assemble(path, metadata, header, bytes(body))
