"""`wavewright export`: parse, one library call, print."""

from pathlib import Path

from wavewright.commands.console import print_json, table
from wavewright.commands.options import Flag, PrecisionName
from wavewright.errors import need_torch


def export(
    run: Path,
    *,
    out: Path,
    precision: PrecisionName = "float32",
    checkpoint: str = "best",
    json: Flag = False,
) -> None:
    """Put a trained model into one file, which tells all it takes to play it.

    Parameters
    ----------
    run
        A folder that `train` made, or a model file to put into another precision.
    out
        The model file to write, named .safetensors; `generate` and `evaluate` take it in place of a run.
    precision
        Of its matrices: `bfloat16` takes half the room of `float32`, `int8` a quarter.
    checkpoint
        `best`, `last` or a step number.
    json
        Print what was written as JSON.
    """
    need_torch()
    from wavewright.playing.export import export as write
    from wavewright.playing.export import parity_error
    from wavewright.playing.opening import open_run

    file = write(open_run(run, checkpoint), out, precision)
    facts = {
        "model": file.config.name,
        "step": file.training.step,
        "parameters": sum(weight.size for weight in file.weights.values()),
        "precision": precision,
        "bytes": out.stat().st_size,
        "parity_error": parity_error(file),
    }
    if json:
        print_json({"path": str(out), **facts})
    else:
        table(str(out), tuple(facts), [tuple(facts.values())])
