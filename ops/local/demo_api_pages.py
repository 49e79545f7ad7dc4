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
from functools import lru_cache
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
    marks, kept = _by_time(tuple(lines))
    first = bisect_left(marks, query.get("since", ""))
    return b'{"data":{"flights":%s}}' % _array(kept[first : first + limit]), {}


def _whole(lines: list[bytes], _: Mapping[str, str], __: int, ___: str) -> Answer:
    return _array(lines), {}


@lru_cache(maxsize=2)
def _by_time(lines: tuple[bytes, ...]) -> tuple[list[str], list[bytes]]:
    found = sorted(((orjson.loads(line)["time_hour"], line) for line in lines), key=lambda pair: pair[0])
    return [mark for mark, _ in found], [line for _, line in found]


STYLES: Mapping[str, Callable[[list[bytes], Mapping[str, str], int, str], Answer]] = {
    "/links/flights": _links,
    "/headers/flights": _headers,
    "/offsets/flights": _offsets,
    "/marks/flights": _marks,
    "/whole/flights": _whole,
}
"""By path: from the flights that are there, the request's query, its limit and its URL without query to the answer."""
