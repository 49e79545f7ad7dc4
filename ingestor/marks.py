"""Values that a high-water mark goes by: how they compare, and how far back is so many seconds before one. Pure.

A mark is sent back exactly as the source wrote it. Three kinds compare, each in its own way: numbers, instants (RFC
3339 text with any offset and any fraction, a date, or either without an offset, which counts as UTC), and any other
text, by code point.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from ingestor.pages import JsonValue

Kind = Literal["number", "instant", "text"]
KINDS: tuple[Kind, ...] = ("instant", "number", "text")
"""In the order in which they are tried."""

_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:([Tt ])(\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,30}))?([Zz]| ?UTC|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # offsets are subtracted by hand
_SECONDS_PER_DAY = 86_400
_LARGEST = 10**40

Key = tuple[int | Fraction, str]
"""What compares: picoseconds since 1970 of an instant or the number itself, or (after 0) the text."""
UNITS: Mapping[Kind, int] = {"instant": 10**12, "number": 1, "text": 1}
"""How much a step of SOURCE_OVERLAP is of a key."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A value as the source wrote it, and its key in one kind."""

    text: str
    key: Key


def mark_text(value: JsonValue) -> str | None:
    """Return a record's value as it is sent back; None when it cannot be a mark."""
    match value:
        case bool():
            return None
        case int() if abs(value) < _LARGEST:
            return str(value)
        case float() if math.isfinite(value) and abs(value) < _LARGEST:
            return format(Decimal(repr(value)), "f")
        case str() if value and value.isprintable():
            return value
        case _:
            return None


def key(text: str, kind: Kind) -> Key | None:
    """Return the key of a text in a kind; None when it is not of that kind."""
    match kind:
        case "number":
            if not _NUMBER.fullmatch(text):
                return None
            return (Fraction(text) if "." in text else int(text)), ""
        case "instant":
            at = _picoseconds(text)
            return None if at is None else (at, "")
        case "text":
            return 0, text


def rewound(text: str, by: int) -> str:
    """Return the text `by` seconds before an instant, or `by` less than a number, in the same form. A date goes back by
    whole days.

    Raises:
        ValueError: it is neither.
    """
    if found := _INSTANT.fullmatch(text):
        day, separator, clock, fraction, zone = found.groups()
        at = datetime.fromisoformat(f"{day} {clock or '00:00'}")
        by = -(-by // _SECONDS_PER_DAY) * _SECONDS_PER_DAY if clock is None else by
        earlier = at - min(timedelta(seconds=by), at - datetime.min)  # noqa: DTZ901  # the year 1 is early enough
        if clock is None:
            return earlier.date().isoformat()
        shown = earlier.isoformat(separator)
        return shown + (f".{fraction}" if fraction else "") + (zone or "")
    if _NUMBER.fullmatch(text):
        return format(Decimal(text) - by, "f")
    raise ValueError("neither an instant nor a number")


def _picoseconds(text: str) -> int | None:
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    day, _, clock, fraction, zone = found.groups()
    try:
        local = datetime.fromisoformat(f"{day} {clock or '00:00:00'}")
    except ValueError:
        return None
    passed = local - _EPOCH
    seconds = passed.days * _SECONDS_PER_DAY + passed.seconds - _offset_s(zone)
    return seconds * 10**12 + (int(fraction[:12].ljust(12, "0")) if fraction else 0)


def _offset_s(zone: str | None) -> int:
    if zone is None or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return 60 * (minutes if zone[0] == "+" else -minutes)
