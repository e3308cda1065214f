"""The thesis's four models by name, with weights that are random but keep activations near 1."""

import platform
from pathlib import Path

from wavewright.formats.config import resolve
from wavewright.formats.model_file import Training
from wavewright.formats.precision import Precision
from wavewright.measuring.speed import random_weights
from wavewright.playing.native_model import NativeModel

MODELS = {
    "NaiveRNN 2x512": ("naive-rnn", []),
    "SampleRNN 512, 8/2": ("sample-rnn", []),
    "WaveNet 2x12": ("wavenet", []),
    "WaveNet 4x10": ("wavenet", ["model.blocks=4", "model.layers=10"]),
}


def native(title: str, precision: Precision = "float32", threads: int | None = None) -> NativeModel:
    """One of MODELS for the engine."""
    name, overrides = MODELS[title]
    config = resolve(name, "thesis", None, overrides)
    nobody = Training(run="none", step=0, samples=0, best_bits=None, wavewright="", torch="")
    facts = (config.model, config.encoding, 14700, {}, nobody, Path())
    return NativeModel(*facts, random_weights(config.model), precision, threads)


def processor() -> str:
    """The processor's name, which Python itself does not know on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
