"""A lane as it is now: its snapshot and, while a run is at work or died, the entries after it. Reads only.

A run replaces the snapshot when it starts and when it ends, so that in between there is nothing to fold. The entries of
an open run are read by name and in bounds: a run that has written more than these is told by other questions.
"""

from dataclasses import dataclass

from state.codec import decode_entry, decode_state
from state.errors import CorruptHistory, UnknownEvent
from state.fold import LaneState, fold
from state.journal import Journal, StoredEntry
from state.reading import moment_of

WINDOW = 50
"""Entries asked for at once; Firestore bills a read for one that is not there, too."""
MOST_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class LaneNow:
    """`state` is the lane's, and `is_whole` says that nothing was left unread. `heard_s` is the age of the newest entry
    read, by the server's clock: None between runs.
    """

    state: LaneState
    is_whole: bool
    heard_s: float | None = None


def lane_now(journal: Journal, lane: str) -> LaneNow:
    """Return a lane as it is now, or as far as `MOST_WINDOWS` of `WINDOW` entries tell it."""
    snapshot = journal.read_snapshot(lane)
    state = decode_state(snapshot.document) if snapshot else LaneState()
    if not state.run_open:
        return LaneNow(state, is_whole=True)
    now = LaneNow(state, is_whole=True)
    for first in range(state.version, state.version + MOST_WINDOWS * WINDOW, WINDOW):
        entries = journal.read_versions(lane, range(first, first + WINDOW))
        for stored in entries:
            now = _followed(now, stored)
        if len(entries) < WINDOW:
            return now
    return LaneNow(now.state, is_whole=False, heard_s=now.heard_s)


def _followed(now: LaneNow, stored: StoredEntry) -> LaneNow:
    """Return the lane with one more entry. What cannot follow is for `ingestor ledger verify`, not for a page."""
    entry, state = stored.entry, now.state
    if entry.version == state.version:
        return LaneNow(state, now.is_whole, stored.age_s)
    try:
        state = fold(state, decode_entry(entry), moment_of(entry), entry.hash)
    except (CorruptHistory, UnknownEvent):
        return LaneNow(state, is_whole=False, heard_s=stored.age_s)
    return LaneNow(state, now.is_whole, stored.age_s)
