"""`Views` on SQLite."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from state.codec import entry_from_document, from_canonical
from state.journal import BatchQuery, Document, IndexDocument, StoredEntry, from_page_key
from state.troubled import read_from_batches
from state.views import CAUSE_FIELDS, Waiting, require_trouble

_OPEN = "json_extract(CAST(document AS TEXT), '$.open_records')"
_OPEN_RECORDS = f"SELECT document FROM batches WHERE pipeline = :pipeline AND {_OPEN} > 0"  # noqa: S608 - names of ours
_OPEN_RECORDS_PAGE = (
    f" AND (:id IS NULL OR ({_OPEN}, id) < (:records, :id)) ORDER BY {_OPEN} DESC, id DESC LIMIT :limit"
)
_SKIPS = """
SELECT document FROM (SELECT document, id, json_extract(CAST(document AS TEXT), '$.at_us') AS at_us,
    json_extract(CAST(document AS TEXT), '$.lane') AS lane FROM skips WHERE pipeline = :pipeline)
WHERE at_us >= :since_us AND (:lane IS NULL OR lane = :lane) ORDER BY at_us DESC, id DESC LIMIT :limit
"""
_NEWEST = """
SELECT document, created_at_us FROM journal WHERE pipeline = :pipeline AND lane = :lane ORDER BY version DESC LIMIT 1
"""
_NAMED = """
SELECT batches.document FROM json_each(:ids) AS asked
JOIN batches ON batches.pipeline = :pipeline AND batches.id = asked.value ORDER BY asked.key
"""
_VERSIONS = """
SELECT journal.document, journal.created_at_us FROM json_each(:versions) AS asked
JOIN journal ON journal.pipeline = :pipeline AND journal.lane = :lane AND journal.version = asked.value
ORDER BY asked.key
"""
_OF_PEOPLE = """
SELECT document, created_at_us FROM journal
WHERE pipeline = :pipeline AND lane = :lane AND (:before IS NULL OR version < :before)
    AND json_extract(CAST(document AS TEXT), '$.run_id') = '' ORDER BY version DESC LIMIT :limit
"""


def batches_where(query: BatchQuery) -> tuple[list[str], dict[str, object]]:
    """Return the conditions of a query of batches, without its place in the list, and their values."""
    where = [f"{name} = :{name}" for name in query.equals]
    values: dict[str, object] = {**query.equals, "since_us": query.since_us or 0}
    where.append(f"{query.by} >= :since_us")
    if query.until_us is not None:
        where.append(f"{query.by} < :until_us")
        values["until_us"] = query.until_us
    return where, values


class SqliteViews:
    """The part of `SqliteJournal` that only people ask for."""

    _read: Callable[[str, Mapping[str, object]], list[tuple[Any, ...]]]
    _now_s: Callable[[], float]
    list_batches: Callable[..., Sequence[Document]]
    read_index: Callable[..., Sequence[IndexDocument]]

    def count_batches(self, query: BatchQuery) -> int:
        """See `Views.count_batches`."""
        where, values = batches_where(query)
        conditions = " AND ".join(["pipeline = :pipeline", *where])
        return int(self._read(f"SELECT COUNT(*) FROM batches WHERE {conditions}", values)[0][0])  # noqa: S608 - names of ours

    def count_waiting(self) -> Waiting:
        """See `Views.count_waiting`."""
        asked = (BatchQuery(status=name, by="dead_at_us") for name in ("DEAD_LETTERED", "REPLAYING"))
        return Waiting(*map(self.count_batches, asked))

    def count_open_records(self) -> int:
        """See `Views.count_open_records`."""
        return int(self._read(f"SELECT COUNT(*) FROM ({_OPEN_RECORDS})", {})[0][0])  # noqa: S608 - names of ours

    def list_open_records(self, *, limit: int = 100, after: str | None = None) -> Sequence[Document]:
        """See `Views.list_open_records`."""
        records, key = from_page_key(after) if after is not None else (None, None)
        values = {"records": records, "id": key, "limit": limit}
        return [from_canonical(row[0]) for row in self._read(_OPEN_RECORDS + _OPEN_RECORDS_PAGE, values)]

    def list_causes(self, query: BatchQuery, *, limit: int = 100) -> Sequence[Document]:
        """See `Views.list_causes`."""
        require_trouble(query)
        return [{name: batch.get(name) for name in CAUSE_FIELDS} for batch in self.list_batches(query, limit=limit)]

    def read_batches(self, batch_ids: Sequence[str]) -> Sequence[Document]:
        """See `Views.read_batches`."""
        rows = self._read(_NAMED, {"ids": json.dumps(list(batch_ids))})
        return [from_canonical(row[0]) for row in rows]

    def read_troubled(self, *, limit: int, after: str | None = None) -> Mapping[str, Document]:
        """See `Views.read_troubled`."""
        return read_from_batches(self.read_index, limit, after)

    def read_versions(self, lane: str, versions: Sequence[int]) -> Sequence[StoredEntry]:
        """See `Views.read_versions`."""
        return self._entries(_VERSIONS, {"lane": lane, "versions": json.dumps(list(versions))})

    def list_skips(self, *, lane: str | None = None, since_us: int = 0, limit: int = 100) -> Sequence[Document]:
        """See `Views.list_skips`."""
        rows = self._read(_SKIPS, {"lane": lane, "since_us": since_us, "limit": limit})
        return [from_canonical(row[0]) for row in rows]

    def read_newest_entry(self, lane: str) -> StoredEntry | None:
        """See `Views.read_newest_entry`."""
        return next(iter(self._entries(_NEWEST, {"lane": lane})), None)

    def list_entries_of_people(
        self, lane: str, *, before: int | None = None, limit: int = 100
    ) -> Sequence[StoredEntry]:
        """See `Views.list_entries_of_people`."""
        return self._entries(_OF_PEOPLE, {"lane": lane, "before": before, "limit": limit})

    def _entries(self, query: str, values: Mapping[str, object]) -> list[StoredEntry]:
        rows, now_s = self._read(query, values), self._now_s()
        return [StoredEntry(entry_from_document(from_canonical(row[0])), now_s - row[1] / 1e6) for row in rows]
