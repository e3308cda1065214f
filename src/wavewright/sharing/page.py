"""Write a page on which a model plays in the browser, as one folder for any web server that sends files."""

import html
import shutil
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

from wavewright.conditioning.facts import as_json
from wavewright.errors import ConfigError
from wavewright.files import atomic_file, sha256, write_json
from wavewright.formats import model_file
from wavewright.formats.hub import MODEL
from wavewright.formats.model_file import About, ModelFile
from wavewright.models.condition import Condition, Notes
from wavewright.playing.engine import engine_fields
from wavewright.playing.opening import shipped

FORMAT = 1  # of the facts, raised when an older page would misread them
FACTS, INDEX = "model.json", "index.html"
PAGE = Path(__file__).parent / "static"  # the page, and what engine/wasm is built into
PLAYER = Path(__file__).parents[1] / "studio" / "static" / "player"
MODULES = (
    "keys.js",
    "player.js",
    "playout.js",
    "ring.js",
    "store.js",
    "worklet.js",
)  # of the player, which the studio shares


def write_page(path: Path, folder: Path) -> None:
    """Write the page of a model file into a folder. Other files in the folder stay.

    The page checks by its SHA-256 that it plays the file which was checked here, and leaves the rest to the engine.

    Args:
        path: model file that `wavewright export` made, the name of a model in the package, or `hub:USER/NAME`.
        folder: folder of the page, which is made where it is not there.

    Raises:
        ModelFileError: `path` is no model file, or is damaged.
        ConfigError: the model makes impulse responses, which are no stream.
    """
    path = shipped(path)
    model = model_file.load(path)
    condition = model.config.condition
    if condition and condition.decay:
        raise ConfigError(
            f"{path}: makes impulse responses, which are no stream; make files with `wavewright generate`"
        )
    facts = _facts(model, path)
    copied = {MODEL: path, **{f"player/{name}": PLAYER / name for name in MODULES}}
    copied |= {f"page/{file.name}": file for file in PAGE.iterdir() if file.name != INDEX}
    for name, source in copied.items():
        with atomic_file(folder / name) as temporary:
            shutil.copyfile(source, temporary)
    write_json(folder / FACTS, facts)
    texts = {"title": facts["title"] or path.stem, "description": facts["description"] or ""}
    index = Template((PAGE / INDEX).read_text(encoding="utf-8"))
    with atomic_file(folder / INDEX) as temporary:
        escaped = {name: html.escape(text) for name, text in texts.items()}
        temporary.write_text(index.substitute(escaped), encoding="utf-8")


def _facts(model: ModelFile, path: Path) -> dict[str, Any]:
    """Return what the page is told of a model, as JSON values."""
    config, condition = model.config, model.config.condition
    about = asdict(model.about or About())
    draw = {name: about.pop(name) for name in ("temperature", "top_p")}
    fields = {name: value for name, value in engine_fields(config, model.rate).items() if value is not None}
    return {
        "format": FORMAT,
        **about,
        "name": path.stem,
        "kind": config.title,
        "rate": model.rate,
        "levels": config.q_levels,
        "parameters": sum(weight.size for weight in model.weights.values()),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "draw": {name: 1.0 if value is None else value for name, value in draw.items()},
        "controls": _controls(condition) if condition else [],
        "hop": condition.hop if condition else 1,
        "dense": condition.dense if condition else 0,
        "engine": {
            "model": config.name,
            "precision": model.precision,
            "fields": {**fields, "encoding": model.encoding, "emphasis": model.emphasis},
        },
    }


def _controls(condition: Condition) -> list[dict[str, Any]]:
    """Return the controls, each with the places of its features and its flag among the dense values of a frame."""
    return [
        {
            **as_json(control),
            "size": 0 if isinstance(control, Notes) else control.size,
            "offset": condition.dense_offset(control),
            "flag": condition.dense_flag(control),
        }
        for control in condition.controls
    ]
