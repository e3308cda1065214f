"""The command `wavewright experiment`, with a sub-command for each experiment of the thesis's chapter 4."""

import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from wavewright.commands.console import progress, say
from wavewright.commands.options import Device, expanding
from wavewright.errors import need, need_torch
from wavewright.experiments.scales import ScaleName

app = App(
    name="experiment",
    help="""Run the thesis's experiments again, at full size or in minutes.

    `wavewright report` makes a page of the results. After Ctrl-C, the same command goes on where it stopped. Several
    workers, on one machine or many, can share one study (--storage). Each trial is then done once.""",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """The options that all experiments share.

    Attributes
    ----------
    out
        Folder for all files of the experiment. The default is runs/EXPERIMENT.
    scale
        Size of the experiment. `quick` only tests that it works. `medium` learns something in minutes. `full` is the
        thesis's size and takes hours or days.
    only
        Name of a trial to do, instead of all. May be repeated. `--only` alone lists the names.
    """

    out: Path | None = None
    scale: ScaleName = "quick"
    only: Annotated[tuple[str, ...] | None, Parameter(negative="", consume_multiple=True)] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Training:
    """The options that all experiments with training share.

    Attributes
    ----------
    data
        Recordings, or a corpus that `prepare` made. The default is the clip in the package.
    device
        Device for torch. `auto` takes the GPU where there is one.
    storage
        URL of the study's database, such as postgresql+psycopg://HOST/NAME. The default is SQLite in the folder.
    """

    data: Annotated[tuple[Path, ...], Parameter(negative="", consume_multiple=1, show_default=False)] = ()
    device: Device = "auto"
    storage: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Sized:
    """The options that experiments with presets share.

    Attributes
    ----------
    preset
        Preset that sets each model's size. `small` suits hours on two cores. The default is `thesis` at full scale
        and `tiny` below.
    minutes
        Minutes of training for each model. The default is 2880 (48 hours) at full scale, 4 at medium and 0.1
        at quick.
    """

    preset: Literal["thesis", "small", "tiny"] | None = None
    minutes: float | None = None


def _run(name: str, common: Common | None, training: Training | None, **options: object) -> None:
    need_torch()
    need("experiments", "optuna")
    from wavewright.experiments.experiment import Experiment

    given, how = common or Common(), training or Training()
    out = given.out or Path("runs") / name
    experiment = Experiment(name, out, given.scale, how.data, how.device, given.only, how.storage, progress)
    importlib.import_module(f"wavewright.experiments.{name.replace('-', '_')}").run(experiment, **options)
    say(f"{out}: done; read it: wavewright report {out} --out report.html")


@app.command
@expanding
def overfit(common: Common | None = None, training: Training | None = None) -> None:
    """Overfit each model on one second of music and play the result."""
    _run("overfit", common, training)


@app.command
@expanding
def variations(common: Common | None = None, training: Training | None = None) -> None:
    """Train the six NaiveRNN configurations of the thesis's table 4.1 on one second of music."""
    _run("variations", common, training)


@app.command
@expanding
def rooms(
    common: Common | None = None,
    training: Training | None = None,
    sized: Sized | None = None,
) -> None:
    """Train each model on impulse responses, and compare what it makes with real ones and with shaped noise.

    Name impulse responses with --data, or a corpus that `prepare --preset impulse-responses` made of them.

    Parameters
    ----------
    common
        The options that all experiments share.
    training
        The options that all experiments with training share.
    sized
        The options that experiments with presets share.
    """
    _run("rooms", common, training, **asdict(sized or Sized()))


@app.command
@expanding
def search(
    common: Common | None = None,
    training: Training | None = None,
    *,
    trials: int | None = None,
    minutes: float | None = None,
) -> None:
    """Search SampleRNN's frame sizes, tiers, units, length and learning rate, and rank what mattered.

    Parameters
    ----------
    common
        The options that all experiments share.
    training
        The options that all experiments with training share.
    trials
        Number of trials, counted over all workers. The default is 40 at full scale, 6 at medium and 3 at quick.
    minutes
        Minutes of training for each trial that is not pruned. The default is 20 at full scale, 0.5 at medium and 0.05
        at quick.
    """
    _run("search", common, training, trials=trials, minutes=minutes)


@app.command
@expanding
def piano(
    common: Common | None = None,
    training: Training | None = None,
    sized: Sized | None = None,
) -> None:
    """Train each model for the same time on the same recordings and compare their sounds.

    Parameters
    ----------
    common
        The options that all experiments share.
    training
        The options that all experiments with training share.
    sized
        The options that experiments with presets share.
    """
    _run("piano", common, training, **asdict(sized or Sized()))


@app.command
@expanding
def piano_roll(
    common: Common | None = None,
    training: Training | None = None,
    sized: Sized | None = None,
) -> None:
    """Train each model for the same time with and without scores, and compare how they play scores held out.

    The recordings need MIDI files beside them. `make transcriber` installs what the onset F1 needs.

    Parameters
    ----------
    common
        The options that all experiments share.
    training
        The options that all experiments with training share.
    sized
        The options that experiments with presets share.
    """
    _run("piano-roll", common, training, **asdict(sized or Sized()))


@app.command
@expanding
def speed(common: Common | None = None) -> None:
    """Measure how many seconds torch and the engine compute for one second of sound."""
    _run("speed", common, None)
