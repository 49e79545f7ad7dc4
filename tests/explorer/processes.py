"""The real run and the real replay over ports whose every effect is a choice point."""

import json
import queue
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, cast

from google.protobuf.descriptor_pb2 import DescriptorProto

from ingestor.append import Answer, Ended
from ingestor.batch import Encode, Limits
from ingestor.bucket import ObjectGone
from ingestor.ddl import OPERATORS_LANE
from ingestor.dead_batches import DeadBatches
from ingestor.descriptor import writer_schema
from ingestor.encode import Rejection
from ingestor.envelope import Origin
from ingestor.errors import AppendError, BigQueryUnavailable, DeadLetterError, SourceError
from ingestor.lognames import LogName
from ingestor.messages import descriptor_of, message_class
from ingestor.outcome import answered, ended
from ingestor.pages import Page
from ingestor.ports import Healing, Isolated, KeepAlive, Plan, Ports
from ingestor.rejected_records import RejectedRecords
from ingestor.replay import Replayer
from ingestor.replay_append import Appender
from ingestor.replay_ports import ReplayPorts
from ingestor.run import Result, Run
from ingestor.signals import Signal
from state import journal
from state.errors import LedgerUnavailable, OutcomeUnknown
from state.fold import LaneState, Statement
from state.journal import Commit, Committed
from state.ledger import LaneLedger
from state.ops import OpsLedger
from tests.explorer.beside import DEADLY, isolated
from tests.explorer.faults import Fault, Kind, Process
from tests.explorer.world import LANE, PIPELINE, World, encode

ROWS, MAX_ATTEMPTS = 3, 3
STALE_S, APPEND_TIMEOUT_S, DEADLINE_S = 180.0, 60.0, 480.0
MAX_WAITS = 400
_READ, _WRITE = Kind.READ, Kind.WRITE


@cache
def schema() -> DescriptorProto:
    """Return some writer schema: dead batches carry one."""
    return writer_schema(descriptor_of(message_class("flights.Flight")))


class Journal:
    """The memory journal, one effect at a time: `commit`, `create_skip` and `mend` write, all else reads."""

    def __init__(self, process: Process, world: World) -> None:
        self._process, self._journal = process, world.journal

    def commit(self, commit: Commit) -> Committed:
        """See `state.journal.Journal`."""
        lost = partial(OutcomeUnknown, "the answer is lost")
        what = " ".join(dict.fromkeys(str(event["type"]) for event in commit.entry.events))
        return self._process.effect("journal.commit", _WRITE, lambda: self._journal.commit(commit), lost, what)

    def close(self) -> None:
        """Hold nothing."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._journal, name)
        kind = _WRITE if name in {"create_skip", "mend"} else _READ

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
        self._process.effect("bucket.check", _READ, lambda: None, _no_bucket)

    def exists(self, name: str, generation: int | None = None) -> bool:
        """Look whether an object is there."""
        del generation
        return self._process.effect("bucket.exists", _READ, lambda: name in self._world.objects, _no_bucket)

    def create(self, name: str, content: bytes, content_type: str, metadata: Mapping[str, str]) -> int | None:
        """Create an object; None when the name is taken."""
        del content_type, metadata

        def create() -> int | None:
            if name in self._world.objects:
                return None
            self._world.objects[name] = content
            return 1

        return self._process.effect("bucket.create", _WRITE, create, _no_bucket)

    def read(self, name: str, generation: int | None = None) -> tuple[bytes, int]:
        """Read an object."""
        del generation

        def read() -> tuple[bytes, int]:
            if name not in self._world.objects:
                raise ObjectGone(f"{name} is not in the bucket")
            return self._world.objects[name], 1

        return self._process.effect("bucket.read", _READ, read, _no_bucket)


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
        match self._process.choose("append.send", Kind.APPEND):
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


class Wiring:
    """What `ingestor.bootstrap` and `ingestor.replay_wiring` build, for one process in this world."""

    def __init__(self, process: Process, world: World) -> None:
        self.process, self.world = process, world
        self.journal = cast("journal.Journal", Journal(process, world))
        self.bucket = Bucket(process, world)

    def run(self, run_id: str, *, takeover: bool = True, rows: int = ROWS) -> Result:
        """Run once."""
        steps = Steps(self.process, self.world)
        run = Run(
            self._ports(run_id),
            _plan(run_id, self._encode, takeover=takeover, rows=rows),
            signals=steps,
            start_worker=steps.worker,
        )
        return run.execute()

    def replayer(self) -> Replayer:
        """Return the replayer."""
        return Replayer(self._replay_ports())

    def _ports(self, run_id: str) -> Ports:
        ledger = LaneLedger(self.journal, PIPELINE, LANE, **self._clocks())
        return Ports(
            ledger=ledger,
            source=Source(self.process, self.world),
            open_connection=lambda emit: Connection(self.process, self.world, emit),
            rejects=Rejects(self.bucket, run_id),
            store_dead=partial(Dead(self.bucket).store, _origin(run_id)),
            table_exists=lambda: self._ask("table.exists", lambda: True),
            publish=partial(self._publish, LANE),
            preflight=self._preflight,
            publish_operators=lambda: self._publish_operators(run_id),
            heal=partial(self._heal, run_id),
            note_skip=self._note_skip,
            partitions_of_others=lambda: self._ask("partitions_of_others", int),
            clock=_Clock(self.world),
            log=_silence,
            isolate=self._isolate,
        )

    def _isolate(self, deaths: int, inner: Encode) -> Isolated:
        return isolated(
            self.process,
            deaths,
            inner,
            rows=ROWS,
            fetch=Source(self.process, self.world).fetch,
            connect=lambda emit: Connection(self.process, self.world, emit),
            log=_silence,
        )

    def _encode(self, record: object) -> bytes | Rejection:
        row = encode(record)
        if isinstance(row, bytes) and DEADLY in row:
            self.process.die()
        return row

    def _replay_ports(self) -> ReplayPorts:
        return ReplayPorts(
            journal=self.journal,
            open_ops=self._open_ops,
            dead=Dead(self.bucket),
            rejected=Rejects(self.bucket, ""),
            append=self._appender().append,
            publish=partial(self._publish, OPERATORS_LANE),
            live_table=lambda: self._ask("table.read", lambda: None),
            query=lambda _: self._ask("table.query", list),
            table_name="p.d.t",
            message=lambda: (encode, schema()),
            unencode=json.loads,
            token=self.process.nonce,
            monotonic=self.world.monotonic,
            sleep=_no_sleep,
            log=_silence,
        )

    def _appender(self) -> Appender:
        return Appender(
            open_connection=lambda _, emit: Connection(self.process, self.world, emit),
            table_problem=lambda _: self._ask("table.read", str),
            max_attempts=MAX_ATTEMPTS,
            answer_timeout_s=APPEND_TIMEOUT_S,
            monotonic=self.world.monotonic,
            sleep=_no_sleep,
            jitter=lambda: 1.0,
        )

    def _clocks(self) -> dict[str, Any]:
        return {"now_us": self.world.now_us, "nonce": self.process.nonce, "sleep": _no_sleep, "retention_days": 90}

    def _open_ops(self, run_id: str) -> OpsLedger:
        return OpsLedger(self.journal, PIPELINE, run_id=run_id, **self._clocks())

    def _preflight(self) -> None:
        self._ask("table.preflight", lambda: None)
        self.bucket.check()

    def _ask(self, name: str, answer: Callable[[], Any]) -> Any:
        unavailable = partial(BigQueryUnavailable, "BigQuery does not answer")
        return self.process.effect(name, _READ, answer, unavailable)

    def _publish(self, lane: str, statements: Sequence[Statement]) -> None:
        if not statements:
            return
        said = [(lane, statement) for statement in statements]

        def say(world: World, fault: Fault | None) -> None:
            if fault is not Fault.ERROR_BEFORE:
                world.statements += said

        fault = self.process.choose("publish", _WRITE)
        self.world.change(say, self.process.number, fault)
        if fault in {Fault.ERROR_BEFORE, Fault.ERROR_AFTER}:
            raise AppendError("the ledger table took no statements")
        self.process.may_die(Fault.CRASH_AFTER, self.process.number)
        if fault is Fault.CRASH_AFTER:
            self.process.die()

    def _publish_operators(self, run_id: str) -> None:
        if self.journal.read_snapshot(OPERATORS_LANE) is not None:
            self.replayer().publish_owed(run_id)

    def _heal(self, run_id: str, keep_alive: KeepAlive) -> Healing:
        replayer = self.replayer()
        probed = replayer.probe(run_id, lane=LANE, keep_alive=keep_alive)
        if not probed.healed:
            return Healing(error=probed.text)
        healed = replayer.replay_systemic(run_id, lane=LANE, keep_alive=keep_alive)
        return Healing(probed.rows + healed.rows, healed.failing or None)

    def _note_skip(self, run_id: str, state: LaneState) -> None:
        self.journal.create_skip(run_id, {"lane": LANE, "live_run": state.run_id}, 10**18)


class _Clock:
    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.monotonic()

    def now_us(self) -> int:
        return self._world.now_us()


def _plan(run_id: str, encode: Encode, *, takeover: bool, rows: int) -> Plan:
    return Plan(
        pipeline=PIPELINE,
        lane=LANE,
        run_id=run_id,
        trigger="explorer",
        code_version="0",
        partitions=1,
        takeover=takeover,
        encode=encode,
        limits=Limits(rows, 10_000),
        max_in_flight=2,
        max_attempts=MAX_ATTEMPTS,
        append_timeout_s=APPEND_TIMEOUT_S,
        stale_s=STALE_S,
        deadline_s=DEADLINE_S,
        fuse_consecutive=10**6,
        fuse_ratio=1.0,
    )


def _origin(run_id: str) -> Origin:
    return Origin(
        pipeline=PIPELINE,
        lane=LANE,
        run_id=run_id,
        message_type="flights.Flight",
        descriptor=schema(),
        code_version="0",
        cursor_param="cursor",
    )


def _silence(name: LogName, severity: str = "INFO", **fields: Any) -> None:
    del name, severity, fields


def _no_sleep(seconds: float) -> None:
    del seconds


def _no_ledger() -> Exception:
    return LedgerUnavailable("the ledger does not answer")


def _no_bucket() -> Exception:
    return DeadLetterError("the bucket does not answer")
