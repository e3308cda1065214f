"""Draw the pictures of docs/studio.md anew.

    python tests/picture_studio.py DATA FOLDER

DATA has recordings with scores beside them. A corpus of them is made and a model trained on it for some minutes, in
FOLDER, unless that is done. What is drawn goes to docs/images.
"""

import contextlib
import io
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from support.browser import chromium
from support.studio import Server, serving, until

IMAGES = Path(__file__).parents[1] / "docs" / "images"
MINUTES = 4.0
CORPUS, RUN = "evening", "evening-linear"


def main(data: Path, folder: Path) -> None:
    """Draw all pictures."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with serving(folder) as server:
        prepare(server, sorted([*data.glob("*.flac"), *data.glob("*.mid")]))
        with contextlib.closing(chromium()) as browsers:
            draw(next(browsers), server)


def prepare(server: Server, files: list[Path]) -> None:
    """Fill the studio: recordings, a corpus, a training."""
    with server.client() as client:
        if not client.get("/api/recordings").json():
            for file in files:
                client.put("/api/recordings", params={"name": file.name}, content=file.read_bytes()).raise_for_status()
        until(lambda: all(one["state"] != "examining" for one in client.get("/api/recordings").json()))
        if not client.get("/api/corpora").json():
            asked = {"name": CORPUS, "recordings": "all", "preset": "music", "rate": 8000}
            client.post("/api/corpora", json=asked).raise_for_status()
        [corpus] = until(lambda: [one for one in client.get("/api/corpora").json() if one["state"] == "ready"])
        if not client.get("/api/runs").json():
            asked = {"name": RUN, "corpus": corpus["id"], "model": "linear-rnn", "preset": "tiny", "minutes": MINUTES}
            client.post("/api/runs", json=asked).raise_for_status()
        while client.get("/api/runs").json()[0]["state"] != "finished":
            time.sleep(5)


def draw(browser: Any, server: Server) -> None:
    """Draw each screen."""

    def page(width: int, height: int, theme: str) -> Any:
        opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
        opened.set_default_timeout(60_000)
        opened.goto(f"{server.base}/login?token={server.token}")
        return opened

    wide = page(1280, 1000, "dark")
    with wide.expect_response("**/spectrogram.png"):
        wide.get_by_role("button", name="Show details of").first.click()
    keep(wide, "studio-library")
    wide.goto(f"{server.base}/#train")
    wide.get_by_role("button", name=RUN).first.click()
    keep(wide, "studio-train")
    for theme, name in (("dark", "studio-play"), ("light", "studio-light")):
        wide = page(1280, 1000, theme)
        wide.goto(f"{server.base}/#play")
        play(wide)
        keep(wide, name)
        wide.close()
    phones = []
    for screen in ("library", "train", "play", "judge"):
        narrow = page(390, 844, "dark")
        narrow.goto(f"{server.base}/#{screen}")
        if screen == "play":
            play(narrow)
        narrow.wait_for_timeout(1500)
        phones.append(Image.open(io.BytesIO(narrow.screenshot())))
        narrow.close()
    row = Image.new("RGB", (sum(one.width for one in phones) + 20 * (len(phones) - 1), phones[0].height), "white")
    for place, one in enumerate(phones):
        row.paste(one, (place * (one.width + 20), 0))
    row.save(IMAGES / "studio-phone.webp", quality=80)


def play(page: Any) -> None:
    """Let the piano sound a chord."""
    page.get_by_role("combobox", name="Model", exact=True).select_option(label="Piano")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    page.wait_for_timeout(1500)
    for key in ("y", "c", "b"):
        page.keyboard.down(key)
    page.wait_for_timeout(700)


def keep(page: Any, name: str) -> None:
    """Write what a page shows."""
    page.wait_for_timeout(1500)
    Image.open(io.BytesIO(page.screenshot(full_page=True))).save(IMAGES / f"{name}.webp", quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
