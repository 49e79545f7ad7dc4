"""JSON values to what the wire wants, one pure function a BigQuery type: value in, value out.

Each takes any value but null that a JSON decoder can yield, and returns what `ParseDict` accepts for the wire type of
`ingestor.binding`. The reference encoder and any faster one call the same functions. A value that can't be held exactly
is no value: these raise `ValueError` with the reason, never round and never guess.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

Convert = Callable[[Any], Any]

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}", re.ASCII)
_BOOLS = {"true": True, "false": False, "1": True, "0": False}
_EXACT_DIGITS = 15
"""Decimal digits that survive a double (IEEE 754 binary64, DBL_DIG)."""
_MAX_TEXT = 400
_MAX_BITS = 1_000
"""Both longer than any number that BigQuery holds."""
_FIRST_INT64, _LAST_UINT64 = -(2**63), 2**64 - 1


def to_bool(value: object) -> bool:
    """Convert true, false, 0, 1 and their texts."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str) and value.lower() in _BOOLS:
        return _BOOLS[value.lower()]
    raise ValueError("not true, false, 0 or 1")


def to_text(value: object) -> str:
    """Convert text, whole numbers and booleans; a number with a fraction in its shortest form."""
    match value:
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value, allow_nan=False)
        case _:
            raise ValueError(f"{json_type(value)} is not text")


def to_base64(value: object) -> str:
    """Check base64 or base64url, padded or not, and return it as padded base64.

    `ParseDict` would drop what is no base64 and take the rest for the value.
    """
    if not isinstance(value, str):
        raise ValueError(f"{json_type(value)} is not base64 text")  # noqa: TRY004 - one kind of error for all
    text = value.replace("\r\n", "").replace("\n", "")  # MIME breaks lines
    if _BASE64.fullmatch(text) is None:
        raise ValueError("the text is not base64")
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    padded = body + "=" * (-len(body) % 4)
    if len(body) % 4 == 1 or (text.endswith("=") and len(text) != len(padded)):
        raise ValueError("the text is not base64: its length is wrong")
    return padded


def to_numeric(value: object) -> str:
    """Return the decimal text of a NUMERIC: 29 digits before the point, 9 after it."""
    return _decimal(value, "NUMERIC", 9, -(10**38) + 1, 10**38 - 1)


def to_bignumeric(value: object) -> str:
    """Return the decimal text of a BIGNUMERIC: a 256-bit integer divided by 10^38."""
    return _decimal(value, "BIGNUMERIC", 38, -(2**255), 2**255 - 1)


def to_json(value: object) -> str:
    """Return the JSON text of a value. Text that is a JSON object or array is taken as such, other text is a string."""
    if isinstance(value, str) and value.lstrip(" \t\r\n")[:1] in ("{", "["):
        try:
            return json_text(value)
        except ValueError:
            return json_string(value)
    return json_string(value)


def json_text(value: object) -> str:
    """Return the JSON text that a text is, without changing it; the JSON text of anything else."""
    if not isinstance(value, str):
        return json_string(value)
    try:
        parsed = json.loads(value, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise ValueError("the text is not JSON") from error
    _require_json_numbers(parsed)
    return value


def json_string(value: object) -> str:
    """Return the JSON text of any value; text becomes a JSON string."""
    _require_json_numbers(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise ValueError("JSON has no NaN and no infinity") from error


def to_geography(value: object) -> str:
    """Return WKT or GeoJSON text; a GeoJSON object becomes its text."""
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        return json_string(value)
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError("not WKT text, and no GeoJSON object with a `type`")


def enum_number(enum: EnumDescriptor) -> Convert:
    """Return the conversion of an enum's labels and numbers (as text too) to its numbers.

    A label that the enum lacks would be dropped without a word by `ParseDict(ignore_unknown_fields=True)`, and a number
    that it lacks by BigQuery, which reads rows by proto2 rules.
    """
    known = {value.name: value.number for value in enum.values}
    numbers = frozenset(known.values())

    def convert(value: object) -> int:
        if isinstance(value, str):
            found = known.get(value)
            if found is not None:
                return found
            spelled = int(value) if re.fullmatch(r"-?\d{1,10}", value, re.ASCII) else None
            if spelled in numbers:
                return int(value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and value in numbers:
            return int(value)
        raise ValueError(f"not a value of the enum {enum.full_name}; if the source has a new one, add it to the enum")

    return convert


def json_type(value: object) -> str:
    """Return how a person calls the JSON type of a value, with its article."""
    names = {type(None): "null", bool: "a boolean", int: "a number", str: "text", list: "an array", dict: "an object"}
    return names.get(type(value), "a number" if isinstance(value, float) else type(value).__name__)


def _decimal(value: object, name: str, scale: int, lowest: int, highest: int) -> str:
    number = _exact(value)
    if not number:
        return "0"
    digits = number.as_tuple()
    assert isinstance(digits.exponent, int)  # noqa: S101 - NaN and infinities have no digits to begin with
    if number.adjusted() > _MAX_TEXT or digits.exponent < -_MAX_TEXT:
        raise ValueError(f"the number is outside the range of {name}")
    whole = int("".join(map(str, digits.digits)))
    shift = digits.exponent + scale
    unscaled, rest = (whole * 10**shift, 0) if shift >= 0 else divmod(whole, 10**-shift)
    unscaled = -unscaled if digits.sign else unscaled
    if rest:
        raise ValueError(f"the number has more than {scale} digits after the point, which {name} can't hold")
    if not lowest <= unscaled <= highest:
        raise ValueError(f"the number is outside the range of {name}")
    sign, text = "-" if unscaled < 0 else "", str(abs(unscaled)).rjust(scale + 1, "0")
    fraction = text[-scale:].rstrip("0")
    return f"{sign}{text[:-scale]}.{fraction}" if fraction else f"{sign}{text[:-scale]}"


def _exact(value: object) -> Decimal:
    match value:
        case bool():
            raise ValueError("a boolean is not a number")
        case int() if value.bit_length() < _MAX_BITS:
            return Decimal(value)
        case float():
            number = Decimal(repr(float(value)))
            if not number.is_finite():
                raise ValueError("the number is not finite")
            if len(number.normalize().as_tuple().digits) > _EXACT_DIGITS:
                raise ValueError("the number may have lost digits: JSON numbers keep 15; let the source send text")
            return number
        case str() if len(value) <= _MAX_TEXT and _DECIMAL.fullmatch(value):
            return Decimal(value)
        case _:
            raise ValueError("not a decimal number")


def _require_json_numbers(value: object) -> None:
    stack = [value]
    while stack:
        match stack.pop():
            case dict() as inner:
                stack.extend(inner.values())
            case list() as items:
                stack.extend(items)
            case bool():
                pass
            case int() as whole if not _FIRST_INT64 <= whole <= _LAST_UINT64:
                raise ValueError("BigQuery's JSON holds whole numbers of 64 bits only")
            case _:
                pass


def _not_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
