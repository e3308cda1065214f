"""The command `wavewright export`."""

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
    title: str | None = None,
    author: str | None = None,
    licence: str | None = None,
    description: str | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    json: Flag = False,
) -> None:
    """Write a trained model as one file that holds all that playing needs.

    Parameters
    ----------
    run
        Run folder that `train` made, or model file to write in another precision.
    out
        Model file to write, named .safetensors. `generate`, `play` and `evaluate` take this file in place of a run.
    precision
        Precision of the model's weights: `float32`, `bfloat16` (half the size) or `int8` (a quarter of the size).
    checkpoint
        Checkpoint of a run folder: `best`, `last` or a step number.
    title
        Title of the model. The file keeps this and all that follows, and `inspect` shows it. A model file that is
        exported again keeps what is not given.
    author
        Who made the model.
    licence
        Terms under which the model may be used, such as `CC0 1.0`. Respect those of the recordings.
    description
        What the model was made from, and what it is good for.
    temperature
        Temperature at which the model plays best. `generate` and `play` take it where they are given none.
    top_p
        The same for --top-p.
    json
        Print the file's facts as JSON.
    """
    need_torch()
    from wavewright.playing.export import export as write
    from wavewright.playing.export import parity_error
    from wavewright.playing.opening import open_run

    said: dict[str, str | float | None] = {
        "title": title,
        "author": author,
        "licence": licence,
        "description": description,
        "temperature": temperature,
        "top_p": top_p,
    }
    given = {name: value for name, value in said.items() if value is not None}
    file = write(open_run(run, checkpoint), out, precision, given)
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
