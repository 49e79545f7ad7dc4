"""Lists, counts and what else people ask for (`Views`), on Firestore.

Batches that were set aside or have rejected records are few among many, and what a person waits for is about these. So
they have a collection of their own, `troubled`, which holds what they are filtered and ordered by; a list reads it and
then the batches themselves, by name. Firestore answers from an index either way; its emulator goes through a whole
collection for each query.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from state.codec import entry_from_document
from state.firestore_queries import (
    batch_from_stored,
    batches_filter,
    batches_query,
    cause_from_stored,
    from_stored,
    index_query,
    listed_page,
    receipts_query,
    runs_query,
    stored_names,
    troubled_query,
)
from state.index import BATCH_FIELDS
from state.journal import ALL_BATCHES, BatchQuery, Document, StoredEntry, page_key
from state.troubled import WAITING
from state.views import CAUSE_FIELDS, Waiting, require_trouble


class FirestoreViews:
    """The part of `FirestoreJournal` that lists and counts."""

    _root: Any
    _entry: Callable[[str, int], Any]
    _lane: Callable[[str], Any]
    _document: Callable[[str, str], Any]
    _get: Callable[[Any], Any]
    _list: Callable[[Any], list[Any]]
    _get_all: Callable[..., list[Any]]

    def list_batches(self, query: BatchQuery = ALL_BATCHES, *, limit: int = 100) -> Sequence[Document]:
        """See `Journal.list_batches`."""
        if not query.goes_by_trouble:
            asked = batches_query(self._root.collection("batches"), query, limit)
            return [batch_from_stored(found.to_dict()) for found in self._list(asked)]
        troubled = self._root.collection("troubled")

        def page(after: str | None, left: int) -> Any:  # noqa: ANN401 - the client has no types
            return troubled_query(troubled, replace(query, after=after), left, [query.by])

        return self._of_troubled(page, query.by, query.after, limit)

    def _of_troubled(
        self, page: Callable[[str | None, int], Any], by: str, after: str | None, limit: int
    ) -> Sequence[Document]:
        """Return the batches of a list of those with trouble.

        What ages out may be gone from one collection before the other, so that a page can need more of the list. The
        number it goes by is that of the list: where the next page begins must not depend on what changed since.
        """
        found: list[Document] = []
        while True:
            left = limit - len(found)
            listed = {each.id: each.to_dict()[by] for each in self._list(page(after, left))}
            found += [{**batch, by: listed[batch["batch_id"]]} for batch in self.read_batches([*listed])]
            if len(listed) < left or len(found) == limit:
                return found
            last = [*listed][-1]
            after = page_key(listed[last], last)

    def read_batches(self, batch_ids: Sequence[str]) -> Sequence[Document]:
        """See `Views.read_batches`."""
        references = [self._document("batches", batch_id) for batch_id in batch_ids]
        return [batch_from_stored(found.to_dict()) for found in self._get_all(references, stored_names(BATCH_FIELDS))]

    def count_batches(self, query: BatchQuery) -> int:
        """See `Views.count_batches`. The order lets it use the indexes of the lists."""
        collection = self._root.collection("troubled" if query.goes_by_trouble else "batches")
        return self._count(batches_filter(collection, query).order_by(query.by, direction="DESCENDING"))

    def _count(self, asked: Any) -> int:  # noqa: ANN401 - likewise
        return int(self._list(asked.count())[0][0].value)

    def count_waiting(self) -> Waiting:
        """See `Views.count_waiting`. One field and its own index, so that nothing but it is looked at."""
        from google.cloud.firestore import FieldFilter  # noqa: PLC0415 - see state.firestore.client_for

        asked = self._root.collection("troubled").where(filter=FieldFilter(WAITING, ">", 0))
        found = self._list(asked.count(alias="count").sum(WAITING, alias="sum"))[0]
        told = {each.alias: int(each.value) for each in found}
        replaying = told["sum"] - told["count"]
        return Waiting(told["count"] - replaying, replaying)

    def count_open_records(self) -> int:
        """See `Views.count_open_records`."""
        return self._count(self._open_records(self._root.collection("troubled")))

    def list_open_records(self, *, limit: int = 100, after: str | None = None) -> Sequence[Document]:
        """See `Views.list_open_records`."""
        troubled = self._root.collection("troubled")

        def page(after: str | None, left: int) -> Any:  # noqa: ANN401 - likewise
            asked = self._open_records(troubled.select(["open_records"]))
            return listed_page(troubled, asked, "open_records", after, left)

        return self._of_troubled(page, "open_records", after, limit)

    @staticmethod
    def _open_records(asked: Any) -> Any:  # noqa: ANN401 - likewise
        from google.cloud.firestore import FieldFilter  # noqa: PLC0415 - see state.firestore.client_for

        return asked.where(filter=FieldFilter("open_records", ">", 0))

    def list_causes(self, query: BatchQuery, *, limit: int = 100) -> Sequence[Document]:
        """See `Views.list_causes`."""
        require_trouble(query)
        found = self._list(troubled_query(self._root.collection("troubled"), query, limit, CAUSE_FIELDS))
        return [cause_from_stored(each.to_dict()) for each in found]

    def read_troubled(self, *, limit: int, after: str | None = None) -> Mapping[str, Document]:
        """See `Views.read_troubled`."""
        found = self._list(index_query(self._root.collection("troubled"), "troubled", after, limit))
        return {each.id: from_stored(each.to_dict()) for each in found}

    def read_receipt(self, receipt: str) -> Document | None:
        """See `Journal.read_receipt`."""
        found = self._get(self._document("receipts", receipt))
        return from_stored(found.to_dict()) if found.exists else None

    def read_run(self, run_id: str) -> Document | None:
        """See `Journal.read_run`."""
        found = self._get(self._document("runs", run_id))
        return from_stored(found.to_dict()) if found.exists else None

    def list_receipts(self, *, limit: int = 100, after: str | None = None) -> Sequence[Document]:
        """See `Journal.list_receipts`."""
        asked = receipts_query(self._root.collection("receipts"), after, limit)
        return [from_stored(found.to_dict()) for found in self._list(asked)]

    def list_runs(
        self, *, limit: int = 100, before: str | None = None, lane: str | None = None, status: str | None = None
    ) -> Sequence[Document]:
        """See `Journal.list_runs`."""
        query = runs_query(self._root.collection("runs"), lane, status, before, limit)
        return [from_stored(found.to_dict()) for found in self._list(query)]

    def list_skips(self, *, lane: str | None = None, since_us: int = 0, limit: int = 100) -> Sequence[Document]:
        """See `Views.list_skips`."""
        from google.cloud.firestore import FieldFilter  # noqa: PLC0415 - likewise

        asked = self._root.collection("skips").where(filter=FieldFilter("at_us", ">=", since_us))
        asked = asked if lane is None else asked.where(filter=FieldFilter("lane", "==", lane))
        asked = asked.order_by("at_us", direction="DESCENDING").limit(limit)
        return [from_stored(found.to_dict()) for found in self._list(asked)]

    def read_versions(self, lane: str, versions: Sequence[int]) -> Sequence[StoredEntry]:
        """See `Views.read_versions`."""
        return list(map(stored_entry, self._get_all([self._entry(lane, version) for version in versions])))

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
