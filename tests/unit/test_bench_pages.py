import threading
from collections.abc import Iterator

import orjson
import pytest
import requests

from bench.pages import page, serving

LINES = [b'{"year":2013,"flight":%d}' % number for number in range(7)]


def read_all(rows: int, limit: int) -> list[dict[str, int]]:
    records: list[dict[str, int]] = []
    cursor: str | None = "0"
    while cursor is not None:
        assert len(records) < rows
        body = orjson.loads(page(LINES, rows, int(cursor), limit))
        assert len(body["flights"]) <= limit
        records += body["flights"]
        cursor = body["next_cursor"]
    return records


@pytest.mark.parametrize("rows", [1, 6, 7, 8, 14, 40])
@pytest.mark.parametrize("limit", [1, 3, 7, 20, 50])
def test_pages_hold_every_flight_once_whatever_their_size(rows: int, limit: int) -> None:
    assert read_all(rows, limit) == [{"year": 2013 + i // 7, "flight": i % 7} for i in range(rows)]


def test_no_two_flights_are_equal_after_many_times_round() -> None:
    records = read_all(rows=200, limit=9)
    assert len({orjson.dumps(record) for record in records}) == len(records)


@pytest.fixture
def url() -> Iterator[str]:
    with serving(0, LINES) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/flights"
        server.shutdown()
        thread.join()


def test_the_first_page_needs_no_cursor(url: str) -> None:
    answer = requests.get(url, params={"rows": "5", "limit": "2"}, timeout=5)
    assert answer.json() == {"flights": [orjson.loads(line) for line in LINES[:2]], "next_cursor": "2"}
