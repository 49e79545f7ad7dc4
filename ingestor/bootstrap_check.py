"""Wires a check of one partition with real adapters."""

import time
from pathlib import Path

from ingestor.bootstrap import open_journal, open_ledger, open_tables
from ingestor.bucket import Bucket, storage_client
from ingestor.check import CheckPorts, Finding, check
from ingestor.config import Config
from ingestor.encode_fast import FastEncoder
from ingestor.messages import descriptor_of, message_class
from ingestor.schema import preflight
from ingestor.source_wiring import open_source
from state.fold import LaneState


def check_of(config: Config, partition: int = 0) -> list[Finding]:
    """Return what a check of the configured pipeline finds.

    Raises:
        ConfigurationError: MESSAGE_TYPE names no message.
    """
    message = message_class(config.message_type)
    encoder = FastEncoder(message)
    source = open_source(config, partition=partition, deadline=time.monotonic() + config.run_deadline_s)
    storage = storage_client(config.gcp_project_id, config.storage_emulator_host)
    tables = open_tables(config)
    try:
        return check(
            CheckPorts(
                lane=lambda: _lane(config, str(partition)),
                schema=lambda: preflight(
                    tables, config.bq_table_id, descriptor_of(message), dedup_key=config.dedup_key
                ),
                bucket=Bucket(storage, config.dead_letter_bucket).check,
                source=source,
                encode=encoder.encode,
                unknown_fields=lambda: encoder.unknown_fields,
            )
        )
    finally:
        source.close()
        storage.close()
        tables.close()


def _lane(config: Config, lane: str) -> LaneState | None:
    """Read the lane; a ledger file that is not there is not made."""
    if config.sqlite_path is not None and not Path(config.sqlite_path).exists():
        return None
    journal = open_journal(config)
    try:
        return open_ledger(config, journal, lane).open().state
    finally:
        journal.close()
