"""The command `wavewright page`."""

from pathlib import Path

from wavewright.commands.console import say


def page(model: Path, *, out: Path) -> None:
    """Write a page on which a model plays in the browser.

    The page is a folder for any web server that sends files. Nothing has to be installed to play it. To try it here,
    run `python3 -m http.server --directory FOLDER` and open http://localhost:8000.

    Parameters
    ----------
    model
        Model file that `export` made, or the name of a model in the package. An `int8` file is the smallest to load.
    out
        Folder of the page. It is made where it is not there, and other files in it stay.
    """
    from wavewright.sharing.page import write_page

    write_page(model, out)
    say(f"the page is in {out}; try it with `python3 -m http.server --directory {out}`")
