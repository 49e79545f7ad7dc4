"""The ports of runs and replays in memory, whose every effect is a choice point.

What they are in reality the contract suites say; `tests/contract/test_explorer_ports.py` runs those on these.
"""

import queue
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ingestor.append import Answer, Ended
from ingestor.bucket import ObjectGone
from ingestor.dead_batches import DeadBatches
from ingestor.errors import DeadLetterError, SourceError
from ingestor.outcome import answered, ended
from ingestor.pages import Page
from ingestor.rejected_records import RejectedRecords
from ingestor.signals import Signal
from state.errors import LedgerUnavailable, OutcomeUnknown
from state.journal import Commit, Committed
from tests.explorer.faults import Fault, Kind, Process
from tests.explorer.world import LANE, PIPELINE, World

MAX_WAITS = 400
READ, WRITE = Kind.READ, Kind.WRITE


class Journal:
    """The memory journal, one effect at a time: `commit`, `create_skip` and `mend` write, all else reads."""

    def __init__(self, process: Process, world: World) -> None:
        self._process, self._journal = process, world.journal

    def commit(self, commit: Commit) -> Committed:
        """See `state.journal.Journal`."""
        lost = partial(OutcomeUnknown, "the answer is lost")
        what = " ".join(dict.fromkeys(str(event["type"]) for event in commit.entry.events))
        return self._process.effect("journal.commit", WRITE, lambda: self._journal.commit(commit), lost, what)

    def close(self) -> None:
        """Hold nothing."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._journal, name)
        kind = WRITE if name in {"create_skip", "mend"} else READ

        def effect(*args: Any, **kwargs: Any) -> Any:
            return self._process.effect(f"journal.{name}", kind, lambda: method(*args, **kwargs), _no_ledger)

        return effect


class Bucket:
    """`ingestor.bucket.Bucket` in memory: create-only, a generation each."""

    name = "memory"

    def __init__(self, process: Process, world: World) -> None:
        self._process, self._world = process, world

    def check(self) -> None:
        """Look whether the bucket is there."""
        self._process.effect("bucket.check", READ, lambda: None, _no_bucket)

    def exists(self, name: str, generation: int | None = None) -> bool:
        """Look whether an object is there."""
        del generation
        return self._process.effect("bucket.exists", READ, lambda: name in self._world.objects, _no_bucket)

    def create(self, name: str, content: bytes, content_type: str, metadata: Mapping[str, str]) -> int | None:
        """Create an object; None when the name is taken."""
        del content_type, metadata

        def create() -> int | None:
            if name in self._world.objects:
                return None
            self._world.objects[name] = content
            return 1

        return self._process.effect("bucket.create", WRITE, create, _no_bucket)

    def read(self, name: str, generation: int | None = None) -> tuple[bytes, int]:
        """Read an object."""
        del generation

        def read() -> tuple[bytes, int]:
            if name not in self._world.objects:
                raise ObjectGone(f"{name} is not in the bucket")
            return self._world.objects[name], 1

        return self._process.effect("bucket.read", READ, read, _no_bucket)


class Dead(DeadBatches):
    """The real store of dead batches over the bucket in memory."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket: Any = bucket


class Rejects(RejectedRecords):
    """The real store of rejected records over the bucket in memory."""

    def __init__(self, bucket: Bucket, run_id: str) -> None:
        self._bucket: Any = bucket
        self._pipeline, self._lane, self._run_id = PIPELINE, LANE, run_id


class Source:
    """The source's pages."""

    def __init__(self, process: Process, world: World) -> None:
        self._process, self._world = process, world

    def fetch(self, cursor: str | None) -> Page:
        """Return a page."""
        failed = partial(SourceError, "the source does not answer")
        return self._process.effect("source.fetch", Kind.FETCH, lambda: self._world.page(cursor), failed)

    def close(self) -> None:
        """Hold nothing."""


class Connection:
    """One append call: it answers at once, and after its end it takes nothing; what it took then may still land."""

    def __init__(self, process: Process, world: World, emit: Callable[[Answer | Ended], None]) -> None:
        self._process, self._world, self._emit = process, world, emit
        self._over: tuple[int | None, Fault] | None = None
        """The effect and the fault that ended it."""

    def send(self, key: str, rows: Sequence[bytes]) -> None:
        """Take one request."""
        if self._over is not None:
            self._lose(rows)
            return
        chosen = self._process.choose("append.send", Kind.APPEND)
        if chosen is Fault.TOO_LARGE and len(rows) == 1 and self._world.took(rows[0]):
            chosen = None  # a row's size does not change: what was taken once is not too large later
        match chosen:
            case Fault.DENIED:
                self._emit(Answer(key, answered(7, "Permission 'TABLES_UPDATE_DATA' denied")))
            case Fault.TOO_LARGE:
                self._emit(Answer(key, answered(3, "request too large")))
            case None:
                outcome = self._world.append(rows)
                self._process.may_die(Fault.CRASH_AFTER, self._process.number)
                self._emit(Answer(key, outcome))
            case Fault.CRASH_AFTER:
                self._world.append(rows)
                self._process.die()
            case fault:
                self._over = self._process.number, fault
                self._lose(rows)
                self._emit(Ended(ended(14, "gone"), (key,)))

    def cancel(self) -> None:
        """End the call."""
        if self._over is None:
            self._over = None, Fault.ERROR_BEFORE
            self._emit(Ended(ended(1, "cancelled"), ()))

    def close(self) -> None:
        """Hold nothing."""

    def _lose(self, rows: Sequence[bytes]) -> None:
        if self._over is not None:
            self._world.lose(*self._over, rows)


class Steps:
    """The run's queue and its workers: when the loop waits, one piece of work is done, in the order of asking."""

    def __init__(self, process: Process, world: World) -> None:
        self._process, self._world = process, world
        self._signals: deque[Signal] = deque()
        self._work: deque[Callable[[], None]] = deque()
        self._waits = 0

    def put(self, item: Signal, /) -> None:
        """Add a signal."""
        self._signals.append(item)

    def get(self, block: bool = True, timeout: float | None = None, /) -> Signal:  # noqa: FBT001, FBT002 - the queue's
        """Return the next signal; while there is none do what was asked for, then let time pass."""
        while block and not self._signals and self._work:
            self._work.popleft()()
        if self._signals:
            return self._signals.popleft()
        if block:
            self._waits += 1
            assert self._waits < MAX_WAITS, "the run does not end"
            self._world.seconds += (timeout or 0.0) + 0.001
        raise queue.Empty

    def worker(self, name: str) -> "Steps":
        """Return a worker: all of them take turns here."""
        del name
        return self

    def submit(self, work: Callable[[], None]) -> None:
        """Remember a piece of work."""
        self._work.append(work)

    def close(self, timeout_s: float) -> None:
        """Forget what is left: nobody listens any more."""
        del timeout_s
        self._work.clear()


def _no_ledger() -> Exception:
    return LedgerUnavailable("the ledger does not answer")


def _no_bucket() -> Exception:
    return DeadLetterError("the bucket does not answer")
