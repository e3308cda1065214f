"""The controls that a model was trained with, and the feature vector that stands for them. No torch here.

A control frame holds for `hop` samples. Its features are those of each control in turn, and one more for each control,
which is 1 where the control is absent. An absent control's own features are 0.
"""

from dataclasses import field, replace
from typing import Annotated, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from wavewright.models.config import STRICT, Size

Kind = TypeVar("Kind")
FloatOrArray = TypeVar("FloatOrArray", float, NDArray[np.float64])
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s=,:]+$")]
Key = Annotated[int, Field(ge=0, le=127)]

LONGEST_TIME = 600.0  # seconds
TIME_UNIT = 0.010  # seconds, from which on a time doubles
PERIODS = (1, 2, 4, 8, 16)  # doublings


@dataclass(frozen=True, config=STRICT)
class Notes:
    """A keyboard with a sustain pedal.

    Attributes:
        low: lowest MIDI key, 21 on a piano.
        high: highest MIDI key, 108 on a piano.
    """

    kind: Literal["notes"] = "notes"
    name: Name = "notes"
    low: Key = 21
    high: Key = 108

    @model_validator(mode="after")
    def _in_order(self) -> "Notes":
        if self.low > self.high:
            raise ValueError(f"low: {self.low} is above high, {self.high}")
        return self

    @property
    def keys(self) -> int:
        """Number of keys."""
        return self.high - self.low + 1

    @property
    def size(self) -> int:
        """Number of features: four for each key and two for the pedal (`conditioning.roll`)."""
        return 4 * self.keys + 2


@dataclass(frozen=True, config=STRICT)
class Category:
    """One of several classes, or a mixture of them, with a weight for each class.

    Attributes:
        name: name of the control.
        classes: names of the classes.
    """

    name: Name
    classes: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(min_length=1)]
    kind: Literal["category"] = "category"

    @model_validator(mode="after")
    def _distinct(self) -> "Category":
        if len(self.classes) > 4096 or len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: give up to 4096 different names")
        return self

    @property
    def size(self) -> int:
        """Number of features, one for each class."""
        return len(self.classes)


@dataclass(frozen=True, config=STRICT)
class Number:
    """A number, such as a loudness in dBFS.

    Attributes:
        name: name of the control.
        low: value that becomes the feature -1.
        high: value that becomes the feature 1.
    """

    name: Name
    low: float
    high: float
    kind: Literal["number"] = "number"

    @model_validator(mode="after")
    def _in_order(self) -> "Number":
        if not self.low < self.high:
            raise ValueError(f"low: {self.low} is not below high, {self.high}")
        return self

    @property
    def size(self) -> int:
        """Number of features."""
        return 1

    def feature(self, values: FloatOrArray) -> FloatOrArray:
        """Return the features of values, -1 at `low` and 1 at `high`."""
        return 2 * (values - self.low) / (self.high - self.low) - 1


@dataclass(frozen=True, config=STRICT)
class Decay(Number):
    """The decay time of a room, a number of seconds whose feature is its logarithm.

    A model that has this control was trained on impulse responses without their decay (`corpus.impulse`). A player
    puts a decay back.

    Attributes:
        ratios: decay time of each band over the control's value.
    """

    kind: Literal["decay"] = "decay"  # type: ignore[assignment]
    ratios: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=4, max_length=4)] = field(
        kw_only=True
    )

    @model_validator(mode="after")
    def _positive(self) -> "Decay":
        if not self.low > 0:
            raise ValueError(f"low: {self.low}; a decay time is more than 0")
        return self

    def feature(self, values: FloatOrArray) -> FloatOrArray:
        """Return the features of values, -1 at `low` and 1 at `high`."""
        return 2 * np.log(values / self.low) / np.log(self.high / self.low) - 1

    def seconds(self, feature: float) -> float:
        """Return the decay time of a feature."""
        return float(self.low * (self.high / self.low) ** ((feature + 1) / 2))


@dataclass(frozen=True, config=STRICT)
class Time:
    """The time since a sound began, which runs by itself.

    A model that hears only what it played last cannot tell where it is in a word or in an echo. Ears judge times by
    their ratios, and so the features are sines and cosines of u = log2(1 + t / 10 ms), with periods from 1 to 16.

    Attributes:
        seconds: where the time stays, such as the length of the longest sound.
        name: name of the control.
    """

    seconds: Annotated[float, Field(gt=0, le=LONGEST_TIME)]
    name: Name = "time"
    kind: Literal["time"] = "time"

    @property
    def size(self) -> int:
        """Number of features, a sine and a cosine for each period."""
        return 2 * len(PERIODS)

    def features(self, seconds: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the features (M, size) of times (M,), limited to 0 and `seconds`."""
        doublings = np.log2(1 + np.clip(seconds, 0, self.seconds) / TIME_UNIT)
        angles = 2 * np.pi * doublings[:, None] / PERIODS
        return np.concatenate((np.sin(angles), np.cos(angles)), 1).astype(np.float32)


Control = Annotated[Notes | Category | Number | Decay | Time, Field(discriminator="kind")]


@dataclass(frozen=True, config=STRICT)
class Condition:
    """The controls of a model and how they enter it.

    Attributes:
        controls: the controls, in the order of their features.
        hop: samples for which one control frame holds.
        width: length of the vector into which a frame is encoded.
    """

    controls: Annotated[tuple[Control, ...], Field(min_length=1, max_length=64)]
    hop: Annotated[int, Field(ge=1, le=4096)] = 16
    width: Size = 64

    @model_validator(mode="after")
    def _distinct(self) -> "Condition":
        names = [control.name for control in self.controls]
        if len(set(names)) < len(names):
            raise ValueError(f"controls: {', '.join(names)}; give each name once")
        for kind, name in ((Notes, "keyboard"), (Time, "time"), (Decay, "decay")):
            if sum(isinstance(control, kind) for control in self.controls) > 1:
                raise ValueError(f"controls: more than one {name}; give one")
        return self

    @property
    def notes(self) -> Notes | None:
        """The keyboard, if there is one."""
        return self._only(Notes)

    @property
    def time(self) -> Time | None:
        """The time since a sound began, if it is a control."""
        return self._only(Time)

    @property
    def decay(self) -> Decay | None:
        """The decay time of impulse responses, if they are what the model makes."""
        return self._only(Decay)

    def _only(self, kind: type[Kind]) -> Kind | None:
        return next((control for control in self.controls if isinstance(control, kind)), None)

    @property
    def given(self) -> "Condition":
        """The same features, with those of the keyboard given as they are. Its events are then not taken."""
        controls = (
            Category(control.name, tuple(map(str, range(control.size)))) if isinstance(control, Notes) else control
            for control in self.controls
        )
        return replace(self, controls=tuple(controls))

    @property
    def features(self) -> int:
        """Number of features of a frame: those of every control, and one for each control that says it is absent."""
        return sum(control.size for control in self.controls) + len(self.controls)

    @property
    def dense(self) -> int:
        """Number of features that a player is given as they are, which are all but the keyboard's own."""
        return self.features - (self.notes.size if self.notes else 0)

    def named(self, name: str) -> Control:
        """Return the control of this name, which there must be."""
        return next(control for control in self.controls if control.name == name)

    def offset(self, control: Control) -> int:
        """Return the number of features before those of a control."""
        return sum(before.size for before in self.controls[: self.controls.index(control)])

    def flag(self, control: Control) -> int:
        """Return the place among the features of the flag that says a control is absent."""
        return self.features - len(self.controls) + self.controls.index(control)

    def dense_offset(self, control: Control) -> int:
        """Return the number of dense features before those of a control that is no keyboard."""
        return sum(before.size for before in self.controls[: self.controls.index(control)] if before != self.notes)

    def dense_flag(self, control: Control) -> int:
        """Return the place of that flag among the dense features."""
        return self.flag(control) - (self.features - self.dense)

    def absent(self, frames: int) -> NDArray[np.float32]:
        """Return control frames (M, F) in which every control is absent."""
        features = np.zeros((frames, self.features), np.float32)
        features[:, -len(self.controls) :] = 1
        return features

    def frames(self, samples: int, phase: int = 0) -> int:
        """Return the number of frames that `samples` touch, where `phase` samples of the first have gone by."""
        return -(-(phase + samples) // self.hop)
