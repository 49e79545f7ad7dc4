"""Values of rows: from what protobuf carries to what the column holds, as Python values.

The table of conversions is BigQuery's "Data type conversions" of the Storage Write API. What the column can't hold is
a ValueError whose message the row's error carries; a pair that is not in the table never comes this far.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

Convert = Callable[[Any], Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_DAYS, MAX_DAYS = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970-01-01, what a DATE holds."""
MAX_MONTHS, MAX_INTERVAL_DAYS, MAX_INTERVAL_MICROS = 10_000 * 12, 3_660_000, 316_224_000_000 * 10**6
"""What the parts of an INTERVAL hold ("Interval type")."""

_EXACT = Context(prec=100)  # Python's usual 28 digits would round
_SCALES = {"NUMERIC": 9, "BIGNUMERIC": 38}
# 38 digits, 29 of them before the point; and 2^255 of the smallest unit.
_LIMITS = {"NUMERIC": Decimal(10) ** 29, "BIGNUMERIC": _EXACT.scaleb(Decimal(2**255), -38)}
_INTERVAL = re.compile(r"([+-]?)(\d+)-(\d+) ([+-]?\d+) ([+-]?)(\d+):(\d+):(\d+)(?:\.(\d{1,6}))?")
_ISO_DATE, _ISO_TIME = r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)W)?(?:(-?\d+)D)?", r"(?:(-?\d+)H)?(?:(-?\d+)M)?"
_ISO_INTERVAL = re.compile(rf"{_ISO_DATE}(?:T{_ISO_TIME}(?:(-?\d+)(?:\.(\d{{1,6}}))?S)?)?")
_DATETIME = re.compile(r"(\d{1,4}-\d{1,2}-\d{1,2})(?:[ Tt](\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d{1,6})?))?")
_MICROS_PER_SECOND = 10**6


@dataclass(frozen=True, slots=True)
class Interval:
    """An INTERVAL's three parts, which don't convert into each other."""

    months: int = 0
    days: int = 0
    microseconds: int = 0

    def __post_init__(self) -> None:
        parts = ((self.months, MAX_MONTHS), (self.days, MAX_INTERVAL_DAYS), (self.microseconds, MAX_INTERVAL_MICROS))
        if any(abs(part) > limit for part, limit in parts):
            raise ValueError("an INTERVAL can't be that long")


def from_days(days: int) -> date:
    """Return the DATE so many days after 1970-01-01."""
    if not MIN_DAYS <= days <= MAX_DAYS:
        raise ValueError(f"day {days} is not between 0001-01-01 and 9999-12-31")
    return EPOCH.date() + timedelta(days=days)


def from_micros(micros: int) -> datetime:
    """Return the TIMESTAMP so many microseconds after the epoch."""
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError as error:
        raise ValueError(f"microsecond {micros} is not between the years 1 and 9999") from error


def from_timestamp(message: Any) -> datetime:  # noqa: ANN401 - a class made at run time
    """Return the TIMESTAMP of an inlined `google.protobuf.Timestamp`; nanoseconds are cut off."""
    return from_micros(message.seconds * _MICROS_PER_SECOND + message.nanos // 1000)


def from_packed_time(packed: int) -> time:
    """Return the TIME of `((hour << 12 | minute << 6 | second) << 20) | microsecond`."""
    whole, micros = packed >> 20, packed & 0xFFFFF
    return time(whole >> 12, whole >> 6 & 0x3F, whole & 0x3F, micros)


def from_packed_datetime(packed: int) -> datetime:
    """Return the DATETIME of `((Y << 26 | M << 22 | D << 17 | h << 12 | m << 6 | s) << 20) | microsecond`."""
    whole, micros = packed >> 20, packed & 0xFFFFF
    day = (whole >> 26, whole >> 22 & 0xF, whole >> 17 & 0x1F)
    return datetime(*day, whole >> 12 & 0x1F, whole >> 6 & 0x3F, whole & 0x3F, micros)  # noqa: DTZ001 - civil time


def from_datetime_text(text: str) -> datetime:
    """Return the DATETIME of its canonical text."""
    match = _DATETIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no DATETIME; write YYYY-MM-DD HH:MM:SS")
    year, month, day = map(int, match.group(1).split("-"))
    clock = from_time_text(match.group(2) or "00:00:00")
    return datetime.combine(date(year, month, day), clock)


def from_time_text(text: str) -> time:
    """Return the TIME of its canonical text."""
    hours, minutes, rest = text.split(":")
    seconds, _, fraction = rest.partition(".")
    return time(int(hours), int(minutes), int(seconds), int((fraction or "0").ljust(6, "0")))


def from_decimal(kind: str, value: float | str | Decimal) -> Decimal:
    """Return the NUMERIC or BIGNUMERIC of a number or its text, exactly; more digits than it holds are refused."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no {kind}") from error
    exponent = _EXACT.normalize(number).as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > _SCALES[kind] or number.copy_abs() >= _LIMITS[kind]:
        raise ValueError(f"{value} does not fit into {kind}")
    return number


def from_decimal_bytes(kind: str, data: bytes) -> Decimal:
    """Return the NUMERIC or BIGNUMERIC of its unscaled value, little-endian two's complement."""
    unscaled = Decimal(int.from_bytes(data, "little", signed=True))
    return from_decimal(kind, _EXACT.scaleb(unscaled, -_SCALES[kind]))


def from_json(text: str) -> Any:  # noqa: ANN401 - whatever the JSON says
    """Return the JSON value of its text."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def from_interval_text(text: str) -> Interval:
    """Return the INTERVAL of its canonical text `Y-M D H:M:S.F` or of an ISO 8601 duration."""
    if match := _INTERVAL.fullmatch(text):
        sign, years, months, days, clock_sign, hours, minutes, seconds, fraction = match.groups()
        whole_months = int(years) * 12 + int(months)
        micros = _micros(int(hours), int(minutes), int(seconds), fraction or "0")
        return Interval(_signed(sign, whole_months), int(days), _signed(clock_sign, micros))
    if (match := _ISO_INTERVAL.fullmatch(text)) and any(match.groups()):
        year, month, week, day, hour, minute, second = (int(part or 0) for part in match.groups()[:7])
        below = _signed((match.group(7) or "")[:1], _micros(0, 0, 0, match.group(8) or "0"))
        return Interval(year * 12 + month, week * 7 + day, _micros(hour, minute, second, "0") + below)
    raise ValueError(f"{text!r} is no INTERVAL; write Y-M D H:M:S")


def from_duration(message: Any) -> Interval:  # noqa: ANN401 - a class made at run time
    """Return the INTERVAL of an inlined `google.protobuf.Duration`."""
    return Interval(microseconds=message.seconds * _MICROS_PER_SECOND + int(message.nanos / 1000))


def from_text(text: str) -> str:
    """Return the text; what is not UTF-8 comes out of the message as bytes."""
    if isinstance(text, bytes):
        raise ValueError("the text is not UTF-8")  # noqa: TRY004 - the value is wrong, its type follows
    return text


def from_geography_text(text: str) -> str:
    """Return a GEOGRAPHY's text. Only emptiness is seen here: whether it is WKT or GeoJSON is not looked at."""
    if not from_text(text).strip():
        raise ValueError("an empty text is no GEOGRAPHY")
    return text


def _micros(hours: int, minutes: int, seconds: int, fraction: str) -> int:
    return ((hours * 60 + minutes) * 60 + seconds) * _MICROS_PER_SECOND + int(fraction.ljust(6, "0"))


def _signed(sign: str, value: int) -> int:
    return -value if sign == "-" else value


def _text(convert: Convert) -> Convert:
    return lambda value: convert(from_text(value))


def _same(value: Any) -> Any:  # noqa: ANN401 - whatever it is
    return value


_INTEGERS = ("int32", "int64", "uint32")


def _numeric(kind: str) -> dict[str, Convert]:
    def convert(value: float | str) -> Decimal:
        return from_decimal(kind, value)

    numbers = dict.fromkeys((*_INTEGERS, "uint64", "double", "float"), convert)
    return {**numbers, "string": _text(convert), "bytes": lambda data: from_decimal_bytes(kind, data)}


CONVERSIONS: Mapping[str, Mapping[str, Convert]] = MappingProxyType(
    {
        "BIGNUMERIC": _numeric("BIGNUMERIC"),
        "BOOL": dict.fromkeys(("bool", *_INTEGERS, "uint64"), bool),
        "BYTES": {"bytes": _same, "string": lambda value: from_text(value).encode()},
        "DATE": {"int32": from_days, "int64": from_days, "string": _text(date.fromisoformat)},
        "DATETIME": {"string": _text(from_datetime_text), "int64": from_packed_datetime},
        "FLOAT64": {"double": _same, "float": _same},
        "GEOGRAPHY": {"string": from_geography_text},
        "INT64": dict.fromkeys((*_INTEGERS, "enum"), int),
        "INTERVAL": {"string": _text(from_interval_text), "duration": from_duration},
        "JSON": {"string": _text(from_json)},
        "NUMERIC": _numeric("NUMERIC"),
        "STRING": {"string": from_text, "enum": _same},
        "TIME": {"string": _text(from_time_text), "int64": from_packed_time},
        "TIMESTAMP": {"int64": from_micros, "timestamp": from_timestamp},
    }
)
"""Column type -> kind of protobuf field -> conversion. RECORD and RANGE are structures, see `storage_write_rows`."""
