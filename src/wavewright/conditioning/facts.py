"""Tell a page what controls a model has."""

from typing import Any

from wavewright.conditioning.controls import in_words
from wavewright.models.condition import Category, Control, Decay, Notes, Number, Time

UNITS = {"loudness": "dBFS", "brightness": "MIDI key", "pitch": "MIDI key"}  # of what `prepare --describe` measures


def as_json(control: Control) -> dict[str, Any]:
    """Return a control as a page knows it."""
    low: float | None = None
    high: float | None = None
    unit, classes = UNITS.get(control.name), None
    if isinstance(control, Notes | Number):
        low, high = control.low, control.high
    if isinstance(control, Time | Decay):
        unit = "s"
    if isinstance(control, Time):
        low, high = 0.0, control.seconds
    if isinstance(control, Category):
        classes = list(control.classes)
    told = {"name": control.name, "kind": control.kind, "text": in_words(control)}
    return {**told, "low": low, "high": high, "unit": unit, "classes": classes}
