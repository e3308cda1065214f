"""Draw curves, waveforms, close-ups, bars and slices. Each picture is the text of an SVG file, always the same.

Pictures are drawn for the width of a phone, where they must be readable, and shown a little larger elsewhere.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
WIDTH, HEIGHT = 4.6, 3.1  # inches
COLUMNS = 600  # of a whole waveform
# Okabe and Ito's colours, which colour-blind readers can distinguish. Their yellow is too pale for lines.
BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
)
EDGE, TICK, GRID, GREY = "#666666", "#444444", "#e4e4e4", "#999999"  # of axes, their numbers, grids, and the thesis's
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, BLACK)
STYLE: Any = {
    "svg.hashsalt": "wavewright",  # else identifiers are random
    "svg.fonttype": "path",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": TICK,
    "ytick.color": TICK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.2,
}


@dataclass(frozen=True)
class Line:
    """A curve, (n,) and (n,), and its name in the legend."""

    name: str
    x: Array
    y: Array


def curves(
    lines: Sequence[Line], x: str, y: str, *, log_x: bool = False, log_y: bool = False, marks: bool = False
) -> str:
    """Draw curves over one axis.

    `log_x` makes that axis logarithmic. `log_y` allows a logarithmic scale where the values span enough for one.
    `marks` shows the points.
    """

    from matplotlib.ticker import LogLocator

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for i, line in enumerate(lines):
            style = {"marker": "o", "markersize": 3} if marks else {}
            axis.plot(line.x, line.y, color=COLOURS[i % len(COLOURS)], label=line.name, **style)
        axis.set(xlabel=x, ylabel=y)
        if log_y and max(_span(line.y) for line in lines) > 5:
            axis.set_yscale("log", subs=[])
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        if log_x:
            axis.set_xscale("log", subs=[])
        axis.xaxis.set_major_formatter(lambda value, _: _short(value))
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if log_x else _ticks())
        figure.legend(loc="outside upper left", ncols=2 if max(len(line.name) for line in lines) < 22 else 1)

    return _svg(draw)


def waveforms(sounds: Sequence[tuple[str, Array]], rate: int) -> str:
    """Draw whole sounds, one above the other, as the lowest and highest sample of each column."""

    def draw(figure: Any) -> None:
        axes = figure.subplots(len(sounds), 1, sharex=True, squeeze=False)[:, 0]
        for axis, colour, (name, samples) in zip(axes, (BLUE, ORANGE), sounds, strict=False):
            low, high = envelope(samples, COLUMNS)
            seconds = np.linspace(0, len(samples) / rate, len(low))
            axis.fill_between(seconds, low, high, color=colour, linewidth=0.4)
            axis.set_title(name, loc="left", fontsize=9.5)
            axis.set(ylim=(-1, 1), yticks=(-1, 0, 1), ylabel="amplitude")
        axes[-1].set_xlabel("time (s)")

    return _svg(draw, HEIGHT if len(sounds) > 1 else 2.2)


def close_up(sounds: Sequence[tuple[str, Array]], start: int) -> str:
    """Draw a few samples of each sound in one pair of axes, where `start` is the number of the first."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for (name, samples), colour, width in zip(sounds, (BLUE, ORANGE), (2.4, 1.1), strict=False):
            places = np.arange(start, start + len(samples))
            axis.plot(places, samples, color=colour, linewidth=width, label=name)
        axis.set(xlabel="sample", ylabel="amplitude")
        axis.xaxis.set_major_locator(_ticks())
        figure.legend(loc="outside upper left", ncols=2)

    return _svg(draw)


def sampled(panels: Sequence[tuple[str, Array, Array, bool]], truth: tuple[Array, Array]) -> str:
    """Draw a sound (milliseconds, amplitudes), and in each panel the samples kept.

    A panel is a name, times, amplitudes, and whether to draw stairs instead of points.
    """

    def draw(figure: Any) -> None:
        axes = figure.subplots(len(panels), 1, sharex=True)
        for axis, (name, x, y, stairs) in zip(axes, panels, strict=True):
            axis.plot(*truth, color=GREY, linewidth=1)
            if stairs:
                axis.step(x, y, where="mid", color=ORANGE)
                axis.set_yticks(np.unique(y), minor=True)
                axis.grid(visible=True, which="minor")
            else:
                axis.vlines(x, 0, y, color=ORANGE, linewidth=0.8)
                axis.plot(x, y, "o", color=ORANGE, markersize=2.6)
            axis.set_title(name, loc="left", fontsize=9.5)
            axis.set(ylim=(-1.1, 1.1), yticks=(-1, 0, 1), ylabel="amplitude")
        axes[-1].set_xlabel("time (ms)")

    return _svg(draw, 3.8)


def bars(values: Sequence[tuple[str, float]], x: str, theirs: Sequence[str] = ()) -> str:
    """Draw horizontal bars, each with its value. The bars named in `theirs` are grey."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        names, lengths = zip(*values, strict=True)
        colours = [GREY if name in theirs else BLUE for name in names]
        drawn = axis.barh(range(len(values)), lengths, color=colours, height=0.7)
        axis.bar_label(drawn, [f"{value:.3g}" for value in lengths], padding=3, fontsize=9)
        axis.set_yticks(range(len(values)), names)
        axis.invert_yaxis()
        axis.set_xlabel(x)
        axis.margins(x=0.15)
        axis.grid(visible=False, axis="y")

    return _svg(draw, 1 + 0.28 * len(values))


def slices(parameters: Mapping[str, Sequence[Any]], values: Sequence[float], y: str) -> str:
    """Draw the result of each trial of a search against each of its parameters, the lowest in another colour."""

    def draw(figure: Any) -> None:
        axes = figure.subplots(len(parameters), 1, sharey=True, squeeze=False)[:, 0]
        best = int(np.argmin(values))
        for axis, (name, given) in zip(axes, parameters.items(), strict=True):
            if all(isinstance(value, float) for value in given):
                places = given
                axis.set_xscale("log", subs=[])
                axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            else:
                kinds = sorted(set(given), key=lambda value: (len(str(value)), str(value)))
                places = [kinds.index(value) for value in given]
                axis.set_xticks(range(len(kinds)), kinds, fontsize=9 if len(kinds) < 7 else 8)
                axis.set_xlim(-0.5, len(kinds) - 0.5)
            axis.plot(places, values, "o", color=BLUE, markersize=4, alpha=0.6)
            axis.plot(places[best], values[best], "o", color=ORANGE, markersize=6)
            axis.set_xlabel(name)
        figure.supylabel(y, fontsize=9.5)

    from matplotlib.ticker import LogLocator

    return _svg(draw, 0.3 + 1.3 * len(parameters))


def envelope(samples: Array, columns: int) -> tuple[Array, Array]:
    """Return the lowest and the highest sample of each of `columns` stretches, or each sample where there are fewer."""
    parts = np.array_split(samples, min(columns, len(samples)))
    return np.array([part.min() for part in parts]), np.array([part.max() for part in parts])


def _svg(draw: Callable[[Any], None], height: float = HEIGHT) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue().decode()


def _span(values: Array) -> float:
    """Return the largest value over the smallest, without gaps."""
    known = values[np.isfinite(values)]
    return float(known.max() / max(known.min(), 1e-9)) if len(known) else 1.0


def _ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6)


def _short(value: float) -> str:
    """Write 12000 as 12k and 3.5e6 as 3.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
