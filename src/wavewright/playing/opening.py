"""Open trained models from run folders and model files. Only this module knows both back ends."""

import difflib
import itertools
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wavewright.errors import ConfigError, ModelFileError, WavewrightError, need_torch, printable
from wavewright.formats import hub, model_file
from wavewright.formats.model_file import Training
from wavewright.formats.precision import Precision
from wavewright.playing.engine import Engine, available
from wavewright.playing.native_model import NativeModel
from wavewright.playing.playable import Player, TrainedModel

if TYPE_CHECKING:
    from wavewright.models.base import Model
    from wavewright.playing.torch_model import TorchModel

log = logging.getLogger(__name__)

SEARCHED = 1000  # folders, for runs below a folder that is none
NAMED = 5  # runs, in a message
SLOW = "the native engine is not built: torch plays, some 20 times slower; install again with a C++ compiler"


def shipped_models() -> dict[str, Path]:
    """Return the files of the models in the package by their names (data/README.md), in the order of the names."""
    return {file.stem: file for file in sorted((Path(__file__).parents[1] / "data").glob("*.safetensors"))}


def shipped(path: Path) -> Path:
    """Return the file of the model in the package (`piano`, see data/README.md) if `path` is just its name.

    A run or a file of that name in the current folder takes precedence, but no other folder does. `hub:USER/NAME` is a
    file that is downloaded first.

    Raises:
        ModelFileError: nothing has that name, and it is nearly one of the names in the package, or the hub has not.
    """
    if hub.is_hub_name(path):
        return hub.download(str(path))
    names = shipped_models()
    theirs = path.is_file() or (path / "config.json").exists()
    if len(path.parts) != 1 or theirs:
        return path
    if str(path) in names:
        return names[str(path)]
    near = difflib.get_close_matches(path.stem.lower(), names, 1)
    if near and not path.exists():
        raise ModelFileError(path, "no such run or model file", f"did you mean {near[0]}, the model in the package?")
    return path


def load(path: Path | str, *, precision: Precision | None = None, threads: int | None = None) -> NativeModel:
    """Load a model file for the engine.

    Args:
        path: a .safetensors file that `wavewright export` made. `piano` comes with the package, and `hub:USER/NAME`
            is downloaded from the Hugging Face hub.
        precision: precision to play in. None means the file's own.
        threads: see Engine.

    Raises:
        ModelFileError: the file is no model file, or is damaged.
    """
    file = model_file.load(shipped(Path(path)))
    return NativeModel(
        **file.facts(), path=file.path, weights=file.weights, precision=precision or file.precision, threads=threads
    )


def open_model(
    path: Path, which: str = "best", *, engine: Literal["auto", "native", "torch"] = "auto", device: str = "auto"
) -> TrainedModel:
    """Open a run folder or a model file with the back end asked for.

    Args:
        path: a run folder or a model file. `piano` comes with the package.
        which: checkpoint of a run: `best`, `last` or a step number.
        engine: back end. `auto` is the engine where it is built. `native` needs torch only to read a run folder.
        device: device for torch. The engine plays on the CPU.

    Raises:
        WavewrightError: there is no such model, the model is damaged, or the back end is not available.
    """
    path = shipped(path)
    on_cpu = device in ("auto", "cpu")
    if engine == "auto":
        engine = "native" if on_cpu and available() else "torch"
        if on_cpu and not available():
            log.warning(SLOW)
    if engine == "native":
        if not on_cpu:
            raise ConfigError(f"--device {device}: the native engine plays on the CPU; use --engine torch")
        if path.suffix == ".safetensors" and which == "best":
            return load(path)
    run = open_run(path, which, device if engine == "torch" else "cpu")
    return run if engine == "torch" else to_native(run)


def _no_run(path: Path) -> str:
    """Return why `path` is no run and what to do. Runs below `path` are named."""
    if not path.exists():
        return "no such run or model file; make a run with `wavewright train`"
    found = []
    for parent, folders, files in itertools.islice(os.walk(path), SEARCHED):
        if "config.json" in files and "checkpoints" in folders:
            found.append(str(Path(parent)))
            folders.clear()
    what = "not a run (no config.json), nor a .safetensors file"
    if not found:
        return f"{what}; make a run with `wavewright train`"
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{what}; name a run in it: {', '.join(sorted(found)[:NAMED])}{more}"


def to_native(run: "TorchModel") -> NativeModel:
    """Return the model of `run` for the engine."""
    from wavewright.playing.torch_model import plain_weights

    facts = run.facts() | {"config": run.config.multiplied_out()}
    return NativeModel(**facts, path=run.path, weights=plain_weights(run.model), precision="float32")


def fastest_player(model: "Model[Any]", seed: int = 0, rate: int | None = None) -> Player:
    """Return a player of one stream of a torch module: the engine where it is built, on the CPU, else torch."""
    from wavewright.playing.torch_model import plain_weights
    from wavewright.playing.torch_player import TorchPlayer

    if available():
        return Engine(model.config.multiplied_out(), plain_weights(model), seed=seed, rate=rate)
    return TorchPlayer(model, seed=seed, rate=rate)


def open_run(path: Path, which: str = "best", device: str = "cpu") -> "TorchModel":
    """Open a model for torch, from a model file or from the checkpoint `which` of a run (`best`, `last` or a step).

    Raises:
        WavewrightError: there is no such run or checkpoint, or the checkpoint or model file is damaged.
    """
    need_torch()
    from wavewright.devices import choose_device
    from wavewright.formats import checkpoint, run_folder
    from wavewright.playing.torch_model import TorchModel, from_file, with_weights

    path, where = shipped(path), choose_device(device)
    if path.suffix == ".safetensors":
        if which != "best":
            raise ConfigError(f"--checkpoint {which}: {path} is a model file, which holds but one; leave it out")
        return from_file(model_file.load(path), where)
    config_file = path / "config.json"
    if not config_file.is_file():
        raise WavewrightError(f"{path}: {_no_run(path)}")
    run_folder.check(path)
    begun = run_folder.read_begun(path)
    saved = checkpoint.load(checkpoint.find(path, which))
    model = with_weights(begun.config.model, saved.model, saved.folder, where)
    facts = saved.facts
    training = Training(
        run=printable(path.resolve().name),
        step=facts.step,
        samples=facts.samples,
        best_bits=facts.best.bits if facts.best else None,
        **begun.versions,
    )
    config = begun.config
    return TorchModel(
        config.model, config.encoding, begun.rate, begun.levelling, training, path, model, emphasis=config.emphasis
    )
