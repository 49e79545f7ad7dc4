"""Ranges of a source: what is read of each way of paging, and what is no range."""

from collections.abc import Sequence
from typing import Any

import pytest

from ingestor.errors import ConfigurationError
from ingestor.pages import Page
from ingestor.paging import Paging, PagingSettings
from ingestor.pagings import PAGINGS
from ingestor.ranged import RangedSource, check_range

ROWS = [{"id": number, "at": f"2026-01-{1 + number // 3:02d}"} for number in range(12)]
"""Three records a day."""
SIZE = 4


def paging(name: str, start: str | None = None) -> Paging:
    return PAGINGS[name](PagingSettings(url="http://x/", page_size=SIZE, start=start, field="at", cursor_param="c"))


class Api:
    """The rows by one way of paging, behind the real strategy."""

    def __init__(self, name: str, start: str | None) -> None:
        self.paging, self.name = paging(name, start), name
        self.start = start
        self.asked: list[str | None] = []

    def fetch(self, cursor: str | None) -> Page:
        self.asked.append(cursor)
        at = cursor if cursor is not None else self.start
        match self.name:
            case "offset":
                value: Any = ROWS[int(at or 0) : int(at or 0) + SIZE]
            case "high_water_mark":
                value = [row for row in ROWS if at is None or str(row["at"]) >= at.split(" ")[0]][:SIZE]
            case _:
                first = int((at or "p0").removeprefix("p")) * SIZE
                following = f"p{first // SIZE + 1}" if first + SIZE < len(ROWS) else None
                return Page(cursor, following, ROWS[first : first + SIZE])
        reading = self.paging.read(cursor, value, {})
        return Page(cursor, reading.next_cursor, reading.records, trail=reading.trail, reread=lambda: reading.records)

    def close(self) -> None:
        pass


def read(name: str, start: str | None, to: str) -> tuple[list[int], Api]:
    """Return the ids that a range reads, each once, and the API."""
    api = Api(name, start)
    source, found, cursor = RangedSource(api, api.paging, to), list[int](), None
    for _ in range(20):
        page = source.fetch(cursor)
        found += [row["id"] for row in page.records if row["id"] not in found]
        if page.reread is not None:
            assert list(page.reread()) == list(page.records)
        cursor = page.next_cursor
        if cursor is None:
            return found, api
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    ("name", "start", "to", "ids"),
    [
        ("offset", "0", "4", range(4)),
        ("offset", "2", "7", range(2, 7)),
        ("offset", "2", "6", range(2, 6)),
        ("offset", "5", "6", range(5, 6)),
        ("offset", "8", "99", range(8, 12)),
        ("high_water_mark", "2026-01-02", "2026-01-03", range(3, 6)),
        ("high_water_mark", "2026-01-01", "2026-01-04", range(9)),
        ("high_water_mark", "2026-01-02", "2026-01-02T12:00:00Z", range(3, 6)),
        ("high_water_mark", "2026-01-03", "2027-01-01", range(6, 12)),
        ("next_cursor", "p0", "p1", range(4)),
        ("next_cursor", "p1", "p2", range(4, 8)),
        ("next_cursor", "p1", "p9", range(4, 12)),
    ],
)
def test_a_range_is_what_lies_from_its_start_to_before_its_end(
    name: str, start: str, to: str, ids: Sequence[int]
) -> None:
    check_range(paging(name), start, to)
    found, _ = read(name, start, to)
    assert found == list(ids)


def test_nothing_beyond_the_end_is_fetched() -> None:
    _, api = read("next_cursor", "p0", "p2")
    assert api.asked == [None, "p1"]
    _, api = read("offset", "0", "8")
    assert api.asked == [None, "4"]


@pytest.mark.parametrize(
    ("name", "start", "to", "line"),
    [
        ("none", "a", "b", "SOURCE_PAGINATION=none has no cursors"),
        ("offset", "a", "9", "give whole numbers"),
        ("offset", "9", "-1", "give whole numbers"),
        ("offset", "9", "9", "there is nothing from"),
        ("offset", "9", "8", "there is nothing from"),
        ("high_water_mark", "2026-01-02", "2026-01-01", "there is nothing from"),
        ("next_cursor", "p1", "p1", "there is nothing from"),
    ],
)
def test_what_is_no_range_is_refused_in_one_line(name: str, start: str, to: str, line: str) -> None:
    with pytest.raises(ConfigurationError, match=line):
        check_range(paging(name), start, to)
