"""What can happen on a lane, as frozen facts in the past tense.

An event says what happened and nothing about storage. Its `TYPE` is the stable name under which it is stored for
ever (never a class path); fields are plain values (`str`, `int`, `bool`, `bytes`, tuples and mappings of them), so
every event survives a round trip through the codec unchanged. Floats are avoided: they do not hash alike everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

DIGEST_SIZE = 16
"""Bytes of a `row_digest` or `record_digest`: the first half of a SHA-256."""

Packed = bytes
"""Digests one after the other, `DIGEST_SIZE` bytes each."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a batch begins or ends: a page's cursor and how many of that page's records were taken already."""

    cursor: str | None
    taken: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run took the lane. `trigger` is a label (the scheduler's tick, `cli`), never an identity."""

    TYPE: ClassVar[str] = "run_started"
    run_id: str
    trigger: str
    takeover: bool
    code_version: str
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeartbeat:
    """The run is alive though it had nothing else to write."""

    TYPE: ClassVar[str] = "run_heartbeat"
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAttempted:
    """The intent to append a batch; durable before its first byte is sent.

    `rows` + `rejected` records of the source lie between `start` and `end`. `tail` packs the record digests (16 bytes
    each) of the batch's records that belong to the page at `end.cursor`; empty when `end.taken` is 0.
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
    """Records of a batch that cannot become rows; their originals are durable at `object`. Shares the entry that
    settles the batch.
    """

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
class BatchSuperseded:
    """The source no longer yields what was attempted: the batch's rows, if any landed, stay invisible for ever.
    The version of the entry is the lane's new epoch.
    """

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
    """The run ended by itself: `status` is `complete` or `partial`; `summary` is the contract's run summary."""

    TYPE: ClassVar[str] = "run_finished"
    run_id: str
    status: str
    summary: Mapping[str, str | int | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed:
    """The run stopped on `error`, one line a person can act on."""

    TYPE: ClassVar[str] = "run_failed"
    run_id: str
    error: str
    summary: Mapping[str, str | int | bool | None] = field(default_factory=dict)


Event = (
    RunStarted
    | RunHeartbeat
    | BatchAttempted
    | RecordsRejected
    | BatchCommitted
    | BatchSuperseded
    | BatchesPublished
    | RunFinished
    | RunFailed
)
