"""The command `wavewright bench`."""

from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING

from wavewright.commands.console import print_json, say, table
from wavewright.commands.options import Fields, Flag, ModelName, PresetName
from wavewright.errors import ConfigError

if TYPE_CHECKING:
    from wavewright.formats.precision import Precision

RATE = 14700  # Hz, the thesis's


def bench(
    path: Path | None = None,
    *,
    model: ModelName | None = None,
    preset: PresetName = "thesis",
    set_: Fields = (),
    threads: str = "1,2",
    streams: str = "1,16,64",
    precision: str = "float32,bfloat16,int8",
    seconds: float = 2.0,
    json: Flag = False,
) -> None:
    """Measure how fast a model plays, compared with torch and with the limits of this machine.

    Parameters
    ----------
    path
        Model file to measure. Give this or --model.
    model
        Model to measure with random weights, which play as fast as trained ones.
    preset
        Preset that sets the size of --model.
    set_
        One field that replaces the preset's, such as `model.layers=10`. May be repeated.
    threads
        Numbers of threads to try, separated by commas.
    streams
        Numbers of streams to play side by side, separated by commas.
    precision
        Precisions of the weights to try, separated by commas: float32, bfloat16, int8.
    seconds
        Seconds to play for each figure. Longer runs vary less.
    json
        Print the table as JSON.
    """
    from wavewright.measuring.speed import Row, random_weights
    from wavewright.measuring.speed import bench as measure

    if (path is None) == (model is None):
        raise ConfigError("give a model file, or --model")
    if path is not None:
        from wavewright.playing.opening import load

        native = load(path)
        config, weights, rate, called = native.config, native.weights, native.rate, path.name
    else:
        from wavewright.formats.config import resolve

        assert model is not None
        config, rate, called = resolve(model, preset, None, list(set_)).model, RATE, preset
        weights = random_weights(config)
    rows: list[Row] = []
    measured = measure(
        config,
        weights,
        preset=" ".join([called, *set_]),
        rate=rate,
        threads=_numbers("--threads", threads),
        streams=_numbers("--streams", streams),
        precisions=_precisions(precision),
        seconds=seconds,
    )
    for row in measured:
        rows.append(row)
        if not json:
            say(
                f"{row.engine} {row.precision}, {row.threads} threads, {row.streams} streams: "
                f"{row.samples_per_second:,.0f} samples a second, {row.times_real_time:.2f} times real time"
            )
    if json:
        print_json([asdict(row) for row in rows])
    else:
        table(f"{config.name}, {called}", list(Row.__dataclass_fields__), [astuple(row) for row in rows])


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise ConfigError(f"{option} {text}: give numbers from 1 up, separated by commas")
    return numbers


def _precisions(text: str) -> "list[Precision]":
    from pydantic import TypeAdapter, ValidationError

    from wavewright.formats.precision import Precision

    try:
        return TypeAdapter(list[Precision]).validate_python(text.split(","))
    except ValidationError:
        raise ConfigError(f"--precision {text}: give some of float32, bfloat16 and int8") from None
