"""How numbers and times are written on the page."""

import math
from collections.abc import Iterable

NONE = "\N{EN DASH}"


def clock(seconds: float | None) -> str:
    """Time as the thesis writes it: 1:43:13, and 2:10 where there are no hours."""
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | None, digits: int = 3) -> str:
    """A few digits, thousands apart, a true minus sign."""
    if value is None or not math.isfinite(value):
        return NONE
    whole = value == int(value) or abs(value) >= 10 ** (digits - 1)
    return minus(f"{value:,.0f}" if whole else f"{value:.{digits}g}")


def signed(value: float) -> str:
    """A small amplitude with its sign."""
    return minus(f"{round(value, 3) + 0.0:+.3f}")


def words(field: str) -> str:
    """A field's name as one reads it."""
    return field.replace("_", " ")


def sentence(parts: Iterable[str]) -> str:
    """Parts as one sentence."""
    return "; ".join(parts) + "."


def minus(text: str) -> str:
    """Numbers with a true minus sign, which is as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")
