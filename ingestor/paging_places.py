"""Sources that are counted through (`offset`) or read whole (`none`). Pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ingestor.decode import canonical_json, records_at
from ingestor.pages import JsonValue
from ingestor.paging import MAX_REMEMBERED, BadCursor, PagingSettings, Reading, shown_cursor
from ingestor.urls import with_params


@dataclass(frozen=True, slots=True)
class OffsetTrail:
    """Every place between records is an offset of its own, so that positions do not depend on the size of pages.

    A position is the offset of the record taken last, which is read again: a source whose records moved is found out.
    """

    offset: int
    counts: bool = True

    def after(self, count: int) -> tuple[str | None, int]:
        """Return the offset of the last of `count` records; all before it are left out."""
        return str(self.offset + max(0, count - 1)), max(0, count - 1)


class OffsetPaging:
    """The cursor is the number of records to pass over. A page shorter than asked for may be the last one, or mean that
    the source grants no larger ones: the next page begins with its last record, and is the end when it holds no other.
    """

    whole = False

    def __init__(self, settings: PagingSettings) -> None:
        self._settings = settings

    def url(self, cursor: str | None) -> str:
        """Return the configured URL with page size and offset."""
        settings = self._settings
        return with_params(settings.url, settings.size_params | {settings.cursor_param: str(self.offset(cursor))})

    def offset(self, cursor: str | None) -> int:
        """Return a cursor as a number, SOURCE_START or 0 for the absent one.

        Raises:
            BadCursor: it is no number.
        """
        text = cursor if cursor is not None else self._settings.start or "0"
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise BadCursor(f"the cursor {shown_cursor(text)} is no offset: set SOURCE_START to a whole number")
        return int(text)

    def read(
        self, cursor: str | None, value: JsonValue, headers: Mapping[str, str], before: Reading | None = None
    ) -> Reading:
        """Read the records and count on."""
        del headers, before
        records = records_at(value, self._settings.records_path)
        offset, count = self.offset(cursor), len(records)
        trail = OffsetTrail(offset)
        if count >= self._settings.page_size:
            return Reading(records, str(offset + count), trail)
        return Reading(records, str(offset + count - 1) if count > 1 else None, trail)

    def reaches(self, cursor: str, limit: str) -> bool:
        """Compare offsets."""
        return self.offset(cursor) >= self.offset(limit)


class WholePaging:
    """One response holds everything, each run anew. Its cursor names its content, so a position tells whether it
    belongs to the response of today.
    """

    whole = True

    def __init__(self, settings: PagingSettings) -> None:
        self._settings = settings

    def url(self, cursor: str | None) -> str:
        """Return the configured URL; the cursor is not sent."""
        del cursor
        return with_params(self._settings.url, self._settings.size_params)

    def read(
        self, cursor: str | None, value: JsonValue, headers: Mapping[str, str], before: Reading | None = None
    ) -> Reading:
        """Read the records; nothing follows them.

        Raises:
            BadCursor: there are more than can be recognised in the next run.
        """
        del cursor, headers, before
        records = records_at(value, self._settings.records_path)
        if len(records) > MAX_REMEMBERED:
            raise BadCursor(
                f"the response holds {len(records)} records, and SOURCE_PAGINATION=none recognises at most "
                f"{MAX_REMEMBERED} in the next run: page through them, or narrow SOURCE_URL down"
            )
        return Reading(records, None, name=_content(records))

    def reaches(self, cursor: str, limit: str) -> bool:
        """Whether the two name the same content."""
        return cursor == limit


def _content(records: list[JsonValue]) -> str:
    """Return 16 hex digits of SHA-256 over the records' canonical forms, whatever their order."""
    hashed = hashlib.sha256()
    for digest in sorted(hashlib.sha256(canonical_json(record)).digest() for record in records):
        hashed.update(digest)
    return hashed.hexdigest()[:16]
