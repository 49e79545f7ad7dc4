"""TIMESTAMP values in the forms that JSON sources send, as microseconds since the epoch. Pure."""

import re
from datetime import UTC, datetime

FIRST_US = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z, BigQuery's first TIMESTAMP."""
LAST_US = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z, BigQuery's last TIMESTAMP."""

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_PER_DAY = 86_400
_US = 1_000_000
_HOURS, _MINUTES = 24, 60

# Epoch numbers say no unit. Below these magnitudes a number is taken for seconds, then milliseconds, then microseconds:
# each band reaches from 1973 to the year 5138, and none overlaps another there.
_SECONDS_BELOW = 100_000_000_000
_MILLISECONDS_BELOW = 100_000_000_000_000


def to_microseconds(value: object) -> int:
    """Convert RFC 3339 text or an epoch number (or its decimal digits as text) to microseconds since the epoch.

    Fractions finer than a microsecond are cut off. The unit of a number follows from its magnitude: below 1e11 seconds,
    below 1e14 milliseconds, else microseconds.

    Raises:
        ValueError: not a timestamp, or outside the years 1 to 9999; the message says which.
    """
    match value:
        case bool():
            raise ValueError("a boolean is not a timestamp")
        case int():
            microseconds = _from_number(value)
        case float():
            microseconds = _from_float(value)
        case str() if _INTEGER.fullmatch(value):
            microseconds = _from_number(int(value))
        case str():
            microseconds = _from_text(value)
        case _:
            raise ValueError(f"a {type(value).__name__} is not a timestamp")
    if not FIRST_US <= microseconds <= LAST_US:
        raise ValueError("the timestamp is outside the years 1 to 9999")
    return microseconds


def _from_number(value: int) -> int:
    magnitude = abs(value)
    if magnitude < _SECONDS_BELOW:
        return value * _US
    return value * 1_000 if magnitude < _MILLISECONDS_BELOW else value


def _from_float(value: float) -> int:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - the test for NaN
        raise ValueError("the timestamp is not a finite number")
    magnitude = abs(value)
    if magnitude < _SECONDS_BELOW:
        return round(value * _US)
    return round(value * 1_000) if magnitude < _MILLISECONDS_BELOW else round(value)


def _from_text(value: str) -> int:
    found = _RFC3339.fullmatch(value)
    if found is None:
        raise ValueError("not RFC 3339 text such as 2013-01-01T10:00:00Z (an offset is required)")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = found.groups()
    local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    since = local - _EPOCH
    seconds = since.days * _SECONDS_PER_DAY + since.seconds
    if sign:
        if int(offset_hours) >= _HOURS or int(offset_minutes) >= _MINUTES:
            raise ValueError("the offset is not below 24:00")
        offset = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds += offset if sign == "-" else -offset
    return seconds * _US + int((fraction or "0")[:6].ljust(6, "0"))
