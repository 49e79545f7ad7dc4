"""Firestore's queries and its form of a document, apart from the calls.

Every list is ordered by one time, newest first, and filtered by equality: each composite index of
`firestore.indexes.json` is one field with one of those times, and Firestore merges them for several fields
(cloud.google.com/firestore/docs/query-data/index-overview, "index merging").
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from state.index import BATCH_FIELDS, UNSET
from state.journal import BatchQuery, Document, Kind, from_page_key
from state.receipts import RECEIPT_FIELDS
from state.views import CAUSE_FIELDS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_NAME = "__name__"


def batches_query(  # the client has no types
    batches: Any,  # noqa: ANN401
    query: BatchQuery,
    limit: int,
) -> Any:  # noqa: ANN401
    """Return the query of a page of batches, given their collection, that reads all but their row digests."""
    asked = batches_filter(batches.select(stored_names(BATCH_FIELDS)), query)
    return listed_page(batches, asked, query.by, query.after, limit)


def batches_filter(asked: Any, query: BatchQuery) -> Any:  # noqa: ANN401 - likewise
    """Return a query of batches with the conditions of `query`, without its order and its page."""
    from google.cloud.firestore import FieldFilter  # noqa: PLC0415 - see state.firestore.client_for

    for name, value in query.equals.items():
        asked = asked.where(filter=FieldFilter(name, "==", value))
    asked = asked.where(filter=FieldFilter(query.by, ">=", query.since_us or 0))  # leaves out what has no such time
    if query.until_us is not None:
        asked = asked.where(filter=FieldFilter(query.by, "<", query.until_us))
    return asked


def troubled_query(troubled: Any, query: BatchQuery, limit: int, fields: Sequence[str]) -> Any:  # noqa: ANN401
    """Return the query of a page of batches that were set aside, given the collection of those with trouble."""
    return listed_page(troubled, batches_filter(troubled.select(fields), query), query.by, query.after, limit)


def receipts_query(receipts: Any, after: str | None, limit: int) -> Any:  # noqa: ANN401 - likewise
    """Return the query of a page of receipts, given their collection."""
    return listed_page(receipts, receipts.select(stored_names(RECEIPT_FIELDS)), "opened_at_us", after, limit)


def runs_query(runs: Any, lane: str | None, status: str | None, before: str | None, limit: int) -> Any:  # noqa: ANN401
    """Return the query of a page of runs, given their collection."""
    from google.cloud.firestore import FieldFilter  # noqa: PLC0415 - see state.firestore.client_for

    asked = runs
    for name, value in (("lane", lane), ("status", status)):
        if value is not None:
            asked = asked.where(filter=FieldFilter(name, "==", value))
    asked = asked.order_by("run_id", direction="DESCENDING").limit(limit)
    return asked if before is None else asked.start_after({"run_id": before})


def index_query(collection: Any, kind: Kind | Literal["troubled"], after: str | None, limit: int) -> Any:  # noqa: ANN401 - likewise
    """Return the query of a page of a collection's documents in order of their ids."""
    asked = collection.select(stored_names(BATCH_FIELDS)) if kind == "batches" else collection
    asked = asked.order_by(_NAME).limit(limit)
    return asked if after is None else asked.start_after({_NAME: collection.document(after)})


def taken_out(names: Collection[str]) -> dict[str, Any]:
    """Return the changes of an update that take these fields out of a document."""
    from google.cloud.firestore import DELETE_FIELD  # noqa: PLC0415 - see state.firestore.client_for

    return dict.fromkeys(stored_names([*names]), DELETE_FIELD)


def listed_page(collection: Any, asked: Any, by: str, after: str | None, limit: int) -> Any:  # noqa: ANN401
    """Return the query of a page, the highest first by `by` and name."""
    asked = asked.order_by(by, direction="DESCENDING").order_by(_NAME, direction="DESCENDING").limit(limit)
    if after is None:
        return asked
    at_us, key = from_page_key(after)
    return asked.start_after({by: at_us, _NAME: collection.document(key)})


def stored_names(names: Sequence[str]) -> list[str]:
    """Return the names under which these fields are stored."""
    return [_to_stored_name(name) for name in names]


def _to_stored_name(name: str) -> str:
    return "expire_at" if name == "expire_at_us" else name


def to_stored(fields: Document) -> dict[str, Any]:
    """Return the fields as they are stored. TTL needs a native timestamp; a document whose is null never expires."""
    stored = {_to_stored_name(name): value for name, value in fields.items()}
    expire_at_us = stored.get("expire_at")
    return stored if expire_at_us is None else {**stored, "expire_at": _EPOCH + expire_at_us * _US}


def from_stored(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a stored document holds."""
    fields = {"expire_at_us" if name == "expire_at" else name: value for name, value in stored.items()}
    expire_at = fields.get("expire_at_us")
    return fields if expire_at is None else {**fields, "expire_at_us": (expire_at - _EPOCH) // _US}


def stored_parts(kind: str, fields: Document) -> tuple[dict[str, Any], list[str]]:
    """Return the fields as they are stored, and the names of those that are not.

    What a batch's document says of things that have not happened is left out when it is written whole: Firestore would
    keep an entry for each null in every index, and would look for the few dead among all of them.
    """
    unset = [name for name, value in UNSET.items() if name in fields and fields[name] == value]
    if kind != "batches" or _OF_WHOLE not in fields:
        unset = []
    return {name: value for name, value in to_stored(fields).items() if name not in unset}, unset


def troubled_parts(fields: Document) -> tuple[dict[str, Any], list[str]]:
    """Return what is stored of the fields of a batch with trouble, and the names of what is empty and taken out."""
    kept = to_stored({name: value for name, value in fields.items() if value})
    return kept, [name for name in stored_names([*fields]) if name not in kept]


def batch_from_stored(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch from its document, with what was left out put back."""
    return {**UNSET, **from_stored(stored)} if _OF_WHOLE in stored else from_stored(stored)


def cause_from_stored(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return why a batch was set aside from what is kept of it, what is empty put back."""
    return {**dict.fromkeys(CAUSE_FIELDS), "storage_error": 0, **stored}


_OF_WHOLE = "attempted_version"
"""A field that each batch has from its attempt on, and that nothing but a whole document is written with."""
