"""Values as an encoder plan takes them: quick for the forms that sources mostly send, all else left to others. Pure.

A function here returns what the reference encoder would put into the row, or raises: `Unsure`, or the `ValueError` of a
conversion of `ingestor.convert`. Either way the record goes to the reference, which alone says what is rejected and
why. None of them knows null: the plan leaves a null out before it asks, and in a list null is rejected.
"""

import re
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

from ingestor.convert import Convert
from ingestor.timestamps import FIRST_US, LAST_US, UNITS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MAX_FLOAT32 = 3.4028234663852886e38
"""As large as a float of 32 bits can be (IEEE 754 binary32)."""
_MAX_INT_DIGITS = 19
_REMEMBERED = 10_000
"""Texts whose conversion is kept: days, hours and the like come in runs, and looking costs a tenth of converting."""
_INTEGER = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,28})(?:\.\d{1,9})?", re.ASCII)
"""Fits both NUMERIC and BIGNUMERIC, and has no other spelling but for zeros at its end."""
_MAX_DECIMAL = 10**29
_EXACT_TEXT = 16
"""Characters of a float's shortest form that hold at most 15 digits, which a double keeps."""
_DAY = r"\d{4}-\d\d-\d\d"
_CIVIL = rf"{_DAY}[T ](?:[01]\d|2[0-3]):\d\d:\d\d"
_DATE, _DATETIME = re.compile(_DAY, re.ASCII), re.compile(_CIVIL, re.ASCII)
_INSTANT = re.compile(rf"{_CIVIL}(?:\.\d{{1,9}})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
"""What `fromisoformat` and ourselves take for the same; it knows weeks, 24:00 and more."""


class Unsure(Exception):  # noqa: N818 - a jump out of a plan, never seen outside
    """This value may be right or wrong: the reference encoder knows."""


def text(_: object) -> str:
    """Refuse what is no text: a STRING takes nothing else."""
    raise Unsure


def flag(_: object) -> bool:
    """Refuse what is no boolean."""
    raise Unsure


def whole(value: Any) -> int:  # noqa: ANN401 - as `Convert`
    """Return the whole number that a text or a float is; `int` would take far more, True and 1.5 among it."""
    kind = type(value)
    if kind is str and len(value) <= _MAX_INT_DIGITS + 1 and _INTEGER.fullmatch(value):
        return int(value)
    if kind is float and value.is_integer():
        return int(value)
    raise Unsure


def real(value: object) -> float:
    """Return the float that a whole number is."""
    if type(value) is int:
        return float(value)
    raise Unsure


def real32(value: object) -> float:
    """Return a float, or the float that a whole number is, where 32 bits hold its magnitude."""
    if type(value) is not float and type(value) is not int:
        raise Unsure
    number = float(value)
    if -_MAX_FLOAT32 <= number <= _MAX_FLOAT32:
        return number
    raise Unsure


def key_of_integers(key: str) -> int:
    """Return the number that a map's key spells; no two of these spell the same."""
    if len(key) <= _MAX_INT_DIGITS + 1 and _INTEGER.fullmatch(key):
        return int(key)
    raise Unsure


KEY_OF_BOOLS: Mapping[str, bool] = MappingProxyType({"true": True, "false": False})
"""The keys of a map by booleans; another key is a `KeyError`, which leaves the record to the reference."""


def quick(type_: str, unit: str, convert: Convert) -> Convert:
    """Return a conversion that is quicker for common forms, and `convert` itself where there is none.

    Args:
        type_: the column's type, as `Binding.type`.
        unit: what numbers count, a key of `timestamps.UNITS` or nothing.
        convert: the conversion of the reference.
    """
    made: Mapping[str, Callable[[Convert], Convert]] = {
        # Where numbers are expected, every one of them would be looked for in vain.
        "TIMESTAMP": lambda slow: _timestamp(unit, slow) if unit else _remembering(_timestamp(unit, slow)),
        "DATE": lambda slow: _remembering(_date(slow)),
        "DATETIME": lambda slow: _remembering(_datetime(slow)),
        "NUMERIC": _decimal,
        "BIGNUMERIC": _decimal,
        "BYTES": _bytes,
    }
    return made[type_](convert) if type_ in made else convert


class _Recent(dict[Any, Any]):
    """Conversions of texts met lately. Only texts are kept: 1, 1.0 and True are one key."""

    __slots__ = ("_convert",)

    def __init__(self, convert: Convert) -> None:
        self._convert = convert

    def __missing__(self, value: Any) -> Any:  # noqa: ANN401 - as `Convert`
        found = self._convert(value)
        if type(value) is str:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[value] = found
        return found


def _remembering(convert: Convert) -> Convert:
    """Return the conversion with a memory; of what has no hash, a list or an object, it raises `TypeError`."""
    return _Recent(convert).__getitem__


def quick_enum(enum: EnumDescriptor, convert: Convert) -> Convert:
    """Return the conversion of an enum's labels to its numbers; numbers go to `convert`."""
    numbers = {value.name: value.number for value in enum.values}
    found = numbers.get

    def number(value: Any) -> Any:  # noqa: ANN401 - as `Convert`
        known = found(value)  # True and 1.0 equal 1 and so would find a number; a label they never are
        return convert(value) if known is None else known

    return number


def _timestamp(unit: str, slow: Convert) -> Convert:
    numerator, denominator = UNITS.get(unit, (0, 0))
    is_instant, parse, epoch = _INSTANT.fullmatch, datetime.fromisoformat, _EPOCH

    def microseconds(value: Any) -> Any:  # noqa: ANN401 - as `Convert`
        if type(value) is str and is_instant(value):
            since = parse(value) - epoch
            found = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        elif type(value) is int and numerator:
            found = value * numerator // denominator
        else:
            return slow(value)
        return found if FIRST_US <= found <= LAST_US else slow(value)

    return microseconds


def _date(slow: Convert) -> Convert:
    def days(value: Any) -> Any:  # noqa: ANN401 - as `Convert`
        if type(value) is str and _DATE.fullmatch(value):
            return date.fromisoformat(value).toordinal() - _EPOCH_ORDINAL
        return slow(value)

    return days


def _datetime(slow: Convert) -> Convert:
    def civil(value: Any) -> Any:  # noqa: ANN401 - as `Convert`
        if type(value) is str and _DATETIME.fullmatch(value):
            return datetime.fromisoformat(value).isoformat(" ")
        return slow(value)

    return civil


def _decimal(slow: Convert) -> Convert:
    def decimal(value: Any) -> Any:  # noqa: ANN401 - as `Convert`
        kind = type(value)
        if kind is int and -_MAX_DECIMAL < value < _MAX_DECIMAL:
            return str(value)
        written = value if kind is str else repr(value) if kind is float else ""
        if (kind is str or len(written) <= _EXACT_TEXT) and _DECIMAL.fullmatch(written):
            shortest = written.rstrip("0").rstrip(".") if "." in written else written
            return "0" if shortest == "-0" else shortest
        return slow(value)

    return decimal


def _bytes(slow: Convert) -> Convert:
    def data(value: Any) -> Any:  # noqa: ANN401 - as `Convert`
        return a2b_base64(slow(value))

    return data
