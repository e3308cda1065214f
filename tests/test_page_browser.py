"""A model's page in a real browser, from a plain web server: what is heard, with shared memory and without."""

import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")

from playwright.sync_api import expect

from conftest import ROOT
from support.browser import chromium
from support.kinds import CONDITION
from support.model_files import make
from wavewright.playing.opening import load
from wavewright.sharing.page import write_page

pytestmark = pytest.mark.slow

AXE = ROOT / "web/studio/node_modules/axe-core/axe.min.js"
A4 = 440.0  # Hz, MIDI key 69, the letter n
RATE = 14700
# What is heard last goes to the loudspeaker through one node, whose samples the tests look at.
HEARD = """
const connect = AudioNode.prototype.connect
AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode) window.heard = this
    return connect.call(this, to, ...rest)
}"""
WINDOW = 2048  # samples that the page remembers of what it has played
LISTEN = """() => {
    const samples = new Float32Array(window.heard.fftSize)
    window.heard.getFloatTimeDomainData(samples)
    return Array.from(samples)
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture(scope="module")
def piano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("piano")
    write_page(Path("piano"), folder)
    return folder


@pytest.fixture(scope="module")
def plain_server(piano: Path) -> Iterator[str]:
    """The address of a plain `python -m http.server` for the piano's page."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(piano), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout
            found = re.search(r"port (\d+)", server.stdout.readline())
            assert found
            yield f"http://127.0.0.1:{found[1]}/"
        finally:
            server.terminate()


class Isolating(http.server.SimpleHTTPRequestHandler):
    """A static server with the two headers that let a page share memory."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def isolating_server(piano: Path) -> Iterator[str]:
    handler = lambda *arguments: Isolating(*arguments, directory=str(piano))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def opened(browser: Any, address: str, **how: Any) -> Any:
    """The page, once its model is loaded. Any error in the page is added to `page.said`."""
    page = browser.new_page(**how)
    page.set_default_timeout(60_000)
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.add_init_script(HEARD)
    page.goto(address)
    return page


def heard_while_held(page: Any, key: str, least: float) -> NDArray[np.float64]:
    """What is heard a moment after a key of the computer is pressed, as soon as it is loud enough and has no gap.

    The key is pressed again where the machine is busy.
    """
    for _ in range(40):
        page.keyboard.down(key)
        for _ in range(8):
            page.wait_for_timeout(100)
            samples = np.array(page.evaluate(LISTEN))
            if np.abs(samples).max() > least and not (samples[:-8] == 0).all() and longest_rest(samples) < 8:
                page.keyboard.up(key)
                return samples
        page.keyboard.up(key)
        page.wait_for_timeout(300)
    raise AssertionError("nothing was heard")


def longest_rest(samples: NDArray[np.float64]) -> int:
    """The length of the longest run of zeros, which only a gap or silence has."""
    rests = "".join("0" if silent else "1" for silent in samples == 0).split("1")
    return max(map(len, rests))


def pitch_of(samples: NDArray[np.float64], rate: int) -> float:
    """The fundamental in Hz, where the autocorrelation is highest between 200 and 1,000 Hz."""
    windowed = (samples - samples.mean()) * np.hanning(len(samples))
    spectrum = np.abs(np.fft.rfft(windowed, 8 * len(windowed))) ** 2
    correlation = np.fft.irfft(spectrum)
    lags = np.arange(rate // 1000, rate // 200)
    return float(rate / lags[np.argmax(correlation[lags])])


def struck_a4() -> NDArray[np.float32]:
    """Ten takes (10, n) of that key by the native engine. Some seeds strike it three times as hard as others."""
    takes = []
    for seed in range(10):
        instrument = load("piano").instrument(seed)
        instrument.generate(RATE // 4)
        instrument.note_on(69, 100)
        takes.append(instrument.generate(RATE // 2 // WINDOW * WINDOW))
    return np.stack(takes)


def check_plays(page: Any, isolated: bool) -> None:
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    assert page.evaluate("crossOriginIsolated") == isolated
    assert page.evaluate("window.heard.context.sampleRate") == RATE
    takes = struck_a4()
    sound = heard_while_held(page, "KeyN", 0.15 * np.median(np.abs(takes).max(1)))
    assert abs(pitch_of(sound, RATE) / A4 - 1) < 0.03
    assert np.std(sound) < 2 * takes.reshape(-1, WINDOW).std(1).max()
    expect(page.locator("#delay")).to_contain_text("ms from a key to your ear")
    page.get_by_role("button", name="Keep this moment").click()
    expect(page.get_by_role("button", name="Back to it")).to_be_enabled()
    page.get_by_role("button", name="Back to it").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.close()
    assert not page.said


def test_a_plain_server_is_enough(browser: Any, plain_server: str) -> None:
    check_plays(opened(browser, plain_server), isolated=False)


def test_memory_is_shared_where_the_page_is_isolated(browser: Any, isolating_server: str) -> None:
    check_plays(opened(browser, isolating_server), isolated=True)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_can_be_read_and_reached(browser: Any, plain_server: str, theme: str, width: int) -> None:
    page = opened(browser, plain_server, color_scheme=theme, viewport={"width": width, "height": 800})
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    for text in ("Piano", "The wavewright authors", "MIT", "14,700 samples a second", "1.8 MB"):
        expect(page.get_by_text(text).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_role("slider", name="temperature").focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("slider", name="temperature")).to_have_attribute("aria-valuetext", "0.00")
    page.get_by_role("button", name="Reset temperature").click()
    expect(page.get_by_role("slider", name="temperature")).to_have_attribute("aria-valuetext", "1.00")
    if not AXE.is_file():
        pytest.skip("no axe-core: run `npm ci` in web/studio")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then((found) => found.violations)")
    assert not [(one["id"], node["html"][:120]) for one in found for node in one["nodes"] if one["impact"] != "minor"]


def test_a_model_without_a_keyboard_plays_by_itself(browser: Any, plain_server: str, piano: Path) -> None:
    controls = [control for control in CONDITION["controls"] if control["kind"] != "notes"]
    make(piano / "m.safetensors", "tiers 6 3, conditioned", condition={**CONDITION, "controls": controls})
    write_page(piano / "m.safetensors", piano / "other")
    page = opened(browser, f"{plain_server}other/")
    expect(page.get_by_text("The model plays by itself.")).to_be_visible()
    expect(page.get_by_role("group", name=re.compile("Keyboard"))).to_have_count(0)
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="low", exact=True).click()
    expect(page.get_by_role("button", name="low", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("slider", name="loudness").fill("-20")
    expect(page.locator("#decibels")).to_contain_text("dB")
    assert not page.said


def test_a_damaged_model_is_told_in_one_line(browser: Any, plain_server: str, piano: Path) -> None:
    write_page(Path("piano"), piano / "damaged")
    model = piano / "damaged" / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    page = opened(browser, f"{plain_server}damaged/")
    expect(page.get_by_role("status")).to_contain_text("model.safetensors: damaged, or not the file of this page")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_disabled()
