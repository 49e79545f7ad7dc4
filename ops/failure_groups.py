"""Dead batches grouped by why they failed, a page of groups at a time, however many batches there are. Reads only.

Costs, a group: one read to find its fingerprint, one of its newest batch, one of its oldest run's, and counts. Groups
come in the order of their fingerprints, which is the only order that needs no counter that every dead letter writes.
The first page asks one question instead: of the newest dead batches, which failed alike?
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ingestor.outcome import normalised, storage_error_name
from state.journal import BatchQuery, Document, Journal

SHOWN = 25
LOOKED_AT = 100
"""Dead batches that the first page reads to name the causes of late."""
_AT_ONCE = 6
"""Questions asked of the ledger at once."""


@dataclass(frozen=True, slots=True)
class Group:
    """Batches that failed alike: `batches` of them. The rest is told of the newest."""

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
    """One page of groups, the most frequent first within it; `after` leads to the next, empty on the last.

    `of_newest` is how many of the newest dead batches were looked at when there may be older ones; 0 when each count
    is of all of them.
    """

    items: tuple[Group, ...]
    after: str
    of_newest: int = 0


def groups(journal: Journal, status: str = "DEAD_LETTERED", *, after: str = "", limit: int = SHOWN) -> Groups:
    """Return a page of groups."""
    found = journal.list_fingerprints(status, after=after, limit=limit + 1)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        made = [group for group in pool.map(lambda each: _group(journal, status, each), found[:limit]) if group]
    ordered = tuple(sorted(made, key=lambda group: (-group.batches, group.fingerprint)))
    return Groups(ordered, found[limit - 1] if len(found) > limit else "")


def newest(journal: Journal, status: str = "DEAD_LETTERED", *, limit: int, looked_at: int = LOOKED_AT) -> Groups:
    """Return the most frequent groups among the newest `looked_at` batches: one query, at most that many reads."""
    found = journal.list_batches(BatchQuery(status=status, by="dead_at_us"), limit=looked_at)
    counts = Counter[str](batch["fingerprint"] for batch in found)
    firsts = {batch["fingerprint"]: batch for batch in reversed(found)}  # newest first, so the newest stays
    made = (_told(firsts[fingerprint], batches) for fingerprint, batches in counts.items())
    ordered = sorted(made, key=lambda group: (-group.batches, group.fingerprint))
    return Groups(tuple(ordered[:limit]), "", len(found) if len(found) == looked_at else 0)


def _group(journal: Journal, status: str, fingerprint: str) -> Group | None:
    query = BatchQuery(status=status, fingerprint=fingerprint, by="dead_at_us")
    last = next(iter(journal.list_batches(query, limit=1)), None)
    return _told(last, journal.count_batches(query)) if last else None  # None: replayed since


def _told(last: Document, batches: int) -> Group:
    return Group(
        fingerprint=last["fingerprint"],
        kind=last.get("dead_kind") or "",
        code=last.get("error_code") or "",
        storage_error=storage_error_name(last.get("storage_error") or 0),
        message=normalised(last.get("error") or ""),
        batches=batches,
        last_seen_us=last["dead_at_us"],
        example=last["batch_id"],
    )
