"""Chromium for the tests of pages, or a skip where it is not installed."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

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
