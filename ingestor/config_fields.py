"""How the text of one environment variable becomes a value: small parsers, each with its remedy.

A parser takes stripped, non-empty text and returns the value or raises `Wrong`. It knows neither the variable's name
nor the environment, so the same parser serves many variables.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

KIB = 1024
MIB = 1024 * KIB

Parser = Callable[[str], Any]

_SIZE = re.compile(r"(\d+)\s*(|B|KIB|MIB|GIB)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kib": KIB, "mib": MIB, "gib": 1024 * MIB}
_MAX_DIGITS = 18
"""Longer numbers are beyond every limit here; refusing them early keeps `int` away from absurd text."""


class Wrong(ValueError):  # noqa: N818  # a verdict on a value, not an error that travels
    """A value cannot be used: `what` is wrong with it, and the `remedy` that goes behind it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def whole(low: int, high: int | None = None) -> Parser:
    """Return a parser of whole numbers from `low` to `high`, both included."""
    remedy = f"set a whole number from {low} to {high}" if high is not None else f"set a whole number of {low} or more"

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise Wrong("is not a whole number", remedy)
        if len(text) > _MAX_DIGITS or int(text) < low or (high is not None and int(text) > high):
            raise Wrong("is out of range", remedy)
        return int(text)

    return parse


def ratio(text: str) -> float:
    """Parse a share above 0 and at most 1."""
    remedy = "set a number above 0 and at most 1, such as 0.2"
    value = _number(text, remedy)
    if not 0 < value <= 1:
        raise Wrong("is out of range", remedy)
    return value


def rate(text: str) -> float:
    """Parse a number per second above 0."""
    remedy = "set a number above 0, such as 2.5, or leave it unset"
    value = _number(text, remedy)
    if value <= 0:
        raise Wrong("is out of range", remedy)
    return value


def _number(text: str, remedy: str) -> float:
    if not re.fullmatch(r"[+-]?[0-9]*\.?[0-9]+", text) or len(text) > _MAX_DIGITS:
        raise Wrong("is not a number", remedy)
    return float(text)


def size(high: int) -> Parser:
    """Return a parser of sizes in bytes from 1 to `high`; `4194304`, `4 MiB` and `4MiB` are the same."""
    remedy = f"set bytes or a size such as 4 MiB, at most {size_text(high)}"

    def parse(text: str) -> int:
        found = _SIZE.fullmatch(text)
        if not found or len(found[1]) > _MAX_DIGITS:
            raise Wrong("is not a size", remedy)
        value = int(found[1]) * _UNITS[found[2].lower()]
        if not 1 <= value <= high:
            raise Wrong("is out of range", remedy)
        return value

    return parse


def size_text(value: int) -> str:
    """Return a size the way a person writes it: `4 MiB`, or plain bytes when it is no whole unit."""
    for name, unit in (("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", KIB)):
        if value >= unit and value % unit == 0:
            return f"{value // unit} {name}"
    return str(value)


def text_like(pattern: str, remedy: str, *, limit: int = 1024) -> Parser:
    """Return a parser of text that matches all of `pattern` within `limit` UTF-8 bytes."""
    compiled = re.compile(pattern)

    def parse(text: str) -> str:
        if len(text.encode("utf-8", "surrogatepass")) > limit:
            raise Wrong(f"is longer than {limit} bytes", remedy)
        if not compiled.fullmatch(text):
            raise Wrong("has a form that cannot be used", remedy)
        return text

    return parse


def choice(*allowed: str) -> Parser:
    """Return a parser of one word out of `allowed`, whatever its case."""
    by_folded = {word.casefold(): word for word in allowed}

    def parse(text: str) -> str:
        if text.casefold() not in by_folded:
            raise Wrong("is not known", f"set one of {', '.join(allowed)}")
        return by_folded[text.casefold()]

    return parse


def http_url(text: str) -> str:
    """Parse an absolute http or https URL with a host; `{partition}` may stand anywhere in it."""
    remedy = "set an absolute URL such as https://api.example.com/v1/records"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise Wrong("is not a URL", remedy) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Wrong("is not an http or https URL", remedy)
    if re.search(r"[\s\x00-\x1f\x7f\ud800-\udfff]", text):
        raise Wrong("holds white space or a character that no URL has", remedy)
    return text


def dotted(text: str) -> str:
    """Parse a dotted path of field names, none of them empty."""
    if not all(text.split(".")):
        raise Wrong("has an empty name between its dots", "set field names joined by dots, such as data.items")
    return text


def document_id(text: str) -> str:
    """Parse a name that is a Firestore document id and the first part of a bucket's object names at once.

    The rules are Firestore's (no slash, not `.` or `..`, not `__x__`); the length leaves room in the 1,024 bytes of an
    object's name.
    """
    remedy = "set letters, digits, '_', '-' and '.', at most 200 bytes, not '.', '..' or '__name__'"
    name = text_like(r"[\w.-]+", remedy, limit=200)(text)
    if name in {".", ".."} or re.fullmatch(r"__.*__", name):
        raise Wrong("is reserved", remedy)
    return str(name)


def ledger(text: str) -> str:
    """Parse `firestore` or `sqlite:///PATH` (three slashes and a relative path, four and an absolute one)."""
    if text == "firestore" or re.fullmatch(r"sqlite:///.*[^/]", text):
        return text
    raise Wrong("names no ledger", "set firestore or sqlite:///PATH, such as sqlite:///.local/ledger.db")


def emails(text: str) -> tuple[str, ...]:
    """Parse comma-separated e-mail addresses."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found or not all(re.fullmatch(r"[^@\s]+@[^@\s]+", one) for one in found):
        raise Wrong("is not a list of e-mail addresses", "set addresses separated by commas")
    return found


def names(text: str) -> tuple[str, ...]:
    """Parse comma-separated field names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def endpoint(*, url_allowed: bool) -> Parser:
    """Return a parser of `HOST:PORT`; REST endpoints may carry `http://` or `https://` in front."""
    remedy = "set HOST:PORT, such as 127.0.0.1:8085" + (" (http:// in front is fine)" if url_allowed else "")
    scheme = r"(?:https?://)?" if url_allowed else ""
    return text_like(scheme + r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/?", remedy)
