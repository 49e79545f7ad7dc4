"""A lane as it is now: its snapshot and, while a run is at work or died, the entries after it. Reads only.

A run replaces the snapshot when it starts and when it ends, so that in between there is nothing to fold. The entries of
an open run are read by name and in bounds: a run that has written more, or died long ago, is told by other questions.
"""

from dataclasses import dataclass

from state.codec import decode_entry, decode_state
from state.errors import CorruptHistory, UnknownEvent
from state.fold import LaneState, fold
from state.journal import Journal
from state.reading import moment_of

FOLDED = 100
"""Entries read of an open run at most."""
TRUSTED_S = 86_400.0
"""Of a run that said nothing for longer entries may have aged out: the retention is a day at least."""


@dataclass(frozen=True, slots=True)
class LaneNow:
    """`state` is the lane's, and `is_whole` says that nothing was left unread. `heard_s` is the age of the newest entry
    by the server's clock: None between runs.
    """

    state: LaneState
    is_whole: bool
    heard_s: float | None = None


def lane_now(journal: Journal, lane: str, most: int = FOLDED) -> LaneNow:
    """Return a lane as it is now, or its snapshot where more than `most` entries stand above it. Costs a read, while a
    run is open one more and the entries.
    """
    snapshot = journal.read_snapshot(lane)
    state = decode_state(snapshot.document) if snapshot else LaneState()
    newest = journal.read_newest_entry(lane) if state.run_open else None
    if newest is None:
        return LaneNow(state, is_whole=not state.run_open)
    last = newest.entry.version
    if last - state.version > most or newest.age_s > TRUSTED_S:
        return LaneNow(state, is_whole=False, heard_s=newest.age_s)
    try:
        for stored in journal.read_versions(lane, range(state.version + 1, last + 1)):
            entry = stored.entry
            state = fold(state, decode_entry(entry), moment_of(entry), entry.hash)
    except (CorruptHistory, UnknownEvent):  # for `ingestor ledger verify` to tell, not for a page
        return LaneNow(state, is_whole=False, heard_s=newest.age_s)
    return LaneNow(state, is_whole=state.version >= last, heard_s=newest.age_s)
