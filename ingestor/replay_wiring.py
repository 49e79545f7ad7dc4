"""From a configuration to a `Replayer` with real adapters. Make it in the process that uses it, not before a fork."""

import random
import secrets
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto
from ingestor_protos.ingestor_pb2 import LedgerStatement

from ingestor.append import Answer, AppendPort, Connection, Ended, default_stream, write_client
from ingestor.batch import Encode
from ingestor.bootstrap import SystemClock, open_journal, open_tables
from ingestor.config import Config
from ingestor.ddl import OPERATORS_LANE, ledger_id
from ingestor.deadletters import DeadBatches, RejectedRecords, storage_client
from ingestor.descriptor import normalized, writer_schema
from ingestor.encode_fast import FastEncoder
from ingestor.errors import ConfigurationError, SchemaMismatch
from ingestor.lognames import LogName
from ingestor.messages import descriptor_of, message_class
from ingestor.pages import JsonValue
from ingestor.ports import Log
from ingestor.publish import LedgerTable
from ingestor.replay import Replayer
from ingestor.replay_append import Appender
from ingestor.replay_fits import refusals
from ingestor.replay_ports import ReplayPorts
from ingestor.unencode import Unencode, unencoder
from state.journal import Journal
from state.ops import OpsLedger

Emit = Callable[[Answer | Ended], None]


def open_replayer(config: Config, journal: Journal | None = None, log: Log | None = None) -> Replayer:
    """Return the replayer of the configured pipeline; close it. A journal that is handed in stays open.

    Without `log` it writes no log lines.
    """
    return Replayer(_Wiring(config, journal, log).ports())


def _silence(name: LogName, severity: str = "INFO", **fields: Any) -> None:  # noqa: ANN401 - plain JSON values
    del name, severity, fields


class _Wiring:
    """Builds the ports; holds what has to be closed."""

    def __init__(self, config: Config, journal: Journal | None, log: Log | None) -> None:
        self._config = config
        self._own = open_journal(config) if journal is None else None
        self._journal = journal or self._own
        self._log: Log = log or _silence
        self._tables = open_tables(config)
        self._client: Any = None
        self._trace_id = f"ingestor:replay-{secrets.token_hex(4)}"

    def ports(self) -> ReplayPorts:
        config = self._config
        assert self._journal is not None  # noqa: S101 - said to the type checker
        storage = storage_client(config.gcp_project_id, config.storage_emulator_host)
        return ReplayPorts(
            journal=self._journal,
            open_ops=self._open_ops,
            dead=DeadBatches(storage, config.dead_letter_bucket),
            rejected=RejectedRecords(storage, config.dead_letter_bucket, config.pipeline_id, OPERATORS_LANE, ""),
            append=self._appender().append,
            publish=self._ledger_table().publish,
            live_table=lambda: self._tables.read(config.bq_table_id),
            query=self._tables.query,
            table_name=f"{config.gcp_project_id}.{config.bq_dataset_id}.{config.bq_table_id}",
            message=self._message,
            unencode=self._unencode,
            token=lambda: secrets.token_hex(16),
            monotonic=time.monotonic,
            sleep=time.sleep,
            log=self._log,
            close=partial(self._close, storage),
        )

    def _open_ops(self, run_id: str) -> OpsLedger:
        assert self._journal is not None  # noqa: S101 - likewise
        return OpsLedger(
            self._journal,
            self._config.pipeline_id,
            now_us=SystemClock().now_us,
            nonce=lambda: secrets.token_hex(16),
            sleep=time.sleep,
            retention_days=self._config.ledger_retention_days,
            run_id=run_id,
        )

    def _appender(self) -> Appender:
        config = self._config
        return Appender(
            open_connection=partial(self._connect, config.bq_table_id),
            renew=self._renew,
            table_problem=lambda schema: "; ".join(refusals(schema, self._tables.read(config.bq_table_id))),
            max_attempts=config.append_max_attempts,
            answer_timeout_s=config.append_timeout_s,
            monotonic=time.monotonic,
            sleep=time.sleep,
            jitter=random.random,
        )

    def _ledger_table(self) -> LedgerTable:
        config = self._config
        schema = normalized(descriptor_of(LedgerStatement))
        return LedgerTable(
            partial(self._connect, ledger_id(config.bq_table_id), schema),
            pipeline=config.pipeline_id,
            lane=OPERATORS_LANE,
            max_attempts=config.append_max_attempts,
            answer_timeout_s=config.append_timeout_s,
            sleep=time.sleep,
        )

    def _connect(self, table: str, schema: DescriptorProto, emit: Emit) -> AppendPort:
        config = self._config
        stream = default_stream(config.gcp_project_id, config.bq_dataset_id, table)
        self._client = self._client or write_client(config.bigquery_storage_emulator_host)
        return Connection(self._client, stream, schema, emit, trace_id=self._trace_id)

    def _renew(self) -> None:
        self._client = None

    def _message(self) -> tuple[Encode, DescriptorProto]:
        message = message_class(self._config.message_type)
        return FastEncoder(message).encode, writer_schema(descriptor_of(message))

    def _unencode(self, row: bytes) -> JsonValue:
        return self._unencoder(row)

    @cached_property
    def _unencoder(self) -> Unencode:
        try:
            message = message_class(self._config.message_type)
            return unencoder(message, FastEncoder(message).encode)
        except (ConfigurationError, SchemaMismatch):
            return lambda _: None

    def _close(self, storage: Any) -> None:  # noqa: ANN401 - the client has no types
        client, self._client = self._client, None
        if client is not None:
            client.transport.close()
        storage.close()
        self._tables.close()
        if self._own is not None:
            self._own.close()
