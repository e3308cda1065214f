"""Read safetensors files without trusting them, and write them with numpy alone.

A file is 8 bytes of header length (little-endian), a JSON header of that length, then the tensors' bytes, end to end:

    {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}

The safetensors package does not report a repeated key, and numpy has no type for BF16.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wavewright.errors import WavewrightError
from wavewright.files import parse_json

DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "BF16": np.dtype("<u2"),  # the bits of the number
    "I8": np.dtype("i1"),
}
HEADER_LIMIT = 100_000_000  # bytes, as in the safetensors package

Shape = tuple[int, ...]
Array = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """A tensor's entry in the header. The tensor's bytes are [start, stop), counted after the header."""

    dtype: str
    shape: Shape
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """The part before the tensors' bytes. `size` is the number of those bytes."""

    metadata: Any
    entries: dict[str, Entry]
    size: int


def read_header(file: BinaryIO) -> Header:
    """Read the header of an open file, which then stands at the tensors' first byte.

    Raises:
        WavewrightError: there is no header. The line is a reason that names no path.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, HEADER_LIMIT):
        raise WavewrightError(f"truncated or not a safetensors file: a header of {length} bytes in a file of {size}")
    try:
        text = file.read(length).decode("utf-8")
        values = parse_json(text)
    except ValueError as error:
        raise WavewrightError(f"its header is not strict JSON ({error})") from None
    if not isinstance(values, dict) or not text.startswith("{"):
        raise WavewrightError("its header is not a JSON object")
    metadata = values.pop("__metadata__", None)
    return Header(metadata, {name: _entry(name, value) for name, value in values.items()}, size - 8 - length)


def _entry(name: str, value: Any) -> Entry:
    match value:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [start, stop]} if len(value) == 3:
            if all(type(number) is int for number in (*shape, start, stop)):
                return Entry(dtype, tuple(shape), start, stop)
    raise WavewrightError(f"tensor {name}: its header entry is not a dtype, a shape and two data_offsets")


def check(header: Header, expected: Iterable[tuple[str, str, Shape]]) -> None:
    """Check that the file holds the tensors `expected` (name, dtype, shape), no other, and every byte of them.

    Raises:
        WavewrightError: the file does not. The line is a reason that names the tensor.
    """
    names = set()
    for name, dtype, shape in expected:
        entry = header.entries.get(name)
        if entry is None:
            raise WavewrightError(f"tensor {name}: missing")
        if (entry.dtype, entry.shape) != (dtype, shape):
            found = f"{entry.dtype} {list(entry.shape)}"
            raise WavewrightError(f"tensor {name}: {found}, not {dtype} {list(shape)}")
        names.add(name)
    if unknown := set(header.entries) - names:
        raise WavewrightError(f"tensor {min(unknown)}: not one of this model's")
    place = 0
    for name, entry in sorted(header.entries.items(), key=lambda item: item[1].start):
        stop = place + DTYPES[entry.dtype].itemsize * math.prod(entry.shape)
        if (entry.start, entry.stop) != (place, stop):
            raise WavewrightError(f"tensor {name}: data_offsets {entry.start} to {entry.stop}, not {place} to {stop}")
        place = stop
    if place != header.size:
        raise WavewrightError(f"truncated or overlong: {header.size} bytes of tensors, not {place}")


def read(file: BinaryIO, header: Header, sha256: str) -> dict[str, Array]:
    """Return every tensor of a file that `check` passed, read-only, and BF16 as bits.

    Raises:
        WavewrightError: the tensors' bytes do not have this SHA-256.
    """
    body = file.read(header.size)
    if hashlib.sha256(body).hexdigest() != sha256:
        raise WavewrightError("sha256: not that of its tensors")
    return {
        name: np.frombuffer(body, DTYPES[e.dtype], math.prod(e.shape), e.start).reshape(e.shape)
        for name, e in header.entries.items()
    }


def digest(tensors: dict[str, Array]) -> str:
    """Return the SHA-256 of the bytes of `tensors`, in the order of `write`, in hexadecimal."""
    sha256 = hashlib.sha256()
    for _, tensor in _ordered(tensors):
        sha256.update(tensor.tobytes())
    return sha256.hexdigest()


def write(path: Path, tensors: dict[str, Array], metadata: dict[str, str]) -> None:
    """Write float32, int32, int8, and uint16 as BF16. The same tensors and metadata give the same bytes."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": metadata}
    place = 0
    for name, tensor in _ordered(tensors):
        entry = {"dtype": names[tensor.dtype], "shape": tensor.shape, "data_offsets": (place, place + tensor.nbytes)}
        header[name] = entry
        place += tensor.nbytes
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned, in the file as in memory
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in _ordered(tensors):
            file.write(tensor.tobytes())


def _ordered(tensors: dict[str, Array]) -> list[tuple[str, Array]]:
    """Return little-endian tensors, the widest numbers first, so that each tensor is aligned."""
    items = [(name, tensor.astype(tensor.dtype.newbyteorder("<"))) for name, tensor in tensors.items()]
    return sorted(items, key=lambda item: (-item[1].itemsize, item[0]))
