"""What can happen on a lane, as frozen facts in the past tense.

An event's `TYPE` is the stable name under which it is stored for ever (never a class path); its fields are plain values
(`str`, `int`, `bool`, `bytes`, tuples and mappings of them; floats do not hash alike everywhere).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from state.ops_events import (
    LATER,
    BatchDiscarded,
    BatchReopened,
    OpsEvent,
    Packed,
    ReceiptClosed,
    ReceiptOpened,
    RecordDiscarded,
    RecordReplayed,
    ReplayFailed,
    ReplayStarted,
    ReplaySucceeded,
)

__all__ = [
    "DIGEST_SIZE",
    "OPS_LANE",
    "BatchAttempted",
    "BatchCommitted",
    "BatchDeadLettered",
    "BatchDiscarded",
    "BatchReopened",
    "BatchSuperseded",
    "BatchesPublished",
    "CheckpointSet",
    "Event",
    "LaneRecovered",
    "OpsEvent",
    "Packed",
    "Paused",
    "Position",
    "ReceiptClosed",
    "ReceiptOpened",
    "RecordDiscarded",
    "RecordReplayed",
    "RecordsRejected",
    "ReplayFailed",
    "ReplayStarted",
    "ReplaySucceeded",
    "Resumed",
    "RunFailed",
    "RunFinished",
    "RunHeartbeat",
    "RunStarted",
]

DIGEST_SIZE = 16
"""Bytes of a `row_digest` or `record_digest`: the first half of a SHA-256."""

OPS_LANE = "ops"
"""The operators' lane: it alone says what becomes of a batch after it was dead-lettered."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a batch begins or ends: a page's cursor and how many of that page's records were taken already."""

    cursor: str | None
    taken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run took the lane. `trigger` is a label (the scheduler's tick, `cli`), never an identity. The range is what a
    backfill's lane is for; a lane that follows its source has none.
    """

    TYPE: ClassVar[str] = "run_started"
    run_id: str
    trigger: str
    takeover: bool
    code_version: str
    partitions: int
    range_from: str = field(default="", metadata=LATER)
    range_to: str = field(default="", metadata=LATER)
    range_partition: int = field(default=0, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeartbeat:
    """The run is alive though it had nothing else to write."""

    TYPE: ClassVar[str] = "run_heartbeat"
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAttempted:
    """The intent to append the `rows` + `rejected` records between `start` and `end`; durable before the first byte.

    `tail` packs the record digests of those that belong to the page at `end.cursor`; empty when `end.taken` is 0.
    """

    TYPE: ClassVar[str] = "batch_attempted"
    batch_id: str
    epoch: int
    start: Position
    end: Position
    rows: int
    rejected: int
    bytes: int
    ingest_time_us: int
    tail: Packed


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsRejected:
    """Records that cannot be rows, durable at `object`; once a stage (`encode`, `append`), in the settling entry."""

    TYPE: ClassVar[str] = "records_rejected"
    batch_id: str
    stage: str
    indexes: tuple[int, ...]
    object: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCommitted:
    """BigQuery acknowledged every row of the batch that was not rejected (`rows`, possibly 0)."""

    TYPE: ClassVar[str] = "batch_committed"
    batch_id: str
    rows: int
    attempts: int
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDeadLettered:
    """The batch is set aside: all its rows are durable at `object`, and the lane goes on after it. `kind` is `batch`
    (this one cannot be taken) or `systemic` (none could be), `storage_error` the number of a `StorageError` or 0.
    """

    TYPE: ClassVar[str] = "batch_dead_lettered"
    batch_id: str
    kind: str
    code: str
    storage_error: int
    error: str
    fingerprint: str
    attempts: int
    object: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSuperseded:
    """The source no longer yields this: its rows stay invisible for ever. The entry's version is the new epoch."""

    TYPE: ClassVar[str] = "batch_superseded"
    batch_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchesPublished:
    """BigQuery acknowledged the statements of every entry up to version `through` in the ledger table."""

    TYPE: ClassVar[str] = "batches_published"
    through: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The run ended by itself: `status` is `complete` or `partial`; `summary` is the contract's run summary. `isolate`:
    the page at its checkpoint holds a record that ends a process, so the next run must isolate from its start.
    """

    TYPE: ClassVar[str] = "run_finished"
    run_id: str
    status: str
    summary: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    isolate: bool = field(default=False, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed:
    """The run stopped on `error`, one line a person can act on."""

    TYPE: ClassVar[str] = "run_failed"
    run_id: str
    error: str
    summary: Mapping[str, str | int | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A person stopped the lane: runs skip until it is resumed."""

    TYPE: ClassVar[str] = "paused"
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A person let the lane go on."""

    TYPE: ClassVar[str] = "resumed"
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSet:
    """A person moved the lane on to `to` on purpose: what lies in between is not read (the one recorded exception to
    "nothing lost"). What was in doubt is superseded in the same entry. `never_passed`: the cursor is opaque, and the
    person vouches that the lane never passed it.
    """

    TYPE: ClassVar[str] = "checkpoint_set"
    actor: str
    reason: str
    to: Position
    never_passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRecovered:
    """A person let a lane go on that was unfinished beyond its retention: every batch newer than its snapshot is
    superseded, and reading starts again at the snapshot's checkpoint in a new epoch. `batch_ids` are those that the
    index knows, `forgotten_ids` those that only the ledger table tells of.
    """

    TYPE: ClassVar[str] = "lane_recovered"
    actor: str
    reason: str
    batch_ids: tuple[str, ...]
    forgotten_ids: tuple[str, ...]


Event = (
    RunStarted
    | RunHeartbeat
    | BatchAttempted
    | RecordsRejected
    | BatchCommitted
    | BatchDeadLettered
    | BatchSuperseded
    | BatchesPublished
    | RunFinished
    | RunFailed
    | Paused
    | Resumed
    | CheckpointSet
    | LaneRecovered
    | OpsEvent
)
