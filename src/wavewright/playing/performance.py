"""Read what a model with a condition is to play: a score, in a process of its own, and values of its controls."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wavewright.conditioning import score as scores
from wavewright.conditioning.controls import Curve, Performance, TimeCurve, curve, described, find
from wavewright.conditioning.events import Events, Kind, events
from wavewright.conditioning.score import Score
from wavewright.corpus import isolate
from wavewright.errors import ConfigError, printable
from wavewright.formats.model_file import ModelFacts
from wavewright.models.condition import Condition, Notes
from wavewright.playing.playable import Playable

log = logging.getLogger(__name__)

TAIL = 2.0  # seconds after a score's last event, in which its last notes end


def read_performance(
    model: ModelFacts, score: Path | None = None, settings: Sequence[str] = (), free: bool = False
) -> Performance | None:
    """Return what a model is to play, or None for a model without a condition.

    Args:
        model: model that plays.
        score: a MIDI file for the model's keyboard.
        settings: values of controls, each NAME=VALUE (`conditioning.controls`).
        free: whether all controls are to be absent. Without any of the three, they are absent too, and a line says so.

    Raises:
        ConfigError: the model does not have what it is to play, or a value is out of range.
        AudioError: the score cannot be read.
    """
    condition = model.config.condition
    if condition is None:
        for name, given in (("--score", score), ("--control", settings), ("--free", free)):
            if given:
                raise ConfigError(f"{name}: {described(condition)}; leave it out")
        return None
    if free and (score or settings):
        raise ConfigError(f"--free: plays with every control absent; leave out {'--score' if score else '--control'}")
    if not (free or score or settings):
        log.warning(f"plays free: {described(condition)}; give --score or --control, or --free without this line")
    typed = split_settings(settings)
    curves = _curves(condition, typed, "--control")
    origin: dict[str, Any] = {"score": None, "controls": typed}
    if score is None:
        return Performance(condition, model.rate, curves, None, _decay_seconds(condition, curves), origin, free)
    if condition.notes is None:
        raise ConfigError(f"--score {printable(score)}: {described(condition)}, and no keyboard; leave it out")
    read = isolate.one(scores.read, score)
    with score.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    for remark in read.remarks:
        log.warning(f"{printable(score)}: {remark}")
    check_keys(score, read.events, condition.notes, "the model's keyboard")
    seconds = float(read.seconds[-1]) + TAIL
    origin["score"] = {"name": score.name, "sha256": digest}
    return Performance(condition, model.rate, curves, read.at(model.rate), seconds, origin)


def _decay_seconds(condition: Condition, curves: Mapping[str, Curve | TimeCurve]) -> float | None:
    """Return how long an impulse response sounds, which is its decay time."""
    decay = condition.decay
    if decay is None or decay.name not in curves:
        return None
    return decay.seconds(float(curves[decay.name].at(np.zeros(1))[0, 0]))


def read_second(
    model: Playable,
    beside: Performance | None,
    score: Path | None = None,
    settings: Sequence[str] = (),
    free: bool = False,
) -> Performance | None:
    """Return what the second model of a mixture is to play, or None for a model without a condition.

    Args:
        model: second model.
        beside: what the first model plays. A keyboard of the second model plays the same score.
        score: file that the first model plays.
        settings: values of the second model's controls. Without any, it takes those of the first model that it knows.
        free: whether all controls are to be absent.

    Raises:
        ConfigError: the model does not have what it is to play, or a value is out of range.
    """
    name, condition = printable(model.path), model.config.condition
    if settings and (condition is None or free):
        why = f"{name}: {described(None)}" if condition is None else "--free plays with every control absent"
        raise ConfigError(f"--mix-control {printable(settings[0])}: {why}; leave it out")
    if condition is None:
        return None
    typed = split_settings(settings, "--mix-control")
    option = "--mix-control"
    if beside and not settings:
        known = [control.name for control in condition.controls if not isinstance(control, Notes)]
        typed = {key: value for key, value in beside.origin["controls"].items() if key in known}
        option = f"{name} cannot take --control"
    curves = _curves(condition, typed, option)
    events = beside.score if beside and condition.notes else None
    if events is not None and score and condition.notes:
        check_keys(score, events, condition.notes, f"the keyboard of {name}")
    if not free and not curves and events is None:
        log.warning(f"{name} plays free: {described(condition)}; give --mix-control")
    origin = {"score": beside.origin["score"] if beside and events is not None else None, "controls": typed}
    return Performance(condition, model.rate, curves, events, origin=origin, free=free)


def _curves(condition: Condition, typed: Mapping[str, str], option: str) -> dict[str, Curve | TimeCurve]:
    """Return the curves of values by the names of controls. An error begins with `option`."""
    try:
        return {name: curve(find(condition, name), value) for name, value in typed.items()}
    except ConfigError as error:
        raise ConfigError(f"{option} {error}") from None


def split_settings(settings: Sequence[str], option: str = "--control") -> dict[str, str]:
    """Return the values of settings NAME=VALUE by their names. An error begins with `option`.

    Raises:
        ConfigError: one is no setting, or a name comes twice.
    """
    typed: dict[str, str] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if not (name and value):
            raise ConfigError(f"{option} {printable(setting)}: give NAME=VALUE")
        if name in typed:
            raise ConfigError(f"{option} {printable(setting)}: the second value of {printable(name)}; give one")
        typed[name] = value
    return typed


def live_events(score: Score, rate: int) -> Events:
    """Return the events of a score for an instrument, with what lets go of the keyboard TAIL seconds after the last.

    Args:
        score: the score.
        rate: samples in a second.
    """
    placed, down = score.at(rate), set()
    for kind, key in placed[["kind", "key"]].tolist():
        if kind == Kind.strike:
            down.add(key)
        elif kind == Kind.release:
            down.discard(key)
    end = int(placed["sample"][-1]) + round(TAIL * rate)
    ends = [(end, Kind.release, key, 0) for key in sorted(down)]
    return np.concatenate((placed, events(*ends, (end, Kind.pedal, 0, 0))))


def check_keys(score: Path | str, events: Events, notes: Notes, keyboard: str) -> None:
    """Log how many notes lie beside a keyboard.

    Args:
        score: the file, for the messages.
        events: events of the score.
        notes: the keyboard.
        keyboard: what it is called in the messages.

    Raises:
        ConfigError: all notes lie beside the keyboard.
    """
    keys = events["key"][events["kind"] == Kind.strike]
    beside = int(np.sum((keys < notes.low) | (keys > notes.high)))
    reach = f"{keyboard}, which has keys {notes.low} to {notes.high}"
    if beside == len(keys):
        raise ConfigError(f"{printable(score)}: all notes lie beside {reach}; transpose the score")
    if beside:
        log.warning(f"{printable(score)}: {beside} of {len(keys)} notes lie beside {reach}; they are left out")
