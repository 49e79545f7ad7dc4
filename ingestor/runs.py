"""A run in full: its document and the batches that it attempted. Reads only."""

from collections.abc import Sequence
from typing import Any

from state.events import BatchAttempted
from state.journal import BatchQuery, Document, Journal, from_page_key, page_key

SHOWN_BATCHES = 200
"""Batches told of one run at most."""
WINDOW = 50
"""Entries of a run read at once, the newest first."""
MOST_WINDOWS = 8
"""Entries looked through at most are so many times `WINDOW`: a run that only waited wrote heartbeats."""


def shown(journal: Journal, run_id: str, *, limit: int = SHOWN_BATCHES) -> dict[str, Any] | None:
    """Return `run`, the `batches` that it attempted last (newest first) and whether there are `more_batches`.

    None when the ledger holds no such run, or holds it no more.
    """
    run = journal.read_run(run_id)
    if run is None:
        return None
    batches = [dict(each) for each in newest_batches(journal, run, limit + 1)]
    return {"run": dict(run), "batches": batches[:limit], "more_batches": len(batches) > limit}


def newest_batches(journal: Journal, run: Document, limit: int) -> Sequence[Document]:
    """Return the batches that a run attempted last, newest first.

    A run that ended says between which versions it wrote, one that did not wrote the newest: these entries name its
    batches. Where they have begun to age out, or are too many, the index of batches is asked.
    """
    named = _named(journal, run, limit)
    batches = journal.read_batches(named) if named else ()
    if named is None or len(batches) < len(named):
        return journal.list_batches(BatchQuery(run=run["run_id"]), limit=limit)
    return batches


def _last_version(journal: Journal, run: Document) -> int:
    if run.get("finished_version"):
        return int(run["finished_version"])
    newest = journal.read_newest_entry(run["lane"])
    return newest.entry.version if newest else 0


def _named(journal: Journal, run: Document, limit: int) -> list[str] | None:
    """Return the ids of those batches, None when the entries do not tell."""
    first, found = run.get("started_version"), list[str]()
    if not first:
        return None
    last = _last_version(journal, run)
    for top in range(last, max(first - 1, last - MOST_WINDOWS * WINDOW), -WINDOW):
        versions = range(top, max(first, top - WINDOW + 1) - 1, -1)
        entries = journal.read_versions(run["lane"], versions)
        if len(entries) < len(versions):
            return None
        for stored in entries:
            events = stored.entry.events if stored.entry.run_id == run["run_id"] else ()
            attempts = (event for event in events if event["type"] == BatchAttempted.TYPE)
            found += [page_key(stored.entry.at_us, str(event["batch_id"])) for event in attempts]
        if len(found) >= limit or versions[-1] == first:
            return [from_page_key(key)[1] for key in sorted(found, reverse=True)[:limit]]
    return None
