"""Filters in the address: read, said when they are none, written back whole."""

import pytest

from ingestor.replay import Selection
from ops.page_filters import Filters, instant, local_path, read
from state.journal import BatchQuery


def test_filters_come_back_in_every_address() -> None:
    filters = read({"status": "dead_lettered", "lane": " 1 ", "since": "2026-02-01", "page": "x", "strange": "y"})
    assert filters.url("/batches", page="7~b") == "/batches?status=DEAD_LETTERED&lane=1&since=2026-02-01&page=7~b"
    assert read({}).url("/batches") == "/batches"


def test_a_list_and_a_bulk_replay_take_the_same_filters() -> None:
    filters = read({"status": "DEAD_LETTERED", "lane": "1", "fingerprint": "f1", "since": "2026-02-01T06:00:00Z"})
    since_us = 1_769_925_600_000_000
    assert filters.query() == BatchQuery(
        status="DEAD_LETTERED", lane="1", fingerprint="f1", since_us=since_us, by="dead_at_us"
    )
    assert filters.selection(5) == Selection(
        status="DEAD_LETTERED", lane="1", fingerprint="f1", since_us=since_us, limit=5
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"status": "GONE"}, "'GONE' is no status"),
        ({"since": "yesterday"}, "since: 'yesterday' is no time"),
        ({"until": "9" * 40}, "until: "),
        ({"since": "999999w"}, "since: "),
    ],
)
def test_what_is_no_filter_is_said(arguments: dict[str, str], problem: str) -> None:
    found = read(arguments)
    assert found.problem.startswith(problem)
    assert not found.is_replayable


@pytest.mark.parametrize(
    ("filters", "is_replayable"),
    [
        (Filters(status="DEAD_LETTERED", lane="0", since="6h"), True),
        (Filters(status="REPLAYING"), True),
        (Filters(status="DEAD_LETTERED", run="r1"), False),
        (Filters(status="DEAD_LETTERED", until="2026-02-01"), False),
        (Filters(status="DISCARDED"), False),
        (Filters(), False),
    ],
)
def test_only_what_a_bulk_replay_can_choose_by_is_offered_for_one(filters: Filters, *, is_replayable: bool) -> None:
    assert filters.is_replayable is is_replayable


def test_dead_batches_go_by_when_they_died_the_others_by_when_they_were_attempted() -> None:
    assert Filters(status="DISCARDED").by == "dead_at_us"
    assert Filters(status="COMMITTED").by == Filters().by == "attempted_at_us"


@pytest.mark.parametrize(
    "text",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a b", "/a\r\nX: y"],
)
def test_a_way_back_never_leads_to_another_site(text: str) -> None:
    assert local_path(text, "/failures") == "/failures"


def test_a_way_back_keeps_its_filters() -> None:
    assert local_path("/batches?status=DEAD_LETTERED&page=7~b", "/") == "/batches?status=DEAD_LETTERED&page=7~b"


def test_no_time_is_none() -> None:
    assert instant("") is None
