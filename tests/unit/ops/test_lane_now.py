"""A lane as it is now is the fold of all that was written, as far as its bounds reach."""

from dataclasses import replace
from typing import Any

import pytest

from ops import lane_now as module
from ops.lane_now import LaneNow, lane_now
from state.codec import seal
from state.fold import LaneState
from state.journal import Commit
from state.memory import MemoryJournal
from tests.unit.state.histories import LANE, PIPELINE, T0_US, Clock, attempted, committed, finished, started, writer
from tests.unit.state.histories import tell as append


def _lane(clock: Clock | None = None) -> tuple[MemoryJournal, Any]:
    clock = clock or Clock()
    journal = MemoryJournal(now_s=clock.read_s)
    ledger = writer(journal, clock=clock)
    ledger.open()
    append(ledger, [[started()]])
    return journal, ledger


def test_of_a_lane_that_never_was_nothing_is_known() -> None:
    assert lane_now(MemoryJournal(), LANE) == LaneNow(LaneState(), is_whole=True)


@pytest.mark.parametrize("window", [1, 2, 3, 7, 50])
def test_while_a_run_is_at_work_its_entries_are_folded(monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    monkeypatch.setattr(module, "WINDOW", window)
    monkeypatch.setattr(module, "MOST_WINDOWS", 9)
    clock = Clock()
    journal, ledger = _lane(clock)
    for number in range(3):
        append(ledger, [[attempted(f"b{number}", number)]])
        assert lane_now(journal, LANE) == LaneNow(ledger.state, is_whole=True, heard_s=0)
    append(ledger, [[committed("b0")]])
    clock.now_us += 7_000_000
    assert lane_now(journal, LANE) == LaneNow(ledger.state, is_whole=True, heard_s=7)
    assert [batch.batch_id for batch in lane_now(journal, LANE).state.unsettled] == ["b1", "b2"]


def test_between_runs_the_snapshot_is_all_there_is_to_read() -> None:
    journal, ledger = _lane()
    append(ledger, [[attempted("b0")], [committed("b0")], [finished()]])
    journal._entries.clear()
    assert lane_now(journal, LANE) == LaneNow(ledger.state, is_whole=True)


@pytest.mark.parametrize(("windows", "is_whole"), [(2, False), (3, True)])
def test_a_run_that_wrote_more_than_the_bounds_is_told_to_have_more(
    monkeypatch: pytest.MonkeyPatch, windows: int, *, is_whole: bool
) -> None:
    monkeypatch.setattr(module, "WINDOW", 2)
    monkeypatch.setattr(module, "MOST_WINDOWS", windows)
    journal, ledger = _lane()
    append(ledger, [[attempted(f"b{number}", number)] for number in range(3)])  # with its start exactly two windows
    found = lane_now(journal, LANE)
    assert found == LaneNow(ledger.state, is_whole=is_whole, heard_s=0)


def test_past_an_entry_that_is_missing_or_cannot_follow_nothing_is_folded_and_no_page_fails() -> None:
    journal, ledger = _lane()
    append(ledger, [[attempted("b0")]])
    before = ledger.state
    append(ledger, [[committed("b0")], [attempted("b1", 1)]])
    del journal._entries[LANE][3]
    assert replace(lane_now(journal, LANE), heard_s=None) == LaneNow(before, is_whole=False)
    journal, ledger = _lane()
    entry = seal(
        pipeline=PIPELINE,
        lane=LANE,
        version=2,
        nonce="n",
        at_us=T0_US,
        run_id="run-1",
        events=[committed("b9")],
        prev_hash=ledger.state.head,
    )
    journal.commit(Commit(lane=LANE, entry=entry))
    assert replace(lane_now(journal, LANE), heard_s=None) == LaneNow(ledger.state, is_whole=False)


def test_a_run_that_ended_while_the_page_was_made_is_over() -> None:
    journal, ledger = _lane()
    snapshot = journal.read_snapshot(LANE)
    append(ledger, [[finished()]])
    assert snapshot is not None
    journal._snapshots[LANE] = snapshot
    assert lane_now(journal, LANE).state.run_open is False
