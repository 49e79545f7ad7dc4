import pytest

from ingestor.batch import Draft, Limits, cut, fill
from ingestor.decode import canonical_json
from ingestor.pages import Page
from ingestor.paging import BadCursor, PagingSettings
from ingestor.paging_places import OffsetPaging, WholePaging
from ingestor.unread import boundary_after, moved, record_digest, unread
from state.events import Position

SETTINGS = PagingSettings(url="https://h/x", records_path="items", cursor_param="offset", page_size=3)
OFFSET, WHOLE = OffsetPaging(SETTINGS), WholePaging(SETTINGS)


@pytest.mark.parametrize(
    ("cursor", "start", "url"),
    [
        (None, None, "https://h/x?limit=3&offset=0"),
        (None, "40", "https://h/x?limit=3&offset=40"),
        ("7", "40", "https://h/x?limit=3&offset=7"),
    ],
)
def test_an_offset_is_sent_as_a_parameter(cursor: str | None, start: str | None, url: str) -> None:
    settings = PagingSettings(url="https://h/x", cursor_param="offset", page_size=3, start=start)
    assert OffsetPaging(settings).url(cursor) == url


@pytest.mark.parametrize(
    ("cursor", "records", "following"),
    [(None, [1, 2, 3], "3"), ("3", [4, 5], "4"), ("4", [5], None), ("5", [], None), (None, [1], None)],
)
def test_offsets_are_counted_on_until_a_page_has_only_the_record_before_it(
    cursor: str | None, records: list[int], following: str | None
) -> None:
    assert OFFSET.read(cursor, {"items": records}, {}).next_cursor == following


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 19])
def test_a_cursor_that_is_no_offset_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor, match="is no offset"):
        OFFSET.url(cursor)


def test_offsets_compare_as_numbers() -> None:
    assert (OFFSET.reaches("10", "9"), OFFSET.reaches("9", "9"), OFFSET.reaches("8", "9")) == (True, True, False)


def test_a_place_within_a_page_of_an_offset_source_is_an_offset_itself() -> None:
    reading = OFFSET.read("6", {"items": [{"n": 1}, {"n": 2}, {"n": 3}]}, {})
    page = Page("6", reading.next_cursor, reading.records, trail=reading.trail)
    rest, known, changed = unread(page, b"")
    draft, rest, _ = fill(Draft(Position("6"), Position("6")), rest, canonical_json, Limits(2, 1000))
    assert (draft.end, draft.tail, known, changed) == (Position("7", 1), ({"n": 2},), 0, 0)
    draft, rest, _ = fill(Draft(draft.end, draft.end), rest, canonical_json, Limits(2, 1000))
    assert (draft.end, draft.tail) == (Position("8", 1), ({"n": 3},))
    assert boundary_after(rest, b"") == b""
    short = OFFSET.read("6", {"items": [{"n": 1}, {"n": 2}]}, {})
    last = unread(Page("6", short.next_cursor, short.records, trail=short.trail), b"")[0]
    assert boundary_after(last, b"") == record_digest({"n": 2})
    empty = unread(Page("9", None, [], trail=OFFSET.read("9", {"items": []}, {}).trail), b"")[0]
    after, _, _ = fill(draft, empty, canonical_json, Limits(2, 1000))
    assert (after.end, after.tail) == (draft.end, draft.tail)


@pytest.mark.parametrize(
    ("records", "gone"),
    [([1, 2, 3], False), ([1], False), ([2, 1], True), ([2, 3], True), ([], True)],
)
def test_counted_records_moved_when_the_one_taken_last_is_not_the_first_of_its_page(
    records: list[int], gone: object
) -> None:
    reading = OFFSET.read("7", {"items": records}, {})
    page = Page("7", reading.next_cursor, reading.records, trail=reading.trail)
    boundary = record_digest(1)
    assert moved(unread(page, boundary)[0], boundary) is gone
    assert not moved(unread(page, b"")[0], b"")


def page_of(records: list[object], cursor: str | None) -> Page:
    reading = WHOLE.read(cursor, {"items": records}, {})
    return Page(reading.name, reading.next_cursor, reading.records, whole=True)


def test_a_whole_response_is_named_by_its_content_whatever_the_order() -> None:
    assert page_of([{"a": 1}, {"b": 2}], None).cursor == page_of([{"b": 2}, {"a": 1}], "x").cursor
    assert page_of([{"a": 1}], None).cursor != page_of([{"a": 2}], None).cursor
    assert page_of([{"a": 1}], None).cursor != page_of([{"a": 1}, {"a": 1}], None).cursor


def test_a_whole_response_takes_what_is_new_and_forgets_what_it_no_longer_holds() -> None:
    first = page_of([{"n": 1}, {"n": 2}], None)
    rest, _, _ = unread(first, b"")
    draft, _, _ = fill(Draft(Position(None), Position(None)), rest, canonical_json, Limits(10, 1000))
    taken = cut("p", "0", 0, draft, 1)
    assert taken.attempted.end == Position(first.cursor, 2)
    second = page_of([{"n": 2}, {"n": 3}], first.cursor)
    rest, known, gone = unread(second, taken.attempted.tail)
    assert (known, gone, rest.records) == (1, 1, ({"n": 3},))
    draft, _, _ = fill(Draft(draft.end, draft.end), rest, canonical_json, Limits(10, 1000))
    again = cut("p", "0", 0, draft, 1)
    assert again.attempted.end == Position(second.cursor, 2)
    assert len(again.attempted.tail) == 32
    assert unread(second, again.attempted.tail)[1:] == (2, 0)


def test_a_response_with_more_records_than_can_be_recognised_is_refused_with_the_remedy() -> None:
    with pytest.raises(BadCursor, match=r"holds 20001 records.*at most 20000.*page through them"):
        WHOLE.read(None, {"items": [1] * 20_001}, {})


def test_the_cursor_of_a_whole_response_is_not_sent() -> None:
    assert WHOLE.url("0123") == "https://h/x?limit=3"
