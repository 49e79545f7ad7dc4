"""The first page of all batches is what the list begins with, read by names where the snapshots tell them."""

from typing import Any

import pytest

from ops.newest import listed
from state.events import Event
from state.fold import NEWEST
from state.journal import BatchQuery, page_key
from state.ledger import LaneLedger
from tests.unit.state.histories import T0_US, Clock, attempted, committed, finished, started, tell, writer
from tests.unit.test_runs import Asked

ALL = BatchQuery()


def _lane(journal: Asked, lane: str, count: int, at_us: int = T0_US) -> LaneLedger:
    """A lane with so many batches, one an entry, a second apart."""
    clock = Clock(at_us)
    ledger = writer(journal, lane, clock=clock)
    ledger.open()
    tell(ledger, [[started()]])
    for number in range(count):
        clock.now_us += 1_000_000
        tell(ledger, [[attempted(f"{lane}-{number:03}", number)], [committed(f"{lane}-{number:03}")]])
    tell(ledger, [[finished()]])
    return ledger


def _same(journal: Asked, limit: int = NEWEST, query: BatchQuery = ALL) -> bool:
    """Check that the page is that of the list, and tell whether the list was left alone."""
    journal.asked.clear()
    found = list(listed(journal, query, limit))
    asked = "list" in journal.asked
    assert found == list(journal.list_batches(query, limit=limit))
    return not asked


def test_between_runs_the_batches_are_read_by_name_those_of_all_lanes_merged() -> None:
    journal = Asked()
    for lane, count in (("0", 60), ("1", 40), ("2", NEWEST)):
        _lane(journal, lane, count, T0_US + int(lane) * 300_000)
    assert _same(journal)
    assert journal.asked[0] == f"{NEWEST} batches"
    assert _same(journal, limit=1)
    assert _same(journal, query=BatchQuery(lane="0"))


def test_while_a_run_is_at_work_what_it_attempted_since_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Asked()
    _lane(journal, "0", 60)
    ledger = _lane(journal, "1", 60)
    tell(ledger, [[started("run-2")], [attempted("1-060", 60)], [attempted("1-061", 61)]], "run-2")
    assert _same(journal)
    assert listed(journal, ALL, 1)[0]["batch_id"] == "1-061"
    monkeypatch.setattr("ops.newest.FOLDED", 3)
    assert not _same(journal), "two entries stand above the snapshot, and each of two lanes has one and a half"
    assert _same(journal, query=BatchQuery(lane="0"))


@pytest.mark.parametrize(
    "query",
    [
        BatchQuery(status="COMMITTED"),
        BatchQuery(lane="0", status="COMMITTED"),
        BatchQuery(run="run-1", status="COMMITTED"),
        BatchQuery(run="no such run"),
        BatchQuery(since_us=T0_US, status="ATTEMPTED"),
        BatchQuery(until_us=T0_US + 9),
        BatchQuery(by="dead_at_us"),
        BatchQuery(after=page_key(T0_US + 20_000_000, "x")),
        BatchQuery(lane="no such lane"),
    ],
)
def test_any_other_question_is_one_of_the_list(query: BatchQuery) -> None:
    journal = Asked()
    _lane(journal, "0", 60)
    assert not _same(journal, query=query)


@pytest.mark.parametrize("seconds", [5, 20, 59, 60, 61, 90])
def test_batches_since_a_time_are_read_by_name_while_the_states_reach_back_as_far(seconds: int) -> None:
    journal = Asked()
    _lane(journal, "0", 60)
    _lane(journal, "1", 30, T0_US + 31_000_000)
    since_us = T0_US + seconds * 1_000_000
    assert _same(journal, query=BatchQuery(since_us=since_us)), "a page of 51 is filled, or all since then is named"
    is_named = seconds > 32  # what lane 1 names begins there, and it might have had older ones
    assert _same(journal, limit=NEWEST * 2, query=BatchQuery(since_us=since_us)) is is_named
    assert _same(journal, limit=60, query=BatchQuery(lane="1", since_us=since_us)) is False
    assert _same(journal, query=BatchQuery(lane="1", since_us=T0_US + 32_000_000)) is False


def test_what_is_in_doubt_is_read_by_name() -> None:
    journal = Asked()
    _lane(journal, "0", 3)
    assert _same(journal, query=BatchQuery(status="ATTEMPTED"))
    ledger = _lane(journal, "1", 2)
    tell(ledger, [[started("run-2")], [attempted("1-9", 9), attempted("1-8", 8)], [attempted("1-5", 5)]], "run-2")
    for limit in (1, 2, 3, 9):
        assert _same(journal, limit, BatchQuery(status="ATTEMPTED"))
    assert [batch["batch_id"] for batch in listed(journal, BatchQuery(status="ATTEMPTED"), 2)] == ["1-9", "1-8"]
    assert _same(journal, query=BatchQuery(status="ATTEMPTED", lane="1"))
    assert not _same(journal, query=BatchQuery(status="ATTEMPTED", lane="nowhere"))
    journal._batches["1-8"]["status"] = "COMMITTED"  # as if it was settled between the two reads
    assert _same(journal, query=BatchQuery(status="ATTEMPTED"))
    del journal._batches["1-8"]
    assert not _same(journal, query=BatchQuery(status="ATTEMPTED"))


def test_more_in_doubt_than_is_read_by_name_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.newest._IN_DOUBT", 1)
    journal = Asked()
    ledger = _lane(journal, "0", 2)
    tell(ledger, [[started("run-2")], [attempted("0-8", 8), attempted("0-9", 9)]], "run-2")
    assert not _same(journal, query=BatchQuery(status="ATTEMPTED"))


def test_a_run_s_batches_are_named_by_its_entries() -> None:
    journal = Asked()
    _lane(journal, "0", 60)
    assert _same(journal, query=BatchQuery(run="run-1"))
    assert not _same(journal, query=BatchQuery(run="run-1", after=page_key(T0_US + 20_000_000, "x")))


def test_a_page_longer_than_the_snapshots_name_is_one_of_the_list() -> None:
    journal = Asked()
    _lane(journal, "0", 60)
    before = journal.snapshots
    assert not _same(journal, limit=NEWEST + 1)
    assert journal.snapshots == before, "nothing is read in vain"
    _lane(journal, "1", 60, T0_US + 10**9)
    assert not _same(journal, limit=NEWEST + 1)


def test_a_lane_long_at_rest_with_few_batches_is_in_nobodys_way() -> None:
    journal = Asked()
    _lane(journal, "backfill", 5, T0_US - 10**9)
    _lane(journal, "0", 60)
    assert _same(journal)


def test_a_lane_that_names_few_and_may_have_had_more_is_asked_about() -> None:
    journal = Asked()
    _lane(journal, "0", 60)
    _lane(journal, "1", 60)
    held = journal._snapshots["1"]
    fewer: dict[str, Any] = {**held.document, "newest": held.document["newest"][:3]}
    journal._snapshots["1"] = type(held)(held.version, fewer, held.token)
    assert not _same(journal)
    journal._snapshots["1"] = type(held)(held.version, {**held.document, "newest": []}, held.token)
    assert not _same(journal)


def test_fewer_batches_than_a_page_are_asked_about() -> None:
    journal = Asked()
    _lane(journal, "0", 5)
    assert not _same(journal)
    assert _same(journal, limit=5)


def test_a_batch_that_aged_out_is_not_missed_on_the_page() -> None:
    journal = Asked()
    _lane(journal, "0", 60)
    del journal._batches["0-055"]
    assert not _same(journal)


def test_a_batch_written_otherwise_than_it_is_named_is_asked_about() -> None:
    journal = Asked()
    _lane(journal, "0", 60)
    journal._batches["0-055"]["attempted_at_us"] += 1
    assert not _same(journal)


def test_more_lanes_than_a_page_shows_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.newest.SHOWN_LANES", 2)
    journal = Asked()
    for lane in ("0", "1", "2"):
        _lane(journal, lane, 60)
    assert not _same(journal)
    assert _same(journal, query=BatchQuery(lane="0"))


def test_of_no_lane_the_list_is_empty() -> None:
    assert not _same(Asked())
    events: list[Event] = [started()]
    journal = Asked()
    tell(writer_opened(journal), [events, [finished()]])
    assert not _same(journal)


def writer_opened(journal: Asked) -> LaneLedger:
    ledger = writer(journal)
    ledger.open()
    return ledger
