"""Which batches need or needed a person, in few words: what lists of dead batches and of open records go by. Pure.

A store may keep these apart from the batches (Firestore does), written in the same commit: the batches of a pipeline
are many, those with trouble are few, and a page that a person waits for asks only about these.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from state.journal import Commit, Document, IndexDocument
from state.views import CAUSE_FIELDS

TROUBLED_FIELDS = (*CAUSE_FIELDS, "lane", "status", "open_records", "expire_at_us")
"""Fields kept of a batch with trouble: what it is filtered and ordered by, why it was set aside, when it ages out."""
MARKS = ("dead_at_us", "rejected_indexes", "open_records")
"""Fields that only a batch with trouble has."""
WAITING = "waiting"
"""A field besides: 1 of a dead batch, 2 of one that is being replayed. So one aggregation counts both: as many more as
its sum is than its count are being replayed.
"""
_LONG_AGO_US = 1
"""Nobody of ours may delete anything: what is to go expired long ago."""
_WAITING_OF = {"DEAD_LETTERED": 1, "REPLAYING": 2}


def is_troubled(batch: Document) -> bool:
    """Tell whether a batch, or a change of one, was set aside or has records that were rejected."""
    return any(batch.get(name) for name in MARKS)


def is_listed(troubled: Document) -> bool:
    """Tell whether a list or a count knows this batch: those that neither died nor have open records are in none."""
    return any(troubled.get(name) for name in ("dead_at_us", "open_records", WAITING))


def trouble_of(batch: Document) -> dict[str, Any]:
    """Return what is kept of a batch, what is empty left out."""
    return {name: value for name, value in _kept(batch).items() if value}


def _kept(fields: Document) -> dict[str, Any]:
    kept = {name: fields[name] for name in TROUBLED_FIELDS if name in fields}
    return {**kept, WAITING: _WAITING_OF.get(kept["status"])} if "status" in kept else kept


def troubled_changes(commit: Commit) -> Mapping[str, dict[str, Any]]:
    """Return the fields that a commit changes of what is kept of batches with trouble, empty ones included.

    Of a batch that must still be as it was read (on lane `ops` each must) all of them, so that what was never kept, or
    has aged out, is there again. On a source lane trouble begins, and shows in the change itself or in what was held.
    """
    found = dict[str, dict[str, Any]]()
    for batch_id, fields in commit.batches.items():
        whole = {**commit.held.get(batch_id, {}), **fields}
        if not is_troubled(whole):
            continue
        is_all = batch_id in commit.batch_tokens
        part = {"batch_id": batch_id, "lane": commit.lane, **_kept(fields)}
        found[batch_id] = trouble_anew(batch_id, whole) if is_all else part
    return found


def trouble_anew(batch_id: str, batch: Document) -> dict[str, Any]:
    """Return all fields of what is kept of a batch, empty ones included: of one without trouble it ages out at once."""
    trouble = trouble_of(batch) if is_troubled(batch) else {"expire_at_us": _LONG_AGO_US}
    return {**dict.fromkeys((*TROUBLED_FIELDS, WAITING)), **trouble, "batch_id": batch_id}


def read_from_batches(
    read_index: Callable[..., Sequence[IndexDocument]], limit: int, after: str | None
) -> Mapping[str, Document]:
    """Return what `Views.read_troubled` does, for a store that keeps nothing apart from its batches."""
    found: dict[str, Document] = {}
    while len(found) < limit and (page := read_index("batches", limit=limit, after=after)):
        found.update({each.key: trouble_of(each.document) for each in page if is_troubled(each.document)})
        after = page[-1].key
    return dict(islice(found.items(), limit))
