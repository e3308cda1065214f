"""Export a trained model to one file, with a parity pair by which any program that plays it can be checked."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from wavewright.errors import ConfigError, ModelFileError, WavewrightError, explain
from wavewright.files import atomic_file
from wavewright.formats import model_file
from wavewright.formats.model_file import PARITY, About, ModelFile, Parity
from wavewright.formats.precision import Precision, rounded
from wavewright.models.base import Model
from wavewright.playing.torch_model import TorchModel, from_file, plain_weights, with_weights
from wavewright.playing.torch_player import one_thread

TOLERANCE = 1e-4  # greatest difference of a logit


def export(
    run: TorchModel, out: Path, precision: Precision = "float32", about: dict[str, Any] | None = None
) -> ModelFile:
    """Write a run as a model file, read the file back and check that it gives the same logits.

    Args:
        run: a run or, to export it in another precision, a model file.
        out: a .safetensors file.
        precision: precision of the weights (formats/precision.py).
        about: what is said of the model, by the names of About's fields. The rest stays as a model file has it.

    Raises:
        ConfigError: `out` is not a .safetensors file, or a value of `about` is out of range.
        WavewrightError: the file cannot be written, or does not hold the model. `out` then stays as it was.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: name a .safetensors file")
    weights = plain_weights(run.model)
    run = replace(run, config=run.config.multiplied_out(), about=_updated(run.about, about or {}))
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise WavewrightError(f"{run.path}: weight {name} is not finite; export another checkpoint")
    played = {name: torch.from_numpy(weight) for name, weight in rounded(weights, precision).items()}
    model = with_weights(run.config, played, run.path, None)
    rng, asked = np.random.default_rng(0), run.config.condition
    codes, condition = rng.integers(run.config.q_levels, size=PARITY, dtype=np.int32), None
    if asked is not None:
        condition = rng.random((asked.frames(PARITY), asked.features), np.float32)
    parity = Parity(codes, _logits(model, codes, condition), condition)
    with atomic_file(out) as temporary:
        model_file.save(temporary, run, precision, weights, parity)
        try:
            file = model_file.load(temporary)
            if (off := parity_error(file)) > TOLERANCE:
                raise ModelFileError(temporary, f"its logits are {off:.2g} off")
        except ModelFileError as error:
            raise ModelFileError(out, f"not written: what was read back is not the model ({error.reason})") from None
    return replace(file, path=out)


def _updated(before: About | None, given: dict[str, Any]) -> About | None:
    try:
        return About(**{**(asdict(before) if before else {}), **given}) if given else before
    except ValidationError as error:
        raise ConfigError(f"--{explain(error, '').removeprefix('.')}") from None


def parity_error(file: ModelFile) -> float:
    """Return the greatest |difference| between the logits in a file and those of the torch model made from it."""
    logits = _logits(from_file(file).model, file.parity.codes, file.parity.condition)
    return float(np.abs(logits - file.parity.logits).max())


@torch.inference_mode()
def _logits(model: Model[Any], codes: NDArray[np.int32], condition: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return logits (T, L) after each of the codes (T,) that begin a stream, under control frames (M, F).

    They are the logits of the code that follows, and behind the last code those of the first.
    """
    frames = None if condition is None else torch.from_numpy(condition)[None]
    with one_thread():
        heard = torch.from_numpy(codes).long()[None]
        outputs, _ = model(heard, None, frames)
        logits = model.logits(outputs, heard.roll(-1, 1))
    return logits[0].numpy()
