"""A lane's entries in order: read page by page, each checked against the one before it, and folded."""

from collections.abc import Iterator

from state.codec import decode_entry, entry_hash, genesis
from state.errors import CorruptHistory
from state.fold import LaneState, Moment, fold
from state.journal import Entry, Journal, StoredEntry

PAGE_ENTRIES = 50
"""Entries read at once: at most 900 KiB each, so a page of the largest still fits a small instance's memory."""


def moment_of(entry: Entry) -> Moment:
    """Return where and when the events of an entry happened."""
    return Moment(entry.version, entry.run_id, entry.at_us)


def walk(journal: Journal, lane: str, first: int, page: int = PAGE_ENTRIES) -> Iterator[StoredEntry]:
    """Yield a lane's entries from version `first` on, in order, reading `page` of them at once."""
    while True:
        entries = journal.read_entries(lane, first, page)
        yield from entries
        if len(entries) < page:
            return
        first = entries[-1].entry.version + 1


def follow(pipeline: str, lane: str, state: LaneState, entry: Entry) -> LaneState:
    """Return the state with the entry, its place in the chain checked. The snapshot's own entry changes nothing.

    Raises:
        CorruptHistory: the entry is altered, does not follow the one that the state ends with, or cannot happen to it.
    """

    def corrupt(what: str) -> CorruptHistory:
        return CorruptHistory(f"lane {lane} version {entry.version}: {what}; run `ingestor ledger verify`")

    if entry_hash(entry) != entry.hash:
        raise corrupt("its hash is not that of its content")
    if entry.version == state.version:
        if entry.hash != state.head:
            raise corrupt("the snapshot was folded from another entry")
        return state
    if entry.version != state.version + 1:
        raise corrupt(f"the entry before it is missing, the last one known is {state.version}")
    if entry.prev_hash != (state.head or genesis(pipeline, lane)):
        raise corrupt("it does not follow the entry before it")
    try:
        return fold(state, decode_entry(entry), moment_of(entry), entry.hash)
    except CorruptHistory as error:
        raise corrupt(str(error)) from error
