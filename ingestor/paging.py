"""How pages follow each other: pure strategies from a cursor to a URL, and from a response to records and next cursor.

A strategy touches no network and keeps no state; `CursorGuard` keeps the little that a run must remember. Another way
of paging is another class with the shape of `Paging` and a line in `PAGINGS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from ingestor.decode import records_at, value_at
from ingestor.errors import SourceError
from ingestor.pages import JsonValue

GUARDED_CURSORS = 100_000
"""Cursors remembered per run, the oldest forgotten first: about 10 MB, and any loop shorter than this is found."""
_EXACT_FLOAT = 2**53
_SHOWN_CURSOR = 200


class BadCursor(SourceError):  # noqa: N818  # reads as what it is, like its siblings
    """The source's next cursor cannot be followed; asking again would not change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PagingSettings:
    """What a strategy needs of the configuration. `start` stands in for the absent cursor of a lane's first page."""

    url: str
    records_path: str = ""
    cursor_param: str = "cursor"
    next_path: str = "next_cursor"
    page_size_param: str = "limit"
    page_size: int = 1000
    start: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a response says: its records, and the cursor of the page after it (None: the end of the data)."""

    records: list[JsonValue]
    next_cursor: str | None


class Paging(Protocol):
    """A way of paging."""

    def url(self, cursor: str | None) -> str:
        """Return the URL that fetches the page at `cursor`."""

    def read(self, cursor: str | None, value: JsonValue, headers: Mapping[str, str]) -> Reading:
        """Read the decoded response to the page at `cursor`.

        Raises:
            Undecodable: the records are not where the configuration says.
            BadCursor: the next cursor cannot be followed.
        """


class NextCursorPaging:
    """The response names the next cursor; the request carries it as a query parameter."""

    def __init__(self, settings: PagingSettings) -> None:
        self._settings = settings

    def url(self, cursor: str | None) -> str:
        """Return the configured URL with its own query, the page size and the cursor."""
        settings = self._settings
        params = {settings.page_size_param: str(settings.page_size)} if settings.page_size_param else {}
        cursor = settings.start if cursor is None else cursor
        if cursor is not None:
            params[settings.cursor_param] = cursor
        return with_params(settings.url, params)

    def read(self, cursor: str | None, value: JsonValue, headers: Mapping[str, str]) -> Reading:
        """Read records and next cursor; an empty page that names itself again is the end of the data."""
        del headers  # part of the port: other ways of paging find their links there
        settings = self._settings
        records = records_at(value, settings.records_path)
        after = cursor_text(value_at(value, settings.next_path), settings.next_path)
        if after is None or after != (settings.start if cursor is None else cursor):
            return Reading(records, after)
        if records:
            raise BadCursor(
                f"the page at cursor {shown_cursor(after)} names itself as the next one but has records "
                f"({len(records)}): check SOURCE_CURSOR_PARAM and SOURCE_NEXT_PATH, the source seems to ignore them"
            )
        return Reading(records, None)


PAGINGS: Mapping[str, Callable[[PagingSettings], Paging]] = {"next_cursor": NextCursorPaging}
"""Strategies by their name in SOURCE_PAGINATION."""


class CursorGuard:
    """Finds a cursor that was already fetched in this run, which would read the same pages for ever.

    Remembers eight bytes of a hash per cursor: among 100,000 cursors a false alarm has a chance of one in a billion.
    """

    def __init__(self, capacity: int = GUARDED_CURSORS) -> None:
        self._capacity = capacity
        self._seen: dict[bytes, None] = {}

    def add(self, cursor: str | None) -> None:
        """Remember a cursor whose page was fetched; the first page's absent cursor is remembered too."""
        self._seen[_hash(cursor)] = None
        if len(self._seen) > self._capacity:
            del self._seen[next(iter(self._seen))]

    def check(self, cursor: str | None) -> None:
        """Refuse a cursor that was fetched before.

        Raises:
            BadCursor: it was; the message names it.
        """
        if _hash(cursor) in self._seen:
            raise BadCursor(
                f"the cursor {shown_cursor(cursor)} was already fetched in this run, the source goes in a circle: "
                "check SOURCE_NEXT_PATH and SOURCE_CURSOR_PARAM, or the source itself"
            )


def cursor_text(value: JsonValue, path: str) -> str | None:
    """Return a response's next cursor as text; None for an absent, null or empty one.

    Raises:
        BadCursor: it is neither text nor a number, or cannot be sent back exactly.
    """
    match value:
        case None | "":
            return None
        case str():
            return _sendable(value, path)
        case bool():
            raise BadCursor(f"the next cursor at {path!a} is true or false: set SOURCE_NEXT_PATH to text or a number")
        case int() if abs(value) < 10**300:
            return str(value)
        case float() if abs(value) < _EXACT_FLOAT:
            return str(int(value)) if value.is_integer() else repr(value)
        case int() | float():
            raise BadCursor(f"the next cursor at {path!a} is a number too large to be exact: have it sent as text")
        case _:
            kind = "an array" if isinstance(value, list) else "an object"
            raise BadCursor(f"the next cursor at {path!a} is {kind}: set SOURCE_NEXT_PATH to text or a number")


def _sendable(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadCursor(f"the next cursor at {path!a} is not valid Unicode and cannot be sent back") from None
    return text


def shown_cursor(cursor: str | None) -> str:
    """Return a cursor for a message: one line of ASCII, quoted, shortened."""
    if cursor is None:
        return "(none: the first page)"
    return ascii(cursor if len(cursor) <= _SHOWN_CURSOR else cursor[: _SHOWN_CURSOR - 3] + "...")


def with_params(url: str, params: Mapping[str, str]) -> str:
    """Return `url` with its own query kept as written and `params` added; those of the same name are replaced."""
    parts = urlsplit(url)
    own = [piece for piece in parts.query.split("&") if piece and unquote_plus(piece.partition("=")[0]) not in params]
    query = "&".join([*own, urlencode(params)] if params else own)
    return urlunsplit(parts._replace(query=query, fragment=""))


def public_url(url: str, cursor_param: str) -> str:
    """Return `url` for a message: no user, no password, and of the query only names and the cursor's value."""
    parts = urlsplit(url)
    pieces = []
    for piece in parts.query.split("&"):
        name, equals, _ = piece.partition("=")
        pieces.append(piece if unquote_plus(name) == cursor_param else name + ("=..." if equals else ""))
    query = "&".join(pieces)
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
    return shown if len(shown) <= 2 * _SHOWN_CURSOR else shown[: 2 * _SHOWN_CURSOR - 3] + "..."


def _hash(cursor: str | None) -> bytes:
    text = b"" if cursor is None else b"c" + cursor.encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).digest()
