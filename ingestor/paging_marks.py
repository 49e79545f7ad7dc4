"""`high_water_mark`: the request asks for records whose field is at least a mark, sorted by it. Pure.

How nothing is lost and nothing comes twice:

- The next request asks for `>=` the highest mark read. What it sends again is recognised by digest: the page's trail
  tells how many of the last records the ledger must remember.
- Late records (they appear behind the mark, by SOURCE_OVERLAP at most) are found because every request reads the
  overlap again: a cursor `MARK -N` asks for N before MARK. A record that was not there when its place was read cannot
  be older than the newest mark read then less its lateness, which the next request covers. Pages that the source's own
  clock calls long past cannot get late records any more; their marks are not rewound.
- A page with a rewound cursor goes on until it passes its mark, over as many requests as that takes, so that a window
  larger than one response still makes progress.

What is refused, with the remedy: a source that is not sorted, ignores the parameter, shares one mark among more records
than a response holds, or has more records in the overlap than can be remembered.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import pairwise

from ingestor.decode import canonical_json, records_at, value_at
from ingestor.marks import KINDS, UNITS, Key, Kind, Mark, key, mark_text, rewound
from ingestor.pages import JsonValue
from ingestor.paging import MAX_REMEMBERED, BadCursor, PagingSettings, Reading, shown_cursor
from ingestor.urls import with_params

CLOCK_MARGIN_S = 300
"""A mark is long past when the source's clock is this much further than the overlap."""
_REWOUND = re.compile(r"(.+) -([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class _Place:
    """A cursor taken apart: everything below `mark` was read, and `asked`, `by` before it, is what the request says."""

    mark: str
    by: int = 0

    @property
    def asked(self) -> str:
        return rewound(self.mark, self.by) if self.by else self.mark

    @property
    def cursor(self) -> str:
        return f"{self.mark} -{self.by}" if self.by else self.mark


def _place(cursor: str) -> _Place:
    found = _REWOUND.fullmatch(cursor)
    if found and any(key(found[1], kind) is not None for kind in KINDS[:2]):
        return _Place(found[1], int(found[2]))
    return _Place(cursor)


@dataclass(frozen=True, slots=True)
class MarkTrail:
    """The places within one page. `marks` are those of its records, in order; `overlap` is 0 where none is needed."""

    cursor: str | None
    kind: Kind
    marks: tuple[Mark, ...]
    overlap: int
    counts: bool = False

    def after(self, count: int) -> tuple[str | None, int]:
        """Return the cursor at the mark of the last of `count` records, and how many lie below what it asks for."""
        if count == 0:
            return self.cursor, 0
        mark = self.marks[count - 1]
        at = None if self.cursor is None else _place(self.cursor)
        if at is not None and not _above(mark.key, key(at.mark, self.kind)):
            return self.cursor, 0
        place = _Place(mark.text, self._by(mark, None if at is None else key(at.asked, self.kind)))
        asked = key(place.asked, self.kind)
        return place.cursor, bisect_left(self.marks, asked, 0, count, key=lambda each: each.key)

    def _by(self, mark: Mark, asked: Key | None) -> int:
        """Return how far to rewind: by the overlap, but not beyond what this page asked for; below it nothing is
        remembered, and nothing late can be.
        """
        if not self.overlap or asked is None:
            return self.overlap
        room = int(mark.key[0] - asked[0]) // UNITS[self.kind]
        by = min(self.overlap, room)
        earliest = key(rewound(mark.text, by), self.kind)
        return by if by > 0 and not _above(asked, earliest) else 0


def mark_reaches(cursor: str, limit: str) -> bool:
    """Whether the mark of a cursor is at that of another or beyond it, in the first kind that both are of."""
    one, other = _place(cursor).mark, _place(limit).mark
    kinds = ((key(one, kind), key(other, kind)) for kind in KINDS)
    first, second = next((first, second) for first, second in kinds if first is not None and second is not None)
    return not _above(second, first)


def _above(one: Key | None, other: Key | None) -> bool:
    return other is None or (one is not None and one > other)


class HighWaterMarkPaging:
    """The cursor is a mark, or `MARK -N`, which asks for N (seconds, or units of a number) before the mark."""

    whole = False

    def __init__(self, settings: PagingSettings) -> None:
        self._settings = settings

    def url(self, cursor: str | None) -> str:
        """Return the configured URL with page size and the mark to ask for."""
        settings = self._settings
        cursor = settings.start if cursor is None else cursor
        params = settings.size_params | ({} if cursor is None else {settings.cursor_param: _place(cursor).asked})
        return with_params(settings.url, params)

    def reaches(self, cursor: str, limit: str) -> bool:
        """Compare marks."""
        return mark_reaches(cursor, limit)

    def read(
        self, cursor: str | None, value: JsonValue, headers: Mapping[str, str], before: Reading | None = None
    ) -> Reading:
        """Read sorted records; the page goes on until it passes its own mark or the data ends."""
        settings = self._settings
        cursor = settings.start if cursor is None else cursor
        at = None if cursor is None else _place(cursor)
        asked = before.more if before is not None else None if at is None else at.asked
        fresh = records_at(value, settings.records_path)
        texts = self._texts(fresh, asked)
        records, (kind, marks) = fresh, self._sorted(texts, asked)
        if before is not None and at is not None:
            records = _joined(before.records, fresh)
            kind, marks = self._sorted(self._texts(records, at.asked), at.asked)
        more = self._more(at, asked, kind, texts)
        if more is not None and len(records) > MAX_REMEMBERED:
            raise BadCursor(
                f"more than {MAX_REMEMBERED} records lie within SOURCE_OVERLAP={settings.overlap}: set it lower"
            )
        trail = MarkTrail(cursor, kind, marks, self._overlap(kind, marks, headers))
        after = trail.after(len(marks))[0]
        return Reading(records, None if more is not None or after == cursor else after, trail, more)

    def _texts(self, records: list[JsonValue], asked: str | None) -> list[str]:
        """Return each record's mark. One that has none stands at the mark before it."""
        found = [mark_text(value_at(record, self._settings.field)) for record in records]
        if found and not any(found):
            raise BadCursor(
                f"no record has a number or text at {self._settings.field!a}: set SOURCE_CURSOR_FIELD to the field "
                "that the source sorts by"
            )
        first = next((text for text in found if text), "")
        last, texts = first if asked is None else asked, []
        for text in found:
            last = text or last
            texts.append(last)
        return texts

    def _sorted(self, texts: list[str], asked: str | None) -> tuple[Kind, tuple[Mark, ...]]:
        """Return the kind of the marks, which rise from what was asked for."""
        found = _rising(texts, asked)
        if found is not None:
            return found
        field = self._settings.field
        if asked is not None and _rising(texts, None) is not None:
            raise BadCursor(
                f"the source sends records below {field}={shown_cursor(asked)}, which was asked for: set "
                f"SOURCE_CURSOR_PARAM to the parameter that means `{field} >=`"
            )
        raise BadCursor(
            f"the records are not sorted by {field!a}, oldest first: have the source sort them, by a parameter in "
            "SOURCE_URL, or set SOURCE_CURSOR_FIELD to the field that it sorts by"
        )

    def _more(self, at: _Place | None, asked: str | None, kind: Kind, texts: list[str]) -> str | None:
        """Return from where the same page goes on: the response is not past the page's mark, but got further."""
        if at is None or asked is None or not texts:
            return None
        last, mark, start = key(texts[-1], kind), key(at.mark, kind), key(asked, kind)
        if last is None or _above(last, mark):
            return None
        if _above(last, start):
            return texts[-1]
        if self._settings.page_size_param and len(texts) >= self._settings.page_size:
            raise BadCursor(
                f"{len(texts)} records or more share {self._settings.field}={shown_cursor(texts[-1])}, as many as a "
                "page holds: set SOURCE_PAGE_SIZE higher, or SOURCE_CURSOR_FIELD to a field with fewer equal values"
            )
        return None

    def _overlap(self, kind: Kind, marks: tuple[Mark, ...], headers: Mapping[str, str]) -> int:
        """Return how far cursors of this page are rewound.

        Raises:
            BadCursor: seconds before a text that is no instant mean nothing.
        """
        overlap = self._settings.overlap
        if overlap and kind == "text" and marks:
            raise BadCursor(
                f"{self._settings.field!a} is neither an instant nor a number, and nothing lies SOURCE_OVERLAP before "
                "it: set SOURCE_OVERLAP to 0, or SOURCE_CURSOR_FIELD to an instant"
            )
        now_s = _date_s(headers.get("Date"))
        if kind != "instant" or now_s is None or not marks:
            return overlap
        return 0 if marks[-1].key[0] < (now_s - overlap - CLOCK_MARGIN_S) * UNITS[kind] else overlap


def _rising(texts: list[str], asked: str | None) -> tuple[Kind, tuple[Mark, ...]] | None:
    """Return the first kind that every text is of, with the marks; None when they do not rise in it."""
    for kind in KINDS:
        keys = [found for text in texts if (found := key(text, kind)) is not None]
        start = None if asked is None else key(asked, kind)
        if len(keys) < len(texts) or (asked is not None and start is None):
            continue
        rising = all(one <= other for one, other in pairwise(keys if start is None else [start, *keys]))
        return (kind, tuple(map(Mark, texts, keys))) if rising else None
    return None


def _joined(before: list[JsonValue], fresh: list[JsonValue]) -> list[JsonValue]:
    """Return a page's records so far with those of its next response, which begins with the ties of the last ones."""
    known = Counter(map(canonical_json, before))
    joined = list(before)
    for record in fresh:
        form = canonical_json(record)
        if known[form] > 0:
            known[form] -= 1
        else:
            joined.append(record)
    return joined


def _date_s(header: str | None) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp() if header else None
    except (ValueError, TypeError, OverflowError):
        return None
