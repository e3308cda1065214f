"""The command `wavewright models`, and the table of models that `inspect` shows too."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from wavewright.commands.console import print_json, put, table
from wavewright.commands.options import Flag

if TYPE_CHECKING:
    from wavewright.measuring.catalogue import Described

HEADER = ("model", "title", "kind", "rate", "depth", "controls", "licence", "author", "MB", "times real time")


def models(*, json: Flag = False) -> None:
    """List the models in the package: what each one is, what it takes, and how fast it plays here.

    `generate`, `play` and `evaluate` take a model by its name in the list. The speed is that of one thread,
    measured for about a second.

    Parameters
    ----------
    json
        Print the list as JSON.
    """
    from wavewright.measuring.catalogue import describe
    from wavewright.playing.opening import shipped_models

    show_models((describe(path) for path in shipped_models().values()), json)


def show_models(described: "Iterable[Described]", json: bool) -> None:
    """Print a table of models and what is said of each, or all as JSON."""
    found = list(described)
    if json:
        print_json([asdict(model) for model in found])
        return
    table("models", HEADER, map(_row, found))
    for model in found:
        if model.description:
            put(f"{model.name}: {model.description}")


def _row(model: "Described") -> tuple[str, ...]:
    from wavewright.conditioning.controls import in_words

    return (
        model.name,
        model.title or "",
        model.kind,
        f"{model.rate}",
        f"{model.levels} levels, {model.encoding}" + (f", emphasis {model.emphasis:g}" if model.emphasis else ""),
        ", ".join(map(in_words, model.controls)),
        model.licence or "",
        model.author or "",
        f"{model.bytes / 1e6:.1f}",
        "" if model.times_real_time is None else f"{model.times_real_time:.1f}",
    )
