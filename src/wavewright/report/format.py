"""Format numbers and times for the page."""

import math
from collections.abc import Iterable

NONE = "\N{EN DASH}"


def clock(seconds: float | None) -> str:
    """Format a time as the thesis does: 1:43:13, or 2:10 without hours."""
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | None, digits: int = 3) -> str:
    """Format a number with a few digits, commas between thousands and a true minus sign."""
    if value is None or not math.isfinite(value):
        return NONE
    whole = value == int(value) or abs(value) >= 10 ** (digits - 1)
    return minus(f"{value:,.0f}" if whole else f"{value:.{digits}g}")


def signed(value: float) -> str:
    """Format a small amplitude with its sign."""
    return minus(f"{round(value, 3) + 0.0:+.3f}")


def words(field: str) -> str:
    """Return a field's name with spaces for underscores."""
    return field.replace("_", " ")


def sentence(parts: Iterable[str]) -> str:
    """Join parts to one sentence."""
    return "; ".join(parts) + "."


def minus(text: str) -> str:
    """Replace hyphens by the true minus sign, which is as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")
