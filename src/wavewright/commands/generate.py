"""The command `wavewright generate`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from wavewright.commands.console import print_json, progress, table
from wavewright.commands.options import DEFAULT, Device, EngineName, Flag, Playing
from wavewright.errors import ConfigError


def generate(
    run: Path,
    *,
    out: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    seconds: float | None = None,
    count: int = 1,
    rate: int | None = None,
    bits: Literal[16, 24, 32] = 16,
    playing: Playing = DEFAULT,
    null: Path | None = None,
    checkpoint: str = "best",
    engine: EngineName = "auto",
    device: Device = "auto",
    json: Flag = False,
) -> None:
    """Generate sound with a trained model and write it to WAV or FLAC files.

    Parameters
    ----------
    run
        Run folder that `train` made, or model file that `export` made. `piano` is the model in the package.
    out
        WAV or FLAC file to write, by its suffix. With --count N, the files are NAME-1.wav to NAME-N.wav. `-` streams
        one take as WAV to standard output, for `| aplay` or `| ffplay -`.
    seconds
        Length of each take in seconds. The default is the score's length, or 5 without a score. An impulse response
        is as long as its decay time. With `--out -`, `inf` gives sound without end.
    count
        Number of takes to make in one pass.
    rate
        Sample rate of the files in Hz, such as 44100 or 48000. The default is the model's own rate.
    bits
        Bits of each sample in the files, all of them integers. FLAC takes 16 or 24.
    playing
        The options that `generate` and `play` share.
    null
        Make impulse responses of noise instead, to judge the model by. They begin as this impulse response, are as
        loud in each band, and decay as the model's do.
    checkpoint
        Checkpoint of a run folder: `best`, `last` or a step number.
    engine
        Back end that plays: `native` is the C++ engine, `torch` is slower. `auto` takes the engine where it is built.
    device
        Device for torch. `auto` takes the GPU where there is one.
    json
        Print each take's length, RMS and DC as JSON.
    """
    from wavewright.playing.opening import open_model

    opened = playing.playable(open_model(run, checkpoint, engine=engine, device=device), engine, device)
    options = playing.options(opened, seconds, 5.0) | {"rate": rate, "bits": bits, "progress": progress}
    if str(out) == "-":
        if count != 1 or json or null:
            raise ConfigError("--out -: streams one take and nothing else; leave out --count, --null and --json")
        from wavewright.playing.live import stream_wav

        stream_wav(opened, sys.stdout.buffer, **options)
        return
    if null:
        from wavewright.playing.null import record_null

        used = ("seconds", "controls", "seed", "rate", "bits")
        takes = record_null(opened, null, out, count=count, **{name: options[name] for name in used})
    else:
        from wavewright.playing.takes import record

        takes = record(opened, out, count=count, **options)
    if json:
        print_json([{**asdict(take), "path": str(take.path)} for take in takes])
    else:
        rows = [(str(t.path), f"{t.seconds:.2f}", f"{t.rms_dbfs:.1f}", f"{t.mean:+.4f}") for t in takes]
        table(f"{run}, step {opened.step}", ("take", "seconds", "RMS dBFS", "DC"), rows)
