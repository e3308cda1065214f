"""The studio's page in a real browser: from an empty folder to a take, and what anyone may meet on the way."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

pytest.importorskip("fastapi", reason="the studio needs fastapi: pip install '.[studio]'")
pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")
pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

from playwright.sync_api import expect

from conftest import ROOT, melody
from support.browser import chromium, drop
from support.fake_hub import fake_hub
from wavewright.formats import model_file

pytestmark = pytest.mark.slow

SLOW = 90_000  # ms: training imports torch, and the machine may be busy
AXE = ROOT / "web/studio/node_modules/axe-core/axe.min.js"
SCREENS = ("library", "train", "play", "judge")
THEMES = ("dark", "light")
G4 = 392.0  # Hz, MIDI key 67, the letter b

# A keyboard of which the test moves the keys and knobs: send(status, first, second).
FALSE_MIDI = """
const port = { name: "Test keys", onmidimessage: null }
navigator.requestMIDIAccess = async () => ({ inputs: new Map([["1", port]]), onstatechange: null })
window.send = (...bytes) => port.onmidimessage({ data: Uint8Array.from(bytes) })
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A studio over an empty folder: the link that its terminal shows, and the folder."""
    folder = tmp_path / "work"
    command = [sys.executable, "-m", "wavewright", "studio", str(folder), "--port", "0", "--no-browser"]
    with (
        fake_hub() as hub,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **hub.environment(tmp_path / "home")}
        ) as server,
    ):
        try:
            assert server.stdout
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found
            yield found[0], folder
        finally:
            server.terminate()


@pytest.fixture
def page(browser: Any, studio: tuple[str, Path]) -> Iterator[Any]:
    """The page, signed in. Any error in it, or word on its console, fails the test."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    opened.set_default_timeout(30_000)
    opened.add_init_script(FALSE_MIDI)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(studio[0])
    yield opened
    opened.close()
    assert not said


def show(page: Any, screen: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=re.compile(screen, re.I)).click()


def serious(page: Any) -> list[str]:
    """What axe-core finds that is serious or worse, on the screen that is shown."""
    if not AXE.is_file():
        pytest.skip("no axe-core: run `npm ci` in web/studio")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then((found) => found.violations)")
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def loudest_tone(samples: NDArray[np.float64], rate: int) -> float:
    """The frequency in Hz of the highest peak of the spectrum, around the loudest moment."""
    middle = int(np.argmax(np.convolve(samples**2, np.ones(rate // 10), "same")))
    part = samples[max(0, middle - rate // 8) : middle + rate // 4]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * len(part)))
    return float(np.argmax(spectrum) * rate / (8 * len(part)))


def make_a_corpus(page: Any, recording: Path, name: str) -> None:
    """Drop a recording, see its verdict, and make a corpus of it."""
    expect(page.get_by_text("Drop sounds")).to_be_visible()
    drop(page, name, recording.read_bytes())
    row = page.get_by_role("listitem").filter(has_text=name)
    expect(row.get_by_role("slider", name=f"Place in {name}")).to_be_visible(timeout=SLOW)
    assert page.evaluate("document.querySelectorAll('main script, main b:not([class])').length") == 0
    expect(page.get_by_text("has 3.0 s, so sections are 2 s long instead of 4 s.")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("evening")
    page.get_by_text("Labels, measures and sample rate").click()
    page.get_by_role("combobox", name="Sample rate").select_option("8000")
    page.get_by_role("button", name="Make the corpus").click()
    expect(page.get_by_text("✓ Ready")).to_be_visible(timeout=SLOW)


def train(page: Any) -> None:
    """Train for a few steps, until the chart and a listening sample are there."""
    page.get_by_role("link", name="Train a model on it").click()
    page.get_by_role("combobox", name="Size").select_option("tiny")
    page.get_by_label("Minutes of training").fill("0.02")
    expect(page.get_by_text("nothing of this size was trained here yet")).to_be_visible()
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_role("article").get_by_text("✓ Finished")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("img", name=re.compile(r"validation went from \d"))).to_be_visible()
    page.get_by_role("button", name=re.compile("Sample of step")).last.click()
    page.get_by_label("Minutes of training").fill("30")
    told = re.compile(r"weights\. 30 min are about [\d,]+ steps here, going by the \d+ s that evening-")
    expect(page.get_by_text(told)).to_be_visible()


def export(page: Any, folder: Path) -> None:
    """Export a model file that tells its title, author and licence."""
    page.get_by_text("Export a model file").click()
    told = {"Title": "Evening <b>bells</b>", "Author": "Ada", "Licence": "cc-by-4.0"}
    for field, value in told.items():
        page.get_by_label(field, exact=True).fill(value)
    page.get_by_role("button", name="Export", exact=True).click()
    made = page.get_by_text(re.compile(r"models/\S+ is made"))
    expect(made).to_be_visible(timeout=SLOW)
    assert not serious(page)
    [path] = (folder / "models").glob("*.safetensors")
    assert path.name in made.inner_text()
    about = model_file.load(path).about
    assert about is not None
    assert [about.title, about.author, about.licence] == [*told.values()]
    put_on_a_page(page, folder, path)
    share(page)


def put_on_a_page(page: Any, folder: Path, model: Path) -> None:
    """Make the web page of the model file, which loads that very file."""
    page.get_by_role("button", name="Make the page").click()
    expect(page.get_by_text(f"pages/{model.stem} is made")).to_be_visible(timeout=SLOW)
    made = folder / "pages" / model.stem
    assert (made / "index.html").is_file()
    assert (made / "model.safetensors").read_bytes() == model.read_bytes()


def share(page: Any) -> None:
    """Share the model file on the hub, once all that nobody can guess is said."""
    button, link = page.get_by_role("button", name="Share", exact=True), page.get_by_role("link", name="ada/bells")
    page.get_by_label("Repository", exact=True).fill("ada/bells")
    page.get_by_label("Licence of the shared model").fill("cc-by-4.0")
    button.click()
    expect(button).to_be_enabled()  # since something is missing
    page.get_by_label("Whose recordings").fill("An hour of my own bells.")
    button.click()
    expect(link).to_have_attribute("href", re.compile(r"^http://127.0.0.1:\d+/ada/bells$"), timeout=SLOW)


def record_a_take(page: Any) -> None:
    """Play the piano of the package with a key and a knob, until a take with its tone is kept."""
    show(page, "Play")
    page.get_by_role("combobox", name="Model", exact=True).select_option(label="Piano")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Record", exact=True).click()
    knob = page.get_by_role("slider", name="Temperature")
    knob.press("PageDown")
    knob.press("PageDown")
    expect(knob).to_have_attribute("aria-valuetext", "0.60")
    page.keyboard.down("b")
    expect(page.get_by_role("button", name="G4", exact=True)).to_have_attribute("aria-pressed", "true")
    loud = re.compile(r"-([0-9]|[12][0-9]) dB")
    expect(page.get_by_role("meter", name="Level")).to_have_attribute("aria-valuetext", loud, timeout=SLOW)
    page.wait_for_timeout(1500)  # of the tone
    page.keyboard.up("b")
    page.get_by_role("button", name="Keep the take").click()
    take = page.get_by_role("listitem").filter(has_text="piano")
    expect(take.get_by_role("slider")).to_be_visible(timeout=SLOW)


def check_take(folder: Path) -> None:
    """Check the level and the pitch of the one take, and what was played in it."""
    [path] = (folder / "takes").glob("*.wav")
    samples, rate = soundfile.read(path)
    assert rate == 14700
    assert -30 < 20 * np.log10(np.abs(samples).max()) < 0
    tone = loudest_tone(samples, rate)
    assert min(abs(12 * np.log2(tone / G4 / part)) for part in (1, 2, 3)) < 0.4, tone  # or a partial of it
    played = [message for _, message in json.loads(path.with_suffix(".json").read_text())["played"]]
    assert {"type": "note_on", "key": 67, "velocity": 100} in played
    turned = [message["value"] for message in played if message.get("name") == "temperature"]
    assert turned == pytest.approx([0.8, 0.6])


def play_by_midi(page: Any) -> None:
    """Let a controller turn a knob, and a key of a MIDI keyboard sound."""
    page.get_by_role("button", name="Connect MIDI").click()
    page.get_by_role("button", name="learn for Temperature").click()
    page.evaluate("send(0xb0, 21, 127)")
    expect(page.get_by_role("slider", name="Temperature")).to_have_attribute("aria-valuetext", "2.00")
    key = page.get_by_role("button", name="E4", exact=True)
    page.evaluate("send(0x90, 64, 90)")
    expect(key).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Panic").click()
    expect(key).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Stop", exact=True).click()


def test_from_an_empty_folder_to_a_take(page: Any, studio: tuple[str, Path], record: Callable[..., Path]) -> None:
    make_a_corpus(page, record("evening.wav", melody(3, 8000, 220), 8000), "<script>alert(1)<b>.wav")
    train(page)
    export(page, studio[1])
    record_a_take(page)
    check_take(studio[1])
    play_by_midi(page)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        for screen in SCREENS:
            show(page, screen)
            expect(page.get_by_role("heading", level=2).first).to_be_visible()
            assert not serious(page), (theme, screen)


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_an_empty_folder_at_any_width(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    told = ("A model learns from", "Nothing has been trained", "Press Record", "No test yet")
    for screen, words in zip(SCREENS, told, strict=True):
        show(page, screen)
        expect(page.get_by_text(words).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
    if width == 1280:
        for screen in SCREENS:
            show(page, screen)
            assert not serious(page), screen


def test_the_page_is_small_and_asks_nobody_else() -> None:
    files = [path for path in (ROOT / "src/wavewright/studio/static").rglob("*") if path.is_file()]
    sizes = {path: path.stat().st_size for path in files}
    later = {  # screens that come when they are asked for, and what invited listeners and judges share
        screen: sum(size for path, size in sizes.items() if path.name.startswith(parts))
        for screen, parts in {"Play": ("Play-",), "Judge": ("Judge-", "Sitting-", "listen")}.items()
    }
    assert sum(sizes.values()) - sum(later.values()) < 150_000
    assert all(0 < size < 45_000 for size in later.values()), later
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    assert set(re.findall(r"https?://([\w.]+)", text)) <= {"svelte.dev", "www.w3.org"}  # names, which nobody fetches
    assert "style=" not in (ROOT / "src/wavewright/studio/static/index.html").read_text(encoding="utf-8")
