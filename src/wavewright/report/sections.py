"""Make a section of the page from an experiment. Speed and search are here, experiments that train in `learning`."""

from collections import Counter
from collections.abc import Callable, Sequence

from wavewright.measuring.speed import Row
from wavewright.report import drawing, learning, rooms
from wavewright.report.format import NONE, clock, number, words
from wavewright.report.page import Figure, Section, Table
from wavewright.report.reading import Experiment, SearchTrial

PLAYING = {"naive-rnn": 16.0, "sample-rnn": 25.0, "wavenet": 28.0}  # seconds of GPU per generated second (4.3.1)
BEST = 10  # trials in the table of a search


def section(experiment: Experiment) -> Section:
    """Return the section of an experiment."""
    kinds: dict[str, Callable[[Experiment], Section]] = {
        "variations": learning.variations,
        "overfit": learning.overfit,
        "piano": learning.piano,
        "piano-roll": learning.piano_roll,
        "rooms": rooms.rooms,
        "speed": _speed,
        "search": _search,
    }
    return kinds[experiment.header.experiment](experiment)


def _speed(experiment: Experiment) -> Section:
    alone: dict[tuple[str, str], list[Row]] = {}
    for row in experiment.rows:
        if row.streams == 1 and row.model in PLAYING:
            alone.setdefault((row.model, row.preset), []).append(row)
    rows: list[list[str]] = []
    bars: dict[str, float] = {}
    for (model, preset), own in alone.items():
        torch = next((1 / row.times_real_time for row in own if row.engine == "torch"), None)
        fastest = max(own, key=lambda row: row.times_real_time)
        ours = 1 / fastest.times_real_time
        rows.append([preset, number(PLAYING[model]), number(torch), number(ours), _way(fastest)])
        bars |= {f"{preset}, thesis": PLAYING[model], f"{preset}, ours": ours}
    every = [
        "model",
        "preset",
        "engine",
        "precision",
        "threads",
        "streams",
        "samples/s",
        "times real time",
        "times torch",
    ]
    return Section(
        experiment,
        "Playing",
        "How long does a model take for one second of sound? Below 1 it plays in real time.",
        [
            Table(
                "Seconds of computing per generated second",
                ["model", "thesis, GPU", "torch", "our fastest", "which is"],
                rows,
            ),
            Table(
                "Every way of playing that was measured", every, [_cells(row) for row in experiment.rows], folded=True
            ),
        ],
        [[_speed_figure(bars)]] if bars else [],
    )


def _speed_figure(seconds: dict[str, float]) -> Figure:
    ours = [
        f"{name.removesuffix(', ours')} takes {number(value)} s"
        for name, value in seconds.items()
        if name.endswith(", ours")
    ]
    return Figure(
        "",
        "Seconds of computing per generated second",
        drawing.bars(
            list(seconds.items()),
            "seconds per generated second",
            [name for name in seconds if name.endswith(", thesis")],
        ),
        f"for a second of one stream, {', '.join(ours)}.",
        "16, 25 and 28 s of a GTX 1080 Ti: no model is of use in real time (4.3.1).",
    )


def _way(row: Row) -> str:
    return f"{row.engine} {row.precision}, {row.threads} thread{'s' if row.threads > 1 else ''}"


def _cells(row: Row) -> list[str]:
    return [
        row.model,
        row.preset,
        row.engine,
        row.precision,
        str(row.threads),
        str(row.streams),
        number(row.samples_per_second),
        number(row.times_real_time),
        number(row.times_torch),
    ]


def _search(experiment: Experiment) -> Section:
    search = experiment.search
    assert search is not None, "reading.read gives one"
    done = [trial for trial in search.trials if trial.value is not None and trial.state.lower() == "complete"]
    states = Counter(trial.state for trial in search.trials)
    best = sorted(done, key=lambda trial: (trial.value, trial.number))[:BEST]
    name_of_best = f"trial-{best[0].number:04d}" if best else ""  # as the experiment calls its folder
    names = list(dict.fromkeys(name for trial in best for name in trial.parameters))
    table = Table(
        f"The best {len(best)} of {len(search.trials)} trials",
        ["trial", "bits", "time", *map(words, names)],
        [
            [str(t.number), f"{t.value:.3f}", clock(t.seconds), *(_value(t.parameters.get(name)) for name in names)]
            for t in best
        ],
    )
    return Section(
        experiment,
        "A search for SampleRNN",
        "The thesis wished for a search over frame sizes and numbers of modules (5.2.1). "
        f"Trials here: {', '.join(f'{count} {state.lower()}' for state, count in sorted(states.items()))}.",
        [table],
        [[_importances(search.importances), _slices(done)]] if search.importances else [],
        trials=[trial for trial in experiment.trials if trial.result.name == name_of_best],
    )


def _importances(shares: dict[str, float]) -> Figure:
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return Figure(
        "",
        "What mattered in the search",
        drawing.bars([(words(name), 100 * share) for name, share in ordered], "share of the variation in bits (%)"),
        f"most of all {words(ordered[0][0])}, with {100 * ordered[0][1]:.0f} %.",
    )


def _slices(done: Sequence[SearchTrial]) -> Figure:
    common = [name for name in done[0].parameters if all(name in trial.parameters for trial in done)]
    values = [trial.value for trial in done if trial.value is not None]
    return Figure(
        "",
        "What each trial came to",
        drawing.slices({words(name): [t.parameters[name] for t in done] for name in common}, values, "bits per sample"),
        f"from {max(values):.4g} down to {min(values):.4g} (orange); {len(done)} trials that were not given up early.",
    )


def _value(value: object) -> str:
    return number(value, 4) if isinstance(value, float) else NONE if value is None else str(value)
