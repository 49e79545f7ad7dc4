"""What the port says of the lists and counts that only people ask for."""

from dataclasses import replace
from typing import Any

import pytest

from state.journal import BatchQuery, Journal, page_key
from state.troubled import trouble_of
from state.views import CAUSE_FIELDS, Waiting
from tests.unit.state.commits import commit
from tests.unit.state.histories import (
    DAY_US,
    LANE,
    T0_US,
    attempted,
    committed,
    dead,
    operator,
    rejected,
    started,
    tell,
    writer,
)


def _dead(number: int, fingerprint: str | None, status: str = "DEAD_LETTERED") -> dict[str, Any]:
    times = {"attempted_at_us": number, "dead_at_us": 100 + number if fingerprint else None}
    why = {"fingerprint": fingerprint, "storage_error": 0, "error": "no"}
    return {"batch_id": f"b{number}", "status": status, "lane": str(number % 2), **why, **times}


BATCHES = [
    _dead(1, "f2"),
    _dead(2, "f1"),
    _dead(3, "f2"),
    _dead(4, "f3", "COMMITTED"),
    _dead(5, None, "COMMITTED"),
    _dead(6, "f4"),
]


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        (BatchQuery(), 6),
        (BatchQuery(status="DEAD_LETTERED"), 4),
        (BatchQuery(status="DEAD_LETTERED", lane="1"), 2),
        (BatchQuery(status="DEAD_LETTERED", fingerprint="f2", by="dead_at_us"), 2),
        (BatchQuery(by="dead_at_us", since_us=103), 3),
        (BatchQuery(by="dead_at_us", since_us=103, until_us=106), 2),
        (BatchQuery(status="REPLAYING"), 0),
        (BatchQuery(status="DEAD_LETTERED", after=page_key(2, "b2")), 4),
    ],
)
def test_a_count_is_of_all_that_the_query_finds_whatever_its_page(
    journal: Journal, asked: BatchQuery, count: int
) -> None:
    journal.commit(commit(batches={batch["batch_id"]: batch for batch in BATCHES}))
    assert journal.count_batches(asked) == count


def test_dead_batches_and_those_being_replayed_are_counted_in_one_question(journal: Journal) -> None:
    assert journal.count_waiting() == (0, 0)
    more = {"b7": _dead(7, "f1", "REPLAYING"), "b8": _dead(8, "f1", "DISCARDED"), "b9": _dead(9, "f1", "REPLAYING")}
    journal.commit(commit(batches={**{batch["batch_id"]: batch for batch in BATCHES}, **more}))
    assert journal.count_waiting() == Waiting(dead=4, replaying=2)


def test_batches_are_read_by_name_in_the_order_asked_without_their_digests(journal: Journal) -> None:
    journal.commit(commit(batches={batch["batch_id"]: {**batch, "row_digests": b"1"} for batch in BATCHES}))
    found = journal.read_batches(["b5", "b1", "b77", "b4"])
    assert [batch["batch_id"] for batch in found] == ["b5", "b1", "b4"]
    assert found[1] == BATCHES[0]
    assert journal.read_batches([]) == []


def test_entries_are_read_by_version_in_the_order_asked(journal: Journal) -> None:
    for version in (1, 2, 3):
        journal.commit(commit(version))
    assert [found.entry.version for found in journal.read_versions(LANE, [3, 7, 1])] == [3, 1]
    assert journal.read_versions(LANE, [3])[0].entry == journal.read_entries(LANE, 3, 1)[0].entry
    assert 0 <= journal.read_versions(LANE, range(2, 0, -1))[0].age_s < 60
    assert journal.read_versions("1", [1]) == journal.read_versions(LANE, []) == []


def test_what_lists_of_trouble_go_by_is_read_by_id_in_pages(journal: Journal) -> None:
    ledger = writer(journal)
    ledger.open()
    batches = [attempted(f"b{number}", number) for number in range(4)]
    tell(ledger, [[started()], batches, [committed("b0"), dead("b1"), rejected("b2", 1), committed("b2"), dead("b3")]])
    claim: dict[str, Any] = {"token": "t", "actor": "ann", "reason": "test"}
    operator(journal).claim("b3", **claim)
    whole = journal.read_troubled(limit=9)
    assert [*whole] == ["b1", "b2", "b3"]
    for batch_id, trouble in whole.items():
        assert trouble == trouble_of(journal.read_batch(batch_id) or {})
    assert (whole["b1"]["waiting"], whole["b2"].get("waiting"), whole["b3"]["waiting"]) == (1, None, 2)
    assert [*journal.read_troubled(limit=2)] == ["b1", "b2"]
    assert [*journal.read_troubled(limit=1, after="b1")] == ["b2"]
    assert journal.read_troubled(limit=2, after="b3") == {}


def test_causes_are_the_batches_of_a_list_with_the_fields_that_tell_why_and_no_other(journal: Journal) -> None:
    journal.commit(commit(batches={batch["batch_id"]: batch for batch in BATCHES}))
    query = BatchQuery(status="DEAD_LETTERED", by="dead_at_us")
    found = journal.list_causes(query, limit=3)
    assert [(cause["batch_id"], cause["fingerprint"]) for cause in found] == [("b6", "f4"), ("b3", "f2"), ("b2", "f1")]
    assert found[0] == {name: BATCHES[5].get(name) for name in CAUSE_FIELDS}
    following = journal.list_causes(query.following(found[-1]))
    assert [cause["dead_at_us"] for cause in following] == [101]
    with pytest.raises(ValueError, match="start again from the first page"):
        journal.list_causes(replace(query, after="nonsense"))
    for other in (replace(query, by="attempted_at_us"), replace(query, run="run-1")):
        with pytest.raises(ValueError, match="causes are listed by dead_at_us"):
            journal.list_causes(other)


def test_batches_with_open_records_come_with_the_most_first_and_in_pages(journal: Journal) -> None:
    counts = {"b1": 2, "b2": 0, "b3": 7, "b4": 2}
    batches = {key: {"batch_id": key, "open_records": records, "row_digests": b"1"} for key, records in counts.items()}
    journal.commit(commit(batches={**batches, "b5": {"batch_id": "b5"}}))
    assert journal.count_open_records() == 3
    assert list(journal.list_open_records(limit=1)) == [{"batch_id": "b3", "open_records": 7}]
    listed = journal.list_open_records(after=page_key(7, "b3"))
    assert [batch["batch_id"] for batch in listed] == ["b4", "b1"]
    assert [batch["batch_id"] for batch in journal.list_open_records(after=page_key(2, "b4"))] == ["b1"]
    with pytest.raises(ValueError, match="start again from the first page"):
        journal.list_open_records(after="nonsense")


def test_skips_are_listed_newest_first_of_a_lane_and_since_a_time(journal: Journal) -> None:
    for number, lane in enumerate("0011"):
        skip = {"lane": lane, "at_us": T0_US + number, "live_run": f"r{number}"}
        journal.create_skip(f"tick-{number}", skip, T0_US + DAY_US)
    assert [skip["live_run"] for skip in journal.list_skips()] == ["r3", "r2", "r1", "r0"]
    assert [skip["live_run"] for skip in journal.list_skips(limit=1)] == ["r3"]
    assert [skip["live_run"] for skip in journal.list_skips(lane="0")] == ["r1", "r0"]
    assert [skip["live_run"] for skip in journal.list_skips(lane="1", since_us=T0_US + 3)] == ["r3"]


def test_the_newest_entry_is_the_one_of_the_highest_version(journal: Journal) -> None:
    assert journal.read_newest_entry(LANE) is None
    for version in (1, 2, 3):
        journal.commit(commit(version))
    newest = journal.read_newest_entry(LANE)
    assert newest is not None
    assert newest.entry.version == 3
    assert 0 <= newest.age_s < 60


def test_entries_of_people_are_those_that_no_run_wrote_newest_first(journal: Journal) -> None:
    for version, run_id in enumerate(("", "run-1", "", "run-2", ""), 1):
        journal.commit(commit(version, run_id=run_id))
    assert [found.entry.version for found in journal.list_entries_of_people(LANE)] == [5, 3, 1]
    assert [found.entry.version for found in journal.list_entries_of_people(LANE, limit=1)] == [5]
    assert [found.entry.version for found in journal.list_entries_of_people(LANE, before=5)] == [3, 1]
