"""The page of a model: its engine in WebAssembly draws the native engine's codes, and damaged folders are refused."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import HANGS, ROOT, refusal
from support.kinds import CONDITION
from support.model_files import make, rewrite, run_of
from test_damaged_model_file import CONTENTS, DAMAGES
from wavewright.playing.export import export
from wavewright.playing.opening import load
from wavewright.sampling import Uniforms
from wavewright.sharing.page import write_page

ENGINE = ROOT / "engine"
STATIC = ROOT / "src/wavewright/sharing/static"
SCRIPTS = ROOT / "tests/support"
ROUNDING = 1e-6  # of amplitudes, far below the distance of two codes

Action = tuple[Any, ...]


@pytest.fixture(scope="module")
def node() -> str:
    program = shutil.which("node")
    if not program:
        pytest.skip("no Node to run the page's engine")
    return program


def page_of(model: Path, folder: Path) -> Path:
    """The page of a model, whose modules Node reads as such."""
    write_page(model, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def played_by(node: str, folder: Path, actions: Sequence[Action], seed: int = 3) -> subprocess.CompletedProcess[bytes]:
    key = Uniforms(seed, 1).keys.view(np.uint32).ravel().tolist()
    given = json.dumps({"key": key, "actions": actions}).encode()
    command = [node, str(SCRIPTS / "play_page.mjs"), str(folder)]
    return subprocess.run(command, input=given, capture_output=True, timeout=HANGS, check=False)


def page_plays(node: str, folder: Path, actions: Sequence[Action], seed: int = 3) -> NDArray[np.float32]:
    result = played_by(node, folder, actions, seed)
    assert result.returncode == 0, result.stderr.decode()
    return np.frombuffer(result.stdout, "<f4")


def engine_plays(model: Path, actions: Sequence[Action], seed: int = 3) -> NDArray[np.float32]:
    instrument = load(model).instrument(seed)
    made = [getattr(instrument, name)(*values) for name, *values in actions]
    return np.concatenate([block for block in made if block is not None])


def test_the_module_was_built_from_these_sources() -> None:
    sources = sorted(
        path.relative_to(ROOT).as_posix()
        for folder in ("include/wavewright", "src", "wasm")
        for path in (ENGINE / folder).iterdir()
    )
    digest = hashlib.sha256(b"".join((ROOT / source).read_bytes() for source in sources)).hexdigest()
    assert (STATIC / "engine.sha256").read_text().strip() == digest, (
        "the engine's sources have changed: run `make wasm`"
    )


KEYS: list[Action] = [
    *[("note_on", 60, 100), ("generate", 500), ("control", "temperature", 0.9), ("pedal", 127), ("generate", 333)],
    *[("note_off", 60), ("note_on", 67, 64), ("generate", 700), ("control", "top_p", 0.8), ("pedal", 0)],
    *[("generate", 1), ("note_off", 67), ("generate", 500), ("note_on", 45, 127), ("generate", 500)],
]


@pytest.mark.parametrize("name", ["piano", "drums"])
def test_a_shipped_model_draws_the_same_codes(name: str, node: str, tmp_path: Path) -> None:
    drawn = page_plays(node, page_of(Path(name), tmp_path), KEYS)
    expected = engine_plays(Path(name), KEYS)
    assert len(expected) > 2500
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=ROUNDING)


KINDS = {
    "naive embedded": "float32",
    "tiers 6 3": "int8",
    "tier 16": "bfloat16",
    "gated": "int8",
    "plain": "float32",
    "linear 6 3 1": "bfloat16",
    "gated, split": "float32",
    "linear alone, predicted by density": "float32",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_draws_the_same_codes(kind: str, node: str, tmp_path: Path) -> None:
    make(tmp_path / "m.safetensors", kind, KINDS[kind])
    actions: list[Action] = [("generate", 700), ("control", "temperature", 0.5), ("generate", 300)]
    drawn = page_plays(node, page_of(tmp_path / "m.safetensors", tmp_path / "page"), actions)
    expected = engine_plays(tmp_path / "m.safetensors", actions)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=ROUNDING)


def test_controls_and_emphasis_are_those_of_the_native_engine(node: str, tmp_path: Path) -> None:
    condition = {**CONDITION, "controls": (*CONDITION["controls"], {"kind": "time", "seconds": 0.1})}
    run = run_of("tiers 6 3, conditioned", condition=condition)
    export(replace(run, emphasis=0.7), tmp_path / "m.safetensors", "float32")
    actions: list[Action] = [
        *[("generate", 100), ("control", "voice", "low"), ("generate", 101), ("control", "loudness", -13.5)],
        *[("note_on", 60, 90), ("generate", 203), ("control", "voice", None), ("control", "time", 0.03)],
        *[("generate", 199), ("note_on", 61, 30), ("generate", 400)],
    ]
    drawn = page_plays(node, page_of(tmp_path / "m.safetensors", tmp_path / "page"), actions)
    expected = engine_plays(tmp_path / "m.safetensors", actions)
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=ROUNDING)
    assert not np.allclose(drawn, engine_plays(tmp_path / "m.safetensors", [("generate", 1003)]), atol=0.01)


def test_a_kept_moment_goes_on_as_it_did(node: str, tmp_path: Path) -> None:
    actions: list[Action] = [("note_on", 60, 100), ("generate", 1001), ("keep",), ("generate", 800)]
    drawn = page_plays(node, page_of(Path("piano"), tmp_path), [*actions, ("go_back",), ("generate", 800)])
    np.testing.assert_array_equal(drawn[1001:1801], drawn[1801:])
    assert np.ptp(drawn[1801:]) > 0.1


def test_damaged_models_are_refused(node: str, tmp_path: Path) -> None:
    sound = tmp_path / "m.safetensors"
    make(sound, precision="int8")
    folder, files = page_of(sound, tmp_path / "page"), [sound]
    for place, (change, _) in enumerate([*DAMAGES.values(), *CONTENTS.values()]):
        files.append(tmp_path / f"{place}.safetensors")
        if place < len(DAMAGES):
            shutil.copyfile(sound, files[-1])
            rewrite(files[-1], change)
        else:
            files[-1].write_bytes(change(sound.read_bytes()))
    command = [node, str(SCRIPTS / "refuse_models.mjs"), str(folder), *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=True)
    lines = result.stdout.splitlines()
    assert lines[0] == "taken"
    assert len(lines) == len(files)
    assert set(lines[1:]) == {
        "model.safetensors: damaged, or not the file of this page; copy the folder again, or run wavewright page"
    }


DAMAGED_FACTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another width": (lambda fields: fields.update(units=17), r": shape \(.*, expected \("),
    "a missing field": (lambda fields: fields.pop("cell"), "cell: missing from the configuration"),
    "a field of another type": (lambda fields: fields.update(q_levels="12"), "q_levels: of another type"),
    "no encoding": (lambda fields: fields.update(encoding="alaw"), "encoding: 'alaw'; give linear or mu-law"),
    "too much": (lambda fields: fields.update(emphasis=1.5), "emphasis: give 0 or more, and less than 1"),
}


@pytest.mark.parametrize("damage", DAMAGED_FACTS)
def test_the_engine_refuses_in_one_line(damage: str, node: str, tmp_path: Path) -> None:
    make(tmp_path / "m.safetensors")
    folder = page_of(tmp_path / "m.safetensors", tmp_path / "page")
    facts = json.loads((folder / "model.json").read_text())
    change, line = DAMAGED_FACTS[damage]
    change(facts["engine"]["fields"])
    (folder / "model.json").write_text(json.dumps(facts))
    result = played_by(node, folder, [("generate", 10)])
    assert result.returncode == 1
    assert len(result.stderr.decode().splitlines()) == 1
    assert re.search(line, result.stderr.decode())


def test_the_command_writes_a_page_and_keeps_other_files(
    wavewright: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    make(tmp_path / "a <b>.safetensors")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.txt").write_text("mine")
    for _ in range(2):
        result = wavewright("page", tmp_path / "a <b>.safetensors", "--out", tmp_path / "site")
        assert result.returncode == 0, result.stderr
    assert f"http.server --directory {tmp_path / 'site'}" in result.stdout + result.stderr
    assert (tmp_path / "site" / "mine.txt").read_text() == "mine"
    assert "<title>a &lt;b&gt;</title>" in (tmp_path / "site" / "index.html").read_text()
    written = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.*")}
    assert {"model.json", "model.safetensors", "page/engine.wasm", "page/worker.js", "player/worklet.js"} <= written


def test_the_command_refuses_what_cannot_play(
    wavewright: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    decay = {"kind": "decay", "name": "decay", "low": 0.2, "high": 4.0, "ratios": (1.0, 1.0, 1.0, 1.0)}
    make(tmp_path / "rooms.safetensors", "tiers 6 3, conditioned", condition={**CONDITION, "controls": (decay,)})
    for name, line in (
        ("broken.safetensors", "truncated or not a safetensors file"),
        ("rooms.safetensors", "makes impulse responses, which are no stream; make files with"),
        ("nothing.safetensors", "no such file"),
    ):
        assert line in refusal(wavewright("page", tmp_path / name, "--out", tmp_path / "page"))
    assert not (tmp_path / "page").exists()
