"""A run in full: its document and the batches that it attempted. Reads only."""

from typing import Any

from state.journal import BatchQuery, Journal

SHOWN_BATCHES = 200
"""Batches told of one run at most."""


def shown(journal: Journal, run_id: str, *, limit: int = SHOWN_BATCHES) -> dict[str, Any] | None:
    """Return `run`, the first `batches` that it attempted (newest first) and whether there are `more_batches`.

    None when the ledger holds no such run, or holds it no more.
    """
    run = journal.read_run(run_id)
    if run is None:
        return None
    batches = [dict(each) for each in journal.list_batches(BatchQuery(run=run_id), limit=limit + 1)]
    return {"run": dict(run), "batches": batches[:limit], "more_batches": len(batches) > limit}
