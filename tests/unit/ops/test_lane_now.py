"""A lane as it is now is the fold of all that was written, as far as its bounds reach."""

from typing import Any

import pytest

from ops.lane_now import FOLDED, TRUSTED_S, LaneNow, lane_now
from state.codec import seal
from state.fold import LaneState
from state.journal import Commit
from state.memory import MemoryJournal
from tests.unit.state.histories import (
    LANE,
    PIPELINE,
    T0_US,
    Clock,
    attempted,
    committed,
    finished,
    heartbeat,
    started,
    tell,
    writer,
)


def _lane(clock: Clock | None = None) -> tuple[MemoryJournal, Any]:
    clock = clock or Clock()
    journal = MemoryJournal(now_s=clock.read_s)
    ledger = writer(journal, clock=clock)
    ledger.open()
    tell(ledger, [[started()]])
    return journal, ledger


def test_of_a_lane_that_never_was_nothing_is_known() -> None:
    assert lane_now(MemoryJournal(), LANE) == LaneNow(LaneState(), is_whole=True)


def test_while_a_run_is_at_work_its_entries_are_folded() -> None:
    clock = Clock()
    journal, ledger = _lane(clock)
    assert lane_now(journal, LANE) == LaneNow(ledger.state, is_whole=True, heard_s=0)
    for number in range(3):
        tell(ledger, [[attempted(f"b{number}", number)]])
        assert lane_now(journal, LANE) == LaneNow(ledger.state, is_whole=True, heard_s=0)
    tell(ledger, [[committed("b0")]])
    clock.now_us += 7_000_000
    assert lane_now(journal, LANE) == LaneNow(ledger.state, is_whole=True, heard_s=7)
    assert [batch.batch_id for batch in lane_now(journal, LANE).state.unsettled] == ["b1", "b2"]


def test_between_runs_the_snapshot_is_all_there_is_to_read() -> None:
    journal, ledger = _lane()
    tell(ledger, [[attempted("b0")], [committed("b0")], [finished()]])
    journal._entries.clear()
    assert lane_now(journal, LANE) == LaneNow(ledger.state, is_whole=True)


@pytest.mark.parametrize("entries", [FOLDED, FOLDED + 1])
def test_of_a_run_that_wrote_more_than_the_bound_the_snapshot_is_told_and_that_there_is_more(entries: int) -> None:
    journal, ledger = _lane()
    before = ledger.state
    tell(ledger, [[heartbeat()]] * entries)
    is_whole = entries <= FOLDED
    assert lane_now(journal, LANE) == LaneNow(ledger.state if is_whole else before, is_whole=is_whole, heard_s=0)
    assert lane_now(journal, LANE, most=2) == LaneNow(before, is_whole=False, heard_s=0)


def test_of_a_run_that_died_long_ago_entries_may_have_aged_out() -> None:
    clock = Clock()
    journal, ledger = _lane(clock)
    before = ledger.state
    tell(ledger, [[attempted("b0")]])
    clock.now_us += int(TRUSTED_S * 1e6)
    assert lane_now(journal, LANE).is_whole
    clock.now_us += 1_000_000
    assert lane_now(journal, LANE) == LaneNow(before, is_whole=False, heard_s=TRUSTED_S + 1)
    journal._entries.clear()
    assert lane_now(journal, LANE) == LaneNow(before, is_whole=False)


def test_past_an_entry_that_is_missing_or_cannot_follow_nothing_is_folded_and_no_page_fails() -> None:
    journal, ledger = _lane()
    tell(ledger, [[attempted("b0")]])
    before = ledger.state
    tell(ledger, [[committed("b0")], [attempted("b1", 1)]])
    del journal._entries[LANE][3]
    assert lane_now(journal, LANE) == LaneNow(before, is_whole=False, heard_s=0)
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
    assert lane_now(journal, LANE) == LaneNow(ledger.state, is_whole=False, heard_s=0)


def test_entries_that_age_out_while_they_are_read_are_missed() -> None:
    journal, ledger = _lane()
    tell(ledger, [[attempted("b0")], [committed("b0")]])

    class Late(MemoryJournal):
        def read_versions(self, lane: str, versions: Any) -> Any:
            return super().read_versions(lane, [*versions][:-1])

    late = Late(now_s=journal._now_s)
    late.__dict__.update({name: kept for name, kept in vars(journal).items() if name != "_now_s"})
    assert not lane_now(late, LANE).is_whole


def test_a_run_that_ended_while_the_page_was_made_is_over() -> None:
    journal, ledger = _lane()
    snapshot = journal.read_snapshot(LANE)
    tell(ledger, [[finished()]])
    assert snapshot is not None
    journal._snapshots[LANE] = snapshot
    assert lane_now(journal, LANE).state.run_open is False
