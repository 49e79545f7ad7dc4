"""First pages of batches, read by their names. Reads only.

Each lane's state names the batches that were attempted last and those in doubt; a run's entries name what it attempted.
So the pages that a person opens first cost a read a lane (some more while its run is at work) and one a batch, however
large the ledger: Firestore would answer the query as fast, its emulator sorts all batches for it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ingestor.runs import newest_batches
from ops.flow import SHOWN_LANES, source_lanes
from ops.lane_now import FOLDED, lane_now
from state.fold import NEWEST, LaneState
from state.journal import BatchQuery, Document, Journal, from_page_key, page_key

_AT_ONCE = 6
_IN_DOUBT = 300
"""Batches in doubt that are read by name at most: more than one run has in flight."""


def listed(journal: Journal, query: BatchQuery, limit: int) -> Sequence[Document]:
    """Return what `Journal.list_batches` does, by names where runs or the lanes' states tell all of it.

    Raises:
        ValueError: `query.after` is no page key.
    """
    found: Sequence[Document] | None = None
    if query == BatchQuery(lane=query.lane, since_us=query.since_us):
        found = _attempted(journal, query, limit)
    elif query == BatchQuery(lane=query.lane, status="ATTEMPTED"):
        found = _in_doubt(journal, query, limit)
    elif query == BatchQuery(run=query.run) and (run := journal.read_run(query.run or "")) is not None:
        found = newest_batches(journal, run, limit)
    return journal.list_batches(query, limit=limit) if found is None else found


def _attempted(journal: Journal, query: BatchQuery, limit: int) -> Sequence[Document] | None:
    """Return the batches attempted last, None where the states do not tell them all."""
    lanes = _lanes(journal, query)
    states = _states(journal, lanes) if limit <= NEWEST * len(lanes) else None
    if states is None or not all(state.newest for state in states):
        return None
    floor = page_key(query.since_us or 0, "")
    named = (key for state in states for key in state.newest if key >= floor)
    keys = sorted(named, reverse=True)[:limit]
    # A lane that names fewer may have had older ones: they belong here unless the page, or the time asked, ends before.
    ends = keys[-1] if len(keys) == limit else floor
    if any(ends < state.newest[-1] for state in states):
        return None
    wanted = {batch_id: at_us for at_us, batch_id in map(from_page_key, keys)}
    found = journal.read_batches([*wanted])
    is_whole = [(batch["batch_id"], batch["attempted_at_us"]) for batch in found] == [*wanted.items()]
    return found if is_whole else None


def _in_doubt(journal: Journal, query: BatchQuery, limit: int) -> Sequence[Document] | None:
    """Return the batches attempted and not settled, None where the states do not tell them all."""
    states = _states(journal, _lanes(journal, query))
    named = [batch.batch_id for state in states or () for batch in state.unsettled]
    found = journal.read_batches(named) if states is not None and len(named) <= _IN_DOUBT else ()
    if states is None or len(found) < len(named):
        return None
    left = (batch for batch in found if batch["status"] == "ATTEMPTED")
    return sorted(left, key=lambda batch: (batch["attempted_at_us"], batch["batch_id"]), reverse=True)[:limit]


def _lanes(journal: Journal, query: BatchQuery) -> list[str]:
    return [lane for lane in source_lanes(journal) if query.lane in {None, lane}]


def _states(journal: Journal, lanes: Sequence[str]) -> list[LaneState] | None:
    """Return the lanes' states now; None of no lanes, of too many, or when their runs wrote more than is read."""
    if not 0 < len(lanes) <= SHOWN_LANES:
        return None
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(partial(lane_now, journal, most=FOLDED // len(lanes)), lanes))
    return [now.state for now in found] if all(now.is_whole for now in found) else None
