"""The first page of all batches, read by their names. Reads only.

Each lane's state names the batches that were attempted last. So the page that a person opens first costs a read a lane
(some more while its run is at work) and one a batch, however large the ledger: Firestore would answer the query as
fast, its emulator sorts all batches for it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ops.flow import SHOWN_LANES, source_lanes
from ops.lane_now import FOLDED, lane_now
from state.fold import NEWEST
from state.journal import BatchQuery, Document, Journal, from_page_key

_AT_ONCE = 6


def listed(journal: Journal, query: BatchQuery, limit: int) -> Sequence[Document]:
    """Return what `Journal.list_batches` does, by names where the lanes' states tell all of it.

    Raises:
        ValueError: `query.after` is no page key.
    """
    is_first = query == BatchQuery(lane=query.lane)
    found = _by_names(journal, query.lane, limit) if is_first else None
    return journal.list_batches(query, limit=limit) if found is None else found


def _by_names(journal: Journal, lane: str | None, limit: int) -> Sequence[Document] | None:
    lanes = [each for each in source_lanes(journal) if lane in {None, each}]
    newest = _newest(journal, lanes) if len(lanes) <= SHOWN_LANES and limit <= NEWEST * len(lanes) else None
    keys = sorted((key for each in newest or () for key in each), reverse=True)[:limit]
    if newest is None or len(keys) < limit or any(keys[-1] < each[-1] for each in newest):
        return None  # a lane that names fewer may have had older ones that belong here
    named = {batch_id: at_us for at_us, batch_id in map(from_page_key, keys)}
    found = journal.read_batches([*named])
    is_whole = [(batch["batch_id"], batch["attempted_at_us"]) for batch in found] == [*named.items()]
    return found if is_whole else None


def _newest(journal: Journal, lanes: Sequence[str]) -> list[tuple[str, ...]] | None:
    """Return what each lane's state names; None when runs wrote more than is read, or a lane names nothing."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(partial(lane_now, journal, most=FOLDED // len(lanes)), lanes))
    if any(not now.is_whole or not now.state.newest for now in found):
        return None
    return [now.state.newest for now in found]
