"""`wavewright experiment`: chapter 4 of the thesis as commands."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from wavewright.commands.console import progress, say
from wavewright.commands.options import Device
from wavewright.errors import WavewrightError, need_torch

app = App(
    name="experiment",
    help="""Run the thesis's experiments again, at its scale or in minutes; read them with `wavewright report`.

    Every trial is an ordinary run folder: Ctrl-C loses nothing, and the same command goes on. Several workers, on one
    machine or many, may share one study (--storage); each trial is done once.""",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """What all experiments are told.

    Attributes
    ----------
    out
        The folder for all it makes; runs/EXPERIMENT unless given.
    scale
        `quick` takes minutes and tests the wiring; `full` is the thesis's own size.
    data
        Recordings, or a corpus that `prepare` made; the clip in the package unless given.
    device
        Where torch computes.
    only
        A trial to do, by name; may be repeated.
    storage
        URL of the study's database, such as postgresql+psycopg://HOST/NAME; SQLite in the folder unless given.
    """

    out: Path | None = None
    scale: Literal["full", "quick"] = "quick"
    data: Annotated[tuple[Path, ...], Parameter(negative="", consume_multiple=True)] = ()
    device: Device = "auto"
    only: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = ()
    storage: str | None = None


def _run(name: str, common: Common | None, **options: object) -> None:
    need_torch()
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError:
        raise WavewrightError(
            "this needs optuna, which is not installed: pip install 'wavewright[experiments]'"
        ) from None
    from wavewright.experiments.experiment import Experiment

    told = common or Common()
    out = told.out or Path("runs") / name
    experiment = Experiment(name, out, told.scale, told.data, told.device, told.only, told.storage, progress)
    importlib.import_module(f"wavewright.experiments.{name}").run(experiment, **options)
    say(f"{out}: done; read it: wavewright report {out} --out report.html")


@app.command
def overfit(common: Common | None = None) -> None:
    """Train each model, WaveNet at both sizes, on one second of music until it has learned it, and let it play it."""
    _run("overfit", common)


@app.command
def variations(common: Common | None = None) -> None:
    """Train the six NaiveRNN configurations of the thesis's table 4.1 on one second of music."""
    _run("variations", common)


@app.command
def search(
    common: Common | None = None,
    *,
    trials: int | None = None,
    minutes: float | None = None,
) -> None:
    """Seek SampleRNN's frame sizes, tiers, units, length and learning rate, and what each of them matters.

    Parameters
    ----------
    common
        What all experiments are told.
    trials
        How many, of all workers together; 40 at full scale unless given.
    minutes
        Of training for each, if it is not given up early; 20 at full scale unless given.
    """
    _run("search", common, trials=trials, minutes=minutes)


@app.command
def piano(
    common: Common | None = None,
    *,
    preset: Literal["thesis", "small", "tiny"] = "thesis",
    minutes: float | None = None,
) -> None:
    """Train each model for the same time on the same recordings, and let each play at the same moments.

    Parameters
    ----------
    common
        What all experiments are told.
    preset
        Its size; `small` suits two cores.
    minutes
        For each model; 48 hours at full scale unless given.
    """
    _run("piano", common, preset=preset, minutes=minutes)


@app.command
def speed(common: Common | None = None) -> None:
    """Measure the seconds of computing for a second of sound, by torch and by the engine."""
    _run("speed", common)
