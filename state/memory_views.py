"""`Views` in memory."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from state.journal import BatchQuery, Document, IndexDocument, StoredEntry, from_page_key
from state.troubled import read_from_batches
from state.views import CAUSE_FIELDS, Waiting, require_trouble


def selected(batches: dict[str, dict[str, Any]], query: BatchQuery) -> list[dict[str, Any]]:
    """Return the batches that a query finds, in no order, without regard to its page."""
    return [
        batch
        for batch in batches.values()
        if all(batch.get(name) == value for name, value in query.equals.items())
        and batch.get(query.by) is not None
        and batch[query.by] >= (query.since_us or 0)
        and (query.until_us is None or batch[query.by] < query.until_us)
    ]


class MemoryViews:
    """The part of `MemoryJournal` that only people ask for."""

    _now_s: Callable[[], float]
    _lock: threading.Lock
    _entries: dict[str, dict[int, tuple[Any, float]]]
    _batches: dict[str, dict[str, Any]]
    _skips: dict[str, Document]
    list_batches: Callable[..., Sequence[Document]]
    read_index: Callable[..., Sequence[IndexDocument]]

    def count_batches(self, query: BatchQuery) -> int:
        """See `Views.count_batches`."""
        with self._lock:
            return len(selected(self._batches, query))

    def count_waiting(self) -> Waiting:
        """See `Views.count_waiting`."""
        asked = (BatchQuery(status=name, by="dead_at_us") for name in ("DEAD_LETTERED", "REPLAYING"))
        return Waiting(*map(self.count_batches, asked))

    def count_open_records(self) -> int:
        """See `Views.count_open_records`."""
        return len(self.list_open_records(limit=len(self._batches)))

    def list_open_records(self, *, limit: int = 100, after: str | None = None) -> Sequence[Document]:
        """See `Views.list_open_records`."""
        with self._lock:
            found = [batch for batch in self._batches.values() if (batch.get("open_records") or 0) > 0]
            return listed_page(found, "open_records", "batch_id", without="row_digests", limit=limit, after=after)

    def list_causes(self, query: BatchQuery, *, limit: int = 100) -> Sequence[Document]:
        """See `Views.list_causes`."""
        require_trouble(query)
        return [{name: batch.get(name) for name in CAUSE_FIELDS} for batch in self.list_batches(query, limit=limit)]

    def read_batches(self, batch_ids: Sequence[str]) -> Sequence[Document]:
        """See `Views.read_batches`."""
        with self._lock:
            found = [self._batches[batch_id] for batch_id in batch_ids if batch_id in self._batches]
            return [{name: value for name, value in batch.items() if name != "row_digests"} for batch in found]

    def read_troubled(self, *, limit: int, after: str | None = None) -> Mapping[str, Document]:
        """See `Views.read_troubled`."""
        return read_from_batches(self.read_index, limit, after)

    def read_versions(self, lane: str, versions: Sequence[int]) -> Sequence[StoredEntry]:
        """See `Views.read_versions`."""
        with self._lock:
            entries, now_s = self._entries.get(lane, {}), self._now_s()
            found = [entries[version] for version in versions if version in entries]
            return [StoredEntry(entry, now_s - created_s) for entry, created_s in found]

    def list_skips(self, *, lane: str | None = None, since_us: int = 0, limit: int = 100) -> Sequence[Document]:
        """See `Views.list_skips`."""
        with self._lock:
            found = [skip for skip in self._skips.values() if skip["at_us"] >= since_us]
        wanted = [dict(skip) for skip in found if lane in {None, skip.get("lane")}]
        return sorted(wanted, key=lambda skip: -skip["at_us"])[:limit]

    def read_newest_entry(self, lane: str) -> StoredEntry | None:
        """See `Views.read_newest_entry`."""
        with self._lock:
            entries, now_s = self._entries.get(lane, {}), self._now_s()
            if not entries:
                return None
            entry, created_s = entries[max(entries)]
            return StoredEntry(entry, now_s - created_s)

    def list_entries_of_people(
        self, lane: str, *, before: int | None = None, limit: int = 100
    ) -> Sequence[StoredEntry]:
        """See `Views.list_entries_of_people`."""
        with self._lock:
            entries, now_s = self._entries.get(lane, {}), self._now_s()
            asked = (version for version in sorted(entries, reverse=True) if before is None or version < before)
            found = [entries[version] for version in asked if not entries[version][0].run_id][:limit]
            return [StoredEntry(entry, now_s - created_s) for entry, created_s in found]


def listed_page(  # noqa: PLR0913 - what a page is
    documents: Sequence[Document], time_field: str, key_field: str, *, without: str, limit: int, after: str | None
) -> Sequence[Document]:
    """Return a page of documents, the highest first by their time (or number) and key."""
    last = from_page_key(after) if after is not None else None
    keyed = sorted((((found[time_field], found[key_field]), found) for found in documents), reverse=True, key=_key)
    return [
        {name: value for name, value in found.items() if name != without}
        for key, found in keyed
        if last is None or key < last
    ][:limit]


def _key(keyed: tuple[tuple[int, str], Document]) -> tuple[int, str]:
    return keyed[0]
