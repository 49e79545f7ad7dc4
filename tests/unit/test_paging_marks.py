from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ingestor.pages import Page
from ingestor.paging import BadCursor, PagingSettings, Reading
from ingestor.paging_marks import HighWaterMarkPaging
from ingestor.unread import boundary_after, record_digest, unread
from state.events import Position


def paging(**changes: Any) -> HighWaterMarkPaging:
    settings: dict[str, Any] = {
        "url": "https://h/x",
        "records_path": "items",
        "cursor_param": "since",
        "field": "at",
        "page_size": 4,
    }
    return HighWaterMarkPaging(PagingSettings(**settings | changes))


def read(
    strategy: HighWaterMarkPaging, cursor: str | None, marks: list[Any], headers: Mapping[str, str] | None = None
) -> Reading:
    return strategy.read(cursor, {"items": [{"n": n, "at": at} for n, at in enumerate(marks)]}, headers or {})


@pytest.mark.parametrize(
    ("cursor", "start", "asked"),
    [
        (None, None, ""),
        (None, "7", "&since=7"),
        ("9", "7", "&since=9"),
        ("100 -30", None, "&since=70"),
        ("2024-05-01T10:00:00Z -3600", None, "&since=2024-05-01T09%3A00%3A00Z"),
        ("not -30", None, "&since=not+-30"),
    ],
)
def test_the_mark_is_sent_as_the_source_wrote_it(cursor: str | None, start: str | None, asked: str) -> None:
    assert paging(start=start).url(cursor) == "https://h/x?limit=4" + asked


@pytest.mark.parametrize(
    ("cursor", "marks", "following"),
    [
        (None, [], None),
        (None, [1], "1"),
        (None, [1, 2, 2, 5], "5"),
        ("5", [5, 6], "6"),
        ("5", [5], None),
        ("5", [], None),
        ("5", [5, 5], None),
        (None, ["a", "b"], "b"),
        (None, ["2024-05-01T05:30:00+05:30", "2024-05-01T00:00:01Z"], "2024-05-01T00:00:01Z"),
        ("2024-05-01T00:00:00Z", ["2024-05-01T05:30:00+05:30"], None),
        (None, [1.5, 2], "2"),
        (None, [1, None, 3], "3"),
        (None, [1, 2, None], "2"),
        (None, [None, 2], "2"),
    ],
)
def test_a_page_leads_to_its_highest_mark_until_nothing_lies_beyond(
    cursor: str | None, marks: list[Any], following: str | None
) -> None:
    assert read(paging(), cursor, marks).next_cursor == following


@pytest.mark.parametrize(
    ("cursor", "marks", "overlap", "following"),
    [
        (None, [100], 30, "100 -30"),
        ("100 -30", [80, 100, 130], 30, "130 -30"),
        ("100", [100, 110], 30, "110 -10"),
        ("100 -30", [80, 100, 110], 60, "110 -40"),
        ("100 -30", [80, 100, 130], 0, "130"),
        ("100 -30", [80, 90, 100], 30, None),
        (None, ["2024-05-01T00:00:00Z"], 3600, "2024-05-01T00:00:00Z -3600"),
        ("2024-05-01 -86400", ["2024-04-30", "2024-05-02"], 3600, "2024-05-02 -3600"),
        ("2024-05-01T12:00:00Z", ["2024-05-01T12:00:00Z", "2024-05-02"], 3600, "2024-05-02"),
    ],
)
def test_a_cursor_is_rewound_by_the_overlap_but_never_below_what_was_asked_for(
    cursor: str | None, marks: list[Any], overlap: int, following: str | None
) -> None:
    strategy = paging(overlap=overlap, page_size=50)
    reading = read(strategy, cursor, marks)
    while reading.more is not None:  # the page is not past its mark yet: the source has no more
        last = reading.records[-1]
        reading = strategy.read(cursor, {"items": [last]}, {}, reading)
    assert reading.next_cursor == following


@pytest.mark.parametrize(
    ("date", "following"),
    [
        ("Wed, 01 May 2024 01:04:59 GMT", "2024-05-01T00:00:00Z -3600"),
        ("Wed, 01 May 2024 01:05:01 GMT", "2024-05-01T00:00:00Z"),
        ("soon", "2024-05-01T00:00:00Z -3600"),
    ],
)
def test_marks_that_the_sources_clock_calls_long_past_are_not_rewound(date: str, following: str) -> None:
    assert read(paging(overlap=3600), None, ["2024-05-01T00:00:00Z"], {"Date": date}).next_cursor == following


def test_a_page_goes_on_until_it_passes_its_mark_and_takes_ties_between_its_responses_once() -> None:
    strategy = paging(overlap=30)
    first = strategy.read("100 -30", {"items": [{"n": n, "at": at} for n, at in enumerate([70, 80, 90, 90])]}, {})
    assert (first.more, first.next_cursor) == ("90", None)
    following = [{"n": 2, "at": 90}, {"n": 3, "at": 90}, {"n": 4, "at": 90}, {"n": 5, "at": 101}]
    second = strategy.read("100 -30", {"items": following}, {}, first)
    assert (second.more, second.next_cursor) == (None, "101 -30")
    assert [record["n"] for record in second.records] == [0, 1, 2, 3, 4, 5]
    assert second.trail is not None
    assert second.trail.after(6) == ("101 -30", 1)


REFUSED = {
    "not sorted": ({}, None, [2, 1], "not sorted by 'at', oldest first"),
    "newest first": ({}, "1", [3, 2, 1], "not sorted by 'at'"),
    "instants out of order though sorted as text": (
        {},
        None,
        ["2024-05-01T10:00:00Z", "2024-05-01T11:00:00+05:00"],
        "not sorted by 'at'",
    ),
    "numbers sorted as text": ({}, None, [10, 9], "not sorted by 'at'"),
    "parameter ignored": ({}, "5", [1, 6], r"sends records below at='5'.*SOURCE_CURSOR_PARAM.*`at >=`"),
    "no field": (
        {"field": "missing"},
        None,
        [1, 2],
        "no record has a number or text at 'missing'",
    ),
    "more ties than a page": ({}, "5", [5, 5, 5, 5], r"4 records or more share at='5'.*SOURCE_PAGE_SIZE higher"),
    "overlap of text": ({"overlap": 5}, None, ["a"], "neither an instant nor a number.*SOURCE_OVERLAP to 0"),
}


@pytest.mark.parametrize(("changes", "cursor", "marks", "line"), REFUSED.values(), ids=REFUSED.keys())
def test_a_source_that_cannot_be_followed_is_refused_with_the_remedy(
    changes: dict[str, Any], cursor: str | None, marks: list[Any], line: str
) -> None:
    with pytest.raises(BadCursor, match=line) as raised:
        read(paging(**changes), cursor, marks)
    assert "\n" not in str(raised.value)


def test_ties_are_not_counted_where_no_page_size_is_asked_for() -> None:
    assert read(paging(page_size_param=""), "5", [5, 5, 5, 5]).next_cursor is None


def test_more_records_in_the_overlap_than_can_be_remembered_are_refused() -> None:
    strategy = paging(overlap=10**6, page_size=100_000)
    with pytest.raises(BadCursor, match=r"more than 20000 records lie within SOURCE_OVERLAP=1000000: set it lower"):
        read(strategy, "50000 -50000", list(range(20_001)))


def test_records_that_are_no_objects_stand_at_the_mark_before_them() -> None:
    reading = paging().read(None, {"items": [{"at": 1}, "x", 7, {"at": 2}]}, {})
    assert reading.next_cursor == "2"
    assert reading.trail is not None
    assert [reading.trail.after(count) for count in range(5)] == [(None, 0), ("1", 0), ("1", 0), ("1", 0), ("2", 3)]


def test_a_position_remembers_back_to_the_first_record_taken_that_may_come_again_however_late_others_were() -> None:
    strategy = paging(overlap=100, page_size=50)
    late, early, new = ({"n": n, "at": at} for n, at in enumerate([1, 2, 4]))
    reading = strategy.read("3 -3", {"items": [late, early, new]}, {})
    page = Page("3 -3", reading.next_cursor, reading.records, trail=reading.trail)
    boundary = record_digest(early) + record_digest(late)  # in the order of taking
    rest = unread(page, boundary)[0]
    assert replace(rest, offset=1).position == Position("4 -4", 3)
    assert boundary_after(rest, boundary) == boundary + record_digest(new)


@pytest.mark.parametrize(
    ("cursor", "limit", "reached"),
    [
        ("9", "10", False),
        ("10", "9", True),
        ("10 -5", "10", True),
        ("2024-05-01T02:00:00+02:00", "2024-05-01T00:00:00Z", True),
        ("2024-05-01", "2024-05-02", False),
        ("b", "a", True),
        ("a", "b", False),
    ],
)
def test_marks_reach_a_limit_in_their_own_kind(cursor: str, limit: str, reached: object) -> None:
    assert paging().reaches(cursor, limit) is reached
