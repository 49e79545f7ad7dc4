"""What may become of a batch: the one table of legal status changes, and the refusals of people in words. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from state.events import (
    BatchAttempted,
    BatchCommitted,
    BatchDeadLettered,
    BatchDiscarded,
    BatchReopened,
    BatchSuperseded,
    LaneRecovered,
    RecordDiscarded,
    RecordReplayed,
    RecordsRejected,
    ReplayFailed,
    ReplayStarted,
    ReplaySucceeded,
)
from state.journal import Document
from state.ops_index import RUN_ACTOR, AskedEvent, BatchEvent, unpacked

Status = Literal["ATTEMPTED", "COMMITTED", "DEAD_LETTERED", "SUPERSEDED", "REPLAYING", "DISCARDED"]

MAX_REPLAYS = 3
"""Replays of one batch by people, unless forced; those of runs do not count, nor does taking over a replay."""
MAX_REPAIRS = 5_000
"""Repaired records of one batch: about 140 bytes each of its document, whose limit is 1 MiB."""

TRANSITIONS: Mapping[str, tuple[frozenset[Status], Status]] = MappingProxyType(
    {
        BatchAttempted.TYPE: (frozenset(), "ATTEMPTED"),
        BatchCommitted.TYPE: (frozenset({"ATTEMPTED"}), "COMMITTED"),
        BatchDeadLettered.TYPE: (frozenset({"ATTEMPTED"}), "DEAD_LETTERED"),
        BatchSuperseded.TYPE: (frozenset({"ATTEMPTED"}), "SUPERSEDED"),
        LaneRecovered.TYPE: (frozenset({"ATTEMPTED", "COMMITTED"}), "SUPERSEDED"),
        ReplayStarted.TYPE: (frozenset({"DEAD_LETTERED", "REPLAYING"}), "REPLAYING"),
        ReplaySucceeded.TYPE: (frozenset({"REPLAYING"}), "COMMITTED"),
        ReplayFailed.TYPE: (frozenset({"REPLAYING"}), "DEAD_LETTERED"),
        BatchDiscarded.TYPE: (frozenset({"DEAD_LETTERED", "REPLAYING"}), "DISCARDED"),
        BatchReopened.TYPE: (frozenset({"DISCARDED"}), "DEAD_LETTERED"),
    }
)
"""For each event, the statuses it may find (none: the batch is new) and the one it leaves. An event with record indexes
is about records and changes no status, nor do `records_rejected`, `record_replayed` and `record_discarded`. A recovery
of the lane also discards what a replay had COMMITTED, and nobody reopens that.
"""

OF_RECORDS: Mapping[str, frozenset[Status]] = MappingProxyType(
    {
        RecordsRejected.TYPE: frozenset({"ATTEMPTED", "REPLAYING"}),
        ReplayStarted.TYPE: frozenset({"COMMITTED", "DEAD_LETTERED", "REPLAYING"}),
        ReplayFailed.TYPE: frozenset({"COMMITTED", "DEAD_LETTERED", "REPLAYING", "DISCARDED"}),
        RecordReplayed.TYPE: frozenset({"COMMITTED", "DEAD_LETTERED", "REPLAYING", "DISCARDED"}),
        RecordDiscarded.TYPE: frozenset({"COMMITTED", "DEAD_LETTERED", "REPLAYING", "DISCARDED"}),
    }
)
"""The statuses of a batch under which something may happen to its rejected records."""

_NEXT: Mapping[str, str] = MappingProxyType(
    {
        "ATTEMPTED": "it is in doubt: the next run settles it",
        "COMMITTED": "its rows are visible: nothing is left to do with it, only with its rejected records",
        "DEAD_LETTERED": "it can be replayed or discarded",
        "SUPERSEDED": "the source no longer yields it: its rows stay invisible, nothing can be done with it",
        "REPLAYING": "a replay of it is under way or died: replay it again to take it over, or discard it",
        "DISCARDED": "reopen it first (`ingestor batches reopen`)",
    }
)


def refusal(document: Document | None, event: AskedEvent) -> str | None:
    """Return why the operators' event may not happen to this batch now, and what can be done; None when it may."""
    if document is None:
        return f"batch {event.batch_id} is not known; find it with `ingestor batches list`"
    why = _unsaid(event) or _of_status(document, event) or _of_replay(document, event) or _of_records(document, event)
    return f"batch {event.batch_id} {why}" if why else None


def contradiction(document: Document, event: BatchEvent) -> str | None:
    """Return why a journaled event cannot follow this document, whatever limits hold today; None when it can."""
    why = _of_status(document, event) or _of_token(document, event)
    return f"batch {event.batch_id} {why}" if why else None


def transitions_text() -> str:
    """Return the table as Markdown, for the documents."""
    rows = [
        f"| `{name}` | {', '.join(sorted(found)) or 'none: it is new'} | {left} |"
        for name, (found, left) in TRANSITIONS.items()
    ]
    return "\n".join(["| event | finds the batch | leaves it |", "|---|---|---|", *rows])


def _unsaid(event: AskedEvent) -> str | None:
    if not event.actor:
        return "changes only by somebody's name; say who (actor)"
    needs_reason = (isinstance(event, ReplayStarted) and event.forced) or isinstance(
        event, BatchDiscarded | RecordDiscarded
    )
    if needs_reason and not (isinstance(event, ReplayStarted | BatchDiscarded | RecordDiscarded) and event.reason):
        return "needs a reason for this: say why (reason)"
    return None


def _of_status(document: Document, event: BatchEvent) -> str | None:
    allowed = OF_RECORDS[event.TYPE] if _is_of_records(event) else TRANSITIONS[event.TYPE][0]
    status = str(document.get("status"))
    if document.get("recovered") and isinstance(event, BatchReopened):
        return "was closed when its lane was recovered: its records were read again, nothing is left to reopen"
    if isinstance(event, BatchDiscarded) and event.recovered:
        allowed |= {"COMMITTED", "DISCARDED"}
    if status in allowed:
        return None
    who = f" since {document['last_actor']} acted on it" if document.get("last_actor") else ""
    return f"is {status}{who}; {_NEXT.get(status, 'run `ingestor ledger verify`')}"


def _is_of_records(event: BatchEvent) -> bool:
    match event:
        case RecordReplayed() | RecordDiscarded() | RecordsRejected():
            return True
        case ReplayStarted() | ReplayFailed():
            return bool(event.indexes)
        case _:
            return False


def _of_replay(document: Document, event: AskedEvent) -> str | None:
    if not isinstance(event, ReplayStarted) or event.indexes:
        return _of_token(document, event)
    is_counted = document["status"] == "DEAD_LETTERED" and event.actor != RUN_ACTOR
    if is_counted and not event.forced and document.get("replays", 0) >= MAX_REPLAYS:
        return (
            f"was replayed {document['replays']} times by people, {MAX_REPLAYS} are allowed; "
            "mend the cause and replay with --force and a reason, or discard it"
        )
    return None


def _of_token(document: Document, event: BatchEvent) -> str | None:
    is_end = isinstance(event, ReplaySucceeded | ReplayFailed) and not _is_of_records(event)
    if is_end and document.get("replay_token") != getattr(event, "token", None):
        return f"was taken over by {document.get('last_actor')}; leave it to them, or replay it again"
    return None


def _of_records(document: Document, event: AskedEvent) -> str | None:
    if isinstance(event, _WHOLE) or not _is_of_records(event):
        return None
    if not event.indexes:
        return "is asked about no record; name the indexes (`ingestor records list`)"
    if wrong := sorted(set(event.indexes) - set(document.get("rejected_indexes", []))):
        return f"rejected no record {_named(wrong)}; see `ingestor records list {event.batch_id}`"
    match event:
        case ReplayStarted():
            return _of_claim(document, event)
        case RecordReplayed():
            return _of_landing(document, event)
        case _:
            return _of_discard(document, event) if isinstance(event, RecordDiscarded) else None


_WHOLE = (ReplaySucceeded, BatchDiscarded, BatchReopened)


def _of_claim(document: Document, event: ReplayStarted) -> str | None:
    repairs = document.get("repairs", {})
    if gone := sorted(set(event.indexes) & set(document.get("discarded_indexes", []))):
        return f"has record {_named(gone)} discarded; leave it out of the repair"
    for index, digest in unpacked(event.indexes, event.digests).items():
        repair = repairs.get(str(index))
        if repair is not None and repair["digest"] != digest.hex():
            has = "was replayed" if repair["state"] == "landed" else "is being replayed"
            return f"has record {index}, which {has} as a different repair; only that same repair may be sent again"
    if len({*repairs, *map(str, event.indexes)}) > MAX_REPAIRS:
        return f"takes at most {MAX_REPAIRS} repaired records; discard the others"
    return None


def _of_landing(document: Document, event: RecordReplayed) -> str | None:
    repairs = document.get("repairs", {})
    for index, digest in unpacked(event.indexes, event.digests).items():
        repair = repairs.get(str(index))
        if repair is None or repair["digest"] != digest.hex():
            return f"has no claim of this repair of record {index}; run `ingestor reconcile`, the row may have landed"
    return None


def _of_discard(document: Document, event: RecordDiscarded) -> str | None:
    repairs = document.get("repairs", {})
    held = [index for index in event.indexes if str(index) in repairs]
    if any(repairs[str(index)]["state"] == "claimed" for index in held):
        return f"has a repair of record {_named(held)} under way; replay the same repair again to end it first"
    return f"has record {_named(held)} replayed already; nothing is left to discard" if held else None


def _named(indexes: list[int]) -> str:
    shown = ", ".join(str(index) for index in indexes[:5])
    return f"{shown} and {len(indexes) - 5} more" if len(indexes) > 5 else shown  # noqa: PLR2004 - a line's worth
