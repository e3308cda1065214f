"""The report: one page that needs nothing else, whole in a real browser, and refused in one line where it must be."""

import base64
import html
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from conftest import refusal

pytest.importorskip("jinja2", reason="the report needs jinja2: pip install '.[experiments]'")

from support import experiment_folders
from support.browser import chromium
from support.html import parsed
from wavewright.errors import WavewrightError
from wavewright.report import figures, report
from wavewright.report.format import NONE, clock, number
from wavewright.report.reading import Curve, Sound, read
from wavewright.report.sound_card import sound_card

pytestmark = pytest.mark.slow

SVG = "http://www.w3.org/2000/svg"
ADDRESS = re.compile(r"""(?:src|href|srcset|action|poster|data)\s*=\s*["']?\s*([^"'>\s]+)|url\(([^)]*)\)|@import""")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return experiment_folders.make_all(tmp_path_factory.mktemp("experiments"))


@pytest.fixture(scope="module")
def page(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    report(folders, out)
    return out


@pytest.fixture(scope="module")
def text(page: Path) -> str:
    """The page without its data, scripts and styles, entities resolved."""
    source = re.sub(r"(?s)<(script|style)>.*?</\1>|data:[^\"]*", "", page.read_text(encoding="utf-8"))
    return html.unescape(source)


def test_the_page_is_whole_html(page: Path) -> None:
    root = parsed(page)  # which fails where elements are not closed in order
    every = list(root.all())
    names = [element.attributes["id"] for element in every if "id" in element.attributes]
    assert len(set(names)) == len(names)
    values = [value for element in every for key, value in element.attributes.items() if key != "data-peaks"]
    referred = {found[1] for value in values if (found := re.fullmatch(r"(?:url\()?#([^)]*)\)?", value))}
    assert len(referred) > 50
    assert referred <= set(names)
    assert not [element for element in every if element.tag in ("style", "metadata") and element.within("svg")]


def test_the_page_can_be_read_aloud(page: Path) -> None:
    root = parsed(page)
    levels = [int(element.tag[1]) for element in root.all() if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for image in root.all("img"):
        assert len(image.attributes["alt"]) > 10
    for drawing in root.all("svg"):
        assert drawing.attributes["role"] == "img"
        assert len(drawing.attributes["aria-label"]) > 10
    boxes = [element for element in root.all() if "tabindex" in element.attributes]
    assert len(boxes) > 10
    assert all(box.attributes["aria-label"] and box.attributes["role"] in ("region", "group") for box in boxes)


def test_a_section_has_its_original_once(page: Path, folders: list[Path], tmp_path: Path) -> None:
    players = [
        [figure.first("strong").text for figure in section.all("figure") if figure.has("player")]
        for section in parsed(page).all("section")
    ]
    assert [titles.count("original") for titles in players] == [0, 1, 1, 0, 0, 0]
    assert players[1][0] == players[2][0] == "original"  # before the sounds that are compared with it
    report(folders, tmp_path / "report.html", tmp_path)
    kept = [path.name for path in (tmp_path / "sounds").iterdir() if "original" in path.name]
    assert sorted(kept) == ["overfit-original-original.flac", "variations-original-original.flac"]


def test_what_few_readers_want_is_folded(page: Path) -> None:
    root = parsed(page)
    folds = [fold for fold in root.all("details")]
    assert not [fold for fold in folds if "open" in fold.attributes]
    for element in root.all():
        if element.has("fields") or element.tag == "pre" or element.text.startswith("wavewright experiment"):
            assert element.within("details")
    assert {fold.first("summary").text for fold in folds} >= {"How it was made", "Measures"}
    for table in root.all("table"):
        assert table.within("div", "scroll")


def test_titles_say_what_was_compared(tmp_path: Path) -> None:
    folder = experiment_folders.variations(tmp_path / "small", 40)
    for config in folder.glob("trials/*/run/config.json"):
        values = json.loads(config.read_text())
        values["model"]["units"] //= 16
        config.write_text(json.dumps(values))
    header = json.loads((folder / "experiment.json").read_text()) | {"scale": "medium"}
    header["data"]["seconds"] = 0.25
    (folder / "experiment.json").write_text(json.dumps(header))
    report([folder], tmp_path / "report.html")
    root = parsed(tmp_path / "report.html")
    said = [element.text for element in root.all() if element.tag in ("h2", "strong", "p")]
    for title in (
        "The NaiveRNNs of table 4.1 learn 0.25 s of music",
        "2 layers and 3 layers",
        "16 units and 32 units",
        "Sections of 256 and sections of 512",
        "16 units, sections of 256 and 32 units, sections of 128",
    ):
        assert title in said
    assert len([line for line in said if line.startswith("A medium run")]) == 1


def test_every_figure_of_the_thesis_is_there(text: str) -> None:
    captions = re.findall(r'<span class="number">Figure ([\d.]+)</span>', text)
    assert set(captions) == {"1.4", "1.5", *(f"4.{n}" for n in range(1, 17))}
    assert captions.count("4.7") == captions.count("4.8") == 4  # a model each
    assert "Not drawn" not in text
    for also in ("against steps", "against samples read", "against time", "What mattered in the search"):
        assert also in text


def test_tables_hold_ours_and_the_thesiss(text: str) -> None:
    rows = [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]
        for row in re.findall(r"<tr>.*?</tr>", text)
    ]
    assert ["2 / 256 / 256", "3,000", "44,830", "1:30", "1:43:13", "0.01", "0.027"] in rows  # 4.1
    assert ["WaveNet 4x10", "1,234,567", "3,000", "–", "1:30", "–", "0.01", "–", "–"] in rows  # noqa: RUF001
    assert ["SampleRNN 512, 8/2", "25", "20", "0.5", "avx2 float32, 1 thread"] in rows  # seconds per second
    assert ["11", "4.200", "1:11", "16/4", "0.012", "256"] in rows  # the best of the search
    assert any(row[:1] == ["SampleRNN 512, 8/2"] and row[-1].startswith("it dies") for row in rows)  # piano


def test_captions_say_what_the_data_say(text: str, folders: list[Path]) -> None:
    by_name = {trial.result.name: trial.curve for trial in read(folders[0]).trials}
    base, other = by_name["2x256-256"], by_name["2x512-128"]
    goal = max(np.nanmin(base.nats), np.nanmin(other.nats))
    steps = [int(curve.steps[np.argmax(curve.nats <= goal)]) for curve in (base, other)]
    caption = text[text.index("Figure 4.5") :]
    assert f"2 layers, 256 units, length 256 took {steps[0]:,} steps" in caption
    assert f"2 layers, 512 units, length 128 took {steps[1]:,} steps" in caption
    assert "from 4.45 down to 4.2 (orange); 13 trials that were not given up early" in text  # the search


def test_what_memory_buys_is_drawn_for_each_model_that_was_measured(text: str, folders: list[Path]) -> None:
    """The first of four models has a result of an earlier version, without a context curve."""
    assert "What memory buys" in text
    assert "SampleRNN 512, 8/2 has 4.4 bits with a memory of 0.07 s and 4.025 with 30 s" in text
    assert "WaveNet 4x10 has 4.2 bits with a memory of 0.07 s and 3.825 with 30 s" in text
    assert "NaiveRNN 2x512 has" not in text
    trials = read(next(folder for folder in folders if folder.name == "piano")).trials
    (figure,) = figures.context(trials)
    assert ElementTree.fromstring(figure.svg).tag == f"{{{SVG}}}svg"
    assert figures.context([trial for trial in trials if trial.result.model == "naive-rnn"]) == []


def test_free_play_has_a_row_for_the_corpus_one_for_the_bounds_and_one_for_each_model(page: Path) -> None:
    """The first of four models has a result of an earlier version, without free play."""
    rows = [[cell.text for cell in row.all("td")] for row in parsed(page).all("tr")]
    assert ["the recordings", "0", "0.0025", "43", "–"] in rows  # noqa: RUF001
    assert ["bound", "none", "0.005 or less", "35 or more", "–"] in rows  # noqa: RUF001
    assert ["SampleRNN 512, 8/2", "0 *", "0.0025 *", "43 *", "2 of 2"] in rows
    assert ["WaveNet 2x12", "0 *", "0.01", "43 *", "0 of 2"] in rows
    assert ["the recordings", "–", "–", "–", "−25.5", "−34.5"] in rows  # noqa: RUF001
    assert ["WaveNet 2x12", "−38", "20.5", "11.5", "−22.5", "−34.5"] in rows  # noqa: RUF001
    assert not [row for row in rows if row[:1] == ["NaiveRNN 2x512"] and row[-1].endswith(" of 2")]


def test_commands_data_and_machine_are_there(text: str) -> None:
    assert text.count("wavewright experiment piano --out runs/piano") == 1
    for fact in ("FluidR3 samples, MIT licence", "2 cores, AMD EPYC", "model.units = 512", "BSD 3-Clause License"):
        assert fact in text


def test_the_page_loads_nothing(page: Path) -> None:
    source = re.sub(r"(?s)<script>.*?</script>", "", page.read_text(encoding="utf-8"))
    addresses = [match[1] or match[2] for match in ADDRESS.finditer(source)]
    assert len(addresses) > 50
    assert not [address for address in addresses if not address.startswith(("data:", "#"))]


def test_the_same_folders_give_the_same_bytes(folders: list[Path], page: Path, tmp_path: Path) -> None:
    report(list(reversed(folders)), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_sounds_come_back_from_the_page(page: Path, folders: list[Path], tmp_path: Path) -> None:
    first = re.search(r'<audio[^>]* src="data:audio/flac;base64,([^"]*)"', page.read_text(encoding="utf-8"))
    assert first
    (tmp_path / "first.flac").write_bytes(base64.b64decode(first[1]))
    heard, rate = soundfile.read(tmp_path / "first.flac", dtype="int16")
    truth, _ = soundfile.read(folders[1] / "original.wav", dtype="int16")
    assert rate == experiment_folders.RATE
    assert np.array_equal(heard, truth)


def test_figures_sounds_and_numbers_one_by_one(page: Path, folders: list[Path], tmp_path: Path) -> None:
    report(folders, tmp_path / "report.html", tmp_path)
    source = html.unescape(page.read_text(encoding="utf-8"))
    found = json.loads((tmp_path / "results.json").read_text())
    figures = [*found["figures"], *(figure for part in found["sections"] for figure in part["figures"])]
    sounds = [sound for part in found["sections"] for sound in part["sounds"]]
    assert len(figures) == source.count('<figure class="drawn">')
    assert len(sounds) == source.count("<audio")
    for sound in sounds:
        content = (tmp_path / sound["file"]).read_bytes()
        assert f"data:audio/flac;base64,{base64.b64encode(content).decode()}" in source
    shown = [element for element in parsed(page).all("svg") if element.within("figure", "drawn")]
    for figure, drawing in zip(figures, shown, strict=True):
        assert drawing.attributes["aria-label"] == f"{figure['title']}. {figure['ours']}"
        kept = ElementTree.parse(tmp_path / figure["file"]).iter(f"{{{SVG}}}path")
        assert [path.get("d") for path in kept] == [path.attributes.get("d") for path in drawing.all("path")]
    section = {part["experiment"]: part for part in found["sections"]}
    kept = {trial["name"]: trial for trial in section["overfit"]["trials"]}
    for trial in read(folders[1]).trials:
        own = kept[trial.result.name]
        assert (own["nats"], own["config"]) == (trial.result.nats, trial.config)
        assert own["curve"]["nats"] == pytest.approx(trial.curve.thinned()[1], abs=1e-6)
    assert section["speed"]["rows"] == json.loads((folders[3] / "rows.json").read_text())


def test_files_of_equal_names_are_apart(tmp_path: Path) -> None:
    folder = experiment_folders.overfit(tmp_path / "alike", 60)
    for n, title in enumerate(("WaveNet 2x12!", "../WaveNet 2x12", "WaveNet 2x12 2")):
        trial = folder / "trials" / ("naive-rnn", "wavenet-4x10", "sample-rnn")[n]
        path = trial / "result.json"
        values = json.loads(path.read_text()) | {"title": title}
        path.write_text(json.dumps(values))
        pitch = 300.0 + 50 * n
        soundfile.write(trial / values["sounds"][0]["file"], experiment_folders.note(1.0, pitch), 14700)
    report([folder], tmp_path / "report.html", tmp_path / "files")
    found = json.loads((tmp_path / "files" / "results.json").read_text())
    names = [figure["file"] for figure in found["sections"][0]["figures"]]
    assert len(set(names)) == len(names)
    assert len(list((tmp_path / "files" / "figures").iterdir())) == len(names) + len(found["figures"])


def test_names_from_files_are_text(tmp_path: Path) -> None:
    folder = experiment_folders.overfit(tmp_path / "hostile", 60)
    bad = "</script><script>alert(1)</script>$\\frac{\"'><img src=x onerror=alert(1)>"
    result = folder / "trials" / "wavenet-2x12" / "result.json"
    values = json.loads(result.read_text())
    values |= {"title": bad, "note": bad, "measures": {bad: 1.0}}
    values["sounds"][0]["title"] = bad
    result.write_text(json.dumps(values))
    header = json.loads((folder / "experiment.json").read_text())
    header["commands"] = header["data"]["files"] = [bad]
    header["made_by"] = {bad: bad}
    (folder / "experiment.json").write_text(json.dumps(header))
    report([folder], tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert source.count("<script>") == source.count("</script>") == 2
    assert "<img src=x" not in source
    assert html.escape(bad, quote=False)[:40] in source.replace("&#34;", '"').replace("&#39;", "'")


def test_what_the_trials_do_not_allow_is_named(tmp_path: Path) -> None:
    folder = experiment_folders.piano(tmp_path / "piano", 60)
    shutil.rmtree(folder / "trials" / "wavenet-4x10")
    (folder / "trials" / "sample-rnn" / "result.json").unlink()
    made = report([folder], tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "are not there: figures 4.12, 4.15, 4.13, 4.16." in source
    assert "Not finished: sample-rnn." in source
    assert made["unfinished"] == [str(folder / "trials" / "sample-rnn")]


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _set(**values: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **values})) and None


TRIAL = "trials/wavenet-2x12/"
BOMB = np.zeros((1 << 23) + 1, np.int16)  # a small file that takes much memory
OUTSIDE = {"file": "../../original.wav", "title": "outside"}


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("experiment.json", Path.unlink, "not an experiment"),
        ("experiment.json", _truncate, "not readable as JSON"),
        ("experiment.json", _set(format=2), "format: Input should be 1"),
        ("experiment.json", _set(commands="rm"), "commands: "),
        (TRIAL + "result.json", _truncate, "not readable as JSON"),
        (TRIAL + "result.json", _set(steps="many"), "steps: "),
        (TRIAL + "result.json", _set(sounds=[OUTSIDE]), "outside its trial's folder"),
        (TRIAL + "run/config.json", Path.unlink, "no such file"),
        (TRIAL + "run/config.json", _truncate, "not readable as JSON"),
        (TRIAL + "run/metrics.jsonl", _truncate, "is not readable"),
        (TRIAL + "run/metrics.jsonl", lambda path: path.write_text(""), "empty"),
        (TRIAL + "run/metrics.jsonl", lambda path: path.write_text('{"event": "x"}\n'), "no steps"),
        (TRIAL + "run/metrics.jsonl", lambda path: path.write_text('{"step": 1}\n'), "loss"),
        (TRIAL + "run/metrics.jsonl", lambda path: path.write_text('{"step": 1, "loss": 2}\n'), "samples"),
        (TRIAL + "run/metrics.jsonl", _pipe, "something else where a run has a file"),
        (TRIAL + "run/config.json", _pipe, "something else where a run has a file"),
        (TRIAL + "takes/0.wav", Path.unlink, "no such file"),
        (TRIAL + "takes/0.wav", lambda path: path.write_bytes(b"RIFF"), "not readable"),
        (TRIAL + "takes/0.wav", lambda path: soundfile.write(path, BOMB, 14700, format="FLAC"), "570.7 s; cut it"),
        ("original.wav", lambda path: soundfile.write(path, BOMB, 14700, format="FLAC"), "570.7 s; cut it"),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path: Path, file: str, damage: Callable[[Path], None], said: str) -> None:
    folder = experiment_folders.overfit(tmp_path / "overfit", 60)
    damage(folder / file)
    with pytest.raises(WavewrightError, match=re.escape(said)) as refused:
        report([folder], tmp_path / "report.html")
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "report.html").exists()


def test_a_pipe_in_place_of_rows_is_one_line(tmp_path: Path) -> None:
    folder = experiment_folders.speed(tmp_path / "speed")
    _pipe(folder / "rows.json")
    with pytest.raises(WavewrightError, match=r"rows\.json: not readable as JSON \(not a regular file\)"):
        report([folder], tmp_path / "report.html")


def test_the_command(tmp_path: Path, wavewright: Callable[..., CompletedProcess[str]]) -> None:
    folder = experiment_folders.speed(tmp_path / "speed")
    made = wavewright("report", folder, "--out", tmp_path / "report.html", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["bytes"] == (tmp_path / "report.html").stat().st_size
    assert "at least one folder" in refusal(wavewright("report"))
    assert "not an experiment" in refusal(wavewright("report", tmp_path))


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(
        WavewrightError, match=r"jinja2, not installed: run pip install '\.\[experiments\]' in the folder"
    ):
        report([tmp_path], tmp_path / "report.html")


def test_a_loss_that_never_was_and_odd_sounds(tmp_path: Path) -> None:
    folder = experiment_folders.piano(tmp_path / "piano", 40)
    trial = folder / "trials" / "naive-rnn"
    lines = [json.loads(line) for line in (trial / "run" / "metrics.jsonl").read_text().splitlines()]
    lost = [{**line, "loss": None} if "loss" in line else line for line in lines]
    (trial / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lost))
    for name, length in (("0.wav", 1), ("1.wav", 300)):
        soundfile.write(trial / "takes" / name, np.zeros(length), 8000)
    report([folder], tmp_path / "report.html")
    assert "NaiveRNN 2x512 ends at – nats" in (tmp_path / "report.html").read_text(encoding="utf-8")  # noqa: RUF001


def test_thinning_keeps_the_spikes_and_the_gaps() -> None:
    nats = np.full(50_000, 2.0)
    nats[31_234], nats[40_000:41_000] = 9.0, np.nan
    steps = np.arange(50_000.0)
    curve = Curve(steps, nats, steps, steps, [], [])
    x, y = curve.thinned()
    assert len(x) <= 800
    assert (np.diff(x) > 0).all()
    assert y[x == 31_234] == [9.0]
    assert not ((x > 40_000) & (x < 41_000)).any()


def test_the_rolling_mean_is_over_ten_steps(folders: list[Path]) -> None:
    trial = read(folders[0]).trials[0]
    lines = [json.loads(line) for line in (trial.folder / "run" / "metrics.jsonl").read_text().splitlines()]
    at = trial.curve.at(1000)
    assert trial.curve.steps[at] == 1000
    assert trial.curve.nats[at] == pytest.approx(np.mean([line["loss"] for line in lines[990:1000]]))
    assert trial.curve.samples[at] == lines[999]["samples"]
    assert np.isnan(trial.curve.nats[trial.curve.at(50) : trial.curve.at(60)]).all()  # step 50 has no loss


def test_a_shifted_sound_looks_shifted_and_a_long_one_is_cut() -> None:
    shown = sound_card(Sound("drifted", 1000, np.full(20_000, 0.6, np.float32)))
    top, bottom = json.loads(shown.peaks)
    assert (set(top), set(bottom)) == ({0.6}, {0.0})
    assert "the first 15 of 20 s" in shown.facts
    assert "DC +0.600" in shown.facts
    assert shown.seconds == 15


def test_times_and_numbers_are_written_as_in_the_thesis() -> None:
    assert [clock(seconds) for seconds in (42, 130, 6193)] == ["0:42", "2:10", "1:43:13"]
    assert [number(value) for value in (0, 0.0123456, 44830, -23.14)] == ["0", "0.0123", "44,830", "−23.1"]  # noqa: RUF001
    assert clock(None) == number(None) == number(float("nan")) == NONE


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


# How far the n-th sound got, once it is past 0.1 s. The page's policy forbids the eval that wait_for_function needs.
PLAYED = """n => new Promise(done => {
    const audio = document.querySelectorAll("audio")[n]
    audio.addEventListener("timeupdate", () => audio.currentTime > 0.1 && done(audio.currentTime))
    setTimeout(() => done(audio.currentTime), 10000)
})"""
SOUGHT = """n => new Promise(done => {  // a browser tells the old time for a moment after a second seek in a row
    const audio = document.querySelectorAll("audio")[n]
    const still = () => audio.seeking ? setTimeout(still, 20) : done(audio.currentTime)
    setTimeout(still, 100)
})"""


@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(browser: Any, page: Path, width: int) -> None:
    shown = browser.new_page(viewport={"width": width, "height": 844})
    said: list[str] = []
    asked: list[str] = []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(page.as_uri())
    buttons = shown.locator(".player button")
    assert buttons.count() == shown.locator(".player").count() == 20
    assert shown.evaluate("document.documentElement.scrollWidth") == width  # no more than that
    assert shown.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)")

    buttons.nth(0).click()
    assert shown.evaluate(PLAYED, 0) > 0.1
    buttons.nth(1).click()  # a second sound stops the first
    assert shown.evaluate(PLAYED, 1) > 0.1
    assert shown.evaluate("document.querySelectorAll('audio')[0].paused")
    assert not said
    assert not [address for address in asked if not address.startswith(("file:", "data:", "blob:"))]
    shown.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(browser: Any, page: Path, width: int) -> None:
    shown = browser.new_page(viewport={"width": width, "height": 800})
    shown.goto(page.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    wide = "[...document.querySelectorAll('main .scroll, main .grid')].filter(box => box.clientWidth)"
    assert shown.evaluate(f"{wide}.every(box => box.getBoundingClientRect().right <= innerWidth)")
    beside = "[...document.querySelectorAll('.grid')].filter(grid => grid.children.length > 1)"
    tops = f"{beside}.every(grid => new Set([...grid.children].slice(0, 2).map(child => child.offsetTop)).size == 1)"
    assert shown.evaluate(tops)  # side by side, on a phone in a row to swipe through
    shown.close()


# The contrast of each line, area and letter of the drawings with the page behind it, grids left out.
CONTRASTS = """() => {
    const canvas = document.createElement("canvas").getContext("2d")
    const light = colour => {
        canvas.fillStyle = colour
        canvas.fillRect(0, 0, 1, 1)
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(value => {
            const share = value / 255
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
        })
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const paper = light(getComputedStyle(document.body).backgroundColor)
    const drawn = [...document.querySelectorAll(".drawn svg path, .drawn svg use")]
    const kept = drawn.filter(element => !element.getAttribute("style")?.includes("--line") && !element.closest("defs"))
    return kept.flatMap(element => {
        const style = getComputedStyle(element)
        return [style.fill, style.stroke].filter(colour => colour != "none").map(colour => {
            const [low, high] = [light(colour), paper].sort((a, b) => a - b)
            return (high + 0.05) / (low + 0.05)
        })
    })
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_take_the_colours_of_the_page(browser: Any, page: Path, scheme: str) -> None:
    shown = browser.new_page(color_scheme=scheme)
    shown.goto(page.as_uri())
    contrasts = shown.evaluate(CONTRASTS)
    assert len(contrasts) > 1000
    assert min(contrasts) > 2
    clear = "[...document.querySelectorAll('.drawn svg')].map(svg => getComputedStyle(svg).backgroundColor)"
    assert set(shown.evaluate(clear)) == {"rgba(0, 0, 0, 0)"}
    shown.close()


def test_arrow_keys_seek(browser: Any, page: Path) -> None:
    shown = browser.new_page()
    shown.goto(page.as_uri())
    long = shown.locator(".player button").count() - 1  # of the piano, four seconds
    shown.locator(".player button").nth(long).focus()
    shown.keyboard.press("Enter")
    assert shown.evaluate(PLAYED, long) > 0.1
    shown.keyboard.press("Enter")
    before = shown.evaluate(SOUGHT, long)
    shown.keyboard.press("ArrowRight")
    assert shown.evaluate(SOUGHT, long) == pytest.approx(before + 1, abs=0.05)
    shown.keyboard.press("ArrowLeft")
    assert shown.evaluate(SOUGHT, long) == pytest.approx(before, abs=0.05)
    shown.close()


def test_in_print(browser: Any, page: Path) -> None:
    shown = browser.new_page(color_scheme="dark")
    shown.goto(page.as_uri())
    assert shown.locator(".player").first.is_visible()
    pages = len(re.findall(rb"/Type\s*/Page\b", shown.pdf(format="A4")))
    assert pages <= 12
    shown.emulate_media(media="print")
    for hidden in (".player", "nav", "details", ".fields"):
        assert not any(element.is_visible() for element in shown.locator(hidden).all())
    assert all(figure.is_visible() for figure in shown.locator(".drawn svg").all())
    whole = "[...document.querySelectorAll('.drawn')].map(figure => getComputedStyle(figure).breakInside)"
    assert set(shown.evaluate(whole)) == {"avoid"}
    shown.locator("details").first.evaluate("fold => { fold.open = true }")
    assert shown.locator("details").first.is_visible()  # what the reader has unfolded is printed
    shown.close()
