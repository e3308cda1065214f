"""`make fuzz`: whatever bytes a model file holds, `load` returns or raises WavewrightError, in little memory.

The first byte of an input says what the rest is: a whole file, the header of a sound file, or its metadata.
"""

import inspect
import json
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np
from safetensors import deserialize

from wavewright import files
from wavewright.corpus import settings
from wavewright.errors import WavewrightError
from wavewright.formats import config, model_file, precision, tensor_file
from wavewright.formats.precision import Precision
from wavewright.models import config as model_config
from wavewright.models import configure

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm"))
FILE = FOLDER / "m.safetensors"
LEVELLING = {
    "rate": 4000,
    "section_seconds": 0.5,
    "levels": "corpus",
    "resample": "band-limited",
    "remove_dc": True,
    "limiter": -6.0,
    "channel": "mix",
    "common_gain": 1.5,
}
MODELS = [
    ("linear-rnn", {"frame_sizes": (2, 1), "widths": (16, 1), "blocks": (1, 1), "q_levels": 2}),
    ("naive-rnn", {"layers": 1, "units": 16, "q_levels": 2}),
    ("sample-rnn", {"frame_sizes": (4, 2), "units": 16, "embedding": 2, "q_levels": 2, "learned_state": True}),
    ("wavenet", {"blocks": 1, "layers": 2, "channels": 16, "q_levels": 2}),
]


def sound(name: str, fields: dict[str, object], stored_as: Precision) -> bytes:
    """A model file that is as it should be."""
    training = model_file.Training(run="mine", step=3, samples=100, best_bits=2.5, wavewright="0.1.0", torch="2.13.0")
    facts = model_file.ModelFacts(configure(name, **fields), "mu-law", 4000, LEVELLING, training)
    weights = {weight: np.ones(shape, np.float32) for weight, shape in facts.config.shapes()}
    parity = model_file.Parity(np.zeros(64, np.int32), np.zeros((64, 2), np.float32))
    model_file.save(FILE, facts, stored_as, weights, parity)
    return FILE.read_bytes()


SOUND = [sound(*MODELS[i], stored_as) for i, stored_as in enumerate(("float32", "int8", "bfloat16", "float32"))]


def content(data: bytes) -> bytes:
    """The file that an input stands for."""
    kind, rest = data[:1] or b"\0", data[1:]
    whole = SOUND[kind[0] // 3 % len(SOUND)]
    length = int.from_bytes(whole[:8], "little")
    body = whole[8 + length :]
    if kind[0] % 3 == 0:
        return rest
    if kind[0] % 3 == 1:
        return len(rest).to_bytes(8, "little") + rest + body
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"] = {"wavewright": rest.decode("utf-8", "replace")}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def one(data: bytes) -> None:
    """Load it; what we take safetensors must take too."""
    made = content(data)
    FILE.write_bytes(made)
    try:
        model_file.load(FILE)
    except WavewrightError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    deserialize(made)


def seed(folder: Path) -> None:
    """Inputs of every kind to begin with."""
    for i, whole in enumerate(SOUND):
        length = int.from_bytes(whole[:8], "little")
        header = whole[8 : 8 + length]
        metadata = json.loads(header)["__metadata__"]["wavewright"].encode()
        for kind, rest in enumerate((whole, header, metadata)):
            (folder / f"seed-{i}-{kind}").write_bytes(bytes([3 * i + kind]) + rest)


if __name__ == "__main__":
    # Function by function: atheris's own import hook loses the coverage of a package that is installed as editable.
    for module in (config, files, model_config, model_file, precision, settings, tensor_file):
        for _, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                atheris.instrument_func(function)
    seed(Path(sys.argv[1]))
    atheris.Setup([*sys.argv, "-max_len=20000", "-rss_limit_mb=512", "-malloc_limit_mb=64", "-timeout=5"], one)
    atheris.Fuzz()
