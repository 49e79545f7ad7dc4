import weakref

import pytest

from ingestor.decode import Undecodable
from ingestor.errors import SourceError
from ingestor.pages import Page
from ingestor.paging import BadCursor, CursorGuard, PagingSettings, Reading, cursor_text, shown_cursor
from ingestor.paging_links import NextCursorPaging
from ingestor.pagings import PAGINGS
from ingestor.urls import public_url, with_params

PAGING = NextCursorPaging(PagingSettings(url="https://h/x", records_path="items"))


@pytest.mark.parametrize(
    ("settings", "cursor", "url"),
    [
        (PagingSettings(url="https://h/x"), None, "https://h/x?limit=1000"),
        (PagingSettings(url="https://h/x?a=1"), "c", "https://h/x?a=1&limit=1000&cursor=c"),
        (PagingSettings(url="https://h/x", start="s"), None, "https://h/x?limit=1000&cursor=s"),
        (PagingSettings(url="https://h/x", start="s"), "c", "https://h/x?limit=1000&cursor=c"),
        (PagingSettings(url="https://h/x", page_size_param=""), None, "https://h/x"),
        (PagingSettings(url="https://h/x", page_size_param="n", page_size=5), None, "https://h/x?n=5"),
        (
            PagingSettings(url="https://h/x?cursor=0&cursor=1", cursor_param="cursor"),
            "2",
            "https://h/x?limit=1000&cursor=2",
        ),
        (PagingSettings(url="https://h/x?cursor=0"), None, "https://h/x?cursor=0&limit=1000"),
    ],
)
def test_the_cursor_becomes_a_parameter_of_the_url(settings: PagingSettings, cursor: str | None, url: str) -> None:
    assert NextCursorPaging(settings).url(cursor) == url


@pytest.mark.parametrize(
    ("cursor", "value", "reading"),
    [
        (None, {"items": [1], "next_cursor": "b"}, Reading([1], "b")),
        ("a", {"items": [], "next_cursor": "b"}, Reading([], "b")),
        ("a", {"items": [1], "next_cursor": None}, Reading([1], None)),
        ("a", {"items": [1], "next_cursor": ""}, Reading([1], None)),
        ("a", {"items": [1]}, Reading([1], None)),
        ("a", {"items": [], "next_cursor": "a"}, Reading([], None)),
        ("7", {"items": [], "next_cursor": 7}, Reading([], None)),
        ("7", {"items": [1], "next_cursor": 8}, Reading([1], "8")),
        ("7", {"items": [1], "next_cursor": 0}, Reading([1], "0")),
    ],
)
def test_a_response_gives_records_and_the_next_cursor(cursor: str | None, value: object, reading: Reading) -> None:
    assert PAGING.read(cursor, value, {}) == reading


def test_a_page_with_records_that_names_itself_is_refused() -> None:
    with pytest.raises(BadCursor, match="'a' names itself as the next one but has records"):
        PAGING.read("a", {"items": [1], "next_cursor": "a"}, {})


def test_the_start_counts_as_the_first_pages_own_cursor() -> None:
    paging = NextCursorPaging(PagingSettings(url="https://h/x", records_path="items", start="s"))
    assert paging.read(None, {"items": [], "next_cursor": "s"}, {}) == Reading([], None)
    with pytest.raises(BadCursor):
        paging.read(None, {"items": [1], "next_cursor": "s"}, {})


def test_absent_records_are_told_apart_from_an_empty_page() -> None:
    with pytest.raises(Undecodable):
        PAGING.read(None, {"next_cursor": "s"}, {})


def test_an_array_without_a_place_for_a_cursor_is_one_page() -> None:
    assert NextCursorPaging(PagingSettings(url="https://h/x")).read(None, [1, 2], {}) == Reading([1, 2], None)


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (0, "0"), (-3, "-3"), (1.0, "1"), (1.5, "1.5"), (18_446_744_073_709_551_615, "18446744073709551615")],
)
def test_a_number_becomes_text(value: float, text: str) -> None:
    assert cursor_text(value, "next") == text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "true or false"),
        ({}, "is an object"),
        ([1], "is an array"),
        (1.8446744073709552e19, "too large to be exact"),
        (float("nan"), "too large to be exact"),
        (10**400, "too large to be exact"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_a_cursor_that_cannot_be_sent_back_exactly_is_refused(value: object, reason: str) -> None:
    with pytest.raises(BadCursor, match=reason) as raised:
        cursor_text(value, "next")
    assert isinstance(raised.value, SourceError)
    assert "'next'" in str(raised.value)


def test_the_guard_names_a_cursor_that_was_fetched_before() -> None:
    guard = CursorGuard()
    for cursor in (None, "a", "b"):
        guard.check(cursor)
        guard.add(cursor)
    guard.check("c")
    with pytest.raises(BadCursor, match="cursor 'a' was already fetched"):
        guard.check("a")
    with pytest.raises(BadCursor, match="the first page"):
        guard.check(None)


def test_the_guard_tells_the_empty_cursor_from_none() -> None:
    guard = CursorGuard()
    guard.add(None)
    guard.check("")


def test_the_guard_is_bounded_and_forgets_the_oldest() -> None:
    guard = CursorGuard(capacity=3)
    for cursor in "abcd":
        guard.add(cursor)
    guard.check("a")
    for cursor in "bcd":
        with pytest.raises(BadCursor):
            guard.check(cursor)
    assert len(guard._seen) == 3


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ([1, 2], [1, 2], True),
        ([1, 2], [1, 3], False),
        ([1, 2], [1], False),
        ([1, 1], [1, 1], False),
        ([1], [1], False),
        ([], [], False),
    ],
)
def test_the_guard_finds_a_page_that_comes_twice_unless_its_records_are_all_alike(
    first: list[int], second: list[int], *, refused: bool
) -> None:
    guard = CursorGuard()
    guard.check_page(Page("a", "b", first))
    guard.check_page(Page("a", "b", first))
    if refused:
        with pytest.raises(BadCursor, match=r"the page at 'b' is the same as the one before it: check SOURCE_CURSOR"):
            guard.check_page(Page("b", "c", second))
    else:
        guard.check_page(Page("b", "c", second))


class Records(list[int]):
    """A list that tells when it is gone."""


def test_the_guard_reads_a_page_again_instead_of_keeping_its_records() -> None:
    guard, first = CursorGuard(), Records([1, 2])
    gone, read = weakref.ref(first), list[str]()

    def reread() -> list[int]:
        read.append("a")
        return [1, 2]

    guard.check_page(Page("a", "b", first, reread=reread))
    del first
    assert gone() is None
    guard.check_page(Page("b", "c", [3, 2], reread=lambda: [3, 2]))
    assert not read, "the first records differ"
    guard.check_page(Page("c", "d", [1, 2], reread=lambda: [1, 2]))
    with pytest.raises(BadCursor, match="same as the one before"):
        guard.check_page(Page("d", "e", [1, 2]))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h:8/x?key=s&cursor=c%201", "https://h:8/x?key=...&cursor=c%201"),
        ("https://h/x", "https://h/x"),
        ("https://h/x?flag&k=s#part", "https://h/x?flag&k=..."),
        ("https://u@p@h/x", "https://h/x"),
    ],
)
def test_a_url_is_shown_without_credentials_and_query_values(url: str, shown: str) -> None:
    assert public_url(url, "cursor") == shown


def test_a_long_or_many_lined_cursor_is_shown_short_and_on_one_line() -> None:
    assert shown_cursor("a\nb") == "'a\\nb'"
    assert len(shown_cursor("x" * 10_000)) < 210


def test_a_urls_own_query_is_not_rewritten() -> None:
    assert with_params("https://h/x?a=%2f+b&&c", {"d": "\u00e9"}) == "https://h/x?a=%2f+b&c&d=%C3%A9"


def test_strategies_are_found_by_their_name() -> None:
    assert PAGINGS["next_cursor"] is NextCursorPaging
