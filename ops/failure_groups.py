"""Dead batches grouped by why they failed, a page of groups at a time, however many batches there are. Reads only.

Costs, a group: one read to find its fingerprint, one of its newest batch, one of its oldest run's, and counts. Groups
come in the order of their fingerprints, which is the only order that needs no counter that every dead letter writes.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ingestor.outcome import normalised, storage_error_name
from state.journal import BatchQuery, Journal

SHOWN = 25
_AT_ONCE = 6
"""Questions asked of the ledger at once."""


@dataclass(frozen=True, slots=True)
class Group:
    """Batches that failed alike: `batches` of them, all counted. The rest is told of the newest."""

    fingerprint: str
    kind: str
    code: str
    storage_error: str
    message: str
    batches: int
    last_seen_us: int
    example: str


@dataclass(frozen=True, slots=True)
class Groups:
    """One page of groups, the most frequent first within it; `after` leads to the next, empty on the last."""

    items: tuple[Group, ...]
    after: str


def groups(journal: Journal, status: str = "DEAD_LETTERED", *, after: str = "", limit: int = SHOWN) -> Groups:
    """Return a page of groups."""
    found = journal.list_fingerprints(status, after=after, limit=limit + 1)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        made = [group for group in pool.map(lambda each: _group(journal, status, each), found[:limit]) if group]
    ordered = tuple(sorted(made, key=lambda group: (-group.batches, group.fingerprint)))
    return Groups(ordered, found[limit - 1] if len(found) > limit else "")


def _group(journal: Journal, status: str, fingerprint: str) -> Group | None:
    query = BatchQuery(status=status, fingerprint=fingerprint, by="dead_at_us")
    newest = next(iter(journal.list_batches(query, limit=1)), None)
    if newest is None:  # replayed since
        return None
    return Group(
        fingerprint=fingerprint,
        kind=newest.get("dead_kind") or "",
        code=newest.get("error_code") or "",
        storage_error=storage_error_name(newest.get("storage_error") or 0),
        message=normalised(newest.get("error") or ""),
        batches=journal.count_batches(query),
        last_seen_us=newest["dead_at_us"],
        example=newest["batch_id"],
    )
