"""What operators ask of ledger and table, wired to real adapters: the commands and the operators' service call these.

Each takes the configuration and an open journal, reads only, and returns plain values.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ingestor.bootstrap import open_ledger, open_tables
from ingestor.config import Config
from ingestor.ddl import ledger_id
from ingestor.lognames import LogName
from ingestor.ports import Log
from ingestor.status import status
from state.fold import Statement
from state.journal import Journal

if TYPE_CHECKING:
    from ingestor.reconcile import Books, Reconciliation
    from ingestor.tables import Tables
    from ingestor.why import Why

QUERY_WAIT_S = 300.0
"""A question over many partitions may take minutes."""
LOGGED_DIFFERENCES = 100
"""Differing batches that a log line each is written of; the rest are only counted."""
_DAY_US = 86_400 * 1_000_000


def status_of(config: Config, journal: Journal) -> dict[str, Any]:
    """Return what `ingestor.status.status` tells of the configured pipeline now."""
    return status(journal, lambda lane: open_ledger(config, journal, lane), _now_us(), config.ledger_stale_s)


def reconciliation_of(config: Config, journal: Journal, log: Log, since_us: int | None = None) -> "Reconciliation":
    """Compare ledger and table, and log each difference (`reconcile.difference`).

    `since_us` bounds the batches by their ingest time, and with them the partitions read; never further back than
    the ledger's retention, because what aged out of it cannot be told from what it never knew.

    Raises:
        LedgerError, BigQueryUnavailable, SchemaMismatch: ledger or table cannot be asked.
    """
    from ingestor.reconcile import reconcile  # noqa: PLC0415 - only here

    horizon_us = _now_us() - config.ledger_retention_days * _DAY_US
    with open_tables(config) as tables:
        found = reconcile(_books(config, journal, tables), max(since_us or 0, horizon_us))
    for each in found.differences[:LOGGED_DIFFERENCES]:
        log(
            LogName.RECONCILE_DIFFERENCE,
            "ERROR",
            batch_id=each.batch_id,
            rows=each.rows,
            missing=each.missing,
            doubled=each.doubled,
            unknown=each.unexpected,
            reason="; ".join(each.problems),
        )
    return found


def reconciliation_json(found: "Reconciliation", *, with_all: bool = False) -> dict[str, Any]:
    """Return a reconciliation as JSON: `since_us`, `differences`, `totals`, and `items`, a batch each.

    Items are the batches that differ, have doubles or have rows that no reader sees; `with_all` every batch.
    """
    from ingestor.reconcile import worth_showing  # noqa: PLC0415 - likewise

    items = found.batches if with_all else worth_showing(found)
    return {
        "since_us": found.since_us,
        "differences": len(found.differences),
        "totals": found.totals(),
        "items": [{**asdict(each), "problems": list(each.problems)} for each in items],
    }


def why_of(config: Config, journal: Journal, batch_id: str, row_index: int) -> "Why":
    """Return one row's story.

    Raises:
        Refused: this can be no batch's id, or the batch has no such record.
        LedgerError, BigQueryUnavailable, SchemaMismatch: ledger or table cannot be asked.
    """
    from ingestor.why import why  # noqa: PLC0415 - likewise

    with open_tables(config) as tables:
        return why(_books(config, journal, tables), batch_id, row_index)


def _books(config: Config, journal: Journal, tables: "Tables") -> "Books":
    from ingestor.reconcile import Books  # noqa: PLC0415 - likewise

    table = f"{config.gcp_project_id}.{config.bq_dataset_id}.{config.bq_table_id}"
    return Books(
        journal=journal,
        pipeline=config.pipeline_id,
        query=lambda sql: tables.query(sql, wait_s=QUERY_WAIT_S),
        table=table,
        ledger_table=ledger_id(table),
        owed=lambda: _owed(config, journal),
    )


def _owed(config: Config, journal: Journal) -> Iterator[Statement]:
    for lane in journal.read_lanes():
        yield from open_ledger(config, journal, lane).open().state.outbox


def _now_us() -> int:
    return time.time_ns() // 1000
