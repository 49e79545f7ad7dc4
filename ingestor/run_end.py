"""What the log says of a run that ended: one line with its numbers, and before it the cause where that has a name."""

from collections.abc import Mapping
from typing import Any

from ingestor.errors import DeadLetterError, SchemaMismatch
from ingestor.lognames import LogName
from ingestor.ports import Log, Ports
from ingestor.progress import Progress
from ingestor.standing import UNKNOWN

_LOGGED = (
    "records",
    "rows_committed",
    "rows_rejected",
    "rows_known",
    "rows_changed",
    "rows_in_doubt",
    "rows_superseded",
    "rows_dead_lettered",
    "rows_replayed",
    "batches_committed",
    "batches_dead_lettered",
    "batches_superseded",
    "balanced",
    "duration_s",
)
"""Fields of the summary that the run's last log line carries."""
_NAMED_FAILURES = {SchemaMismatch: LogName.SCHEMA_MISMATCH, DeadLetterError: LogName.DEADLETTER_FAILED}
"""What has a log event of its own beside `run.failed` when it ends a run before anything is read."""


def log_cause(log: Log, error: Exception) -> None:
    """Log the error that ended a run before anything was read, if it has an event of its own."""
    for kind, name in _NAMED_FAILURES.items():
        if isinstance(error, kind):
            log(name, "ERROR", error=str(error))


def log_end(ports: Ports, state: Progress, summary: Mapping[str, Any]) -> None:
    """Log how the run ended, with what alerts go by."""
    oldest_us = min((batch.ingest_time_us for batch in state.lane.unsettled), default=None)
    checkpoint = state.lane.checkpoint
    ports.log(
        LogName.RUN_FAILED if state.failure else LogName.RUN_FINISHED,
        "ERROR" if state.failure else "INFO",
        status=summary["status"],
        error=state.failure,
        **{name: summary[name] for name in _LOGGED},
        checkpoint=checkpoint.cursor if checkpoint else None,
        in_doubt=len(state.lane.unsettled),
        oldest_in_doubt_s=None if oldest_us is None else (ports.clock.now_us() - oldest_us) / 1e6,
        # A ledger that did not take the run's end is not asked: the process may have seconds left.
        **(UNKNOWN if state.lane.run_open else ports.standing()),
    )
