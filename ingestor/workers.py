"""The threads around the loop: each does one kind of waiting and reports by `emit`.

Signals go into a `queue.SimpleQueue`, whose `put` is safe in signal handlers. It needs no bound of its own: everything
in it was asked for: pages are granted, requests in flight have a window, and each worker has one thing under way.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ingestor.batch import Batch
from ingestor.envelope import DeadBatch, Failure
from ingestor.errors import IngestorError
from ingestor.pages import Source
from ingestor.paging import CursorGuard
from ingestor.ports import Ports
from ingestor.signals import (
    DeadStored,
    EntryLanded,
    LaneClosed,
    LedgerLost,
    OutOfMemory,
    PageArrived,
    PageFailed,
    Published,
    PublishFailed,
    RejectsStored,
    Signal,
    StopAsked,
    StoreDead,
    StoreFailed,
    TableAsked,
)
from ingestor.source import ReadingStopped
from state.errors import LedgerError, VersionConflict
from state.events import Event
from state.fold import Statement
from state.ledger import LaneLedger

Emit = Callable[[Signal], None]
CLOSING_GRACE_S = 60.0
"""What is in flight may take this long when the source ran into the run's deadline, as at the deadline itself."""
CLOSE_TIMEOUT_S = 1.0
"""What each thread gets to end; the process must be gone 10 s after SIGTERM, and every thread dies with it."""


class Signals(Protocol):
    """Where the loop waits: `queue.SimpleQueue`, or an explorer that chooses what happens meanwhile."""

    def put(self, item: Signal, /) -> None:
        """Add a signal; safe in signal handlers."""

    def get(self, block: bool = ..., timeout: float | None = ..., /) -> Signal:  # noqa: FBT001 - the queue's own
        """Return the next signal. Raises `queue.Empty` when none came in time."""


class Worker(Protocol):
    """Does what it is given, in order."""

    def submit(self, work: Callable[[], None]) -> None:
        """Queue something that reports its own end, good or bad, as a signal."""

    def close(self, timeout_s: float) -> None:
        """End after what is queued, or give up waiting for it."""


class Thread:
    """A worker on a thread of its own."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Queue something that reports its own end, good or bad, as a signal."""
        self._work.put(work)

    def close(self, timeout_s: float) -> None:
        """End after what is queued; a thread that does not end in time is left to die with the process."""
        self._work.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()


class Prefetcher:
    """Follows the source's cursors on a worker of its own, one granted page after the other.

    It goes on to the next page as soon as the last one is here, whether or not the loop has looked at it: what is ahead
    is bounded by the pages granted.
    """

    def __init__(self, source: Source, emit: Emit, worker: Worker) -> None:
        self._source, self._emit, self._worker = source, emit, worker
        self._lock = threading.Lock()
        self._reading = 0
        self._cursor: str | None = None
        self._at_end = True
        self._guard = CursorGuard()

    def start(self, reading: int, cursor: str | None) -> None:
        """Read from this cursor on; what an earlier reading still fetches is dropped."""
        with self._lock:
            self._reading, self._cursor, self._at_end, self._guard = reading, cursor, False, CursorGuard()

    def grant(self) -> None:
        """Allow one more page. After the last page it means nothing: the loop may not have seen that page yet."""
        reading = self._reading
        self._worker.submit(lambda: self._next(reading))

    def close(self, timeout_s: float) -> None:
        """Stop, interrupting a wait for the source."""
        with self._lock:
            self._at_end = True
        self._source.close()
        self._worker.close(timeout_s)

    def _next(self, granted: int) -> None:
        with self._lock:
            if self._at_end or granted != self._reading:
                return
            cursor, guard = self._cursor, self._guard
        signal = fetch_page(self._source, granted, cursor, guard)
        with self._lock:
            if granted == self._reading:
                self._cursor = signal.page.next_cursor if isinstance(signal, PageArrived) else None
                self._at_end = self._at_end or self._cursor is None
        self._emit(signal)


def fetch_page(
    source: Source, reading: int, cursor: str | None, guard: CursorGuard
) -> PageArrived | PageFailed | OutOfMemory | StopAsked:
    """Fetch one page, and see to it that the source gets further."""
    try:
        page = source.fetch(cursor)
        guard.add(cursor)
        guard.check_page(page)
        if page.next_cursor is not None:
            guard.check(page.next_cursor)
    except ReadingStopped as stopped:
        return StopAsked(str(stopped), CLOSING_GRACE_S)
    except IngestorError as error:
        return PageFailed(reading, str(error))
    except MemoryError:
        return OutOfMemory()
    except Exception as error:  # noqa: BLE001 - whatever the source's library raises, the loop must hear of it
        return PageFailed(reading, f"the source failed: {type(error).__name__}: {error}")
    return PageArrived(reading, page)


class Workers:
    """The threads of one run, one for each kind of waiting."""

    def __init__(self, ports: Ports, emit: Emit, start: Callable[[str], Worker] = Thread) -> None:
        """`start` returns a worker of that name; an explorer's workers do one thing when it says so."""
        self._ports, self._emit = ports, emit
        self.prefetcher = Prefetcher(ports.source, emit, start("prefetcher"))
        self._ledger, self._bucket, self._statements = (
            start("ledger-writer"),
            start("bucket-writer"),
            start("publisher"),
        )

    def write(self, events: Sequence[Event], digests: Mapping[str, bytes], run_id: str) -> None:
        """Commit one journal entry."""

        def work() -> Signal:
            try:
                landed = self._ports.ledger.append(events, run_id=run_id, digests=digests)
            except VersionConflict:
                return who_took_over(self._ports.ledger, run_id)
            except LedgerError as error:
                return LedgerLost(str(error))
            return EntryLanded(landed.state, landed.writes)

        self._ledger.submit(lambda: self._emit(guarded(work, LedgerLost)))

    def store(self, batch: Batch, stage: str) -> None:
        """Make the records of a batch that were rejected at a stage durable."""

        def work() -> Signal:
            try:
                name, generation = self._ports.rejects.store(batch)
            except IngestorError as error:
                return StoreFailed(batch.batch_id, str(error))
            return RejectsStored(batch.batch_id, stage, name, generation)

        self._bucket.submit(lambda: self._emit(guarded(work, lambda text: StoreFailed(batch.batch_id, text))))

    def store_dead(self, asked: StoreDead) -> None:
        """Make a batch that BigQuery will not take durable."""
        batch_id = asked.batch.batch_id
        dead = DeadBatch(
            batch=asked.batch,
            failure=Failure.of(asked.kind, asked.outcome),
            attempts=asked.attempts,
            rejected_indexes=asked.rejected,
            request=asked.batch.request,
        )

        def work() -> Signal:
            try:
                name, generation = self._ports.store_dead(dead)
            except IngestorError as error:
                return StoreFailed(batch_id, str(error))
            return DeadStored(batch_id, name, generation)

        self._bucket.submit(lambda: self._emit(guarded(work, lambda text: StoreFailed(batch_id, text))))

    def ask_table(self, batch_id: str) -> None:
        """Ask whether the table is there; when nobody can say, it is taken to be."""

        def work() -> Signal:
            try:
                return TableAsked(batch_id, self._ports.table_exists())
            except IngestorError:
                return TableAsked(batch_id, exists=True)

        self._bucket.submit(lambda: self._emit(guarded(work, lambda _: TableAsked(batch_id, exists=True))))

    def publish(self, statements: Sequence[Statement]) -> None:
        """Tell the ledger table."""

        def work() -> Signal:
            try:
                self._ports.publish(statements)
            except IngestorError as error:
                return PublishFailed(str(error))
            return Published(statements[-1].version)

        self._statements.submit(lambda: self._emit(guarded(work, PublishFailed)))

    def close(self) -> None:
        """End the threads; nobody listens to them any more."""
        self.prefetcher.close(CLOSE_TIMEOUT_S)
        for worker in (self._ledger, self._bucket, self._statements):
            worker.close(CLOSE_TIMEOUT_S)


def who_took_over(ledger: LaneLedger, run_id: str) -> Signal:
    """Tell what a run met at the version that it wanted to write: a person's word ends it, another run's fails it."""
    try:
        lane = ledger.look().state
    except LedgerError as error:
        return LedgerLost(f"somebody else wrote to the lane, and it cannot be read ({error}); this run stops")
    if lane.run_id == run_id and not lane.run_open:
        return LaneClosed(
            f"a person paused the lane: {lane.pause_reason}" if lane.paused else "a person set the checkpoint"
        )
    return LedgerLost("another run took over the lane; this one stops and writes nothing more")


def guarded(work: Callable[[], Signal], failed: Callable[[str], Signal]) -> Signal:
    """Do the work; what nobody expected becomes the worker's own failure signal instead of a silent dead thread."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - see above
        return failed(f"unexpected {type(error).__name__}: {error}")
