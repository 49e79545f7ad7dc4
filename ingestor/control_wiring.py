"""From a configuration to what changes lanes in a person's name, with real adapters."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from ingestor_protos.ingestor_pb2 import LedgerStatement

from ingestor.append import Connection, default_stream, write_client
from ingestor.bootstrap import SystemClock, open_ledger, open_tables
from ingestor.config import Config
from ingestor.ddl import OPERATORS_LANE, ledger_id, quoted
from ingestor.descriptor import normalized
from ingestor.lane_control import ControlPorts, LaneControl
from ingestor.logs import Log
from ingestor.messages import descriptor_of
from ingestor.publish import LedgerTable
from ingestor.recover import RecoverPorts
from ingestor.replay_wiring import open_replayer
from state.fold import Statement
from state.journal import Journal
from state.ops import OpsLedger

if TYPE_CHECKING:
    from ingestor.append import AppendPort
    from ingestor.replay_wiring import Emit


@contextmanager
def open_control(config: Config, journal: Journal, log: Log) -> Iterator[RecoverPorts]:
    """Yield what pauses, moves and recovers lanes; the journal stays open. Make it in the process that uses it."""
    wiring = _Wiring(config, journal, log)
    try:
        yield wiring.ports()
    finally:
        wiring.close()


class _Wiring:
    """Builds the ports; holds what has to be closed."""

    def __init__(self, config: Config, journal: Journal, log: Log) -> None:
        self._config, self._journal, self._log = config, journal, log
        self._client = write_client(config.bigquery_storage_emulator_host)

    def ports(self) -> RecoverPorts:
        config = self._config
        control = ControlPorts(
            journal=self._journal,
            open_ledger=partial(open_ledger, config, self._journal),
            publish=self._publish,
            publish_operators=self._publish_operators,
            pagination=config.source_pagination,
            start=config.source_start,
            partitions=config.source_partitions,
            sleep=time.sleep,
            log=lambda lane: self._log.bind(lane=lane),
        )
        return RecoverPorts(
            journal=self._journal,
            open_ledger=control.open_ledger,
            published=self._published,
            discard=self._discard,
            control=LaneControl(control),
            log=control.log,
        )

    def _publish(self, lane: str, statements: Sequence[Statement]) -> None:
        config = self._config
        LedgerTable(
            self._connect,
            pipeline=config.pipeline_id,
            lane=lane,
            max_attempts=config.append_max_attempts,
            answer_timeout_s=config.append_timeout_s,
            sleep=time.sleep,
        ).publish(statements)

    def _connect(self, emit: "Emit") -> "AppendPort":
        config = self._config
        stream = default_stream(config.gcp_project_id, config.bq_dataset_id, ledger_id(config.bq_table_id))
        schema = normalized(descriptor_of(LedgerStatement))
        return Connection(self._client, stream, schema, emit, trace_id=f"ingestor:control-{secrets.token_hex(4)}")

    def _publish_operators(self) -> None:
        if self._journal.read_snapshot(OPERATORS_LANE) is not None:
            with open_replayer(self._config, self._journal, self._log) as replayer:
                replayer.publish_owed()

    def _published(self, lane: str, above: int) -> tuple[Mapping[str, str], int]:
        """A row a batch, so that an answer is as long as what one run did; clocks order nothing."""
        config = self._config
        table = quoted(config.gcp_project_id, config.bq_dataset_id, ledger_id(config.bq_table_id))
        with open_tables(config) as tables:
            rows = tables.query(
                f"SELECT `batch_id`, `status`, `version` FROM {table} "  # noqa: S608 - names of ours, texts escaped
                f"WHERE `pipeline_id` = {_text(config.pipeline_id)} AND `lane` = {_text(lane)} AND `version` > {above} "
                "QUALIFY ROW_NUMBER() OVER (PARTITION BY `batch_id` ORDER BY `version` DESC) = 1"
            )
        return {row["batch_id"]: row["status"] for row in rows}, max((row["version"] for row in rows), default=0)

    def _discard(self, batch_id: str, actor: str, reason: str) -> None:
        ledger = OpsLedger(
            self._journal,
            self._config.pipeline_id,
            now_us=SystemClock().now_us,
            nonce=lambda: secrets.token_hex(16),
            sleep=time.sleep,
            retention_days=self._config.ledger_retention_days,
        )
        ledger.discard(batch_id, actor=actor, reason=reason, recovered=True)

    def close(self) -> None:
        self._client.transport.close()  # type: ignore[no-untyped-call]


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
