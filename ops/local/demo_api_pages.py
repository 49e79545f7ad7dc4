"""The ways in which the demo's API pages, beside `next_cursor`: one path each, the same flights behind all of them.

| path | answers |
|---|---|
| `/links/flights` | `{"flights": [...], "paging": {"next": URL or null}}` |
| `/headers/flights` | `[...]`, and `Link: <URL>; rel="next"` |
| `/offsets/flights` | `{"total": N, "flights": [...]}`; `offset` |
| `/marks/flights` | `{"data": {"flights": [...]}}`, by `time_hour`, oldest first; `since` (inclusive) |
| `/whole/flights` | `[...]`: all of them |
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import orjson

Answer = tuple[bytes, dict[str, str]]
"""A body and the headers that go with it."""


def _array(lines: list[bytes]) -> bytes:
    return b"[" + b",".join(lines) + b"]"


def _next_url(base: str, query: Mapping[str, str], offset: int, limit: int, total: int) -> str | None:
    if offset + limit >= total:
        return None
    return f"{base}?{urlencode({**query, 'page': str(offset // limit + 1)})}"


def _links(lines: list[bytes], query: Mapping[str, str], limit: int, base: str) -> Answer:
    offset = int(query.get("page", "0")) * limit
    following = orjson.dumps(_next_url(base, query, offset, limit, len(lines)))
    page = _array(lines[offset : offset + limit])
    return b'{"flights":' + page + b',"paging":{"next":' + following + b"}}", {}


def _headers(lines: list[bytes], query: Mapping[str, str], limit: int, base: str) -> Answer:
    offset = int(query.get("page", "0")) * limit
    following = _next_url(base, query, offset, limit, len(lines))
    links = [f'<{base}>; rel="first"'] + ([f'<{following}>; rel="next"'] if following else [])
    return _array(lines[offset : offset + limit]), {"Link": ", ".join(links)}


def _offsets(lines: list[bytes], query: Mapping[str, str], limit: int, _: str) -> Answer:
    offset = int(query.get("offset", "0"))
    return b'{"total":%d,"flights":%s}' % (len(lines), _array(lines[offset : offset + limit])), {}


def _marks(lines: list[bytes], query: Mapping[str, str], limit: int, _: str) -> Answer:
    first = bisect_left(lines, query.get("since", ""), key=_time)
    return b'{"data":{"flights":%s}}' % _array(lines[first : first + limit]), {}


def _whole(lines: list[bytes], _: Mapping[str, str], __: int, ___: str) -> Answer:
    return _array(lines), {}


def _time(line: bytes) -> str:
    return str(orjson.loads(line)["time_hour"])


def in_order(path: str, lines: list[bytes]) -> list[bytes]:
    """Return the flights in the order in which a path sends them."""
    return sorted(lines, key=_time) if path == "/marks/flights" else lines


STYLES: Mapping[str, Callable[[list[bytes], Mapping[str, str], int, str], Answer]] = {
    "/links/flights": _links,
    "/headers/flights": _headers,
    "/offsets/flights": _offsets,
    "/marks/flights": _marks,
    "/whole/flights": _whole,
}
"""By path: from the flights that are there, the request's query, its limit and its URL without query to the answer."""
