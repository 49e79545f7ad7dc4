"""`Views` on Firestore."""

from collections.abc import Callable, Sequence
from typing import Any

from state.codec import entry_from_document
from state.firestore_queries import (
    CAUSE_QUERIED,
    batch_from_stored,
    batches_filter,
    batches_query,
    cause_from_stored,
    from_stored,
    listed_page,
    without_digests,
)
from state.journal import BatchQuery, Document, StoredEntry


class FirestoreViews:
    """The part of `FirestoreJournal` that only people ask for."""

    _root: Any
    _lane: Callable[[str], Any]
    _list: Callable[[Any], list[Any]]
    _bounded: Callable[[str, Callable[[float], Any]], Any]

    def count_batches(self, query: BatchQuery) -> int:
        """See `Views.count_batches`. The order lets it use the indexes of the lists."""
        asked = batches_filter(self._root.collection("batches"), query).order_by(query.by, direction="DESCENDING")
        return int(self._list(asked.count())[0][0].value)

    def count_open_records(self) -> int:
        """See `Views.count_open_records`."""
        return int(self._list(self._open_records().count())[0][0].value)

    def list_open_records(self, *, limit: int = 100, after: str | None = None) -> Sequence[Document]:
        """See `Views.list_open_records`."""
        batches = self._root.collection("batches")
        asked = listed_page(batches, without_digests(self._open_records()), "open_records", after, limit)
        return [batch_from_stored(found.to_dict()) for found in self._list(asked)]

    def _open_records(self) -> Any:  # noqa: ANN401 - the client has no types
        from google.cloud.firestore import FieldFilter  # noqa: PLC0415 - see state.firestore.client_for

        return self._root.collection("batches").where(filter=FieldFilter("open_records", ">", 0))

    def list_causes(self, query: BatchQuery, *, limit: int = 100) -> Sequence[Document]:
        """See `Views.list_causes`."""
        asked = batches_query(self._root.collection("batches"), query, limit, CAUSE_QUERIED)
        return [cause_from_stored(found.to_dict()) for found in self._list(asked)]

    def list_skips(self, *, lane: str | None = None, since_us: int = 0, limit: int = 100) -> Sequence[Document]:
        """See `Views.list_skips`."""
        from google.cloud.firestore import FieldFilter  # noqa: PLC0415 - likewise

        asked = self._root.collection("skips").where(filter=FieldFilter("at_us", ">=", since_us))
        asked = asked if lane is None else asked.where(filter=FieldFilter("lane", "==", lane))
        asked = asked.order_by("at_us", direction="DESCENDING").limit(limit)
        return [from_stored(found.to_dict()) for found in self._list(asked)]

    def read_newest_entry(self, lane: str) -> StoredEntry | None:
        """See `Views.read_newest_entry`."""
        asked = self._lane(lane).collection("journal").order_by("version", direction="DESCENDING").limit(1)
        return next(map(stored_entry, self._list(asked)), None)

    def list_entries_of_people(
        self, lane: str, *, before: int | None = None, limit: int = 100
    ) -> Sequence[StoredEntry]:
        """See `Views.list_entries_of_people`."""
        from google.cloud.firestore import FieldFilter  # noqa: PLC0415 - likewise

        asked = self._lane(lane).collection("journal").where(filter=FieldFilter("run_id", "==", ""))
        asked = asked if before is None else asked.where(filter=FieldFilter("version", "<", before))
        asked = asked.order_by("version", direction="DESCENDING").limit(limit)
        return list(map(stored_entry, self._list(asked)))


def stored_entry(found: Any) -> StoredEntry:  # noqa: ANN401
    """Return the entry of a document, its age by the server's clock."""
    age_s = (found.read_time - found.create_time).total_seconds()
    return StoredEntry(entry_from_document(found.to_dict()), age_s)
