"""TIMESTAMP values in the forms that JSON sources send, as microseconds since the epoch. Pure."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

FIRST_US = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z, BigQuery's first TIMESTAMP."""
LAST_US = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z, BigQuery's last TIMESTAMP."""

UNITS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"SECONDS": (1_000_000, 1), "MILLISECONDS": (1_000, 1), "MICROSECONDS": (1, 1), "NANOSECONDS": (1, 1_000)}
)
"""Microseconds of a unit as numerator and denominator."""

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?"
    r"(?:[Zz]| UTC|([+-])(\d{2})(?::?(\d{2}))?)",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,19}(?:\.\d{1,30})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_PER_DAY = 86_400
_LARGEST_FLOAT = 1e30
_HOURS, _MINUTES = 24, 60

# Epoch numbers say no unit. Below these magnitudes a number is taken for seconds, then milliseconds, then microseconds:
# each band reaches from 1973 to the year 5138, and none overlaps another there.
_SECONDS_BELOW = 100_000_000_000
_MILLISECONDS_BELOW = 100_000_000_000_000


def to_microseconds(value: object, unit: str = "") -> int:
    """Convert RFC 3339 text or an epoch number (or its decimal digits as text) to microseconds since the epoch.

    Text may have any offset and any fraction, and the endings ` UTC`, `+00` and `+0000` that databases write. What is
    finer than a microsecond is cut off. The unit of a number is `unit`, a key of `UNITS`; where that is empty it
    follows from the magnitude: below 1e11 seconds, below 1e14 milliseconds, else microseconds.

    Raises:
        ValueError: not a timestamp, or outside the years 1 to 9999; the message says which.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        microseconds = _from_text(value)
    else:
        microseconds = in_microseconds(value, unit or _unit_by_magnitude(number(value, "a timestamp")), "a timestamp")
    if not FIRST_US <= microseconds <= LAST_US:
        raise ValueError("the timestamp is outside the years 1 to 9999")
    return microseconds


def in_microseconds(value: object, unit: str, what: str) -> int:
    """Return a number of `unit`, or its decimal digits as text, in microseconds.

    A fraction is rounded where the source sent a floating-point number (which is inexact anyway), else cut off.

    Raises:
        ValueError: it is no number; `what` names what was wanted.
    """
    numerator, denominator = UNITS[unit]
    amount = number(value, what)
    if isinstance(amount, int):
        return amount * numerator // denominator
    if isinstance(amount, Decimal):
        return math.floor(Fraction(amount) * numerator / denominator)
    if abs(amount) > _LARGEST_FLOAT:
        raise ValueError(f"the number is too large for {what}")
    return round(amount * numerator / denominator)


def number(value: object, what: str) -> int | float | Decimal:
    """Return the number that a value is or spells.

    Raises:
        ValueError: it is none, or not finite; `what` names what was wanted.
    """
    match value:
        case bool():
            raise ValueError(f"a boolean is not {what}")
        case int():
            return value
        case float():
            if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - the test for NaN
                raise ValueError(f"not {what}: the number is not finite")
            return value
        case str() if _NUMBER.fullmatch(value):
            return Decimal(value) if "." in value else int(value)
        case str():
            raise ValueError(f"the text is not {what}")
        case _:
            raise ValueError(f"a {type(value).__name__} is not {what}")


def _unit_by_magnitude(value: float | Decimal) -> str:
    magnitude = abs(value) if isinstance(value, int | float) else abs(float(value))
    if magnitude < _SECONDS_BELOW:
        return "SECONDS"
    return "MILLISECONDS" if magnitude < _MILLISECONDS_BELOW else "MICROSECONDS"


def _from_text(value: str) -> int:
    found = _RFC3339.fullmatch(value)
    if found is None:
        raise ValueError("not RFC 3339 text such as 2013-01-01T10:00:00Z (an offset is required)")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = found.groups()
    local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    since = local - _EPOCH
    seconds = since.days * _SECONDS_PER_DAY + since.seconds
    if sign:
        offset_minutes = offset_minutes or "0"
        if int(offset_hours) >= _HOURS or int(offset_minutes) >= _MINUTES:
            raise ValueError("the offset is not below 24:00")
        offset = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds += offset if sign == "-" else -offset
    return seconds * 1_000_000 + int((fraction or "0")[:6].ljust(6, "0"))
