"""Which entries stay, which replace the snapshot, and when a lane may have lost some."""

import dataclasses

import pytest

from state.aging import CLOCKS_DIFFER_US, is_milestone, may_have_lost, never_expires
from state.events import OPS_LANE, Event, RunFailed, RunFinished
from state.fold import LaneState
from state.journal import StoredEntry
from state.memory import MemoryJournal
from tests.unit.state.histories import (
    LANE,
    attempted,
    checkpoint_set,
    committed,
    failed,
    finished,
    heartbeat,
    paused,
    published,
    recovered,
    resumed,
    started,
    tell,
    writer,
)

STAYING = [started(), paused(), resumed(), checkpoint_set(), recovered("b1")]
GOING = [attempted("b1"), committed("b1"), published(3), heartbeat(), finished(), failed()]
DAY_US = 86_400 * 10**6


@pytest.mark.parametrize("event", STAYING, ids=lambda event: event.TYPE)
def test_what_starts_a_run_or_moves_its_checkpoint_stays_for_ever(event: Event) -> None:
    assert never_expires([heartbeat(), event])
    assert is_milestone(LANE, "run-1", [heartbeat(), event])


@pytest.mark.parametrize("event", GOING, ids=lambda event: event.TYPE)
def test_all_else_ages_out_and_only_the_end_of_a_run_replaces_the_snapshot(event: Event) -> None:
    assert not never_expires([event])
    assert is_milestone(LANE, "run-1", [event]) is isinstance(event, RunFinished | RunFailed)


def test_every_entry_of_a_person_and_of_the_operators_replaces_the_snapshot() -> None:
    assert is_milestone(LANE, "", [published(3)])
    assert is_milestone(OPS_LANE, "run-1", [published(3)])


@pytest.fixture
def entry() -> StoredEntry:
    journal = MemoryJournal()
    ledger = writer(journal)
    ledger.open()
    tell(ledger, [[started()]])
    found = journal.read_entry(LANE, 1)
    assert found is not None
    return found


OPEN = LaneState(version=1, run_open=True)


@pytest.mark.parametrize(("earlier_us", "lost"), [(CLOCKS_DIFFER_US - 10**6, True), (CLOCKS_DIFFER_US + 10**6, False)])
def test_an_unfinished_lane_may_have_lost_entries_an_hour_before_they_expire(
    entry: StoredEntry, *, earlier_us: int, lost: bool
) -> None:
    old = dataclasses.replace(entry, age_s=(90 * DAY_US - earlier_us) / 1e6)
    assert may_have_lost(OPEN, old, 90 * DAY_US) is lost


@pytest.mark.parametrize(
    "state", [LaneState(version=1), LaneState(version=2, run_open=True)], ids=["finished", "newer"]
)
def test_a_lane_that_finished_or_went_on_has_lost_nothing(entry: StoredEntry, state: LaneState) -> None:
    assert not may_have_lost(state, dataclasses.replace(entry, age_s=10**9), 90 * DAY_US)
