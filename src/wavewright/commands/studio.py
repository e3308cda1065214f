"""The command `wavewright studio`."""

from pathlib import Path

from wavewright.commands.console import put
from wavewright.commands.options import Flag
from wavewright.errors import need

FOLDER = Path("wavewright-studio")


def studio(folder: Path = FOLDER, *, port: int = 8737, listen: str | None = None, no_browser: Flag = False) -> None:
    """Open the studio, a page to collect recordings, train models and play them.

    The page is served to this computer alone, until Ctrl-C. Trainings go on without it. With --listen, listeners whom
    you invite reach your blind tests over the network, and nothing else.

    Parameters
    ----------
    folder
        Folder for recordings, corpora, runs, models, scores and takes. It is made where it is not there.
    port
        Port of this computer on which the page is served. 0 takes any free one.
    listen
        One address of this computer at which invited listeners reach your blind tests, such as 192.168.1.5. A port may
        follow, as in 192.168.1.5:8738. Without this option no other computer reaches the studio.
    no_browser
        Print the page's link and open no browser.
    """
    need("studio", "fastapi", "uvicorn", "websockets")
    import webbrowser

    from wavewright.studio.server import serve

    def ready(link: str, listeners: str | None) -> None:
        put(f"the studio is at {link}")
        if listeners:
            put(f"invited listeners reach {listeners}; make their links on the screen Judge")
        if not no_browser:
            webbrowser.open(link)

    serve(folder, port, listen, ready)
