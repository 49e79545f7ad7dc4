"""What an entry changes in the index documents, as fields to merge into them. Pure.

The index answers questions (which batches, which runs) that would otherwise mean reading whole journals; it is never
read to decide anything on a lane. Folding a whole journal through the same function gives the same documents, which
is how `verify` checks them. Only `row_digests` is not of the journal: the caller adds it to a batch at its attempt.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from state.codec import encode_event
from state.errors import CorruptHistory
from state.events import (
    OPS_LANE,
    BatchAttempted,
    BatchCommitted,
    BatchDeadLettered,
    BatchesPublished,
    BatchSuperseded,
    CheckpointSet,
    Event,
    LaneRecovered,
    Paused,
    RecordsRejected,
    Resumed,
    RunFailed,
    RunFinished,
    RunHeartbeat,
    RunStarted,
)
from state.fold import LaneState, Moment
from state.journal import Document

BATCH_FIELDS = (
    "batch_id",
    "pipeline",
    "lane",
    "status",
    "epoch",
    "start",
    "end",
    "rows",
    "rejected",
    "bytes",
    "ingest_time_us",
    "attempted_version",
    "attempted_run",
    "attempted_at_us",
    "settled_version",
    "settled_run",
    "settled_at_us",
    "attempts",
    "latency_ms",
    "error_code",
    "storage_error",
    "error",
    "fingerprint",
    "dead_kind",
    "dead_object",
    "dead_generation",
    "dead_version",
    "dead_at_us",
    "replays",
    "replay_token",
    "last_actor",
    "last_reason",
    "last_answer",
    "ops_version",
    "ops_at_us",
    "rejections",
    "rejected_indexes",
    "repairs",
    "discarded_indexes",
    "open_records",
    "recovered",
    "expire_at_us",
)
"""Every field of a batch's document but `row_digests`: what a list of batches reads."""

_OF_THE_ATTEMPT = ("batch_id", "epoch", "start", "end", "rows", "rejected", "bytes", "ingest_time_us")
_NOT_YET_SETTLED: Document = {
    "settled_version": None,
    "settled_run": None,
    "settled_at_us": None,
    "attempts": 0,
    "latency_ms": None,
    "error_code": None,
    "storage_error": 0,
    "error": None,
    "fingerprint": None,
    "dead_kind": None,
    "dead_object": None,
    "dead_generation": None,
    "dead_version": None,
    "dead_at_us": None,
    "replays": 0,
    "replay_token": None,
    "last_actor": None,
    "last_reason": None,
    "last_answer": None,
    "ops_version": None,
    "ops_at_us": None,
    "rejections": [],
    "rejected_indexes": [],
    "repairs": {},
    "discarded_indexes": [],
    "open_records": 0,
}

UNSET: Document = {name: value for name, value in _NOT_YET_SETTLED.items() if value is None or name == "open_records"}
"""What a batch's fields say until something happened to it. A store may leave them out, and a reader puts them back."""

Outcome = RecordsRejected | BatchCommitted | BatchDeadLettered | BatchSuperseded


@dataclass(frozen=True, slots=True)
class IndexChanges:
    """Fields to merge into documents, by the documents' ids."""

    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def merge(self, later: "IndexChanges") -> None:
        """Merge what a later entry changes into this."""
        pairs = ((self.batches, later.batches), (self.runs, later.runs), (self.receipts, later.receipts))
        for mine, theirs in pairs:
            for key, document in theirs.items():
                mine.setdefault(key, {}).update(document)


def index_changes(  # noqa: C901, PLR0913 - what an entry is, and where it stands
    pipeline: str, lane: str, before: LaneState, events: Iterable[Event], moment: Moment, *, retention_us: int
) -> IndexChanges:
    """Return what one entry of a source lane changes. `before`, the lane's state without it, tells who was taken over.

    A document that nobody needs to act on any more carries `expire_at_us`, the entry's time plus `retention_us`:
    a run that ended, a batch superseded, or committed without open rejected records.

    Raises:
        CorruptHistory: the lane is the operators', or the event is one of theirs.
    """
    if lane == OPS_LANE:
        raise CorruptHistory(f"lane {lane} is the operators': what happens on it changes documents as they were read")
    changes = IndexChanges()
    expire_at_us = moment.at_us + retention_us
    for event in events:
        match event:
            case BatchAttempted():
                changes.batches.setdefault(event.batch_id, {}).update(_attempted(pipeline, lane, event, moment))
            case RecordsRejected() | BatchCommitted() | BatchDeadLettered() | BatchSuperseded():
                batch = changes.batches.setdefault(event.batch_id, {})
                batch.update(_outcome(batch, event, moment))
            case RunStarted():
                if before.run_open and before.run_id != event.run_id:
                    changes.runs[before.run_id] = _taken_over(lane, before.run_id, event, moment, expire_at_us)
                changes.runs.setdefault(event.run_id, {}).update(_started(lane, event, moment))
            case RunFinished() | RunFailed():
                changes.runs.setdefault(event.run_id, {}).update(_ended(lane, event, moment, expire_at_us))
            case Paused() | CheckpointSet() | LaneRecovered():
                _stopped_by_a_person(changes, lane, before, event, moment, expire_at_us)
            case RunHeartbeat() | BatchesPublished() | Resumed():
                pass
            case _:
                raise CorruptHistory(f"{event.TYPE} stands on lane {lane}; only lane {OPS_LANE} may say so")
    for batch in changes.batches.values():
        if is_done(batch):
            batch["expire_at_us"] = expire_at_us
    return changes


def _attempted(pipeline: str, lane: str, event: BatchAttempted, moment: Moment) -> dict[str, Any]:
    document = encode_event(event)
    attempt = {name: document[name] for name in _OF_THE_ATTEMPT}
    stamps = {
        "attempted_version": moment.version,
        "attempted_run": moment.run_id,
        "attempted_at_us": moment.at_us,
    }
    return {"pipeline": pipeline, "lane": lane, "status": "ATTEMPTED", **attempt, **stamps, **_NOT_YET_SETTLED}


def _outcome(batch: Mapping[str, Any], event: Outcome, moment: Moment) -> dict[str, Any]:
    match event:
        case RecordsRejected():
            return rejected_by(batch, event)
        case BatchCommitted():
            outcome = {"rows": event.rows, "attempts": event.attempts, "latency_ms": event.latency_ms}
            return {"status": "COMMITTED", **_settled(moment), **outcome}
        case BatchDeadLettered():
            return {"status": "DEAD_LETTERED", **_settled(moment), **_dead(event, moment)}
        case BatchSuperseded():
            return {"status": "SUPERSEDED", **_settled(moment)}
        case _:
            assert_never(event)


def rejected_by(batch: Mapping[str, Any], event: RecordsRejected) -> dict[str, Any]:
    """Return what a rejection changes, given the batch's rejections before it: on a source lane all share one entry."""
    rejection = {
        "stage": event.stage,
        "indexes": list(event.indexes),
        "object": event.object,
        "generation": event.generation,
    }
    indexes = sorted({*batch.get("rejected_indexes", []), *event.indexes})
    return {
        "rejections": [*batch.get("rejections", []), rejection],
        "rejected_indexes": indexes,
        "rejected": len(indexes),
        "open_records": len(indexes),
    }


def _dead(event: BatchDeadLettered, moment: Moment) -> dict[str, Any]:
    return {
        "attempts": event.attempts,
        "error_code": event.code,
        "storage_error": event.storage_error,
        "error": event.error,
        "fingerprint": event.fingerprint,
        "dead_kind": event.kind,
        "dead_object": event.object,
        "dead_generation": event.generation,
        "dead_version": moment.version,
        "dead_at_us": moment.at_us,
    }


def _settled(moment: Moment) -> dict[str, Any]:
    return {"settled_version": moment.version, "settled_run": moment.run_id, "settled_at_us": moment.at_us}


def is_done(batch: Mapping[str, Any]) -> bool:
    """Tell whether nobody needs to act on a batch any more, so that its document may age out."""
    status = batch.get("status")
    return status == "SUPERSEDED" or (status in {"COMMITTED", "DISCARDED"} and not batch.get("open_records"))


def _started(lane: str, event: RunStarted, moment: Moment) -> dict[str, Any]:
    return {
        "run_id": event.run_id,
        "lane": lane,
        "status": "running",
        "trigger": event.trigger,
        "takeover": event.takeover,
        "code_version": event.code_version,
        "partitions": event.partitions,
        "started_at_us": moment.at_us,
        "started_version": moment.version,
        "finished_at_us": None,
        "finished_version": None,
        "error": None,
    }


def _ended(lane: str, event: RunFinished | RunFailed, moment: Moment, expire_at_us: int) -> dict[str, Any]:
    outcome = (
        {"status": event.status, "error": None}
        if isinstance(event, RunFinished)
        else {"status": "failed", "error": event.error}
    )
    return {**event.summary, "run_id": event.run_id, "lane": lane, **outcome, **_end(moment, expire_at_us)}


def _taken_over(lane: str, run_id: str, by: RunStarted, moment: Moment, expire_at_us: int) -> dict[str, Any]:
    error = f"ended without a word; run {by.run_id} took the lane over"
    return {"run_id": run_id, "lane": lane, "status": "failed", "error": error, **_end(moment, expire_at_us)}


def _stopped_by_a_person(  # noqa: PLR0913, PLR0917 - what an entry is, and where it stands
    changes: IndexChanges,
    lane: str,
    before: LaneState,
    event: Paused | CheckpointSet | LaneRecovered,
    moment: Moment,
    expire_at_us: int,
) -> None:
    """A run that meets such an entry writes nothing more, so the entry ends it; a recovery ends its batches too."""
    status = "partial"
    if isinstance(event, LaneRecovered):
        status = "failed"
        for batch_id in event.batch_ids:
            changes.batches.setdefault(batch_id, {}).update(status="SUPERSEDED", **_settled(moment))
    if before.run_open:
        said = f"{event.actor} {_DONE_BY_A_PERSON[type(event)]}" + (f": {event.reason}" if event.reason else "")
        run = {"run_id": before.run_id, "lane": lane, "status": status, "error": said, **_end(moment, expire_at_us)}
        changes.runs.setdefault(before.run_id, {}).update(run)


_DONE_BY_A_PERSON = {
    Paused: "paused the lane",
    CheckpointSet: "set the checkpoint",
    LaneRecovered: "recovered the lane, unfinished beyond its retention",
}


def _end(moment: Moment, expire_at_us: int) -> dict[str, Any]:
    return {"finished_at_us": moment.at_us, "finished_version": moment.version, "expire_at_us": expire_at_us}
