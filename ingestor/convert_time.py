"""Dates, civil times, durations and ranges in the forms that JSON sources send, to what the wire wants. Pure.

As in `ingestor.convert`: any value but null in, a value for `ParseDict` out, `ValueError` with the reason otherwise.
`unit` is a key of `timestamps.UNITS`, empty where the `.proto` names none.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from ingestor.convert import json_type
from ingestor.timestamps import FIRST_US, LAST_US, in_microseconds, number, to_microseconds

FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970-01-01 (BigQuery, "Supported protocol buffer data types")."""

_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)
_START = datetime(1970, 1, 1)  # noqa: DTZ001 - civil time has no zone
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})|(\d{4})(\d{2})(\d{2})", re.ASCII)
_TIME = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?"
_CIVIL_TIME = re.compile(_TIME, re.ASCII)
_DATETIME = re.compile(rf"(\d{{4}}-\d{{1,2}}-\d{{1,2}})(?:[Tt ]({_TIME}))?", re.ASCII)
_OFFSET = re.compile(r".*\d(?:[Zz]| UTC|[+-]\d{2}(?::?\d{2})?)", re.ASCII)

_SIGNED = r"([+-]?\d{1,9})"
_CANONICAL = re.compile(
    rf"(?:([+-]?)(\d{{1,9}})-(\d{{1,9}}) {_SIGNED} )?([+-]?)(\d{{1,9}}):(\d{{1,9}}):(\d{{1,9}})(?:\.(\d{{1,9}}))?",
    re.ASCII,
)
_ISO8601 = re.compile(
    r"([+-]?)P(?:([+-]?\d{1,9})Y)?(?:([+-]?\d{1,9})M)?(?:([+-]?\d{1,9})W)?(?:([+-]?\d{1,9})D)?"
    r"(?:T(?:([+-]?\d{1,9})H)?(?:([+-]?\d{1,9})M)?(?:([+-]?)(\d{1,12})(?:[.,](\d{1,9}))?S)?)?",
    re.ASCII,
)
_PROTO_DURATION = re.compile(r"([+-]?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_MAX_MONTHS, _MAX_DAYS, _MAX_US = 120_000, 3_660_000, 316_224_000_000 * 1_000_000
"""An INTERVAL reaches 10,000 years either way (BigQuery, "Interval type")."""
_RANGE = re.compile(r"\[\s*([^,\[\])]*?)\s*,\s*([^,\[\])]*?)\s*\)")
_UNBOUNDED = frozenset({"", "UNBOUNDED", "NULL"})


def to_days(value: object, unit: str = "") -> int:
    """Convert an ISO date, or a number of days since 1970-01-01, to such a number.

    With a `unit` a number is an epoch time, and its date is the one in UTC.
    """
    if isinstance(value, str) and (found := _DATE.fullmatch(value)):
        year, month, day = (int(part) for part in found.groups() if part is not None)
        return (date(year, month, day) - _EPOCH).days
    if unit:
        days = in_microseconds(value, unit, "a date") // _DAY_US
    elif isinstance(value, str):
        raise ValueError("not a date such as 2013-01-31")
    else:
        amount = number(value, "a date")
        days = int(amount)
        if days != amount:
            raise ValueError("a date is a whole number of days")
    if not FIRST_DAY <= days <= LAST_DAY:
        raise ValueError("the date is outside the years 1 to 9999")
    return days


def to_datetime(value: object, unit: str = "") -> str:
    """Convert ISO text without an offset to the text of a DATETIME; with a `unit` epoch numbers too, as civil time in
    UTC. What is finer than a microsecond is cut off.
    """
    if isinstance(value, str) and (found := _DATETIME.fullmatch(value)):
        day, clock, *parts = found.groups()
        moment = datetime.combine(_EPOCH + timedelta(days=to_days(day)), _clock(*parts) if clock else time())
        return moment.isoformat(" ")
    if isinstance(value, str) and _OFFSET.fullmatch(value):
        raise ValueError("a DATETIME has no offset; make the column a TIMESTAMP")
    if not unit:
        raise ValueError("not a civil time such as 2013-01-31T10:00:00")
    microseconds = in_microseconds(value, unit, "a civil time")
    if not FIRST_US <= microseconds <= LAST_US:
        raise ValueError("the civil time is outside the years 1 to 9999")
    return (_START + timedelta(microseconds=microseconds)).isoformat(" ")


def to_time(value: object, unit: str = "") -> str:
    """Convert ISO text to the text of a TIME; with a `unit`, a number since midnight. Cut off at microseconds."""
    if isinstance(value, str) and (found := _CIVIL_TIME.fullmatch(value)):
        return _clock(*found.groups()).isoformat()
    if not unit:
        raise ValueError("not a time of day such as 10:00:00")
    microseconds = in_microseconds(value, unit, "a time of day")
    if not 0 <= microseconds < _DAY_US:
        raise ValueError("the time of day is not below 24 hours")
    return (_START + timedelta(microseconds=microseconds)).time().isoformat()


def to_interval(value: object, unit: str = "") -> str:
    """Convert BigQuery's own text (`1-2 3 4:5:6.7`), an ISO 8601 duration (`P1Y2M3DT4H5M6.7S`), protobuf's (`1.5s`) or
    a number (seconds, or of `unit`) to the text of an INTERVAL. Cut off at microseconds.
    """
    months, days, microseconds = _interval(value, unit)
    if abs(months) > _MAX_MONTHS or abs(days) > _MAX_DAYS or abs(microseconds) > _MAX_US:
        raise ValueError("the interval is longer than 10,000 years")
    years, month = divmod(abs(months), 12)
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    clock = f"{seconds // 3600}:{seconds // 60 % 60}:{seconds % 60}" + (f".{fraction:06d}" if fraction else "")
    return f"{'-' if months < 0 else ''}{years}-{month} {days} {'-' if microseconds < 0 else ''}{clock}"


def to_range(convert: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Return the conversion of `{"start": …, "end": …}` or `[start, end)` with bounds that `convert` converts.

    A bound that is absent, null or UNBOUNDED is left out, which is unbounded on the wire.
    """

    def bounds(value: object) -> dict[str, Any]:
        given = _bounds(value)
        converted = {key: convert(bound) for key, bound in given.items() if not _is_unbounded(bound)}
        if len(converted) == len(given) and not _ascending(converted):
            raise ValueError("the range's start is not before its end")
        return converted

    return bounds


TIMES: Mapping[str, Callable[[Any, str], Any]] = MappingProxyType(
    {"TIMESTAMP": to_microseconds, "DATE": to_days, "DATETIME": to_datetime, "TIME": to_time, "INTERVAL": to_interval}
)
"""The conversions that know units, by BigQuery type."""


def _clock(hour: str, minute: str, second: str | None, fraction: str | None) -> time:
    return time(int(hour), int(minute), int(second or 0), _fraction(fraction))


def _fraction(digits: str | None) -> int:
    return int((digits or "0")[:6].ljust(6, "0"))


def _interval(value: object, unit: str) -> tuple[int, int, int]:
    if not isinstance(value, str):
        return 0, 0, in_microseconds(value, unit or "SECONDS", "an interval")
    if found := _CANONICAL.fullmatch(value):
        sign, years, months, days, clock_sign, hours, minutes, seconds, fraction = found.groups()
        whole = (int(years or 0) * 12 + int(months or 0)) * _sign(sign)
        clock = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1_000_000 + _fraction(fraction)
        return whole, int(days or 0), clock * _sign(clock_sign)
    if len(value) > len("P") and value[-1] not in "PT" and (found := _ISO8601.fullmatch(value)):
        return _iso8601(found)
    if found := _PROTO_DURATION.fullmatch(value):
        return 0, 0, (int(found[2]) * 1_000_000 + _fraction(found[3])) * _sign(found[1])
    if unit:
        return 0, 0, in_microseconds(value, unit, "an interval")
    raise ValueError("not an interval such as 0-0 1 2:30:00, P1DT2H30M or 95400s")


def _iso8601(found: "re.Match[str]") -> tuple[int, int, int]:
    sign, years, months, weeks, days, hours, minutes, seconds_sign, seconds, fraction = found.groups()
    of_seconds = (int(seconds or 0) * 1_000_000 + _fraction(fraction)) * _sign(seconds_sign)
    clock = (int(hours or 0) * 3600 + int(minutes or 0) * 60) * 1_000_000 + of_seconds
    months_in_all = int(years or 0) * 12 + int(months or 0)
    return months_in_all * _sign(sign), (int(weeks or 0) * 7 + int(days or 0)) * _sign(sign), clock * _sign(sign)


def _sign(text: str | None) -> int:
    return -1 if text == "-" else 1


def _bounds(value: object) -> dict[str, Any]:
    match value:
        case dict() if value.keys() <= {"start", "end"}:
            return {"start": value.get("start"), "end": value.get("end")}
        case str() if found := _RANGE.fullmatch(value):
            return {"start": found[1], "end": found[2]}
        case _:
            raise ValueError(
                f'{json_type(value)} is not a range such as [2013-01-01, 2013-02-01) or {{"start", "end"}}'
            )


def _is_unbounded(bound: object) -> bool:
    return bound is None or (isinstance(bound, str) and bound.upper() in _UNBOUNDED)


def _ascending(bounds: Mapping[str, Any]) -> bool:
    # Civil times are text; both were written by `to_datetime`, but only one of them may have a fraction.
    start, end = (datetime.fromisoformat(b) if isinstance(b, str) else b for b in (bounds["start"], bounds["end"]))
    return bool(start < end)
