"""The command `wavewright studio`."""

from pathlib import Path

from wavewright.commands.console import put
from wavewright.commands.options import Flag
from wavewright.errors import need

FOLDER = Path("wavewright-studio")


def studio(folder: Path = FOLDER, *, port: int = 8737, no_browser: Flag = False) -> None:
    """Open the studio, a page to collect recordings, train models and play them.

    The page is served to this computer alone, until Ctrl-C. Trainings go on without it.

    Parameters
    ----------
    folder
        Folder for recordings, corpora, runs, models and takes. It is made where it is not there.
    port
        Port of this computer on which the page is served. 0 takes any free one.
    no_browser
        Print the page's link and open no browser.
    """
    need("studio", "fastapi", "uvicorn", "websockets")
    import webbrowser

    from wavewright.studio.server import serve

    def ready(link: str) -> None:
        put(f"the studio is at {link}")
        if not no_browser:
            webbrowser.open(link)

    serve(folder, port, ready)
