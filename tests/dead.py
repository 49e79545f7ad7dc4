"""Dead letters made by hand, through the real adapters: what a run leaves behind when BigQuery says no."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from google.protobuf.descriptor_pb2 import DescriptorProto
from ingestor_protos.ingestor_pb2 import DeadLetterBatch

from ingestor.append import Answer, Ended
from ingestor.batch import Batch, Draft, RejectedRecord, cut
from ingestor.columns import Table, columns_of
from ingestor.descriptor import writer_schema
from ingestor.encode import Encoder, Rejection
from ingestor.envelope import DeadBatch, Failure, Origin, object_name, sealed
from ingestor.errors import AppendError
from ingestor.lognames import LogName
from ingestor.messages import descriptor_of, message_class
from ingestor.outcome import Action, Outcome, answered
from ingestor.rejected_records import rejected_name
from ingestor.replay import Replayer
from ingestor.replay_append import Appended, Appender, KeepAlive
from ingestor.replay_ports import ReplayPorts
from ingestor.unencode import unencoder
from state.events import (
    BatchAttempted,
    BatchCommitted,
    BatchDeadLettered,
    Event,
    Position,
    RecordsRejected,
    RunFinished,
    RunStarted,
)
from state.fold import Statement
from state.journal import Journal
from state.ledger import LaneLedger
from state.memory import MemoryJournal
from state.ops import OpsLedger

FLIGHT = message_class("flights.Flight")
PIPELINE = "flights"
INGEST_US = 1_769_990_400_123_456  # 2026-02-02T00:00:00.123456Z
REFUSED = answered(3, "Cannot convert 'x' in row 17")
DENIED = answered(7, "Permission 'TABLES_UPDATE_DATA' denied")
APPENDED = Outcome(Action.APPENDED)
_ENCODE = Encoder(FLIGHT).encode


class Stores(Protocol):
    """Where dead letters become durable."""

    def store_batch(self, origin: Origin, dead: DeadBatch) -> tuple[str, int]: ...

    def store_records(self, batch: Batch) -> tuple[str, int]: ...


def flight(number: int, **fields: Any) -> dict[str, Any]:
    return {"year": 2013, "month": 1, "day": number % 28 + 1, "flight": number, **fields}


def batch_of(records: Iterable[Mapping[str, Any]], *, epoch: int = 0, start: str = "c", lane: str = "0") -> Batch:
    """A batch as a run cuts it: what does not encode is a rejected record."""
    taken = list[bytes | RejectedRecord]()
    for index, record in enumerate(records):
        outcome = _ENCODE(dict(record))
        taken.append(RejectedRecord(index, dict(record), outcome) if isinstance(outcome, Rejection) else outcome)
    return cut(PIPELINE, lane, epoch, Draft(Position(start), Position(f"{start}'"), tuple(taken)), INGEST_US)


@dataclass
class Lane:
    """A run on a source lane that dead-letters what it is told to."""

    journal: Journal
    stores: Stores
    pipeline: str = PIPELINE
    lane: str = "0"
    run_id: str = "run-1"
    now_us: int = INGEST_US
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.ledger = LaneLedger(
            self.journal,
            self.pipeline,
            self.lane,
            now_us=self._tick,
            nonce=lambda: f"{self.lane}-nonce-{next(self.numbers)}",
            sleep=lambda _: None,
            retention_days=90,
        )
        self.ledger.open()
        started = RunStarted(run_id=self.run_id, trigger="test", takeover=False, code_version="0", partitions=1)
        self._append([started])

    def dead(self, batch: Batch, outcome: Outcome = REFUSED, kind: str = "batch") -> str:
        """Attempt a batch and set it aside; its rejected records too. Return its id."""
        failure = Failure.of(kind, outcome)
        origin = Origin(
            pipeline=self.pipeline,
            lane=self.lane,
            run_id=self.run_id,
            message_type="flights.Flight",
            descriptor=writer_schema(descriptor_of(FLIGHT)),
            code_version="0",
            cursor_param="cursor",
        )
        rejected = tuple(item.index for item in batch.rejected)
        name, generation = self.stores.store_batch(
            origin, DeadBatch(batch=batch, failure=failure, attempts=2, rejected_indexes=rejected)
        )
        self._attempt(batch)
        letter = BatchDeadLettered(
            batch_id=batch.batch_id,
            kind=kind,
            code=failure.code,
            storage_error=failure.storage_error,
            error=failure.message,
            fingerprint=failure.fingerprint,
            attempts=2,
            object=name,
            generation=generation,
        )
        self._append([*self._rejected(batch), letter])
        return batch.batch_id

    def committed(self, batch: Batch) -> str:
        """Attempt a batch and commit it; its rejected records are set aside."""
        self._attempt(batch)
        done = BatchCommitted(batch_id=batch.batch_id, rows=len(batch.rows), attempts=1, latency_ms=1)
        self._append([*self._rejected(batch), done])
        return batch.batch_id

    def finish(self) -> tuple[Statement, ...]:
        """End the run; return what the lane owes the ledger table."""
        self._append([RunFinished(run_id=self.run_id, status="complete")])
        return self.ledger.state.outbox

    def _rejected(self, batch: Batch) -> list[Event]:
        if not batch.rejected:
            return []
        name, generation = self.stores.store_records(batch)
        indexes = tuple(item.index for item in batch.rejected)
        stage = batch.rejected[0].rejection.stage
        return [
            RecordsRejected(batch_id=batch.batch_id, stage=stage, indexes=indexes, object=name, generation=generation)
        ]

    def _attempt(self, batch: Batch) -> None:
        attempted: BatchAttempted = batch.attempted
        self.ledger.append([attempted], run_id=self.run_id, digests={batch.batch_id: batch.digests})

    def _append(self, events: Sequence[Event]) -> None:
        self.ledger.append(events, run_id=self.run_id)

    def _tick(self) -> int:
        self.now_us += 1_000_000
        return self.now_us


@dataclass
class MemoryStores:
    """The bucket in two dictionaries."""

    batches: dict[str, DeadLetterBatch] = field(default_factory=dict)
    records: dict[str, tuple[RejectedRecord, ...]] = field(default_factory=dict)
    failing: Exception | None = None
    refusing: Exception | None = None

    def store_batch(self, origin: Origin, dead: DeadBatch) -> tuple[str, int]:
        envelope = sealed(origin, dead)
        name = object_name(envelope.pipeline, envelope.batch_id, envelope.ingest_time_us)
        self.batches[name] = envelope
        return name, 1

    def store_records(self, batch: Batch) -> tuple[str, int]:
        name = rejected_name(PIPELINE, batch.batch_id, batch.attempted.ingest_time_us)
        self.records[name] = batch.rejected
        return name, 1

    def store(self, batch: Batch) -> tuple[str, int]:
        """As the bucket does it: another set of a batch's records gets another name."""
        if self.refusing:
            raise self.refusing
        name, _ = rejected_name(PIPELINE, batch.batch_id, batch.attempted.ingest_time_us), 1
        while self.records.setdefault(name, batch.rejected) != batch.rejected:
            name = f"{name}.other"
        return name, 1

    def load(self, name: str, generation: int | None = None) -> DeadLetterBatch:
        assert generation == 1
        if self.failing:
            raise self.failing
        return self.batches[name]

    def read(self, name: str, generation: int | None = None) -> tuple[RejectedRecord, ...]:
        assert generation == 1
        return self.records[name]


Reply = Callable[[Sequence[bytes]], Outcome | Ended | None]
"""What the table says to a request; None: nothing. `Ended` may name rows as applied by appending them itself."""


@dataclass
class FakeTable:
    """A table behind an append port: applies what it acknowledges, and answers as it is told, in order."""

    rows: list[bytes] = field(default_factory=list)
    replies: list[Reply | Outcome | Ended] = field(default_factory=list)
    otherwise: Outcome = APPENDED
    requests: list[int] = field(default_factory=list)
    schemas: list[DescriptorProto] = field(default_factory=list)
    closed: int = 0

    def open(self, schema: DescriptorProto, emit: Callable[[Answer | Ended], None]) -> "FakeConnection":
        self.schemas.append(schema)
        return FakeConnection(self, emit)


@dataclass
class FakeConnection:
    """One connection; answers at once."""

    table: FakeTable
    emit: Callable[[Answer | Ended], None]

    def send(self, key: str, rows: Sequence[bytes]) -> None:
        self.table.requests.append(len(rows))
        reply: Any = self.table.replies.pop(0) if self.table.replies else self.table.otherwise
        if callable(reply):
            reply = reply(rows)
        if isinstance(reply, Outcome):
            if reply.action is Action.APPENDED:
                self.table.rows.extend(rows)
            self.emit(Answer(key, reply))
        elif reply is not None:
            self.emit(reply)

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        self.table.closed += 1


@dataclass
class Desk:
    """Operators in memory: journal, bucket, table and ledger table are in this process."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    stores: MemoryStores = field(default_factory=MemoryStores)
    table: FakeTable = field(default_factory=FakeTable)
    statements: list[Statement] = field(default_factory=list)
    live: Table | None = field(default_factory=lambda: Table("flights", columns_of(descriptor_of(FLIGHT))))
    answers: list[list[dict[str, Any]]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    logged: list[tuple[LogName, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0
    publish_fails: bool = False
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    max_attempts: int = 3
    ops_us: int = INGEST_US + 10**10

    def appender(self, **changed: Any) -> Appender:
        settings: dict[str, Any] = {
            "open_connection": self.table.open,
            "table_problem": lambda _: "" if self.live else "the table does not exist",
            "max_attempts": self.max_attempts,
            "answer_timeout_s": 60.0,
            "monotonic": lambda: self.seconds,
            "sleep": self.sleep,
            "jitter": lambda: 1.0,
        }
        return Appender(**{**settings, **changed})

    def replayer(self, append: Any = None) -> Replayer:
        return Replayer(self.ports(append))

    def ports(self, append: Any = None) -> ReplayPorts:
        return ReplayPorts(
            journal=self.journal,
            open_ops=self.ops,
            dead=self.stores,
            rejected=self.stores,
            append=append or self.append,
            publish=self.publish,
            live_table=lambda: self.live,
            query=self.query,
            table_name="p.d.flights",
            message=lambda: (_ENCODE, writer_schema(descriptor_of(FLIGHT))),
            unencode=unencoder(FLIGHT, _ENCODE),
            token=lambda: f"{next(self.numbers):032x}",
            monotonic=lambda: self.seconds,
            sleep=self.sleep,
            log=self.log,
        )

    def append(self, rows: Sequence[bytes], schema: DescriptorProto, keep_alive: KeepAlive, /) -> Appended:
        return self.appender().append(rows, schema, keep_alive)

    def ops(self, run_id: str = "") -> OpsLedger:
        return OpsLedger(
            self.journal,
            PIPELINE,
            now_us=lambda: self.ops_us + next(self.numbers),
            nonce=lambda: f"ops-nonce-{next(self.numbers)}",
            sleep=self.sleep,
            retention_days=90,
            run_id=run_id,
        )

    def publish(self, statements: Sequence[Statement]) -> None:
        if self.publish_fails:
            raise AppendError("the ledger table took no statements")
        self.statements.extend(statements)

    def query(self, sql: str) -> list[dict[str, Any]]:
        self.queries.append(sql)
        return self.answers.pop(0) if self.answers else []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def log(self, name: LogName, severity: str = "INFO", **fields: Any) -> None:
        assert severity in {"INFO", "WARNING", "ERROR"}
        self.logged.append((name, fields))

    def lane(self, **changed: Any) -> Lane:
        return Lane(self.journal, self.stores, **changed)

    def status(self, batch_id: str) -> str:
        batch = self.journal.read_batch(batch_id)
        assert batch is not None
        return str(batch["status"])
