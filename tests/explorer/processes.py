"""The real run and the real replay over ports whose every effect is a choice point."""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, cast

from google.protobuf.descriptor_pb2 import DescriptorProto

from ingestor.batch import Encode, Limits
from ingestor.ddl import OPERATORS_LANE
from ingestor.descriptor import writer_schema
from ingestor.encode import Rejection
from ingestor.envelope import Origin
from ingestor.errors import AppendError, BigQueryUnavailable
from ingestor.lognames import LogName
from ingestor.messages import descriptor_of, message_class
from ingestor.ports import Healing, Isolated, KeepAlive, Plan, Ports
from ingestor.replay import Replayer
from ingestor.replay_append import Appender
from ingestor.replay_ports import ReplayPorts
from ingestor.run import Result, Run
from state import journal
from state.fold import LaneState, Statement
from state.ledger import LaneLedger
from state.ops import OpsLedger
from tests.explorer.beside import DEADLY, isolated
from tests.explorer.effects import (
    READ,
    WRITE,
    Bucket,
    Connection,
    Dead,
    Journal,
    Rejects,
    Source,
    Steps,
)
from tests.explorer.faults import Fault, Process
from tests.explorer.world import LANE, PIPELINE, World, encode

ROWS, MAX_ATTEMPTS = 3, 3
STALE_S, APPEND_TIMEOUT_S, DEADLINE_S = 180.0, 60.0, 480.0


@cache
def schema() -> DescriptorProto:
    """Return some writer schema: dead batches carry one."""
    return writer_schema(descriptor_of(message_class("flights.Flight")))


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
        return self.process.effect(name, READ, answer, unavailable)

    def _publish(self, lane: str, statements: Sequence[Statement]) -> None:
        if not statements:
            return
        said = [(lane, statement) for statement in statements]

        def say(world: World, fault: Fault | None) -> None:
            if fault is not Fault.ERROR_BEFORE:
                world.statements += said

        fault = self.process.choose("publish", WRITE)
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
