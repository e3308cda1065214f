"""Types and options that several commands share."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from wavewright.errors import ConfigError

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
Device = Literal["auto", "cpu", "cuda", "mps"]
FEW = 5
EngineName = Literal["auto", "native", "torch"]
PrecisionName = Literal["float32", "bfloat16", "int8"]
ModelName = Literal["linear-rnn", "naive-rnn", "sample-rnn", "wavenet"]  # of the registry, which imports numpy
PresetName = Literal["large", "small", "tiny", "thesis", "paper"]
if TYPE_CHECKING:
    from wavewright.playing.instrument import Instrument
    from wavewright.playing.playable import Playable, TrainedModel
    from wavewright.playing.prime import Prime

Fields = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Playing:
    """The options that `generate` and `play` share."""

    prime: Path | None = None
    """Recording to continue. The output holds only what follows. The quiet at the recording's end is left out."""
    prime_from: float | None = None
    """Where in the recording the prime begins, in seconds. The default is 0."""
    prime_seconds: float | None = None
    """Length of the prime in seconds, so that it can end in the midst of a sound. The default is up to the end."""
    temperature: float | None = None
    """Temperature of the draw. Below 1 plays safer, above 1 wilder. 0 always takes the likeliest code. The default is
    the model file's own, or 1."""
    top_k: int | None = None
    """Draw only among the K likeliest codes. The default is all codes."""
    top_p: float | None = None
    """Draw only among the fewest codes that together have probability P, such as 0.95. The default is
    the model file's own, or 1, which is all codes."""
    seed: int = 0
    """Seed of the random draw. Each seed gives another take, and the same seed gives the same take."""
    score: Path | None = None
    """Score for a model with a keyboard to play, a MIDI file. Without --seconds, the sound is as long as the score and
    2 seconds more."""
    control: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    """Value of one of the model's controls, NAME=VALUE. VALUE is a number, a class, a mixture such as
    `bright:0.3,dark:0.7`, or a curve, FILE.csv with lines of seconds and a value. Repeat for more controls. A control
    without a value is absent."""
    free: Flag = False
    """Play with every control absent."""
    mix: Path | None = None
    """Second model, whose distribution is mixed with the first model's at every sample. It has the same sample rate,
    encoding and number of codes."""
    amount: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Share of the second model: a number, or a curve, FILE.csv with lines of seconds and a number. 0 is the first
    model alone, 1 the second alone. The default is 0.5."""
    mix_control: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    """Value of one of the second model's controls, NAME=VALUE as for --control. Repeat for more controls. Without any,
    the second model takes the values of --control whose names it knows."""
    guidance: float | None = None
    """How far to move the sound away from that of absent controls, for a model that follows its controls too little. 0
    changes nothing."""
    guard: Literal["on", "off"] = "on"
    """Generation guard. `on` rolls back and draws again where the sound falls silent for long, sticks or turns to
    noise, and prints a line. `off` keeps the model's raw output."""

    def playable(self, model: "TrainedModel", engine: EngineName = "auto", device: str = "auto") -> "Playable":
        """Return what plays: the model, or its mixture with another model or with itself.

        Args:
            model: model that the command was given.
            engine: back end of the model.
            device: device for torch.

        Raises:
            WavewrightError: the other model cannot be opened or mixed with this one, or an option is out of place.
        """
        from wavewright.playing.mixture import guided, mix
        from wavewright.playing.opening import open_model

        if not self.mix and (self.amount is not None or self.mix_control):
            name = "--mix-control" if self.amount is None else "--amount"
            raise ConfigError(f"{name}: of no mixture; name the second model with --mix")
        if self.guidance is not None:
            if self.mix or self.free:
                raise ConfigError(f"--guidance: leave out {'--mix' if self.mix else '--free'}, or this option")
            return guided(model, self.guidance)
        return mix(model, open_model(self.mix, engine=engine, device=device)) if self.mix else model

    def options(self, model: "Playable", seconds: float | None, default: float) -> dict[str, Any]:
        """Return the options as the library takes them, for what `playable` returned.

        The sound's length is `seconds`, or without them that of the score, or without a score the default.

        Raises:
            WavewrightError: a value is out of range, or the model cannot play what it is given.
        """
        from wavewright.conditioning.controls import amount
        from wavewright.playing.performance import read_performance, read_second

        prime = self._recording()
        part = read_performance(model, self.score, self.control, self.free)
        controls = replace(model.draw, **self._draw(), part=part)
        if self.mix:
            second = read_second(model.models[1], part, self.score, self.mix_control, self.free)
            share = 0.5 if self.amount is None else amount(self.amount, model.rate)
            controls = replace(controls, amount=share, second=second)
        elif self.guidance is not None:
            controls = replace(controls, amount=-self.guidance)
        if seconds is None:
            seconds = part.seconds if part and part.seconds else default
        return {
            "seconds": seconds,
            "prime": prime,
            "controls": controls,
            "seed": self.seed,
            "guard": self.guard == "on",
        }

    def instrument(self, model: "TrainedModel") -> "Instrument":
        """Return an instrument with these options, for hands instead of a score.

        Raises:
            WavewrightError: a value is out of range, or the model is none to be played by hand.
        """
        from wavewright.playing.performance import split_settings

        for name in ("score", "free", "mix", "amount", "mix_control"):
            if getattr(self, name):
                raise ConfigError(f"--{name.replace('_', '-')}: the model is played by hand; leave it out")
        prime = self._recording()
        instrument = model.instrument(self.seed, guidance=self.guidance, **self._draw())
        for name, value in split_settings(self.control).items():
            try:
                instrument.control(name, value)
            except ConfigError as error:
                raise ConfigError(f"--control {error}") from None
        for block in prime.codes(model) if prime else ():
            instrument.prime(block)
        return instrument

    def origin(self, model: "TrainedModel") -> dict[str, Any]:
        """Return the facts of what hands play with these options, as a take's metadata have them."""
        from wavewright.playing.mixture import guided
        from wavewright.playing.performance import split_settings
        from wavewright.playing.takes import origin

        controls = replace(model.draw, **self._draw(), amount=-(self.guidance or 0.0))
        played = {"score": None, "controls": split_settings(self.control), "by_hand": True}
        voices = model if self.guidance is None else guided(model, self.guidance)
        return origin(voices, self.seed, self._recording(), controls) | played

    def _draw(self) -> dict[str, Any]:
        """Return what is said of the draw, by the names of its fields."""
        draw = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return {name: value for name, value in draw.items() if value is not None}

    def _recording(self) -> "Prime | None":
        from wavewright.playing.prime import Prime

        for name, value in (("--prime-from", self.prime_from), ("--prime-seconds", self.prime_seconds)):
            if self.prime is None and value is not None:
                raise ConfigError(f"{name} {value:g}: of no recording; name one with --prime")
        return Prime(self.prime, self.prime_from or 0.0, self.prime_seconds) if self.prime else None


DEFAULT = Playing()


def expanding(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes a leading `~` of each path as a home folder.

    A shell does so too, but not after the `=` of `--out=~/take.wav`.
    """

    @functools.wraps(command)
    def called(*args: Any, **options: Any) -> None:
        command(*map(_expanded, args), **{name: _expanded(value) for name, value in options.items()})

    return called


def _expanded(value: Any) -> Any:
    """Return a value of an option with a leading `~` of each path in it expanded."""
    if isinstance(value, Path):
        try:
            return value.expanduser()
        except RuntimeError:  # no such user
            return value
    if isinstance(value, tuple):
        return tuple(map(_expanded, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _expanded(getattr(value, field.name)) for field in fields(value)})
    return value


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


def kinds(counts: dict[str, int]) -> str:
    """Return how many files there are of each kind, such as "12 .jpg, 2 .txt, 1 hidden"."""
    return few([f"{count} {kind}" for kind, count in counts.items()])


def few(items: list[str]) -> str:
    """Return the first items in one line, and how many more there are."""
    more = len(items) - FEW
    return ", ".join(items[:FEW]) + (f" and {more} more" if more > 0 else "")
