"""A source that ends where a range does: `to` itself is not read."""

from bisect import bisect_left
from dataclasses import replace

from ingestor.errors import ConfigurationError
from ingestor.marks import key
from ingestor.pages import Page, Source
from ingestor.paging import Paging, shown_cursor
from ingestor.paging_marks import HighWaterMarkPaging, MarkTrail
from ingestor.paging_places import OffsetPaging, OffsetTrail


class RangedSource:
    """A `Source` that calls the first page which reaches `to` its last, without what lies at `to` or beyond.

    Counted places and marks are compared, so the last page is cut at the record; opaque cursors are only met, so
    their ranges end between pages. Where the source's data end first, the range ends there for now.
    """

    def __init__(self, source: Source, paging: Paging, to: str) -> None:
        self._source, self._paging, self._to = source, paging, to

    def fetch(self, cursor: str | None) -> Page:
        """Return the page at `cursor`. Raises as `Source.fetch` does."""
        page = self._source.fetch(cursor)
        kept = self._before(page)
        if kept < len(page.records):
            again, records = page.reread, page.records[:kept]
            reread = None if again is None else (lambda: again()[:kept])
            return replace(page, records=records, next_cursor=None, reread=reread)
        if page.next_cursor is not None and self._paging.reaches(page.next_cursor, self._to):
            return replace(page, next_cursor=None)
        return page

    def close(self) -> None:
        """Release connections."""
        self._source.close()

    def _before(self, page: Page) -> int:
        """Return how many of the page's records lie before the end."""
        match page.trail:
            case OffsetTrail(offset):
                return min(max(int(self._to) - offset, 0), len(page.records))
            case MarkTrail(kind=kind, marks=marks):
                limit = key(self._to, kind)
                return len(page.records) if limit is None else bisect_left(marks, limit, key=lambda each: each.key)
            case _:
                return len(page.records)


def check_range(paging: Paging, start: str, to: str) -> None:
    """Return when there is something between the two cursors.

    Raises:
        ConfigurationError: there is not, or they are no cursors of this way of paging.
    """
    if paging.whole:
        raise ConfigurationError("SOURCE_PAGINATION=none has no cursors: nothing can be backfilled by a range")
    if isinstance(paging, OffsetPaging) and not (start.isdecimal() and to.isdecimal()):
        raise ConfigurationError(f"{shown_cursor(start)} or {shown_cursor(to)} is no offset: give whole numbers")
    if paging.reaches(start, to):
        raise ConfigurationError(
            f"there is nothing from {shown_cursor(start)} to {shown_cursor(to)}: --to must lie after --from"
        )
    if isinstance(paging, HighWaterMarkPaging) and not paging.reaches(to, start):
        raise ConfigurationError(
            f"{shown_cursor(start)} and {shown_cursor(to)} do not compare: give two marks of the same kind"
        )
