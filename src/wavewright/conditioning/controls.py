"""Turn what a musician gives, a score and values of controls, into events and dense values of control frames.

A value of a control is a number, a class, or a mixture of classes such as `bright:0.3,dark:0.7`, whose weights are
divided by their sum. A time is a number of seconds. A curve is a CSV file with a line for each point, of seconds and a
value. Numbers, times and mixtures glide from line to line, and a class is held until the next line. The first and the
last value hold before and after.
"""

import csv
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavewright.conditioning.events import Events, elapsed, events
from wavewright.errors import ConfigError, printable, unknown
from wavewright.models.condition import Category, Condition, Control, Notes, Number, Time
from wavewright.sampling import Controls

MOST_BYTES = 16 << 20  # of a curve's file
CLASSES_NAMED = 12  # in a description

Features = NDArray[np.float32]
Valued = Category | Number | Time  # a control that takes values


def described(condition: Condition | None) -> str:
    """Return the controls of a model for a reader, with their ranges and classes."""
    if condition is None:
        return "this model was made without controls"
    return "this model has the controls " + ", ".join(map(in_words, condition.controls))


def in_words(control: Control) -> str:
    """Return the name of a control for a reader, with its range or its classes."""
    if isinstance(control, Notes):
        return f"{control.name} (a keyboard, keys {control.low} to {control.high})"
    if isinstance(control, Number):
        return f"{control.name} ({control.low:g} to {control.high:g})"
    if isinstance(control, Time):
        return f"{control.name} (0 to {control.seconds:g} s, runs by itself)"
    more = len(control.classes) - CLASSES_NAMED
    named = ", ".join(map(printable, control.classes[:CLASSES_NAMED]))
    return f"{control.name} ({named}{f' and {more} more' if more > 0 else ''})"


def merged(models: Iterable[Sequence[Control]]) -> tuple[Control, ...]:
    """Return the controls of several models. Where more than one has a control of a name, it is the first's."""
    found: dict[str, Control] = {}
    for control in itertools.chain.from_iterable(models):
        found.setdefault(control.name, control)
    return tuple(found.values())


def find(condition: Condition | None, name: str) -> Valued:
    """Return the control called `name`, which takes values.

    Raises:
        ConfigError: there is none, or it is the keyboard, which takes notes.
    """
    controls = condition.controls if condition else ()
    found = next((control for control in controls if control.name == name), None)
    if found is None:
        raise ConfigError(f"{printable(name)}: no such control; {described(condition)}")
    if isinstance(found, Notes):
        raise ConfigError(f"{name}: a keyboard takes notes, not a value; play it from a score or by hand")
    return found


def features(control: Valued, value: float | str) -> Features:
    """Return the features (size,) of a number, a time, a class or a mixture of classes.

    Raises:
        ConfigError: the value is out of range, or names a class that the model does not know.
    """
    if isinstance(control, Number):
        return np.array([control.feature(_checked(control.name, value, control.low, control.high))], np.float32)
    if isinstance(control, Time):
        return control.features(_seconds(control, value))[0]
    text = str(value)
    weights = dict(_mixture(control, text)) if text not in control.classes and ":" in text else {text: 1.0}
    for name in weights:
        if name not in control.classes:
            raise ConfigError(f"{control.name}: no class {printable(name)}; {unknown(name, control.classes)}")
    total = sum(weights.values())
    return np.array([weights.get(name, 0.0) / total for name in control.classes], np.float32)


def time_value(control: Time, value: float | str) -> float:
    """Return a time in seconds.

    Raises:
        ConfigError: the value is out of range.
    """
    return _checked(control.name, value, 0, control.seconds)


def _seconds(control: Time, value: float | str) -> NDArray[np.float64]:
    return np.array([time_value(control, value)])


def _checked(name: str, value: float | str, low: float, high: float) -> float:
    """Return the number that is given for the control called `name`, from `low` to `high`."""
    remedy = f"give {low:g} to {high:g}"
    try:
        number = float(value)
    except ValueError:
        raise ConfigError(f"{name}: {printable(value)} is not a number; {remedy}") from None
    if not low <= number <= high:
        raise ConfigError(f"{name}: {number:g}; {remedy}")
    return number


def _mixture(control: Category, text: str) -> list[tuple[str, float]]:
    wrong = ConfigError(f"{control.name}: {printable(text)}; give weights from 0 up, such as a:0.3,b:0.7")
    pairs = []
    for part in text.split(","):
        name, _, weight = part.rpartition(":")
        try:
            pairs.append((name.strip(), float(weight)))
        except ValueError:
            raise wrong from None
    weights = [weight for _, weight in pairs]
    if len({name for name, _ in pairs}) < len(pairs) or min(weights) < 0 or not 0 < sum(weights) < math.inf:
        raise wrong
    return pairs


@dataclass(frozen=True)
class Curve:
    """Features of a control, or other numbers, over time, with straight lines between points.

    Attributes:
        seconds: (K,) in order. Two points at one time are a jump.
        features: (K, size).
    """

    seconds: NDArray[np.float64]
    features: NDArray[Any]

    def at(self, seconds: NDArray[np.floating]) -> NDArray[Any]:
        """Return the features (M, size) at times (M,)."""
        after = np.searchsorted(self.seconds, seconds, "right")
        left, right = np.maximum(after - 1, 0), np.minimum(after, len(self.seconds) - 1)
        span = np.maximum(self.seconds[right] - self.seconds[left], 1e-12)
        share = np.clip((seconds - self.seconds[left]) / span, 0, 1)[:, None].astype(np.float32)
        return self.features[left] + share * (self.features[right] - self.features[left])


@dataclass(frozen=True)
class TimeCurve:
    """Features of a time that is given by a curve of seconds over seconds.

    Attributes:
        control: the time.
        curve: its values (K, 1) in seconds.
    """

    control: Time
    curve: Curve

    def at(self, seconds: NDArray[np.floating]) -> Features:
        """Return the features (M, size) at times (M,)."""
        return self.control.features(self.curve.at(seconds)[:, 0])


def curve(control: Valued, text: str) -> Curve | TimeCurve:
    """Return the curve of a value that is held, or of the curve's file that `text` names.

    Raises:
        ConfigError: there is no such file, or one of its lines is wrong. See also `features`.
    """
    if isinstance(control, Time):
        return TimeCurve(control, _curve(text, lambda value: _seconds(control, value)))
    classes = control.classes if isinstance(control, Category) else ()
    return _curve(text, lambda value: features(control, value), classes)


def _curve(text: str, read: Callable[[str], NDArray[Any]], held: Collection[str] = ()) -> Curve:
    """Return the curve of a value that is held, or of a curve's file. For `read` and `held`, see `_read_curve`."""
    if text in held or not text.lower().endswith(".csv"):
        return Curve(np.zeros(1), read(text)[None])
    return _read_curve(Path(text).expanduser(), read, held)


@dataclass(frozen=True)
class Amounts:
    """The amount of a mixture over time (`Controls.amount`), as a function of sample numbers.

    Attributes:
        curve: the amount at times in seconds.
        rate: samples in a second.
        text: the curve's file as typed.
    """

    curve: Curve
    rate: int
    text: str

    def __call__(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the amounts (n,) of samples (n,)."""
        return self.curve.at(samples / self.rate)[:, 0]

    def __str__(self) -> str:
        return self.text


def amount(text: str, rate: int) -> float | Amounts:
    """Return the amount of a mixture that `text` gives, a number or the name of a curve's file.

    Raises:
        ConfigError: the text is neither, there is no such file, or a number is out of range.
    """
    if not text.lower().endswith(".csv"):
        return _amount(text)
    return Amounts(_read_curve(Path(text).expanduser(), lambda value: np.array([_amount(value)])), rate, text)


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ConfigError(f"amount: {printable(text)}; give a number such as 0.5, or a curve FILE.csv") from None
    Controls(amount=number)  # checks the range
    return number


def _read_curve(path: Path, read: Callable[[str], NDArray[Any]], held: Collection[str] = ()) -> Curve:
    """Return the curve of a file.

    Args:
        path: a CSV file with a line for each point.
        read: returns the features of a line's value.
        held: values that hold until the next line.
    """
    seconds: list[float] = []
    points: list[NDArray[Any]] = []
    holds = False
    for number, line in _lines(path):
        try:
            second, value = _point(line)
            if seconds and second < seconds[-1]:
                raise ConfigError(f"{second:g} s comes after {seconds[-1]:g} s; give lines in the order of time")
            reached = read(value)
        except ConfigError as error:
            raise ConfigError(f"{printable(path)}, line {number}: {error}") from None
        if holds:
            seconds.append(second)
            points.append(points[-1])
        seconds.append(second)
        points.append(reached)
        holds = value in held
    if not seconds:
        raise ConfigError(f"{printable(path)}: no points; give lines of seconds and a value")
    return Curve(np.array(seconds), np.stack(points))


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of a CSV file that are not empty, with their numbers. A heading is left out."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{printable(path)}: more than {MOST_BYTES >> 20} MB; give a smaller file")
        text = path.read_text(encoding="utf-8-sig")
        rows = [(i, [part.strip() for part in row]) for i, row in enumerate(csv.reader(text.splitlines()), 1)]
    except OSError as error:
        raise ConfigError(f"{printable(path)}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ConfigError(f"{printable(path)}: not a CSV file in UTF-8") from None
    return [(i, row) for i, row in rows if any(row) and row[0].lower() != "seconds"]


def _point(line: Sequence[str]) -> tuple[float, str]:
    """Return the seconds and the value of a line."""
    try:
        seconds = float(line[0])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf or len(line) < 2:
        raise ConfigError(f"{printable(','.join(line))}; give seconds from 0 up, a comma and a value")
    return seconds, ",".join(line[1:])


def dense(condition: Condition, given: Mapping[str, NDArray[np.floating]], frames: int) -> Features:
    """Return the dense values (frames, D) of controls, in their order in a frame.

    Args:
        condition: the controls.
        given: features (size,) or (frames, size) by a control's name. A control without features is absent. Whatever
            is given of the keyboard says that it is there.
        frames: number of frames.
    """
    values, place = np.zeros((frames, condition.dense), np.float32), 0
    for control in condition.controls:
        size = 0 if isinstance(control, Notes) else control.size
        if control.name not in given:
            values[:, condition.dense_flag(control)] = 1
        elif size:
            values[:, place : place + size] = given[control.name]
        place += size
    return values


@dataclass(frozen=True)
class Performance:
    """The part of a take (`sampling.TakePart`) that is known before it is played, from a score and curves.

    Attributes:
        condition: the controls of the model.
        rate: samples in a second.
        curves: curves by the names of controls. Other controls are absent, but a time runs.
        score: events at their samples of the take. None means that the keyboard is absent.
        seconds: length of the score with its tail, or of an impulse response. None where nothing tells.
        origin: see TakePart.
        free: whether the time is absent, too.
    """

    condition: Condition
    rate: int
    curves: Mapping[str, Curve | TimeCurve]
    score: Events | None = None
    seconds: float | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    free: bool = False

    @property
    def hop(self) -> int:
        """See Part."""
        return self.condition.hop

    @property
    def rests(self) -> bool:
        """See TakePart."""
        return self.score is not None

    def events(self, start: int, stop: int) -> Events:
        """See Part."""
        if self.score is None:
            return events()
        first, last = np.searchsorted(self.score["sample"], (start, stop))
        return self.score[first:last]

    def dense(self, samples: NDArray[np.int64]) -> Features:
        """See Part."""
        given = {name: curve.at(samples / self.rate) for name, curve in self.curves.items()}
        if self.score is not None and self.condition.notes:
            given[self.condition.notes.name] = np.zeros(0, np.float32)
        if (time := self.condition.time) and time.name not in given and not self.free:
            given[time.name] = time.features(elapsed(self.score, samples, self.hop) / self.rate)
        values = dense(self.condition, given, len(samples))
        values[samples < 0] = dense(self.condition, {}, 1)
        return values
