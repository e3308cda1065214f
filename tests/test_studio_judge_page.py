"""The screen of blind tests in a real browser: a test is made of takes, answered by keyboard, and counted."""

import contextlib
import json
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the studio needs fastapi: pip install '.[studio]'")
pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")

from playwright.sync_api import expect

from conftest import ROOT
from support.browser import chromium
from support.studio import Server, serving

pytestmark = pytest.mark.slow

AXE = ROOT / "web/studio/node_modules/axe-core/axe.min.js"
MODELS = ("<b>bold</b>", "plain")
RATE = 16000
SECONDS = 4
SLOW = 60_000  # ms: the intervals are computed, and the machine may be busy

# What the page plays is kept, block by block, on the thread of the sound: a busy page then loses none of it.
TAP = """
window.sound = []
window.worklet = `
registerProcessor("tap", class extends AudioWorkletProcessor {
    process([[block]]) {
        this.port.postMessage(block || new Float32Array(128))
        return true
    }
})`
const connect = AudioNode.prototype.connect
AudioNode.prototype.connect = function (target, ...rest) {
    if (target === this.context.destination && !window.tapped) {
        const module = URL.createObjectURL(new Blob([window.worklet], { type: "text/javascript" }))
        window.tapped = this.context.audioWorklet.addModule(module).then(() => {
            window.tap = new AudioWorkletNode(this.context, "tap", { channelCount: 1, channelCountMode: "explicit" })
            window.tap.port.onmessage = ({ data }) => window.sound.push(...data)
            connect.call(this, window.tap)
            connect.call(window.tap, target)
        })
    }
    return connect.call(this, target, ...rest)
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A studio with two takes of each of two models. All hold one rising tone, so its pitch tells the place."""
    folder = tmp_path / "work"
    (folder / "takes").mkdir(parents=True)
    time = np.arange(SECONDS * RATE) / RATE
    rising = np.rint(8000 * np.sin(2 * np.pi * (300 * time + 100 * time**2))).astype("<i2")
    for number in range(2):
        for model, letter in zip(MODELS, "ab", strict=True):
            with wave.open(str(folder / f"takes/{letter}{number}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes(rising.tobytes())
            row = {"model": model, "seed": number, "made": number}
            (folder / f"takes/{letter}{number}.json").write_text(json.dumps(row))
    with serving(folder, None, "--listen", "127.0.0.1:0") as one:
        yield one


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page, signed in."""
    with opened(browser, f"{server.base}/login?token={server.token}") as page:
        yield page


@contextlib.contextmanager
def opened(browser: Any, link: str, *expected: str, tapped: bool = False) -> Iterator[Any]:
    """A page in a context of its own. Any error in it, but for those that are expected, fails the test.

    The sound of a page that is tapped is kept. Its policy would not let in the tap.
    """
    page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=tapped)
    page.set_default_timeout(30_000)
    if tapped:
        page.add_init_script(TAP)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(link)
    yield page
    page.close()
    assert not [line for line in said if not any(part in line for part in expected)]


def serious(page: Any) -> list[str]:
    if not AXE.is_file():
        pytest.skip("no axe-core: run `npm ci` in web/studio")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then((found) => found.violations)")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found if one["impact"] in ("serious", "critical")
    ]


def make(page: Any, method: str) -> None:
    """Make a test of all takes."""
    page.get_by_role("navigation").get_by_role("link", name="Judge").click()
    expect(page.get_by_text("No test yet")).to_be_visible()
    assert not serious(page)
    for model in MODELS:
        page.get_by_role("checkbox", name=model).check()
    page.get_by_role("radio", name=method).check()
    page.get_by_role("button", name="Make the test").click()


def enter(page: Any) -> None:
    """Open the test, and give a name."""
    page.get_by_role("article").get_by_role("link", name="Listen").click()
    page.get_by_label("Your name").fill("Ada")
    page.keyboard.press("Enter")


def begin(page: Any, word: str) -> None:
    page.get_by_role("button", name="Play a sound").click()
    expect(page.get_by_role("button", name="Stop it")).to_be_visible()
    page.get_by_role("button", name=word, exact=True).click()


def answer(page: Any, trial: int, option: str) -> None:
    """Hear both sounds and answer a trial with the keyboard alone."""
    expect(page.get_by_text(f"Trial {trial} of 2")).to_be_visible()
    expect(page.get_by_role("button", name="Play A")).to_be_enabled()
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="Stop A")).to_be_visible()
    page.keyboard.press("2")
    expect(page.get_by_role("button", name="Play A")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play B")).to_be_visible()
    page.get_by_role("radio", name=option).focus()
    page.keyboard.press(" ")
    page.keyboard.press("Enter")


def test_two_answers_with_a_reload_between_them(page: Any, server: Server) -> None:
    make(page, "Which is better")
    enter(page)
    begin(page, "Begin")
    shown = page.locator("main").inner_html()
    assert not any(name in shown for name in ("bold", "plain</", "a0", "b0"))
    assert not serious(page)
    answer(page, 1, "A is better")
    expect(page.get_by_text("Trial 2 of 2")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Answered already: 1 of 2")).to_be_visible()
    begin(page, "Go on")
    answer(page, 2, "No difference")
    page.get_by_role("link", name="See the results").click()
    expect(page.get_by_role("rowheader", name=MODELS[0])).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("1 tie", exact=True)).to_be_visible()
    expect(page.get_by_text("No preference is shown.")).to_be_visible()
    assert page.locator("main b").count() == 0  # names are never markup
    assert not serious(page)
    with server.client() as client:
        [row] = client.get("/api/tests").json()
        table = client.get(f"/api/tests/{row['id']}/answers.csv").text
    assert re.search(r"^Ada,.*,first,2,", table, re.M)
    assert re.search(r"^Ada,.*,tie,2,", table, re.M)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete the test").click()
    expect(page.get_by_text("No test yet")).to_be_visible()


def test_another_sound_goes_on_at_the_same_place(browser: Any, server: Server) -> None:
    with opened(browser, f"{server.base}/login?token={server.token}", tapped=True) as page:
        make(page, "Which is better")
        enter(page)
        begin(page, "Begin")
        expect(page.get_by_role("button", name="Play A")).to_be_enabled()
        rate = page.evaluate("window.tapped.then(() => window.tap.context.sampleRate)")
        page.wait_for_timeout(300)
        page.evaluate("window.sound.length = 0")
        for count, key in enumerate("12121", 1):
            page.keyboard.press(key)
            page.wait_for_function("(samples) => window.sound.length > samples", arg=0.45 * count * rate)
        sound = np.array(page.evaluate("window.sound"))
    heard = np.flatnonzero(np.abs(sound) > 0.01)
    sound = sound[heard[0] : heard[-1]]
    assert len(sound) > 1.5 * rate

    # The pitch rises as in one take that is played through, with no click and no jump at any switch.
    size = rate // 20
    pitches = []
    for part in np.split(sound[: len(sound) // size * size], len(sound) // size):
        spectrum = np.abs(np.fft.rfft(part * np.hanning(size), 8 * size))
        pitches.append(np.argmax(spectrum) * rate / (8 * size))
    wanted = 300 + 200 * (np.arange(len(pitches)) + 0.5) / 20
    assert np.abs(np.array(pitches) - wanted).max() < 12
    steps = np.abs(np.diff(sound))
    assert steps.max() < 1.6 * np.percentile(steps, 99.5)


def invite(page: Any, name: str) -> str:
    """Invite a listener and return the link."""
    page.get_by_label("Name of the listener").fill(name)
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label(f"Send this to {name}")
    expect(link).to_be_visible()
    return str(link.input_value())


def test_two_invited_listeners_answer_at_once(page: Any, browser: Any, server: Server) -> None:
    """Both prefer A in one trial and hear no difference in the other, each with letters of their own."""
    make(page, "Which is better")
    page.get_by_role("article").get_by_role("link", name="Invite").click()
    links = [invite(page, name) for name in ("<i>Ann</i>", "Bo")]
    assert not serious(page)
    with opened(browser, links[0]) as ann, opened(browser, links[1]) as bo:
        guests = (ann, bo)
        for guest in guests:
            assert not guest.context.cookies()
            begin(guest, "Begin")
            assert not serious(guest)
            shown = guest.content()
            assert not [name for name in ("bold", "plain", "a0", "b0") if name in shown]
        assert ann.locator("main i:not([style])").count() == 0  # names are never markup
        for guest in guests:
            answer(guest, 1, "A is better")
        ann.reload()
        expect(ann.get_by_text("Answered already: 1 of 2")).to_be_visible()
        begin(ann, "Go on")
        for guest in guests:
            answer(guest, 2, "No difference")
            expect(guest.get_by_text("Nothing else is to be done here.")).to_be_visible()
            assert guest.get_by_role("link").count() == 0
    expect(page.get_by_text(re.compile("2 of 2 trials"))).to_have_count(2)
    page.get_by_role("button", name="Withdraw the link of Bo").click()
    expect(page.get_by_role("button", name="Withdraw the link of Bo")).to_have_count(0)
    with opened(browser, links[1], "401") as late:
        expect(late.get_by_role("alert")).to_contain_text("withdrawn")

    with server.client() as client:
        [row] = client.get("/api/tests").json()
        found = client.get(f"/api/tests/{row['id']}/results").json()
        lines = client.get(f"/api/tests/{row['id']}/answers.csv").text.splitlines()[1:]
    [pair] = found["pairs"]
    rows = [line.split(",") for line in lines]  # listener, trial, item, place, system, answer
    preferred = [system for _, _, _, place, system, given, *_ in rows if (place, given) == ("0", "first")]
    assert len(preferred) == 2
    wins = [preferred.count(name) for name in (pair["first"], pair["second"])]
    assert [pair["wins"], pair["losses"], pair["ties"]] == [*wins, 2]
    assert {row[0] for row in rows} == {"<i>Ann</i>", "Bo"}
    assert [one["answers"] for one in found["listeners"]] == [2, 2]
