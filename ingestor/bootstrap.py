"""The composition root: from a configuration to ports with real adapters.

Google's clients are imported here, late, so that a command which needs none of them starts fast; they are made in the
process that uses them, because a gRPC client made before a fork hangs (grpc/grpc#41768).
"""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import DescriptorProto

from ingestor.batch import Encode, Limits
from ingestor.config import Config
from ingestor.ddl import OPERATORS_LANE
from ingestor.decode import decode
from ingestor.descriptor import normalized, writer_schema
from ingestor.encode_fast import FastEncoder
from ingestor.envelope import DeadBatch, Origin
from ingestor.lognames import LogName
from ingestor.logs import Log
from ingestor.messages import descriptor_of, message_class
from ingestor.ports import FOLLOWS, Healing, Isolated, KeepAlive, Plan, Ports, Range
from ingestor.progress import Progress
from ingestor.run import Run
from ingestor.standing import standing
from state.fold import LaneState
from state.journal import Journal
from state.ledger import LaneLedger

if TYPE_CHECKING:
    from ingestor.append import Connection
    from ingestor.pages import Source
    from ingestor.publish import LedgerTable
    from ingestor.rejected_records import RejectedRecords
    from ingestor.replay import Replayer
    from ingestor.schema import Fitted
    from ingestor.tables import Tables

DISTRIBUTION = "bigquery-batch-ingestor"
_FITTED: "Fitted" = {}
"""What preflight found to fit: a process that serves many runs reads one table's metadata after the first."""
_DAY_US = 86_400 * 1_000_000


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()

    def now_us(self) -> int:
        """Return microseconds since the epoch."""
        return time.time_ns() // 1000


def open_journal(config: Config) -> Journal:
    """Return the journal of the configured pipeline."""
    if config.sqlite_path is not None:
        from state.sqlite import SqliteJournal  # noqa: PLC0415 - only the adapter in use is loaded

        return SqliteJournal(config.sqlite_path, config.pipeline_id)
    from state.firestore import FirestoreJournal, client_for  # noqa: PLC0415 - likewise

    return FirestoreJournal(client_for(config.gcp_project_id, config.firestore_database), config.pipeline_id)


def open_ledger(config: Config, journal: Journal, lane: str) -> LaneLedger:
    """Return the writer of one lane."""
    return LaneLedger(
        journal,
        config.pipeline_id,
        lane,
        now_us=SystemClock().now_us,
        nonce=lambda: secrets.token_hex(16),
        sleep=time.sleep,
        retention_days=config.ledger_retention_days,
    )


def open_tables(config: Config) -> "Tables":
    """Return the dataset's tables."""
    from ingestor.tables import Tables  # noqa: PLC0415 - BigQuery's REST client is loaded by those who use it

    return Tables(config.gcp_project_id, config.bq_dataset_id, config.bigquery_emulator_host)


def new_run_id(clock: SystemClock) -> str:
    """Return an id that sorts by its run's start and is unique among runs that start at once."""
    started = datetime.fromtimestamp(clock.now_us() / 1e6, UTC)
    return f"{started:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(3)}"


class RunBuilder:
    """Wires one run of one partition."""

    def __init__(  # noqa: PLR0913 - what a backfill is
        self,
        config: Config,
        journal: Journal,
        log: Log,
        *,
        partition: int = 0,
        backfill: Range = FOLLOWS,
        lane: str | None = None,
    ) -> None:
        """Name the run and load its message. A `backfill` reads a range on a lane of its own.

        Raises:
            ConfigurationError: MESSAGE_TYPE names no message.
        """
        if backfill != FOLLOWS:
            config = config.model_copy(update={"source_start": backfill.start})
        self._config, self._journal, self._partition, self._range = config, journal, partition, backfill
        self._lane, self._clock = lane or str(partition), SystemClock()
        self._run_id = new_run_id(self._clock)
        self._log = log.bind(lane=self._lane, run_id=self._run_id)
        self._message = message_class(config.message_type)

    def build(
        self,
        *,
        takeover: bool = False,
        trigger: str = "cli",
        observe: Callable[[Progress], None] = lambda _: None,
    ) -> Run:
        """Return the run, ready to execute."""
        from ingestor_protos.ingestor_pb2 import LedgerStatement  # noqa: PLC0415 - likewise

        from ingestor.append import write_client  # noqa: PLC0415 - gRPC is loaded by those who append

        config = self._config
        client = write_client(config.bigquery_storage_emulator_host)
        rejects = self._rejects()
        ports = Ports(
            ledger=open_ledger(config, self._journal, self._lane),
            source=self._source(),
            open_connection=self._connector(client, config.bq_table_id, writer_schema(descriptor_of(self._message))),
            rejects=rejects,
            store_dead=self._store_dead(),
            table_exists=self._table_exists,
            publish=self._statements(
                self._connector(client, f"{config.bq_table_id}_ledger", normalized(descriptor_of(LedgerStatement)))
            ).publish,
            preflight=lambda: self._preflight(rejects),
            publish_operators=self._publish_operators,
            heal=self._heal,
            note_skip=self._note_skip,
            partitions_of_others=self._partitions_of_others,
            isolate=self._isolate,
            clock=self._clock,
            log=self._log,
            observe=observe,
            standing=lambda: standing(self._journal, self._lane, self._clock.now_us()),
            close=client.transport.close,
        )
        return Run(ports, self._plan(takeover=takeover, trigger=trigger))

    def _plan(self, *, takeover: bool, trigger: str) -> Plan:
        config, encoder = self._config, FastEncoder(self._message)
        return Plan(
            pipeline=config.pipeline_id,
            lane=self._lane,
            run_id=self._run_id,
            trigger=trigger,
            code_version=version(DISTRIBUTION),
            partitions=config.source_partitions,
            takeover=takeover,
            encode=encoder.encode,
            unknown_fields=lambda: dict(encoder.unknown_fields),
            limits=Limits(config.batch_max_rows, config.batch_max_bytes),
            max_in_flight=config.max_in_flight,
            max_attempts=config.append_max_attempts,
            append_timeout_s=config.append_timeout_s,
            stale_s=config.ledger_stale_s,
            deadline_s=config.run_deadline_s,
            fuse_consecutive=config.fuse_consecutive,
            fuse_ratio=config.fuse_ratio,
            source_start=config.source_start,
            range=self._range,
        )

    def _connector(self, client: Any, table: str, schema: DescriptorProto) -> Callable[[Any], "Connection"]:  # noqa: ANN401 - the client has no types
        from ingestor.append import Connection, default_stream  # noqa: PLC0415 - likewise

        stream = default_stream(self._config.gcp_project_id, self._config.bq_dataset_id, table)
        return lambda emit: Connection(client, stream, schema, emit, trace_id=f"ingestor:{self._run_id}")

    def _statements(self, connect: Callable[[Any], "Connection"]) -> "LedgerTable":
        from ingestor.publish import LedgerTable  # noqa: PLC0415 - likewise

        return LedgerTable(
            connect,
            pipeline=self._config.pipeline_id,
            lane=self._lane,
            max_attempts=self._config.append_max_attempts,
            answer_timeout_s=self._config.append_timeout_s,
            sleep=time.sleep,
        )

    def _rejects(self) -> "RejectedRecords":
        from ingestor.bucket import storage_client  # noqa: PLC0415 - likewise
        from ingestor.rejected_records import RejectedRecords  # noqa: PLC0415 - likewise

        config = self._config
        client = storage_client(config.gcp_project_id, config.storage_emulator_host)
        return RejectedRecords(client, config.dead_letter_bucket, config.pipeline_id, self._lane, self._run_id)

    def _store_dead(self) -> Callable[[DeadBatch], tuple[str, int]]:
        from ingestor.bucket import storage_client  # noqa: PLC0415 - likewise
        from ingestor.dead_batches import DeadBatches  # noqa: PLC0415 - likewise

        config, descriptor = self._config, descriptor_of(self._message)
        origin = Origin(
            pipeline=config.pipeline_id,
            lane=self._lane,
            run_id=self._run_id,
            message_type=config.message_type,
            descriptor=writer_schema(descriptor),
            code_version=version(DISTRIBUTION),
            cursor_param=config.source_cursor_param,
        )
        client = storage_client(config.gcp_project_id, config.storage_emulator_host)
        return partial(DeadBatches(client, config.dead_letter_bucket).store, origin)

    def _table_exists(self) -> bool:
        with open_tables(self._config) as tables:
            return tables.read(self._config.bq_table_id) is not None

    def _preflight(self, rejects: "RejectedRecords") -> None:
        from ingestor.schema import preflight  # noqa: PLC0415 - likewise

        with open_tables(self._config) as tables:
            preflight(tables, self._config.bq_table_id, descriptor_of(self._message), _FITTED, self._config.dedup_key)
        rejects.check()

    def _replayer(self) -> "Replayer":
        from ingestor.replay_wiring import open_replayer  # noqa: PLC0415 - it wires with this module's own functions

        return open_replayer(self._config, self._journal, self._log)

    def _publish_operators(self) -> None:
        if self._journal.read_snapshot(OPERATORS_LANE) is not None:
            with self._replayer() as replayer:
                replayer.publish_owed(self._run_id)

    def _heal(self, keep_alive: KeepAlive) -> Healing:
        with self._replayer() as replayer:
            probed = replayer.probe(self._run_id, lane=self._lane, keep_alive=keep_alive)
            if not probed.healed:
                return Healing(error=probed.text)
            healed = replayer.replay_systemic(self._run_id, lane=self._lane, keep_alive=keep_alive)
            return Healing(probed.rows + healed.rows, healed.failing or None)

    def _isolate(self, deaths: int, encode: Encode) -> Isolated:
        from ingestor.append import default_stream  # noqa: PLC0415 - likewise
        from ingestor.isolation_wiring import isolated  # noqa: PLC0415 - hardly ever needed

        config = self._config
        return isolated(
            config,
            deaths,
            encode,
            open_source=self._source,
            stream=default_stream(config.gcp_project_id, config.bq_dataset_id, config.bq_table_id),
            schema=writer_schema(descriptor_of(self._message)),
            trace_id=f"ingestor:{self._run_id}",
            log=self._log,
        )

    def _source(self, read: Callable[[bytes], Any] = decode) -> "Source":
        from ingestor.source_wiring import open_ranged, open_source  # noqa: PLC0415 - likewise

        opened = open_source(
            self._config,
            partition=self._partition,
            deadline=self._clock.monotonic() + self._config.run_deadline_s,
            on_retry=lambda attempts, reason, wait_s: self._log(
                LogName.PAGE_RETRIED, "WARNING", attempts=attempts, reason=reason, wait_s=wait_s
            ),
            read=read,
        )
        return open_ranged(self._config, opened, self._range.to) if self._range.to else opened

    def _partitions_of_others(self) -> int:
        lanes = [lane for lane in self._journal.read_lanes() if lane.isdecimal() and lane != self._lane]
        found = (open_ledger(self._config, self._journal, lane).look().state.partitions for lane in lanes)
        return next((partitions for partitions in found if partitions), 0)

    def _note_skip(self, run_id: str, state: LaneState) -> None:
        now_us = self._clock.now_us()
        expires_us = now_us + self._config.ledger_retention_days * _DAY_US
        document = {"lane": self._lane, "at_us": now_us, "live_run": state.run_id}
        self._journal.create_skip(run_id, document, expires_us)
