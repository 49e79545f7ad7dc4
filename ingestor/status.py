"""What a person woken at night asks first: is data flowing, what is in doubt, what is dead, what failed. Reads only."""

from collections.abc import Callable
from typing import Any

from ingestor.ddl import OPERATORS_LANE
from ingestor.summary import position_json
from state.fold import LaneState
from state.journal import BatchQuery, Document, Journal
from state.ledger import LaneLedger, Opened

LAST_RUNS = 10


def status(journal: Journal, open_lane: Callable[[str], LaneLedger], now_us: int, stale_s: float) -> dict[str, Any]:
    """Return the state of every lane, the open dead letters and the last runs.

    Reads each lane's snapshot, last entries and two runs, two aggregations and `LAST_RUNS` runs, whatever the age of
    the pipeline.
    """
    runs = journal.list_runs(limit=LAST_RUNS)
    lanes = [lane for lane in journal.read_lanes() if lane != OPERATORS_LANE]
    return {
        "lanes": [_lane(journal, lane, open_lane(lane).look(), now_us, stale_s) for lane in lanes],
        "dead_letters": {name: {"batches": count} for name, count in _dead_letters(journal).items()},
        "last_runs": [_run(run) for run in runs],
    }


def _lane(journal: Journal, name: str, opened: Opened, now_us: int, stale_s: float) -> dict[str, Any]:
    state = opened.state
    oldest_us = min((batch.ingest_time_us for batch in state.unsettled), default=None)
    complete = journal.list_runs(lane=name, status="complete", limit=1)
    complete_us = complete[0]["started_at_us"] if complete else None
    return {
        "lane": name,
        "range": {"from": state.range_from, "to": state.range_to} if state.range_to else None,
        "checkpoint": position_json(state.checkpoint),
        "lag_s": None if complete_us is None else round((now_us - complete_us) / 1e6, 1),
        "live_run": state.run_id if opened.is_live(stale_s) else None,
        "in_doubt": len(state.unsettled),
        "oldest_in_doubt_s": None if oldest_us is None else round((now_us - oldest_us) / 1e6, 1),
        "unpublished": len(state.outbox),
        "paused": state.pause_reason if state.paused else None,
        "needs_recovery": opened.is_aged_out,
        "deaths": state.deaths,
        "systemic": _systemic(journal, state, name),
    }


def _systemic(journal: Journal, state: LaneState, lane: str) -> dict[str, Any] | None:
    """Return the failure that is open: later runs probe it before they read; the last of them says what it heard."""
    if state.systemic is None:
        return None
    last = next((r for r in journal.list_runs(lane=lane, limit=LAST_RUNS) if r.get("error")), None)
    return {
        "open_since_us": state.systemic.at_us,
        "code": state.systemic.code,
        "fingerprint": state.systemic.fingerprint,
        "run_id": state.systemic.run_id,
        "probing": True,
        "last_answer": last["error"] if last else None,
    }


def _dead_letters(journal: Journal) -> dict[str, int]:
    waiting, discarded = journal.count_waiting(), BatchQuery(status="DISCARDED", by="dead_at_us")
    counts = {"DEAD_LETTERED": waiting.dead, "REPLAYING": waiting.replaying}
    return {**counts, "DISCARDED": journal.count_batches(discarded)}


def _run(run: Document) -> dict[str, Any]:
    shown = ("run_id", "lane", "status", "started_at_us", "finished_at_us", "records", "rows_committed", "error")
    return {name: run.get(name) for name in shown}
