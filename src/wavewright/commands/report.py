"""The command `wavewright report`."""

from pathlib import Path

from wavewright.commands.console import print_json, say
from wavewright.commands.options import Flag


def report(*dirs: Path, out: Path = Path("report.html"), files: Path | None = None, json: Flag = False) -> None:
    """Make one HTML page of experiments, with every sound to play and the thesis's figures and tables beside ours.

    The page needs no other file and no network.

    Parameters
    ----------
    dirs
        Folders that `wavewright experiment` made.
    out
        HTML file to write.
    files
        Folder for the page's figures (SVG), sounds (FLAC) and numbers (results.json) as single files.
    json
        Print a summary of the page as JSON.
    """
    from wavewright.report import report as make

    made = make(dirs, out, files)
    for folder in made["unfinished"]:
        say(f"{folder}: not finished, and shown so")
    if json:
        print_json(made)
    else:
        say(f"{out}: {made['figures']} figures, {made['players']} sounds, {made['bytes'] / 1e6:.1f} MB")
