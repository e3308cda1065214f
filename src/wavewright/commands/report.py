"""`wavewright report`: parse, one library call, print."""

from pathlib import Path

from wavewright.commands.console import print_json, say
from wavewright.commands.options import Flag


def report(*dirs: Path, out: Path = Path("report.html"), files: Path | None = None, json: Flag = False) -> None:
    """Make one page of experiments: the thesis's figures and tables beside ours, and every sound to play.

    The page holds all it needs: open it anywhere, send it, print it.

    Parameters
    ----------
    dirs
        What `wavewright experiment` wrote; any number of folders.
    out
        The page.
    files
        A folder for its figures (SVG), sounds (FLAC) and numbers (results.json) one by one, for a paper or a program.
    json
        Print what is on it as JSON.
    """
    from wavewright.report import report as make

    made = make(dirs, out, files)
    for folder in made["unfinished"]:
        say(f"{folder}: not finished, and shown so")
    if json:
        print_json(made)
    else:
        say(f"{out}: {made['figures']} figures, {made['players']} sounds, {made['bytes'] / 1e6:.1f} MB")
