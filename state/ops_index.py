"""What an entry of lane `ops` changes in the index documents, given these documents as they were before. Pure.

The state of a batch on `ops` is its index document: unlike a source lane's events these build on what is there
(counts, repairs, receipts), so the writer reads first and writes under the token it read, and `verify` folds on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from state.errors import CorruptHistory
from state.events import (
    DIGEST_SIZE,
    OPS_LANE,
    BatchDiscarded,
    BatchesPublished,
    BatchReopened,
    Event,
    ReceiptClosed,
    ReceiptOpened,
    RecordDiscarded,
    RecordReplayed,
    RecordsRejected,
    ReplayFailed,
    ReplayStarted,
    ReplaySucceeded,
)
from state.fold import Moment
from state.index import IndexChanges, is_done, rejected_by
from state.journal import Document
from state.receipts import FAILED, SUCCEEDED, Letter, answered, closed, opened

RUN_ACTOR = "run"
"""The actor of a run's own replays (probes, and the healing after them): they count towards no cap."""

AskedEvent = (
    ReplayStarted | ReplaySucceeded | ReplayFailed | BatchDiscarded | BatchReopened | RecordReplayed | RecordDiscarded
)
"""What somebody wants of a batch, or did to it."""
BatchEvent = AskedEvent | RecordsRejected
"""All that changes a batch on this lane: a replay's end says first which rows BigQuery refused."""

BUILT_UPON = frozenset(
    {
        "attempted_version",
        "replays",
        "rejections",
        "rejected_indexes",
        "rejected",
        "repairs",
        "discarded_indexes",
        "open_records",
        "expire_at_us",
    }
)
"""Fields whose value after an event rests on the one before, so that a part of the history does not tell them; the
first of them says that a document is told from its beginning.
"""
CHANGED_BY_OPS = BUILT_UPON | {
    "status",
    "rows",
    "attempts",
    "error_code",
    "storage_error",
    "error",
    "fingerprint",
    "replay_token",
    "last_actor",
    "last_reason",
    "last_answer",
    "ops_version",
    "ops_at_us",
    "recovered",
}
"""Fields that this lane's events change at all."""


@dataclass(frozen=True, slots=True)
class Held:
    """Documents as they were read: those that an entry of lane `ops` changes."""

    batches: Mapping[str, Document] = field(default_factory=dict)
    receipts: Mapping[str, Document] = field(default_factory=dict)


def ops_changes(held: Held, events: Iterable[Event], moment: Moment, *, retention_us: int) -> IndexChanges:
    """Return what one entry of lane `ops` changes.

    Raises:
        CorruptHistory: an event belongs on a source lane.
    """
    changes = IndexChanges()
    for event in events:
        match event:
            case BatchesPublished():
                pass
            case ReceiptOpened():
                before = held.receipts.get(event.receipt)
                changes.receipts.setdefault(event.receipt, {}).update(opened(before, event, moment))
            case ReceiptClosed():
                before = held.receipts.get(event.receipt, {})
                expire_at_us = moment.at_us + retention_us
                changes.receipts.setdefault(event.receipt, {}).update(closed(before, event, moment, expire_at_us))
            case (
                ReplayStarted()
                | ReplaySucceeded()
                | ReplayFailed()
                | BatchDiscarded()
                | BatchReopened()
                | RecordReplayed()
                | RecordDiscarded()
                | RecordsRejected()
            ):
                _batch(changes, held, event, moment, retention_us)
            case _:
                raise CorruptHistory(f"{event.TYPE} stands on lane {OPS_LANE}; only a source lane may say so")
    return changes


def _batch(changes: IndexChanges, held: Held, event: BatchEvent, moment: Moment, retention_us: int) -> None:
    changed = changes.batches.setdefault(event.batch_id, {})
    before = {**held.batches.get(event.batch_id, {}), **changed}
    changed.update(_changed(before, event))
    if isinstance(event, AskedEvent):
        changed.update(last_actor=event.actor, ops_version=moment.version, ops_at_us=moment.at_us)
    after = {**before, **changed}
    changed["expire_at_us"] = moment.at_us + retention_us if is_done(after) else None
    letter = _letter(event)
    receipt = event.receipt if isinstance(event, ReplaySucceeded | ReplayFailed) else ""
    if letter and receipt in held.receipts:
        changed_receipt = changes.receipts.setdefault(receipt, {})
        held_receipt = {**held.receipts[receipt], **changed_receipt}
        changed_receipt.update(answered(held_receipt, event.batch_id, letter, moment))


def _letter(event: BatchEvent) -> Letter | None:
    match event:
        case ReplaySucceeded():
            return SUCCEEDED
        case ReplayFailed() if not event.indexes:
            return FAILED
        case _:
            return None


def _changed(before: Document, event: BatchEvent) -> dict[str, Any]:  # noqa: C901, PLR0911 - one a kind of event
    match event:
        case ReplayStarted() if event.indexes:
            return {**_claimed(before, event), "last_reason": event.reason}
        case ReplayStarted():
            is_new = before.get("status") != "REPLAYING" and event.actor != RUN_ACTOR
            replays = before.get("replays", 0) + is_new
            token = {"replay_token": event.token, "last_reason": event.reason}
            return {"status": "REPLAYING", "replays": replays, **token}
        case ReplaySucceeded():
            outcome = {"rows": event.rows, "attempts": event.attempts, "last_answer": "OK"}
            return {"status": "COMMITTED", **outcome}
        case ReplayFailed() if event.indexes:
            return {**_released(before, event), "last_answer": f"{event.code}: {event.error}"}
        case ReplayFailed():
            error = {"error_code": event.code, "error": event.error, "fingerprint": event.fingerprint}
            answer = {"storage_error": 0, "last_answer": f"{event.code}: {event.error}"}
            return {"status": "DEAD_LETTERED", **error, **answer}
        case BatchDiscarded():
            recovered = {"recovered": True} if event.recovered else {}
            return {"status": "DISCARDED", "last_reason": event.reason, **recovered}
        case BatchReopened():
            return {"status": "DEAD_LETTERED", "last_reason": event.reason}
        case RecordReplayed():
            return {**_landed(before, event), "last_answer": "OK"}
        case RecordDiscarded():
            discarded = sorted({*before.get("discarded_indexes", []), *event.indexes})
            return {**_records({**before, "discarded_indexes": discarded}), "last_reason": event.reason}
        case RecordsRejected():
            rejected = rejected_by(before, event)
            return {**rejected, "open_records": _records({**before, **rejected})["open_records"]}
        case _:
            assert_never(event)


def _claimed(before: Document, event: ReplayStarted) -> dict[str, Any]:
    """A claim carries its token until it ends; what landed stays landed."""
    repairs = dict(before.get("repairs", {}))
    for index, digest in unpacked(event.indexes, event.digests).items():
        if repairs.get(str(index), {}).get("state") != "landed":
            repairs[str(index)] = {"digest": digest.hex(), "state": "claimed", "token": event.token}
    return _records({**before, "repairs": repairs})


def _released(before: Document, event: ReplayFailed) -> dict[str, Any]:
    """Only its own claims: another replayer with the same repair may be at work on the same record."""
    mine = {str(index) for index in event.indexes}
    repairs = {
        index: repair
        for index, repair in before.get("repairs", {}).items()
        if not (index in mine and repair["state"] == "claimed" and repair["token"] == event.token)
    }
    return _records({**before, "repairs": repairs})


def _landed(before: Document, event: RecordReplayed) -> dict[str, Any]:
    landed = {
        str(index): {"digest": digest.hex(), "state": "landed"}
        for index, digest in unpacked(event.indexes, event.digests).items()
    }
    return _records({**before, "repairs": {**before.get("repairs", {}), **landed}})


def _records(batch: Document) -> dict[str, Any]:
    repairs, discarded = batch.get("repairs", {}), list(batch.get("discarded_indexes", []))
    done = {int(index) for index, repair in repairs.items() if repair["state"] == "landed"} | set(discarded)
    still_open = len(set(batch.get("rejected_indexes", [])) - done)
    return {"repairs": repairs, "discarded_indexes": discarded, "open_records": still_open}


def unpacked(indexes: tuple[int, ...], digests: bytes) -> dict[int, bytes]:
    """Return the digest of each index.

    Raises:
        CorruptHistory: there are not as many digests as indexes.
    """
    if len(digests) != len(indexes) * DIGEST_SIZE:
        raise CorruptHistory(f"{len(indexes)} records with {len(digests)} digest bytes, {DIGEST_SIZE} are one digest")
    return {index: digests[at * DIGEST_SIZE : (at + 1) * DIGEST_SIZE] for at, index in enumerate(indexes)}
