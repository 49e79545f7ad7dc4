import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ingestor.errors import SourceError
from ingestor.pace import Pace
from ingestor.pages import Page
from ingestor.paging import PagingSettings
from ingestor.paging_places import OffsetPaging
from ingestor.parallel import ParallelPages


def test_requests_are_spread_evenly_and_never_burst() -> None:
    now = [100.0]
    pace = Pace(4, lambda: now[0])
    assert [pace.wait_s() for _ in range(3)] == [0.0, 0.25, 0.5]
    now[0] = 200.0
    assert [pace.wait_s() for _ in range(2)] == [0.0, 0.25]


def test_without_a_rate_nothing_waits() -> None:
    assert Pace(None, lambda: 0.0).wait_s() == 0.0


PAGING = OffsetPaging(PagingSettings(url="http://h/x", records_path="items", page_size=10))


class Numbers:
    """An offset source of numbers that grants at most `granted` a page; `before` may block or fail a fetch."""

    def __init__(self, total: int, granted: int = 10) -> None:
        self.total, self.granted = total, granted
        self.before: Callable[[int], None] = lambda _: None
        self.asked: list[int] = []
        self.running, self.most, self.closed = 0, 0, 0
        self.lock = threading.Lock()

    def fetch(self, cursor: str | None) -> Page:
        offset = PAGING.offset(cursor)
        with self.lock:
            self.asked.append(offset)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self.before(offset)
            records = list(range(offset, min(offset + self.granted, self.total)))
        finally:
            with self.lock:
                self.running -= 1
        reading = PAGING.read(cursor, {"items": records}, {})
        return Page(cursor, reading.next_cursor, reading.records, trail=reading.trail)

    def close(self) -> None:
        self.closed += 1


def drain(pages: ParallelPages, cursor: str | None = None) -> Sequence[Any]:
    found: list[Any] = []
    while True:
        page = pages.fetch(cursor)
        assert page.cursor == cursor
        assert len(pages._ahead) <= len(pages._sources)
        found += page.records
        if page.next_cursor is None:
            return found
        if int(page.next_cursor) == PAGING.offset(cursor) + len(page.records) - 1:
            del found[-1]  # the next page begins with it
        cursor = page.next_cursor


@pytest.mark.parametrize(("total", "granted"), [(0, 10), (1, 10), (95, 10), (100, 10), (100, 7), (33, 2)])
@pytest.mark.parametrize("parallel", [1, 4])
def test_pages_come_in_order_and_whole_whatever_the_source_grants(total: int, granted: int, parallel: int) -> None:
    source = Numbers(total, granted)
    pages = ParallelPages([source] * parallel, PAGING, 10)
    assert drain(pages) == list(range(total))
    pages.close()
    assert source.most <= parallel


def test_pages_are_on_the_way_at_once_and_bounded() -> None:
    source = Numbers(1000)
    together = threading.Barrier(4, timeout=60)
    source.before = lambda offset: None if offset >= 40 else (together.wait(), None)[1]
    pages = ParallelPages([source] * 4, PAGING, 10)
    assert pages.fetch(None).records == list(range(10))
    pages.close()
    assert source.most == 4


def test_a_page_ahead_that_fails_is_told_when_its_turn_comes_and_may_be_asked_again() -> None:
    source = Numbers(50)
    broken = {20}

    def fail(offset: int) -> None:
        if offset in broken:
            raise SourceError("broken")

    source.before = fail
    pages = ParallelPages([source] * 3, PAGING, 10)
    first = pages.fetch(None)
    second = pages.fetch(first.next_cursor)
    with pytest.raises(SourceError, match="broken"):
        pages.fetch(second.next_cursor)
    broken.clear()
    assert drain(pages, second.next_cursor) == list(range(20, 50))
    pages.close()


def test_reading_from_another_place_drops_what_was_asked_for_ahead() -> None:
    source = Numbers(100)
    pages = ParallelPages([source] * 3, PAGING, 10)
    pages.fetch(None)
    assert drain(pages, "55") == list(range(55, 100))
    pages.close()


def test_what_is_waiting_ends_when_the_source_is_closed() -> None:
    source = Numbers(100)
    pages = ParallelPages([source, source], PAGING, 10)
    pages.fetch(None)
    pages.close()
    assert source.closed == 2
