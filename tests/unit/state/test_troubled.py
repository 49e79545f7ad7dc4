"""Which batches are kept apart, and what of them."""

from typing import Any

import pytest

from state.events import OPS_LANE
from state.troubled import TROUBLED_FIELDS, WAITING, is_troubled, trouble_anew, trouble_of, troubled_changes
from tests.unit.state.commits import commit

DEAD: dict[str, Any] = {
    "batch_id": "b1",
    "lane": "0",
    "status": "DEAD_LETTERED",
    "dead_at_us": 5,
    "fingerprint": "f1",
    "storage_error": 0,
    "open_records": 0,
    "error_code": "INVALID_ARGUMENT",
    "rows": 3,
    "start": {"cursor": None, "taken": 0},
}


def test_of_a_batch_with_trouble_what_is_asked_for_is_kept_and_nothing_empty() -> None:
    kept = {name: DEAD[name] for name in ("batch_id", "lane", "status", "dead_at_us", "fingerprint", "error_code")}
    assert trouble_of(DEAD) == {**kept, WAITING: 1}
    assert trouble_of({**DEAD, "status": "REPLAYING", "open_records": 2}) == {
        **kept,
        "status": "REPLAYING",
        "open_records": 2,
        WAITING: 2,
    }
    assert WAITING not in trouble_of({**DEAD, "status": "DISCARDED"})


@pytest.mark.parametrize(
    ("batch", "troubled"),
    [
        ({"status": "COMMITTED", "dead_at_us": None, "open_records": 0, "rejected_indexes": []}, False),
        ({"status": "COMMITTED", "dead_at_us": 5}, True),
        ({"status": "COMMITTED", "open_records": 1}, True),
        ({"status": "COMMITTED", "open_records": 0, "rejected_indexes": [4]}, True),
        ({}, False),
    ],
)
def test_trouble_is_a_dead_letter_or_a_rejected_record_ever(batch: dict[str, Any], *, troubled: bool) -> None:
    assert is_troubled(batch) is troubled


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"status": "COMMITTED", "rows": 3}, None),
        ({"status": "ATTEMPTED", "dead_at_us": None, "open_records": 0}, None),
        ({"status": "SUPERSEDED", "expire_at_us": 9}, None),
        ({"open_records": 2}, {"open_records": 2}),
        ({"status": "DEAD_LETTERED", "dead_at_us": 5}, {"status": "DEAD_LETTERED", "dead_at_us": 5, WAITING: 1}),
    ],
)
def test_a_commit_of_a_source_lane_changes_it_where_trouble_shows(
    fields: dict[str, Any], kept: dict[str, Any] | None
) -> None:
    found = troubled_changes(commit(lane="3", batches={"b1": fields}))
    assert found == ({} if kept is None else {"b1": {"batch_id": "b1", "lane": "3", **kept}})


def test_what_had_trouble_before_is_changed_where_it_was_held() -> None:
    held = {"b1": {"batch_id": "b1", "lane": "3", "rejected_indexes": [1], "open_records": 1}}
    found = troubled_changes(commit(lane="3", batches={"b1": {"status": "SUPERSEDED", "expire_at_us": 9}}, held=held))
    kept = {"batch_id": "b1", "lane": "3", "status": "SUPERSEDED", "expire_at_us": 9, WAITING: None}
    assert found == {"b1": kept}, "what others changed meanwhile is left as it is"


def test_of_a_batch_that_must_be_as_it_was_read_all_is_said() -> None:
    change = {"b1": {"status": "DISCARDED", "expire_at_us": 9}}
    found = troubled_changes(commit(lane=OPS_LANE, batches=change, held={"b1": DEAD}, batch_tokens={"b1": 1}))
    assert found == {"b1": trouble_anew("b1", {**DEAD, **change["b1"]})}
    assert {name for name, value in found["b1"].items() if value is None} == {
        WAITING,
        "dead_kind",
        "storage_error",
        "error",
        "open_records",
    }
    assert (found["b1"]["lane"], found["b1"]["status"], found["b1"]["expire_at_us"]) == ("0", "DISCARDED", 9)


def test_what_is_kept_of_a_batch_without_trouble_says_nothing_and_ages_out_at_once() -> None:
    found = trouble_anew("b1", {"batch_id": "b1", "status": "COMMITTED", "open_records": 0})
    assert {name: value for name, value in found.items() if value} == {"batch_id": "b1", "expire_at_us": 1}
    assert set(found) == {*TROUBLED_FIELDS, WAITING}
