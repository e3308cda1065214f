"""`wavewright generate`: parse, one library call, print."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from wavewright.commands.console import print_json, progress, table
from wavewright.commands.options import DEFAULT, Device, EngineName, Flag, Playing
from wavewright.errors import ConfigError


def generate(
    run: Path,
    *,
    out: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    seconds: float = 5.0,
    count: int = 1,
    playing: Playing = DEFAULT,
    checkpoint: str = "best",
    engine: EngineName = "auto",
    device: Device = "auto",
    json: Flag = False,
) -> None:
    """Make sound with a trained model.

    Parameters
    ----------
    run
        A folder that `train` made, or a model file that `export` made; `piano` is the model in the package.
    out
        The WAV file to write, at the model's own rate; with --count N, NAME-1.wav to NAME-N.wav. `-` streams it to
        standard output as it is made: `| aplay`, or `| ffplay -`.
    seconds
        Length of each take; `inf` with `--out -` for sound without end.
    count
        How many takes to make in one pass.
    playing
        How it is played.
    checkpoint
        `best`, `last` or a step number.
    engine
        `native` is the C++ engine, faster than real time; `torch` steps the model in torch; `auto` takes the engine.
    device
        Where torch computes.
    json
        Print the takes' lengths and levels as JSON.
    """
    from wavewright.playing.opening import open_model

    options = playing.options()
    opened = open_model(run, checkpoint, engine=engine, device=device)
    if str(out) == "-":
        if count != 1 or json:
            raise ConfigError("--out -: streams one take and nothing else; leave out --count and --json")
        from wavewright.playing.live import stream_wav

        stream_wav(opened, sys.stdout.buffer, seconds=seconds, **options)
        return
    from wavewright.playing.takes import record

    takes = record(opened, out, seconds=seconds, count=count, progress=progress, **options)
    if json:
        print_json([{**asdict(take), "path": str(take.path)} for take in takes])
    else:
        rows = [(str(t.path), f"{t.seconds:.2f}", f"{t.rms_dbfs:.1f}", f"{t.mean:+.4f}") for t in takes]
        table(f"{run}, step {opened.step}", ("take", "seconds", "RMS dBFS", "DC"), rows)
