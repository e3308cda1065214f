"""The models that are measured, by name, with weights that are random but keep activations near 1."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wavewright.formats.config import resolve
from wavewright.formats.model_file import Training
from wavewright.formats.precision import Precision
from wavewright.measuring.speed import random_weights
from wavewright.playing.native_model import NativeModel

Sizes = dict[str, tuple[str, str, list[str]]]  # title: model, preset, overrides

THESIS: Sizes = {
    "NaiveRNN 2x512": ("naive-rnn", "thesis", []),
    "SampleRNN 512, 8/2": ("sample-rnn", "thesis", []),
    "WaveNet 2x12": ("wavenet", "thesis", []),
    "WaveNet 4x10": ("wavenet", "thesis", ["model.blocks=4", "model.layers=10"]),
}
SMALL: Sizes = {
    "NaiveRNN small": ("naive-rnn", "small", []),
    "SampleRNN small": ("sample-rnn", "small", []),
    "WaveNet small": ("wavenet", "small", []),
    "LinearRNN small": ("linear-rnn", "small", []),
}
MODELS = THESIS | SMALL


def native(title: str, precision: Precision = "float32", threads: int | None = None) -> NativeModel:
    """One of MODELS for the engine."""
    name, preset, overrides = MODELS[title]
    config = resolve(name, preset, None, overrides)
    nobody = Training(run="none", step=0, samples=0, best_bits=None, wavewright="", torch="")
    facts = (config.model, config.encoding, 14700, {}, nobody, Path())
    return NativeModel(*facts, random_weights(config.model), precision, threads)


def processor() -> str:
    """The processor's name, family and model, which Python itself does not know on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return "{model name}, family {cpu family}, model {model}".format_map(facts)


def write(path: Path, rows: Sequence[Any]) -> None:
    """Write what was measured, and on which processor."""
    path.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1) + "\n")
