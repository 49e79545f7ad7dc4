"""Where lane and pipeline stand when a run is over, for the run's last log line. Reads only, and never fails a run."""

from typing import Any

from state.errors import LedgerError
from state.journal import Journal

UNKNOWN: dict[str, Any] = {"lag_s": None, "dead_lettered_open": None}


def standing(journal: Journal, lane: str, now_us: int) -> dict[str, Any]:
    """Return `lag_s` and `dead_lettered_open`; both are None when the ledger does not answer.

    `lag_s` is the age, in seconds, of the start of the lane's last complete run, as `ingestor status` says it; None
    when there was none. `dead_lettered_open` counts batches of the whole pipeline that wait for a person, dead or being
    replayed. One document and one aggregation.
    """
    try:
        complete = journal.list_runs(lane=lane, status="complete", limit=1)
        dead = sum(journal.count_waiting())
    except LedgerError:
        return UNKNOWN
    lag_s = (now_us - complete[0]["started_at_us"]) / 1e6 if complete else None
    return {"lag_s": lag_s, "dead_lettered_open": dead}
