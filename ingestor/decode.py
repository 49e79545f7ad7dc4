"""Bytes of a response to a JSON value, a value to its records, a record to the canonical bytes that are digested.

orjson does the work; the standard library takes over where orjson refuses what other parsers accept (NaN, lone
surrogates, numbers beyond a double, nesting below 1,024 levels), so that one odd record is rejected by itself later
instead of the page. Two limits that both decoders share: a number with a fraction is a double, and a whole number
outside 64 bits is the nearest double (beyond the largest double it stays exact up to 10,000 digits).
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from ingestor.pages import JsonValue

_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_MAX_DIGITS = 10_000
"""Whole numbers longer than this become an infinity: no column holds them, and exact conversion is quadratic."""
_SHOWN_NAMES = 12
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|!--|\?xml)", re.IGNORECASE)


class Undecodable(ValueError):  # noqa: N818  # a verdict on a body; the source turns it into its own error
    """A body is not JSON, or not the JSON that was configured; the message is one line without any value of it.

    `cut` says that it looks like the beginning of a JSON text, which another attempt may complete.
    """

    def __init__(self, reason: str, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.cut = cut


class NonFinite(float):
    """NaN or an infinity. A type of its own because orjson writes a plain one as null, which is another value."""

    __slots__ = ()


def decode(body: bytes) -> JsonValue:
    """Decode a response.

    Raises:
        Undecodable: the body is no JSON text.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body, parse_int=_whole, parse_float=_fraction, parse_constant=NonFinite)
    except RecursionError:
        raise Undecodable("the body is nested too deeply to be decoded") from None
    except ValueError as error:
        raise _undecodable(body, error) from None


def value_at(value: JsonValue, path: str) -> JsonValue:
    """Return what stands at a dotted path of object keys, None where the path leads nowhere."""
    for name in path.split(".") if path else ():
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def records_at(value: JsonValue, path: str) -> list[JsonValue]:
    """Return the array at a dotted path; the empty path is the response itself.

    Raises:
        Undecodable: there is no array; the message names the path and the keys that are there, never their values.
    """
    for place, name in enumerate(path.split(".") if path else ()):
        if not isinstance(value, dict) or name not in value:
            above = ".".join(path.split(".")[:place])
            raise Undecodable(f"no records at {path!a}: {_where(above)} {_what_is(value)}")
        value = value[name]
    if not isinstance(value, list):
        raise Undecodable(f"no records at {path!a}: {_where(path)} {_what_is(value)}")
    return value


def canonical_json(value: JsonValue) -> bytes:
    """Return the one byte string that stands for `value` in a `record_digest`; the ledger remembers it for years.

    Keys are sorted by code point, there is no white space, and text is UTF-8. Total over whatever `decode` yields. What
    orjson cannot write is written by `_written`, so the form is a function of the value alone.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return "".join(_written(value)).encode("utf-8", "surrogatepass")


def _whole(text: str) -> int | float:
    if len(text) > _MAX_DIGITS:
        return NonFinite("-inf" if text.startswith("-") else "inf")
    value = int(Decimal(text))  # int(text) refuses more than 4,300 digits
    if _INT64_MIN <= value <= _UINT64_MAX:
        return value
    try:
        return float(value)  # what orjson makes of it: the same record decodes alike on whichever page it stands
    except OverflowError:
        return value


def _fraction(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else NonFinite(value)


def _undecodable(body: bytes, error: ValueError) -> Undecodable:
    if not body.strip():
        return Undecodable("the body is empty", cut=True)
    if _HTML.match(body[:1024]):
        return Undecodable("the body looks like HTML or XML, not JSON")
    text = body.strip()
    closer = {b"{": b"}", b"[": b"]"}.get(text[:1])
    at_end = isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip())
    cut = closer is not None and (at_end or not text.endswith(closer))
    where = f"byte {error.start}" if isinstance(error, UnicodeDecodeError) else f"character {getattr(error, 'pos', 0)}"
    return Undecodable(
        f"the body of {len(body)} bytes is not JSON at {where}" + (" (cut off?)" if cut else ""), cut=cut
    )


def _where(path: str) -> str:
    return f"{path!a}" if path else "the response"


def _what_is(value: JsonValue) -> str:
    if isinstance(value, dict):
        keys = [f"{key[:60]!a}" for key in list(value)[:_SHOWN_NAMES]]
        more = ", ..." if len(value) > _SHOWN_NAMES else ""
        return f"is an object with the keys {', '.join(keys)}{more}" if keys else "is an object without keys"
    kinds = {list: "an array", str: "text", bool: "true or false", type(None): "null"}
    return f"is {kinds.get(type(value), 'a number')}"


def _written(value: JsonValue) -> Iterator[str]:
    """Yield the canonical text in pieces, with a stack of its own because records may be nested deeper than Python."""
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        match item:
            case _Text():
                yield item
            case dict():
                _push(stack, "{", "}", [(_quoted(key) + ":", item[key]) for key in sorted(item)])
            case list():
                _push(stack, "[", "]", [("", element) for element in item])
            case _:
                yield _scalar(item)


class _Text(str):
    """Text on the stack that is already written."""

    __slots__ = ()


def _push(stack: list[Any], opening: str, closing: str, members: list[tuple[str, JsonValue]]) -> None:
    pieces: list[Any] = [_Text(opening)]
    for place, (before, member) in enumerate(members):
        pieces += [_Text(("," if place else "") + before), member]
    stack.extend(reversed([*pieces, _Text(closing)]))


def _scalar(item: JsonValue) -> str:
    if isinstance(item, str):
        return _quoted(item)
    if isinstance(item, int) and not isinstance(item, bool) and not _INT64_MIN <= item <= _UINT64_MAX:
        return format(Decimal(item), "f")  # str(int) refuses more than 4,300 digits
    if isinstance(item, float) and not math.isfinite(item):
        return "NaN" if math.isnan(item) else "Infinity" if item > 0 else "-Infinity"
    return orjson.dumps(item).decode()


_quoted: Callable[[str], str] = json.JSONEncoder(ensure_ascii=False).encode
