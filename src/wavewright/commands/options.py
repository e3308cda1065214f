"""Types and options that several commands share."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from wavewright.errors import ConfigError
from wavewright.models import CONFIGS

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Device = Literal["auto", "cpu", "cuda", "mps"]
EngineName = Literal["auto", "native", "torch"]
PrecisionName = Literal["float32", "bfloat16", "int8"]
if TYPE_CHECKING:
    ModelName = str
    PresetName = str
else:  # the registry's names, so that `--help` lists them
    ModelName = Literal[tuple(CONFIGS)]
    PresetName = Literal[tuple(dict.fromkeys(name for config in CONFIGS.values() for name in config.presets))]
Fields = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Playing:
    """The options that `generate` and `play` share."""

    prime: Path | None = None
    """Recording to continue. The output holds only what follows the recording."""
    temperature: float = 1.0
    """Temperature of the draw. Below 1 plays safer, above 1 wilder. 0 always takes the likeliest code."""
    top_k: int | None = None
    """Draw only among the K likeliest codes. The default is all codes."""
    top_p: float | None = None
    """Draw only among the fewest codes that together have probability P, such as 0.95. The default is all codes."""
    seed: int = 0
    """Seed of the random draw. Each seed gives another take, and the same seed gives the same take."""
    guard: Literal["on", "off"] = "on"
    """Generation guard. `on` rolls back and draws again where the sound falls silent for long, sticks or turns to
    noise, and prints a line. `off` keeps the model's raw output."""

    def options(self) -> dict[str, Any]:
        """Return the options as the library takes them.

        Raises:
            ConfigError: a value out of range.
        """
        from wavewright.sampling import Controls

        controls = Controls(self.temperature, self.top_k, self.top_p)
        return {"prime": self.prime, "controls": controls, "seed": self.seed, "guard": self.guard == "on"}


DEFAULT = Playing()


def some(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if not paths:
        raise ConfigError("no PATH given; name audio files or a folder of them")
    return paths


def worker_count(workers: int | None) -> int:
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: must be 1 or more")
    return workers or os.cpu_count() or 1


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
