"""The run summary of the contract, and its ledger form. Pure."""

from collections.abc import Mapping
from typing import Any

from ingestor.cost import Usage
from ingestor.progress import Progress
from state.events import Position

Scalars = Mapping[str, str | int | bool | None]

_NOTHING = {
    "records": 0,
    "rows_committed": 0,
    "rows_rejected": 0,
    "rows_dead_lettered": 0,
    "rows_known": 0,
    "rows_in_doubt": 0,
    "rows_changed": 0,
    "rows_superseded": 0,
    "rows_replayed": 0,
    "batches_committed": 0,
    "batches_dead_lettered": 0,
    "batches_superseded": 0,
    "balanced": True,
}


def ledger_summary(state: Progress) -> Scalars:
    """Return what `run_finished` and `run_failed` keep: scalars only, counts of records unless named otherwise."""
    counts = state.counts
    return {
        **_NOTHING,
        "records": counts.taken + counts.known,
        "rows_committed": counts.rows_committed,
        "rows_rejected": counts.rows_rejected,
        "rows_known": counts.known,
        "rows_in_doubt": state.rows_in_doubt,
        "rows_changed": counts.changed,
        "rows_superseded": counts.rows_superseded,
        "rows_dead_lettered": counts.rows_dead_lettered,
        "batches_dead_lettered": counts.batches_dead_lettered,
        "rows_replayed": counts.rows_replayed,
        "batches_committed": counts.batches_committed,
        "batches_superseded": counts.batches_superseded,
        "balanced": state.balanced,
    }


def run_summary(state: Progress, duration_s: float) -> dict[str, Any]:
    """Return the body of `POST /run` and of `--json`."""
    return {
        "run_id": state.settings.run_id,
        "lane": state.settings.lane,
        "status": state.status or "failed",
        **ledger_summary(state),
        "checkpoint": position_json(state.lane.checkpoint),
        "batches_attempted": state.counts.batches_attempted,
        "ledger_writes": state.counts.ledger_writes,
        "cost": _cost(state, duration_s),
        "duration_s": round(duration_s, 3),
        "error": state.failure,
    }


def _cost(state: Progress, duration_s: float) -> dict[str, Any]:
    counts = state.counts
    used = Usage(counts.bytes_sent, counts.ledger_writes, counts.objects, duration_s)
    return used.summary(counts.rows_committed)


def skipped_summary(run_id: str, lane: str, checkpoint: Position | None, reason: str) -> dict[str, Any]:
    """Return the summary of a trigger that found the lane taken; `error` says by whom."""
    return {
        "run_id": run_id,
        "lane": lane,
        "status": "skipped",
        **_NOTHING,
        "checkpoint": position_json(checkpoint),
        "duration_s": 0.0,
        "error": reason,
    }


def failed_summary(lane: str, error: str) -> dict[str, Any]:
    """Return the summary of a run that could not open its lane: it has no id, and nothing was done."""
    return {
        "run_id": None,
        "lane": lane,
        "status": "failed",
        **_NOTHING,
        "checkpoint": None,
        "duration_s": 0.0,
        "error": error,
    }


def position_json(position: Position | None) -> dict[str, Any] | None:
    """Return a position as JSON, None before the first settled batch."""
    return None if position is None else {"cursor": position.cursor, "taken": position.taken}


def storable(text: str) -> str:
    """Return a text that every store takes: lone surrogates, which a source can smuggle into an error, are replaced."""
    return text.encode("utf-8", "replace").decode()
