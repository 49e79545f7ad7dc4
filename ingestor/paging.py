"""How pages follow each other: the shape of a way of paging, and what guards every one of them. Pure.

A strategy goes from a cursor to a URL, and from a response to records and next cursor; it touches no network and keeps
no state. Each is a class in `paging_links`, `paging_places` or `paging_marks` and a line in `pagings`. `CursorGuard`
keeps the little that a run must remember.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from ingestor.errors import SourceError
from ingestor.pages import JsonValue, Page, Trail

GUARDED_CURSORS = 100_000
"""Cursors remembered per run, the oldest forgotten first: about 10 MB, and any loop shorter than this is found."""
MAX_REMEMBERED = 20_000
"""Record digests that a position may carry (320 KB in the lane's snapshot, which ends at 1 MiB)."""
_EXACT_FLOAT = 2**53
_SHOWN_CURSOR = 200


class BadCursor(SourceError):  # noqa: N818  # reads as what it is, like its siblings
    """The source cannot be followed from here; asking again would not change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PagingSettings:
    """What a strategy needs of the configuration. `start` stands in for the absent cursor of a lane's first page.

    `field` is the dotted path of the record field that a high-water mark goes by, `overlap` how far it reads again.
    """

    url: str
    records_path: str = ""
    cursor_param: str = "cursor"
    next_path: str = "next_cursor"
    page_size_param: str = "limit"
    page_size: int = 1000
    start: str | None = None
    field: str = ""
    overlap: int = 0

    @property
    def size_params(self) -> dict[str, str]:
        """The query parameter that asks for a page's size, if any."""
        return {self.page_size_param: str(self.page_size)} if self.page_size_param else {}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a response says: its records, and the cursor of the page after it (None: the end of the data).

    `more` asks for another request whose response belongs to the same page; `records` hold the page so far. `name` is
    the page's cursor where that is not the one asked for.
    """

    records: list[JsonValue]
    next_cursor: str | None
    trail: Trail | None = None
    more: str | None = None
    name: str | None = None


class Paging(Protocol):
    """A way of paging."""

    whole: bool
    """Whether every page is all that the source has."""

    def url(self, cursor: str | None) -> str:
        """Return the URL that fetches the page at `cursor`."""

    def read(
        self, cursor: str | None, value: JsonValue, headers: Mapping[str, str], before: Reading | None = None
    ) -> Reading:
        """Read the decoded response to the page at `cursor`, or to what the reading `before` asked for in addition.

        Raises:
            Undecodable: the records are not where the configuration says.
            BadCursor: the source cannot be followed from here.
        """

    def reaches(self, cursor: str, limit: str) -> bool:
        """Whether a cursor is at `limit` or beyond it; opaque cursors reach only what they are equal to.

        Raises:
            BadCursor: one of the two is no cursor of this way of paging.
        """


@dataclass(frozen=True, slots=True)
class _Before:
    """What is kept of a page to compare the next one with, without keeping its records where they can be had again."""

    cursor: str | None
    count: int
    first: JsonValue
    records: Callable[[], Sequence[JsonValue]]

    @classmethod
    def of(cls, page: Page) -> "_Before":
        kept = page.records
        first = kept[0] if kept else None
        return cls(page.cursor, len(kept), first, page.reread or (lambda: kept))

    def is_like(self, page: Page) -> bool:
        """Whether the page has the same records; most differ in the first already."""
        is_candidate = (len(page.records), page.records[0]) == (self.count, self.first)
        return is_candidate and list(page.records) == list(self.records())


class CursorGuard:
    """Finds a cursor that was already fetched in this run, which would read the same pages for ever.

    Remembers eight bytes of a hash per cursor: among 100,000 cursors a false alarm has a chance of one in a billion.
    """

    def __init__(self, capacity: int = GUARDED_CURSORS) -> None:
        self._capacity = capacity
        self._seen: dict[bytes, None] = {}
        self._before: _Before | None = None

    def add(self, cursor: str | None) -> None:
        """Remember a cursor whose page was fetched; the first page's absent cursor is remembered too."""
        self._seen[_hash(cursor)] = None
        if len(self._seen) > self._capacity:
            del self._seen[next(iter(self._seen))]

    def check_page(self, page: Page) -> None:
        """Refuse a page with the records of the one before: the source ignores the cursor, or a cache does. Only where
        places go by what records say, pages overlap.

        Raises:
            BadCursor: it is; records that are all alike say nothing.
        """
        before, self._before = self._before, _Before.of(page)
        overlaps = page.trail is not None and not page.trail.counts
        if overlaps or before is None or before.cursor == page.cursor or not page.records:
            return
        if page.records[-1] != page.records[0] and before.is_like(page):
            raise BadCursor(
                f"the page at {shown_cursor(page.cursor)} is the same as the one before it: check SOURCE_CURSOR_PARAM, "
                "the source seems to ignore it, and caches on the way"
            )

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


def _hash(cursor: str | None) -> bytes:
    text = b"" if cursor is None else b"c" + cursor.encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).digest()
