"""What may age out of a journal and what may not, and how a lane goes on that lost entries to it. Pure."""

from collections.abc import Iterable

from state.events import (
    OPS_LANE,
    CheckpointSet,
    Event,
    LaneRecovered,
    Paused,
    Resumed,
    RunFailed,
    RunFinished,
    RunStarted,
)
from state.fold import LaneState
from state.journal import StoredEntry

CLOCKS_DIFFER_US = 3_600 * 1_000_000
"""An entry's expiry is by its writer's clock, its age by the server's: this much they may differ."""
LEAP = 1_000_000
"""Versions that a recovery leaves out: more than a run can write, so that whatever a run of before the recovery still
writes or publishes stands below it.
"""
_NEVER_EXPIRE = (RunStarted, Paused, Resumed, CheckpointSet, LaneRecovered)
_MILESTONES = (*_NEVER_EXPIRE, RunFinished, RunFailed)


def is_milestone(lane: str, run_id: str, events: Iterable[Event]) -> bool:
    """Tell whether the entry of these events replaces the lane's snapshot: on lane `ops`, and of a person, all do."""
    return lane == OPS_LANE or not run_id or any(isinstance(event, _MILESTONES) for event in events)


def never_expires(events: Iterable[Event]) -> bool:
    """Tell whether the entry of these events stays: a writer older than the retention must still meet its successor."""
    return any(isinstance(event, _NEVER_EXPIRE) for event in events)


def may_have_lost(snapshot: LaneState, stored: StoredEntry, retention_us: int) -> bool:
    """Tell, by the snapshot's own entry, whether entries of an unfinished run above it may have aged out."""
    is_own = snapshot.version == stored.entry.version and snapshot.run_open
    return is_own and stored.age_s * 1e6 >= retention_us - CLOCKS_DIFFER_US


def aged_out_message(lane: str) -> str:
    """Return why an aged-out lane is refused, and what to do."""
    return (
        f"lane {lane}: its last run never finished and is older than LEDGER_RETENTION_DAYS, so what it did may have "
        "aged out of the journal; run `ingestor ledger recover`, which reads its records again"
    )
