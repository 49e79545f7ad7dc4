"""Dead batches grouped by why they failed, however many there are. Reads only.

One question and one count a page: of the newest dead batches (`LOOKED_AT`), which failed alike, and how many are there
in all? Older ones are on further pages, which say what they looked at. So a page costs the same with a million dead
batches as with a thousand, and no counter is written for it that every dead letter would have to change.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ingestor.outcome import normalised, storage_error_name
from state.journal import BatchQuery, Document, Journal, page_key

LOOKED_AT = 1_000
"""Dead batches that a page of failures groups."""
LOOKED_AT_FIRST = 100
"""Dead batches that the first page of all reads to name the causes of late."""
DEAD = BatchQuery(status="DEAD_LETTERED", by="dead_at_us")


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
    """One page of groups, the most frequent first; `after` leads to those of older batches, empty on the last page.

    `of_newest` is how many batches were looked at when others were not; 0 when each count is of all dead batches.
    `total` counts these, None when nobody asked.
    """

    items: tuple[Group, ...]
    after: str
    of_newest: int = 0
    total: int | None = None


def groups(journal: Journal, *, after: str = "", looked_at: int = LOOKED_AT) -> Groups:
    """Return the groups of the newest dead batches, or of those that follow a page key, and how many there are in all.

    Raises:
        ValueError: `after` is no page key.
    """
    with ThreadPoolExecutor(2) as pool:
        total = pool.submit(journal.count_batches, DEAD)
        found = journal.list_causes(replace(DEAD, after=after or None), limit=looked_at)
        is_all = not after and len(found) < looked_at
        following = page_key(found[-1]["dead_at_us"], found[-1]["batch_id"]) if len(found) == looked_at else ""
        return Groups(_grouped(found), following, 0 if is_all else len(found), total.result())


def newest(journal: Journal, *, limit: int, looked_at: int = LOOKED_AT_FIRST) -> Groups:
    """Return the most frequent groups among the newest `looked_at` batches: one query, at most that many reads."""
    found = journal.list_causes(DEAD, limit=looked_at)
    return Groups(_grouped(found)[:limit], "", len(found) if len(found) == looked_at else 0)


def _grouped(found: Sequence[Document]) -> tuple[Group, ...]:
    counts = Counter[str](batch["fingerprint"] for batch in found)
    firsts = {batch["fingerprint"]: batch for batch in reversed(found)}  # newest first, so the newest stays
    made = (_told(firsts[fingerprint], batches) for fingerprint, batches in counts.items())
    return tuple(sorted(made, key=lambda group: (-group.batches, group.fingerprint)))


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
