"""`wavewright generate`, `play` and `export`: parse, one library call, print."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from wavewright.commands.console import print_json, table
from wavewright.commands.data import Flag
from wavewright.commands.model import Device, EngineName
from wavewright.errors import ConfigError, need_torch


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Playing:
    """The options that `generate` and `play` share."""

    prime: Path | None = None
    """A recording to continue; what comes is what follows it."""
    temperature: float = 1.0
    """Below 1 plays safer, above 1 wilder; 0 always takes the likeliest code."""
    top_k: int | None = None
    """Draw among the k likeliest codes only."""
    top_p: float | None = None
    """Draw among the fewest codes that together have probability p."""
    seed: int = 0
    """Another seed is another take."""
    guard: Literal["on", "off"] = "on"
    """What falls silent for long, sticks or turns to noise is rolled back a little and drawn again, and a line says
    so; `off` leaves the raw truth."""

    def options(self) -> dict[str, Any]:
        """As the library takes them.

        Raises:
            ConfigError: a value out of range.
        """
        from wavewright.sampling import Sampling

        sampling = Sampling(self.temperature, self.top_k, self.top_p)
        return {"prime": self.prime, "sampling": sampling, "seed": self.seed, "guard": self.guard == "on"}


DEFAULT = Playing()


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
    from wavewright.playing.native_model import open_model

    options = playing.options()
    opened = open_model(run, checkpoint, engine=engine, device=device)
    if str(out) == "-":
        if count != 1 or json:
            raise ConfigError("--out -: streams one take and nothing else; leave out --count and --json")
        from wavewright.playing.live import stream_wav

        stream_wav(opened, sys.stdout.buffer, seconds=seconds, **options)
        return
    from wavewright.playing.takes import record

    takes = record(opened, out, seconds=seconds, count=count, **options)
    if json:
        print_json([{**asdict(take), "path": str(take.path)} for take in takes])
    else:
        rows = [(str(t.path), f"{t.seconds:.2f}", f"{t.rms_dbfs:.1f}", f"{t.mean:+.4f}") for t in takes]
        table(f"{run}, step {opened.step}", ("take", "seconds", "RMS dBFS", "DC"), rows)


def play(model: Path, *, seconds: float = float("inf"), playing: Playing = DEFAULT, checkpoint: str = "best") -> None:
    """Play a trained model through the sound card, until Ctrl-C.

    Parameters
    ----------
    model
        A model file, or a folder that `train` made; `piano` is the model in the package.
    seconds
        How long; without end unless given.
    playing
        How it is played.
    checkpoint
        `best`, `last` or a step number.
    """
    from wavewright.playing.live import play_aloud
    from wavewright.playing.native_model import open_model

    options = playing.options()
    play_aloud(open_model(model, checkpoint), seconds=seconds, **options)


def export(
    run: Path,
    *,
    out: Path,
    precision: Literal["float32", "bfloat16", "int8"] = "float32",
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
    from wavewright.playing.torch_model import open_run

    file = write(open_run(run, checkpoint), out, precision)
    facts = {
        "model": file.name,
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
