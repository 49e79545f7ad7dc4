"""What only the operators' lane `ops` holds: what becomes of a batch after it was dead-lettered, as frozen facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

Packed = bytes
"""Digests one after the other, `DIGEST_SIZE` bytes each."""
LATER: Mapping[str, bool] = {"later": True}
"""Marks a field that the first entries do not have: it is stored only when it says something other than its default, so
that what was written before reads and hashes as it did.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStarted:
    """The intent to append a dead batch again, or, with `indexes`, repaired records of a batch. Only the replayer of
    this `token` may say how it ended, until another takes over. `digests` packs the row digests of the repaired
    records in the order of `indexes`; `receipt` is empty outside a bulk replay.
    """

    TYPE: ClassVar[str] = "replay_started"
    batch_id: str
    token: str
    actor: str
    reason: str
    receipt: str
    forced: bool
    indexes: tuple[int, ...]
    digests: Packed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySucceeded:
    """BigQuery acknowledged every row of the dead batch that was not rejected: `rows` of them."""

    TYPE: ClassVar[str] = "replay_succeeded"
    batch_id: str
    token: str
    actor: str
    rows: int
    attempts: int
    receipt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFailed:
    """BigQuery refused again. With `indexes`: these repaired records, so another repair of them may be tried."""

    TYPE: ClassVar[str] = "replay_failed"
    batch_id: str
    token: str
    actor: str
    code: str
    error: str
    fingerprint: str
    receipt: str
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDiscarded:
    """A person closed a dead batch without sending it. `recovered`: its lane was recovered, so its records are read
    again; then it may have been COMMITTED by a replay, and nobody can reopen it.
    """

    TYPE: ClassVar[str] = "batch_discarded"
    batch_id: str
    actor: str
    reason: str
    recovered: bool = field(default=False, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReopened:
    """A person took a discard back."""

    TYPE: ClassVar[str] = "batch_reopened"
    batch_id: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReplayed:
    """Repaired records landed, with these row digests; the batch's status is none of their business."""

    TYPE: ClassVar[str] = "record_replayed"
    batch_id: str
    token: str
    actor: str
    indexes: tuple[int, ...]
    digests: Packed


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDiscarded:
    """A person closed rejected records without repairing them."""

    TYPE: ClassVar[str] = "record_discarded"
    batch_id: str
    actor: str
    reason: str
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptOpened:
    """A bulk replay of exactly these batches, as a filter found them; without `batch_ids`: it goes on after a stop."""

    TYPE: ClassVar[str] = "receipt_opened"
    receipt: str
    actor: str
    reason: str
    filter: Mapping[str, str]
    batch_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptClosed:
    """A bulk replay ended: `status` is `done` (what it did not try it skipped), `stopped` or `failed`."""

    TYPE: ClassVar[str] = "receipt_closed"
    receipt: str
    actor: str
    status: str


OpsEvent = (
    ReplayStarted
    | ReplaySucceeded
    | ReplayFailed
    | BatchDiscarded
    | BatchReopened
    | RecordReplayed
    | RecordDiscarded
    | ReceiptOpened
    | ReceiptClosed
)
"""What only the lane `ops` holds."""
