"""An experiment's folder, data and study, and the results of its trials.

OUT/experiment.json            commands, data, versions and machine
OUT/study.db                   the study, unless another database is named
OUT/trials/NAME/run/           an ordinary run folder
OUT/trials/NAME/takes/*.wav    sounds of the trial, with their training time in sounds.json
OUT/trials/NAME/result.json    the trial's figures, written when it is done
"""

import importlib.metadata
import json
import logging
import math
import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from wavewright.corpus.audio import writing
from wavewright.corpus.corpus import Corpus
from wavewright.errors import ConfigError, GivenUp, unknown
from wavewright.experiments import study
from wavewright.experiments.scales import SCALES, Scale, ScaleName
from wavewright.files import atomic_file, read_json, write_json
from wavewright.formats.config import RunConfig, resolve
from wavewright.measuring.context import Context
from wavewright.measuring.free_play import FreePlay
from wavewright.models.condition import Control
from wavewright.progress import Progress, silent
from wavewright.training.loop import ROLLING, Budget
from wavewright.training.run import train

log = logging.getLogger(__name__)

FORMAT = 1  # of experiment.json and result.json


@dataclass(frozen=True)
class Trial:
    """A declared trial.

    Attributes:
        model, preset, overrides: configuration, as `wavewright train` takes it.
        budget: when training ends.
        thesis: the thesis's steps, seconds and nats for this trial, and their place there. None if it gives none.
        remark: difference from trials of the same size, for the title.
        note: purpose of the trial, where the title does not say.
        controls: controls that the model learns to follow.
    """

    model: str
    budget: Budget
    preset: str = "thesis"
    overrides: tuple[str, ...] = ()
    thesis: Mapping[str, Any] | None = None
    remark: str = ""
    note: str | None = None
    controls: tuple[Control, ...] = ()

    @property
    def title(self) -> str:
        """Name in the report, with the size of the model that runs."""
        return ", ".join(part for part in (self.config().model.title, self.remark) if part)

    def config(self) -> RunConfig:
        """Return the trial's configuration."""
        return resolve(self.model, self.preset, None, list(self.overrides), self.controls)


@dataclass(frozen=True)
class Sound:
    """A sound of a trial. `file` is below the trial's folder. `step` and `minutes` give the training until then."""

    file: str
    title: str
    step: int
    minutes: float


@dataclass
class Result:
    """The result of a trial, that is the contents of result.json."""

    name: str
    title: str
    model: str
    parameters: int
    steps: int
    seconds: float
    nats: float | None
    thesis: Mapping[str, Any] | None
    note: str | None
    lost: bool = False
    sounds: list[Sound] = field(default_factory=list)
    measures: dict[str, float | None] = field(default_factory=dict)
    context: tuple[Context, ...] = ()
    free_play: FreePlay | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment as the command line asks for it.

    Attributes:
        name: name of the experiment.
        out: folder of the experiment.
        scale: name of the scale, which decides how much of everything there is.
        data: recordings or a corpus. None given means the clip in the package.
        device: device for torch, as `train` takes it.
        only: names of the trials to do. None given means all.
        storage: URL of the study's database. None means SQLite in the folder.
        progress: called with the progress of each training.
    """

    name: str
    out: Path
    scale: ScaleName = "quick"
    data: tuple[Path, ...] = ()
    device: str = "auto"
    only: tuple[str, ...] | None = None
    storage: str | None = None
    progress: Progress = silent

    @property
    def size(self) -> Scale:
        """The numbers of the experiment's scale."""
        return SCALES[self.scale]

    def open_study(self, **options: Any) -> Any:
        """Return the experiment's study at this scale, where `options` are Optuna's sampler and pruner."""
        self.out.mkdir(parents=True, exist_ok=True)
        storage = self.storage or f"sqlite:///{self.out.resolve()}/study.db"
        return study.open_study(storage, f"{self.name} {self.scale}", **options)

    def describe(self, corpus: Corpus | None, facts: str) -> None:
        """Write experiment.json. A later command for the same folder is added to the file.

        Raises:
            ConfigError: the folder holds another experiment, or one of another scale.
        """
        path = self.out / "experiment.json"
        before = read_json(path) if path.is_file() else {"experiment": self.name, "scale": self.scale}
        if (before["experiment"], before["scale"]) != (self.name, self.scale):
            raise ConfigError(f"{path}: of {before['experiment']} at scale {before['scale']}; choose another --out")
        data = {
            "files": [track.name for track in corpus.tracks] if corpus else [],
            "rate": corpus.rate if corpus else None,
            "seconds": sum(track.frames for track in corpus.tracks) / corpus.rate if corpus else None,
            "facts": facts,
        }
        command = shlex.join(["wavewright", *sys.argv[1:]])
        commands = dict.fromkeys([*before.get("commands", []), command])
        write_json(
            path,
            {
                "format": FORMAT,
                "experiment": self.name,
                "scale": self.scale,
                "commands": list(commands),
                "data": data,
                "made_by": _made_by(),
            },
        )

    def chosen(self, trials: Mapping[str, Trial]) -> list[str]:
        """Return the names of the trials to do.

        Raises:
            ConfigError: `only` names a trial that does not exist, or none.
        """
        if self.only is None:
            return list(trials)
        if not self.only:
            raise ConfigError(f"--only: name a trial; there are {', '.join(trials)}")
        for name in self.only:
            if name not in trials:
                raise ConfigError(f"--only {name}: no such trial; {unknown(name, trials)}")
        return list(dict.fromkeys(self.only))

    def work(self, trials: Mapping[str, Trial], do: Callable[[str, Trial], Result]) -> None:
        """Do the chosen trials, each once among all workers of the study, and write each result.

        `do` takes a trial's name and declaration. The study keeps the nats of the result.
        """
        opened = self.open_study()
        study.declare(opened, self.chosen(trials))

        def objective(trial: Any) -> float:
            name = study.declared(trial, list(trials))
            log.info(f"{self.name}: {trials[name].title} (trial {name})")
            result = do(name, trials[name])
            self.finish(result)
            return float("inf") if result.nats is None else result.nats

        study.work(opened, objective)

    def folder(self, name: str) -> Path:
        """Return the folder of trial `name`."""
        return self.out / "trials" / name

    def finish(self, result: Result) -> None:
        """Write result.json, which marks the trial as done."""
        write_json(self.folder(result.name) / "result.json", asdict(result))

    def train(self, name: str, trial: Trial, corpus: Corpus, budget: Budget | None = None) -> Result:
        """Train a trial, or resume it, up to its budget or the one given, and return its result.

        Raises:
            KeyboardInterrupt: training was stopped. The run is saved.
        """
        config, run, note = trial.config(), self.folder(name) / "run", trial.note
        lost = False
        try:
            summary = train(
                config, corpus, run, budget or trial.budget, resume=True, device=self.device, progress=self.progress
            )
            if summary.interrupted:
                raise KeyboardInterrupt
        except GivenUp as error:
            note, lost = str(error), True
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        steps = [record for record in records if "loss" in record]
        losses = [record["loss"] for record in steps if record["loss"] is not None][-ROLLING:]
        bits = [record["bits"] for record in records if record.get("event") == "validation"]
        return Result(
            name=name,
            title=trial.title,
            model=trial.model,
            parameters=sum(math.prod(shape) for _, shape in config.model.shapes()),
            steps=steps[-1]["step"] if steps else 0,
            seconds=steps[-1]["time"]["seconds"] if steps else 0.0,
            nats=float(np.mean(losses)) if losses else None,
            thesis=trial.thesis,
            note=note,
            lost=lost,
            measures={"validation_bits": min(bits)} if bits else {},
        )

    def keep(self, result: Result, file: str, title: str, amplitude: NDArray[np.floating], rate: int) -> None:
        """Write a sound of a trial and add it to the result and to sounds.json, which `kept` reads."""
        path = self.folder(result.name) / "takes" / file
        with atomic_file(path) as temporary, writing(path):
            soundfile.write(temporary, amplitude, rate, "PCM_16", format="WAV")
        result.sounds.append(Sound(f"takes/{file}", title, result.steps, round(result.seconds / 60, 2)))
        write_json(path.parent / "sounds.json", [asdict(sound) for sound in result.sounds])

    def kept(self, name: str) -> dict[str, Sound]:
        """Return all sounds of a trial so far, also from earlier sessions, by the file given to `keep`."""
        path = self.folder(name) / "takes" / "sounds.json"
        sounds = [Sound(**fields) for fields in read_json(path)] if path.is_file() else []
        return {sound.file.removeprefix("takes/"): sound for sound in sounds}


def _made_by() -> dict[str, str]:
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return {
        "wavewright": importlib.metadata.version("wavewright"),
        "torch": importlib.metadata.version("torch"),
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {processor}",
        "date": datetime.now(UTC).date().isoformat(),
    }
