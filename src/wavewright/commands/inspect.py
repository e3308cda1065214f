"""The command `wavewright inspect`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from wavewright.commands.console import print_json, progress, put, table
from wavewright.commands.models import show_models
from wavewright.commands.options import Flag, duration, kinds, some, worker_count
from wavewright.errors import ConfigError, WavewrightError, printable

if TYPE_CHECKING:
    from wavewright.conditioning.alignment import Alignment
    from wavewright.corpus.inspection import Inspected, Report

MODEL = ".safetensors"
HEADER = (
    "file",
    "format",
    "rate",
    "channels",
    "seconds",
    "peak",
    "RMS dBFS",
    "DC",
    "clipped",
    "silence s",
    "score",
    "notes",
)


def inspect(*paths: Path, workers: int | None = None, json: Flag = False) -> None:
    """Inspect audio files before `prepare`. List their format, length, loudness, clipping, silence and damage.

    Of model files, list what `wavewright models` lists of the models in the package.

    Where a MIDI file of the same name lies beside a recording, the column `score` tells how it fits: the lag from a
    note to its sound, how much the lag drifts, and the fit, which is 3 or more for the recording's own score.

    Parameters
    ----------
    paths
        Audio files, or folders to search for them. Or model files that `export` made.
    workers
        Number of processes that decode. The default is one for each processor.
    json
        Print the report as JSON.
    """
    from wavewright.corpus import inspection

    if any(map(_is_model, paths)):
        _inspect_models(paths, json)
        return
    report = inspection.inspect(some(paths), worker_count(workers), progress)
    if json:
        print_json(asdict(report))
    else:
        _print_report(report)
    if not report.files:
        where = ", ".join(printable(path) for path in paths)
        why = f"; {len(report.refused)} refused, the first: {report.refused[0].reason}" if report.refused else ""
        raise WavewrightError(f"{where}: no readable audio{why}")


def _is_model(path: Path) -> bool:
    from wavewright.formats.hub import is_hub_name

    return path.suffix == MODEL or is_hub_name(path)


def _inspect_models(paths: tuple[Path, ...], json: bool) -> None:
    from wavewright.measuring.catalogue import describe

    for path in paths:
        if not _is_model(path):
            raise ConfigError(f"{printable(path)}: not a model file; inspect it in another command")
    show_models(map(describe, paths), json)


def _print_report(report: "Report") -> None:
    if report.files:
        table("audio files", HEADER, map(_row, report.files))
    if report.refused:
        table("refused", ("refused file", "reason"), ((one.name, one.reason) for one in report.refused))
    put(
        f"{len(report.files)} files, {duration(report.seconds)}, {report.clipped} clipped samples;"
        f" {len(report.refused)} refused; {report.passed_over} hidden or of other kinds passed over"
        + (f" ({kinds(report.kinds)})" if report.kinds else "")
    )


def _row(one: "Inspected") -> tuple[str, ...]:
    rms = "-inf" if one.rms_dbfs is None else f"{one.rms_dbfs:.1f}"
    numbers = (f"{one.seconds:.3f}", f"{one.peak:.4f}", rms, f"{one.dc:+.5f}", f"{one.clipped}")
    notes = "; ".join(one.notes)
    return (
        one.name,
        one.format,
        f"{one.rate}",
        f"{one.channels}",
        *numbers,
        f"{one.silence_seconds:.2f}",
        "" if one.score is None else _score(one.score),
        notes,
    )


def _score(score: "Alignment") -> str:
    return f"{1000 * score.lag:+.0f} ms, drift {1000 * score.drift:+.0f} ms, fit {score.fit:.1f}"
