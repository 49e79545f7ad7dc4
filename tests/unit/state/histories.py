"""Words to tell a lane's history with, shared by the tests of the ledger."""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence

from state.events import (
    DIGEST_SIZE,
    BatchAttempted,
    BatchCommitted,
    BatchDeadLettered,
    BatchDiscarded,
    BatchesPublished,
    BatchReopened,
    BatchSuperseded,
    CheckpointSet,
    Event,
    LaneRecovered,
    Paused,
    Position,
    ReceiptClosed,
    ReceiptOpened,
    RecordDiscarded,
    RecordReplayed,
    RecordsRejected,
    ReplayFailed,
    ReplayStarted,
    ReplaySucceeded,
    Resumed,
    RunFailed,
    RunFinished,
    RunHeartbeat,
    RunStarted,
)
from state.fold import LaneState
from state.journal import Journal
from state.ledger import Landed, LaneLedger
from state.ops import OpsLedger

PIPELINE = "flights"
LANE = "0"
T0_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000


def digests(*records: object) -> bytes:
    return b"".join(hashlib.sha256(repr(record).encode()).digest()[:DIGEST_SIZE] for record in records)


def started(run_id: str = "run-1", *, takeover: bool = False) -> RunStarted:
    return RunStarted(run_id=run_id, trigger="cli", takeover=takeover, code_version="1.0", partitions=1)


def attempted(batch_id: str, number: int = 0, *, epoch: int = 0, rows: int = 3) -> BatchAttempted:
    """One batch per page: page `number`, whole."""
    start = Position(None if number == 0 else f"page-{number}")
    return BatchAttempted(
        batch_id=batch_id,
        epoch=epoch,
        start=start,
        end=Position(f"page-{number + 1}"),
        rows=rows,
        rejected=0,
        bytes=300,
        ingest_time_us=T0_US,
        tail=b"",
    )


def committed(batch_id: str, rows: int = 3) -> BatchCommitted:
    return BatchCommitted(batch_id=batch_id, rows=rows, attempts=1, latency_ms=20)


def superseded(batch_id: str) -> BatchSuperseded:
    return BatchSuperseded(batch_id=batch_id, reason="the source rewrote records")


def rejected(batch_id: str, *indexes: int) -> RecordsRejected:
    place = f"flights/records/2026/11/23/{batch_id}.jsonl"
    return RecordsRejected(batch_id=batch_id, stage="encode", indexes=indexes, object=place, generation=7)


def rejected_by_bigquery(batch_id: str, *indexes: int) -> RecordsRejected:
    place = f"flights/records/2026/11/23/{batch_id}.ab12.jsonl"
    return RecordsRejected(batch_id=batch_id, stage="append", indexes=indexes, object=place, generation=8)


def dead(batch_id: str, *, kind: str = "batch") -> BatchDeadLettered:
    return BatchDeadLettered(
        batch_id=batch_id,
        kind=kind,
        code="INVALID_ARGUMENT",
        storage_error=7,
        error="field carrier is missing",
        fingerprint="f1",
        attempts=2,
        object=f"flights/batches/2026/11/23/{batch_id}.binpb",
        generation=9,
    )


def paused() -> Paused:
    return Paused(actor="ann", reason="the source is being moved")


def resumed() -> Resumed:
    return Resumed(actor="bob")


def checkpoint_set(to: str = "page-9") -> CheckpointSet:
    return CheckpointSet(actor="ann", reason="two days of test data", to=Position(to), never_passed=True)


def recovered(*batch_ids: str, forgotten: tuple[str, ...] = ()) -> LaneRecovered:
    return LaneRecovered(actor="ann", reason="a spring holiday", batch_ids=batch_ids, forgotten_ids=forgotten)


def replay(
    batch_id: str, replayer: str = "t1", *indexes: int, actor: str = "ann", receipt: str = "", forced: bool = False
) -> ReplayStarted:
    return ReplayStarted(
        batch_id=batch_id,
        token=replayer,
        actor=actor,
        reason="the column is there now",
        receipt=receipt,
        forced=forced,
        indexes=indexes,
        digests=digests(*indexes),
    )


def replayed(batch_id: str, replayer: str = "t1", *, actor: str = "ann", receipt: str = "") -> ReplaySucceeded:
    return ReplaySucceeded(batch_id=batch_id, token=replayer, actor=actor, rows=3, attempts=1, receipt=receipt)


def not_replayed(
    batch_id: str, replayer: str = "t1", *indexes: int, actor: str = "ann", receipt: str = ""
) -> ReplayFailed:
    return ReplayFailed(
        batch_id=batch_id,
        token=replayer,
        actor=actor,
        code="NOT_FOUND",
        error="no such table",
        fingerprint="f2",
        receipt=receipt,
        indexes=indexes,
    )


def discarded(batch_id: str, *, recovered: bool = False) -> BatchDiscarded:
    return BatchDiscarded(batch_id=batch_id, actor="ann", reason="a test's data", recovered=recovered)


def reopened(batch_id: str) -> BatchReopened:
    return BatchReopened(batch_id=batch_id, actor="bob", reason="no test after all")


def records_replayed(batch_id: str, replayer: str = "t1", *indexes: int) -> RecordReplayed:
    return RecordReplayed(batch_id=batch_id, token=replayer, actor="ann", indexes=indexes, digests=digests(*indexes))


def records_discarded(batch_id: str, *indexes: int) -> RecordDiscarded:
    return RecordDiscarded(batch_id=batch_id, actor="ann", reason="empty lines", indexes=indexes)


def receipt_opened(receipt: str, *batch_ids: str) -> ReceiptOpened:
    selection = {"status": "DEAD_LETTERED"} if batch_ids else {}
    return ReceiptOpened(receipt=receipt, actor="ann", reason="after the outage", filter=selection, batch_ids=batch_ids)


def receipt_closed(receipt: str, status: str = "done") -> ReceiptClosed:
    return ReceiptClosed(receipt=receipt, actor="bob", status=status)


def published(through: int) -> BatchesPublished:
    return BatchesPublished(through=through)


def heartbeat(run_id: str = "run-1") -> RunHeartbeat:
    return RunHeartbeat(run_id=run_id)


def finished(run_id: str = "run-1") -> RunFinished:
    return RunFinished(run_id=run_id, status="complete", summary={"records": 3, "balanced": True, "checkpoint": None})


def failed(run_id: str = "run-1") -> RunFailed:
    return RunFailed(run_id=run_id, error="source: HTTP 404; check SOURCE_URL", summary={"records": 0})


class Clock:
    """A clock that only moves when it is slept on or told to."""

    def __init__(self, now_us: int = T0_US) -> None:
        self.now_us = now_us
        self.slept_s: list[float] = []

    def read_us(self) -> int:
        return self.now_us

    def read_s(self) -> float:
        return self.now_us / 1e6

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_us += int(seconds * 1e6)


_nonces = itertools.count()


def writer(
    journal: Journal,
    lane: str = LANE,
    *,
    clock: Clock | None = None,
    nonce: Callable[[], str] | None = None,
    pipeline: str = PIPELINE,
) -> LaneLedger:
    """Return a writer that is not open yet. Its waits take no time."""
    clock = clock or Clock()
    return LaneLedger(
        journal,
        pipeline,
        lane,
        now_us=clock.read_us,
        nonce=nonce or (lambda: f"nonce-{next(_nonces)}"),
        sleep=clock.sleep,
        retention_days=90,
    )


def operator(
    journal: Journal, *, clock: Clock | None = None, nonce: Callable[[], str] | None = None, run_id: str = ""
) -> OpsLedger:
    """Return a writer of lane `ops`. Its waits take no time."""
    clock = clock or Clock()
    return OpsLedger(
        journal,
        PIPELINE,
        now_us=clock.read_us,
        nonce=nonce or (lambda: f"nonce-{next(_nonces)}"),
        sleep=clock.sleep,
        retention_days=90,
        run_id=run_id,
    )


def tell(ledger: LaneLedger, entries: Sequence[Sequence[Event]], run_id: str = "run-1") -> LaneState:
    """Append the entries, one after the other, each attempted batch with digests of its rows."""
    for events in entries:
        landed(ledger, events, run_id)
    return ledger.state


def landed(ledger: LaneLedger, events: Sequence[Event], run_id: str = "run-1") -> Landed:
    packed: Mapping[str, bytes] = {
        event.batch_id: digests(*range(event.rows)) for event in events if isinstance(event, BatchAttempted)
    }
    return ledger.append(events, run_id=run_id, digests=packed)


def whole_run(number: int) -> list[list[Event]]:
    """A run that commits, publishes and finishes; run ids sort by number."""
    run_id, first = f"run-{number:04d}", 2 * number
    return [
        [started(run_id)],
        [attempted(f"{first:08x}", first), attempted(f"{first + 1:08x}", first + 1)],
        [committed(f"{first:08x}"), rejected(f"{first + 1:08x}", 1), committed(f"{first + 1:08x}", 2)],
        [published(5 * number + 3)],
        [finished(run_id)],
    ]
