"""The instrument of the studio's page in a real browser: scores, two models, and checkpoints of a run."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the studio needs fastapi: pip install '.[studio]'")
pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")

from playwright.sync_api import expect

from support.browser import chromium, drop
from support.model_files import rewrite
from support.scores import write_score
from support.studio import Server, serving
from support.tiny import again, make_corpus
from wavewright.conditioning.events import Kind
from wavewright.formats import checkpoint
from wavewright.playing.opening import shipped

pytestmark = pytest.mark.slow

SLOW = 90_000  # ms: the machine may be busy
THEMES = ("dark", "light")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A studio with a model that can be mixed with the piano of the package, since it is its twin."""
    with serving(tmp_path / "work") as running:
        twin = running.folder / "models" / "twin.safetensors"
        twin.parent.mkdir(exist_ok=True)
        shutil.copy(shipped(Path("piano")), twin)
        rewrite(twin, lambda metadata, *_: metadata["about"].update(title="Twin"))
        yield running


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The screen of the instrument. Any error in it fails the test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(SLOW)
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(f"{server.base}/login?token={server.token}")
    opened.goto(f"{server.base}/#play")
    yield opened
    opened.close()
    assert not said


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def test_a_score_that_is_dropped_plays_lights_the_keys_and_is_recorded(
    page: Any, server: Server, tmp_path: Path
) -> None:
    write_score(tmp_path / "s.mid", [(0.1, Kind.strike, 64, 90), (600.0, Kind.release, 64, 0)])
    scores = page.get_by_role("combobox", name="Score")
    expect(button(page, "Play the score")).to_be_disabled()
    drop(page, "rubbish.mid", bytes([1, 2, 3]))
    expect(page.get_by_text("rubbish.mid: not a readable MIDI file")).to_be_visible()
    drop(page, "my tune.mid", (tmp_path / "s.mid").read_bytes())
    expect(scores.locator("option:checked")).to_have_text("my tune")
    button(page, "Play the score").click()  # which starts the instrument, too
    expect(button(page, "End the score")).to_be_visible()
    button(page, "Record").click()
    expect(page.locator("[data-key='64'].lit")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("progressbar", name="Place in the score")).to_be_visible()
    button(page, "Keep the take").click()
    expect(page.get_by_text(re.compile("The take piano .* is kept"))).to_be_visible()
    button(page, "Panic").click()
    expect(button(page, "Play the score")).to_be_visible()
    expect(page.locator(".lit")).to_have_count(0)
    [path] = (server.folder / "takes").glob("*.json")
    assert json.loads(path.read_text())["model"] == "piano"


def test_two_models_are_mixed_and_compared(page: Any) -> None:
    page.get_by_role("combobox", name="Second model").select_option(label="Twin")
    button(page, "Start").click()
    amount = page.get_by_role("slider", name="Amount")
    expect(amount).to_have_attribute("aria-valuetext", "0.50")
    expect(page.get_by_text("Piano and Twin", exact=True)).to_be_visible()
    amount.press("End")
    expect(amount).to_have_attribute("aria-valuetext", "1.00")
    button(page, "Compare").click()
    expect(button(page, "A")).to_be_enabled(timeout=SLOW)
    expect(button(page, "A")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".screen .name")).to_have_text("Piano")
    button(page, "B").click()
    expect(page.locator(".screen .name")).to_have_text("Twin")
    expect(amount).to_have_count(0)
    button(page, "In turns").click()
    expect(
        page.get_by_text("A and B get the same keys and knobs. The one that you do not hear stands still")
    ).to_be_visible()
    expect(button(page, "A")).to_be_enabled(timeout=SLOW)
    expect(page.locator(".screen .name")).to_have_text("Piano")
    button(page, "B").click()
    expect(page.locator(".screen .name")).to_have_text("Twin")
    expect(page.locator(".notice.wrong")).to_have_count(0)
    page.get_by_role("combobox", name="Second model").select_option(label="none")
    expect(button(page, "B")).to_have_count(0)
    expect(page.locator(".screen .name")).to_have_text("Piano", timeout=SLOW)


def test_a_checkpoint_that_plays_for_the_first_time_says_so_at_once(page: Any, server: Server, tmp_path: Path) -> None:
    again(make_corpus(tmp_path / "sounds"), server.folder / "runs" / "wind", 20)
    steps = checkpoint.steps(server.folder / "runs" / "wind")
    assert len(steps) > 1
    model = page.get_by_role("combobox", name="Model", exact=True)
    expect(model.locator("option", has_text="wind, step")).to_have_count(len(steps))
    model.select_option(label=f"wind, step {steps[0]}")
    button(page, "Start").click()
    expect(page.get_by_role("status").filter(has_text="opening wind")).to_be_visible()
    expect(page.get_by_text(re.compile(f"wind, step {steps[0]} is made ready"))).to_be_visible()
    expect(button(page, "Stop")).to_be_visible(timeout=SLOW)
    expect(page.locator(".screen .name")).to_have_text(f"wind, step {steps[0]}")


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_lies_beside_the_page(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        page.get_by_role("combobox", name="Second model").select_option(label="Twin")
        button(page, "Compare").click()
        expect(button(page, "B")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
