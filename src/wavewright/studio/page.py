"""The files of the built page: a fixed table, so that no other file is ever served as one."""

import mimetypes
from pathlib import Path

from starlette.responses import FileResponse, Response

from wavewright.errors import printable
from wavewright.studio.folder import Refusal

STATIC = Path(__file__).parent / "static"
STUDIO, LISTEN = "index.html", "listen.html"  # for the owner, and for invited listeners
ASSETS, PLAYER = "assets", "player"  # folders of the page
NO_PAGE = (
    "<!doctype html><meta charset=utf-8><title>wavewright studio</title><p>The server runs; its page is not built."
)


class Page:
    """The built page, as it was when the server started.

    Args:
        html: the file that opens it.
        folders: what it may fetch.
    """

    def __init__(self, html: str, *folders: str) -> None:
        found = {html: STATIC / html}
        for folder in folders:
            found |= {path.relative_to(STATIC).as_posix(): path for path in (STATIC / folder).rglob("*")}
        self._html = html
        self._files = {name: path for name, path in found.items() if path.is_file() and not path.is_symlink()}

    def index(self) -> Response:
        """Return the page itself."""
        path = self._files.get(self._html)
        return FileResponse(path) if path else Response(NO_PAGE, media_type="text/html")

    def asset(self, name: str) -> Response:
        """Return a file of the built page."""
        return self._file(f"{ASSETS}/{name}")

    def player_module(self, name: str) -> Response:
        """Return a module of the player."""
        return self._file(f"{PLAYER}/{name}")

    def _file(self, name: str) -> Response:
        if name not in self._files:
            raise Refusal(404, f"{printable(name)[:60]}: no such file")
        return FileResponse(self._files[name], media_type=_media_type(name))


def _media_type(name: str) -> str:
    if name.endswith((".js", ".mjs")):
        return "text/javascript"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
