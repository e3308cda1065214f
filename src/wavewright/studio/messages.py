"""Fields of the messages that a page sends to a player."""

from collections.abc import Mapping
from typing import Any

from wavewright.errors import ConfigError, printable

Message = Mapping[str, Any]

MOST_POINTS = 10_000  # of a curve


def text(message: Message, field: str) -> str:
    """Return a field that is a text.

    Raises:
        ConfigError: it is none.
    """
    value = message.get(field)
    if not isinstance(value, str):
        raise ConfigError(f"{field}: {printable(value)[:40]}; give a text")
    return value


def whole(message: Message, field: str, default: int | None = None) -> int:
    """Return a field that is a whole number.

    Raises:
        ConfigError: it is none.
    """
    value = message.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{field}: {printable(value)[:40]}; give a whole number")
    return value


def number(message: Message, field: str, default: float, most: float) -> float:
    """Return a field that is a number above 0.

    Raises:
        ConfigError: it is none, or larger than `most`.
    """
    value = message.get(field, default)
    if not _is_number(value) or not 0 < value <= most:
        raise ConfigError(f"{field}: {printable(value)[:40]}; give more than 0 and at most {most:g}")
    return float(value)


def value(message: Message) -> float | str | None:
    """Return the value of a control.

    Raises:
        ConfigError: it is no number, text or null.
    """
    return _value(message.get("value"))


def points(message: Message) -> list[tuple[float, float | str]]:
    """Return the points of a curve, as seconds and values.

    Raises:
        ConfigError: they are none.
    """
    given = message.get("points")
    if not isinstance(given, list) or len(given) > MOST_POINTS:
        raise ConfigError(f"points: give a list of up to {MOST_POINTS} pairs of seconds and a value")
    pairs = []
    for point in given:
        if not isinstance(point, list) or len(point) != 2 or not _is_number(point[0]):
            raise ConfigError(f"points: {printable(point)[:40]}; give pairs of seconds and a value")
        reached = _value(point[1])
        if reached is None:
            raise ConfigError("points: null is no value; give a number or a class")
        pairs.append((float(point[0]), reached))
    return pairs


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: object) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ConfigError(f"value: {printable(value)[:40]}; give a number, a text or null")
