"""A large ledger, as a year of small batches leaves it, written by the ledger's own writer, so that it can be verified.

Each entry attempts and settles as many batches as a run has in flight by default, so the journal is about as long as a
busy pipeline's; the index documents are those that runs write.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from state.events import (
    BatchAttempted,
    BatchCommitted,
    BatchDeadLettered,
    BatchesPublished,
    Event,
    Position,
    RecordsRejected,
    RunFinished,
    RunStarted,
)
from state.journal import Journal
from state.ledger import LaneLedger
from state.ops import OpsLedger

PIPELINE, LANE = "flights", "0"
KINDS = 15
"""Different failures among the dead, as many for each."""
BATCHES_AN_ENTRY = 8
ROWS = 10
TICK_US = 600 * 10**6
WITH_RECORDS = 20
"""One batch in so many has two open rejected records."""


class _Clock:
    """Microseconds since 1970, moved on by whoever writes."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us


@dataclass(frozen=True, slots=True)
class Size:
    """What there is of each. Numbers of batches and runs begin at `first`, so that a ledger can grow."""

    dead: int
    small: int
    runs: int = 300
    actions: int = 60
    first: int = 0


def fill(journal: Journal, size: Size, now_us: int) -> None:
    """Write the runs, the last of them just finished, with their dead and committed batches, and what people did.

    A person discarded and reopened some of the dead.
    """
    clock = _Clock(now_us - size.runs * TICK_US)
    nonces = itertools.count()

    def nonce() -> str:
        return f"n{now_us}-{next(nonces)}"

    ledger = LaneLedger(journal, PIPELINE, LANE, now_us=clock, nonce=nonce, sleep=_no_sleep, retention_days=90)
    ledger.open()
    pending = _batches(size)
    a_run = -(-(size.dead + size.small) // size.runs)
    for number in range(size.first, size.first + size.runs):
        clock.now_us += TICK_US
        _run(ledger, f"run-{number:06d}", list(itertools.islice(pending, a_run)), clock.now_us)
    ops = OpsLedger(journal, PIPELINE, now_us=clock, nonce=nonce, sleep=_no_sleep, retention_days=90)
    every_dead = (number for number, is_dead in _batches(size) if is_dead)
    for batch_id in map(id_of, itertools.islice(every_dead, size.actions)):
        ops.discard(batch_id, actor="ann@example.com", reason="bench")
        ops.reopen(batch_id, actor="ann@example.com", reason="bench")
    ops.published(10**9)


def begin(journal: Journal, number: int, entries: int, now_us: int) -> str:
    """Let a run be at work that has written so many entries, one batch attempted and the one before settled in each;
    `number` is its first batch's. Return its id.
    """
    run_id, nonces = f"run-{number:06d}-at-work", itertools.count()
    ledger = LaneLedger(
        journal,
        PIPELINE,
        LANE,
        now_us=lambda: now_us,
        nonce=lambda: f"w{now_us}-{next(nonces)}",
        sleep=_no_sleep,
        retention_days=90,
    )
    ledger.open()
    ledger.append([_started(run_id)], run_id=run_id)
    ended: list[Event] = []
    for each in range(number, number + entries):
        attempt, *rest = _events(each, now_us, is_dead=False)
        ledger.append([*ended, attempt], run_id=run_id, digests={id_of(each): bytes(16 * ROWS)})
        ended = rest
    return run_id


def _started(run_id: str) -> RunStarted:
    return RunStarted(run_id=run_id, trigger="scheduler", takeover=False, code_version="bench", partitions=1)


def _no_sleep(_: float) -> None:
    return


def id_of(number: int) -> str:
    """Return the id of a batch by its number."""
    return hashlib.sha256(b"%d" % number).hexdigest()[:32]


def _run(ledger: LaneLedger, run_id: str, batches: list[tuple[int, bool]], now_us: int) -> None:
    ledger.append([_started(run_id)], run_id=run_id)
    for at in range(0, len(batches), BATCHES_AN_ENTRY):
        some = batches[at : at + BATCHES_AN_ENTRY]
        events = [event for number, is_dead in some for event in _events(number, now_us, is_dead=is_dead)]
        digests = {id_of(number): bytes(16 * ROWS) for number, _ in some}
        landed = ledger.append(events, run_id=run_id, digests=digests)
        ledger.append([BatchesPublished(through=landed.version)], run_id=run_id)
    rows = ROWS * sum(not is_dead for _, is_dead in batches)
    summary = {"records": ROWS * len(batches), "rows_committed": rows, "balanced": True}
    ledger.append([RunFinished(run_id=run_id, status="complete", summary=summary)], run_id=run_id)


def _batches(size: Size) -> Iterator[tuple[int, bool]]:
    """Yield numbers and whether each is dead, the dead spread evenly."""
    count = size.dead + size.small
    every, left = max(1, count // max(size.dead, 1)), size.dead
    for number in range(count):
        is_dead = left > 0 and (number % every == 0 or count - number <= left)
        left -= is_dead
        yield size.first + number, is_dead


def _events(number: int, now_us: int, *, is_dead: bool) -> Iterator[Event]:
    batch_id = id_of(number)
    yield BatchAttempted(
        batch_id=batch_id,
        epoch=0,
        start=Position(f"c{number}"),
        end=Position(f"c{number + 1}"),
        rows=ROWS,
        rejected=0,
        bytes=1_400,
        ingest_time_us=now_us,
        tail=b"",
    )
    if number % WITH_RECORDS == 0:
        place = f"flights/records/2026/01/01/{batch_id}.jsonl"
        yield RecordsRejected(batch_id=batch_id, stage="encode", indexes=(1, 2), object=place, generation=1)
    if not is_dead:
        yield BatchCommitted(batch_id=batch_id, rows=ROWS, attempts=1, latency_ms=20)
        return
    kind = (number * 7) % KINDS
    yield BatchDeadLettered(
        batch_id=batch_id,
        kind="batch",
        code="INVALID_ARGUMENT",
        storage_error=0,
        error=f"Cannot convert value of field f{kind} in row 5",
        fingerprint=hashlib.sha256(b"kind %d" % kind).hexdigest()[:12],
        attempts=1,
        object=f"flights/batches/2026/01/01/{batch_id}.binpb",
        generation=1,
    )
