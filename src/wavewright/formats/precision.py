"""Pack weights for a model file as float32, or with the matrices rounded to bfloat16 or to 8-bit integers.

Only matrices that multiply a vector of 16 numbers or more are reduced. Biases, embedding tables, start states, the
modes of linear recurrences, the layer of fine parts and narrow matrices stay float32 in every precision, since they are
small or read one row at a time.

int8 has a scale per row. A convolution's kernel (out, in, width) has a scale per row and tap, since each tap is a
matrix of its own. All arithmetic is float32, and rounding is to nearest, ties to even:

    scale = max |w| of the row / 127, or 0 where that is below the smallest normal number, 2^-126
    q     = round(w / scale), or 0 where the scale is 0
    w     = q * scale

Rounding twice gives the same q and the same scale as rounding once, which the tests check.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wavewright.formats.tensor_file import Array, Shape

Precision = Literal["float32", "bfloat16", "int8"]
WIDE = 16  # columns; a narrower matrix is not reduced
TINY = np.finfo(np.float32).tiny


def stored(name: str, shape: Shape, precision: Precision) -> list[tuple[str, str, Shape]]:
    """Return the tensors (name, dtype, shape) that a file holds for a weight."""
    if precision == "float32" or not _reduced(name, shape):
        return [(name, "F32", shape)]
    if precision == "bfloat16":
        return [(name, "BF16", shape)]
    return [(name, "I8", shape), (f"{name}.scale", "F32", (shape[0], *shape[2:]))]


def _reduced(name: str, shape: Shape) -> bool:
    """Tell whether a weight is a wide matrix that is stored in the file's precision."""
    matrix = name.endswith("weight") and name not in ("input.weight", "embedding.weight", "fine.output.weight")
    return matrix and len(shape) > 1 and shape[1] >= WIDE


def pack(name: str, weight: NDArray[np.float32], precision: Precision) -> dict[str, Array]:
    """Return a weight as the tensors that `stored` names."""
    if precision == "float32" or not _reduced(name, weight.shape):
        return {name: weight}
    if precision == "bfloat16":
        bits = weight.view(np.uint32)
        return {name: ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)}
    scale = np.abs(weight).max(1) / np.float32(127)
    scale[scale < TINY] = 0
    divisor = np.where(scale > 0, scale, np.float32(np.inf))
    return {name: np.rint(weight / divisor[:, None]).astype(np.int8), f"{name}.scale": scale}


def unpack(name: str, tensors: dict[str, Array], precision: Precision) -> NDArray[np.float32]:
    """Return the rounded weight that `pack` put into these tensors."""
    tensor = tensors[name]
    if precision == "float32" or not _reduced(name, tensor.shape):
        return tensor.astype(np.float32)
    if precision == "bfloat16":
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    return tensor.astype(np.float32) * tensors[f"{name}.scale"][:, None].astype(np.float32)


def rounded(weights: dict[str, NDArray[np.float32]], precision: Precision) -> dict[str, NDArray[np.float32]]:
    """Return weights as a file of that precision gives them back."""
    return {name: unpack(name, pack(name, weight, precision), precision) for name, weight in weights.items()}
