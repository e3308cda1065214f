"""Chromium for the tests of pages, or a skip where it is not installed."""

import base64
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

DROP = """([name, base64]) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
    const data = new DataTransfer()
    data.items.add(new File([bytes], name))
    window.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }))
}"""
QUIET = ("background-networking", "component-update", "sync", "gpu")


def chromium() -> Iterator[Any]:
    """A running browser of Playwright."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no chromium to show the page")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")
    arguments = ["--no-sandbox", *(f"--disable-{part}" for part in QUIET)]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


def drop(page: Any, name: str, content: bytes) -> None:
    """Drop a file on a page."""
    page.evaluate(DROP, [name, base64.b64encode(content).decode()])
