"""Words to tell a lane's history with, shared by the tests of the ledger."""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence

from state.events import (
    DIGEST_SIZE,
    BatchAttempted,
    BatchCommitted,
    BatchesPublished,
    BatchSuperseded,
    Event,
    Position,
    RecordsRejected,
    RunFailed,
    RunFinished,
    RunHeartbeat,
    RunStarted,
)
from state.fold import LaneState
from state.journal import Journal
from state.ledger import Landed, LaneLedger

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
