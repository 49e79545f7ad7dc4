"""An API that misbehaves in every way that has been seen, chosen by a seed, and calm when it is told to be."""

import gzip
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 7
STYLES = ("next_cursor", "next_link", "header_link", "offset", "high_water_mark", "none")
MAX_PAGE_BYTES = 100_000
FOLLOWING = ("next_cursor", "next_link", "offset")


class HostileApi(ThreadingHTTPServer):
    """Serves `records` in one of the styles; `rng` chooses what goes wrong while it is not `calm`."""

    daemon_threads = True

    def __init__(self, style: str, records: list[dict[str, Any]], seed: int) -> None:
        self.style, self.records, self.calm = style, records, False
        self.rng = random.Random(seed)  # noqa: S311 - a history to repeat
        self.harm: list[str] = []
        self.stuck = False
        """The query is ignored."""
        self.seen: list[str] = []
        """The cursors of this reading."""
        self.last, self.last_start = b"[]", -PAGE
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """SOURCE_URL."""
        return f"http://127.0.0.1:{self.server_address[1]}/items"

    def answer(self, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """Return the right answer to a request, as of now."""
        size, query = PAGE, {} if self.stuck else query
        if self.style == "high_water_mark":
            since = int(query.get("mark", "-1"))
            return _body([r for r in self.records if r["at"] >= since][:size]), {}
        if self.style == "none":
            return _body(self.records), {}
        start = int(query.get("offset" if self.style == "offset" else "cursor", "0"))
        page, after = self.records[start : start + size], start + size
        following = str(after) if after < len(self.records) else None
        if self.style == "next_cursor":
            return _body(page, next_cursor=following), {}
        link = f"{self.url}?cursor={following}" if following else None
        if self.style == "next_link":
            return _body(page, next_cursor=link), {}
        if self.style == "header_link":
            return _body(page), {"Link": f'<{link}>; rel="next"'} if link else {}
        return _body(page), {}

    def grow(self, count: int) -> None:
        """Have more records: the last page changes between two reads."""
        for _ in range(count):
            number = len(self.records)
            self.records.append({"n": number, "at": number // 3})

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


def _body(records: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps({"items": records, **more}).encode()


def _start(style: str, query: dict[str, str]) -> int:
    return int(query.get("offset" if style == "offset" else "cursor", "0")) if style in FOLLOWING else 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HostileApi

    def do_GET(self) -> None:
        api = self.server
        query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        api.seen = [*api.seen, query["cursor"]] if "cursor" in query else []
        harm = "" if api.calm or api.rng.random() < 0.6 else api.rng.choice(sorted(HARMS))
        if harm:
            api.harm.append(harm)
        if harm and HARMS[harm](self, query):
            return
        body, headers = api.answer(query)
        api.last, api.last_start = body, _start(api.style, query)
        self.send(200, body, headers)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or length is not None

    def log_message(self, *_: object) -> None:
        pass


Harm = Callable[[_Handler, dict[str, str]], Any]
"""Does its harm; true when it answered."""


def _latency(_: _Handler, __: dict[str, str]) -> None:
    time.sleep(0.003)


def _too_many(request: _Handler, _: dict[str, str]) -> bool:
    until = datetime.now(UTC) + timedelta(seconds=request.server.rng.randint(0, 3))
    request.send(429, b"slow down", {"Retry-After": format_datetime(until, usegmt=True)})
    return True


def _unavailable(request: _Handler, _: dict[str, str]) -> bool:
    request.send(503, b"<html>", {"Retry-After": "1"})
    return True


def _reset(request: _Handler, query: dict[str, str]) -> bool:
    body, _ = request.server.answer(query)
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[: len(body) // 2])
    request.wfile.flush()
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True
    return True


def _wrong_length(request: _Handler, query: dict[str, str]) -> bool:
    body, headers = request.server.answer(query)
    request.send(200, body, headers, length=len(body) + request.server.rng.choice([-5, 9]))
    return True


def _half_gzip(request: _Handler, query: dict[str, str]) -> bool:
    body, headers = request.server.answer(query)
    packed = gzip.compress(body)
    request.send(200, packed[: len(packed) // 2], headers | {"Content-Encoding": "gzip"})
    return True


def _html(request: _Handler, _: dict[str, str]) -> bool:
    request.send(200, b"<!doctype html><title>Sign in</title>")
    return True


def _error_body(request: _Handler, _: dict[str, str]) -> bool:
    request.send(200, b'{"error": {"code": 17, "message": "try later"}}')
    return True


def _duplicate(request: _Handler, query: dict[str, str]) -> bool:
    """Answer with the page before, as a cache does that ignores the query."""
    api = request.server
    if api.style not in FOLLOWING or not api.last_start < _start(api.style, query) <= api.last_start + PAGE:
        return False
    request.send(200, api.last)
    return True


def _changes(request: _Handler, _: dict[str, str]) -> None:
    request.server.grow(request.server.rng.randint(1, 4))


def _loop(request: _Handler, query: dict[str, str]) -> bool:
    """Name the page itself, or one that was read already, as the next one."""
    if request.server.style != "next_cursor" or "cursor" not in query:
        return False
    body, _ = request.server.answer(query)
    back = request.server.rng.choice([query["cursor"], request.server.seen[-1]])
    request.send(200, json.dumps(json.loads(body) | {"next_cursor": back}).encode())
    return True


def _huge(request: _Handler, _: dict[str, str]) -> bool:
    request.send_response(200)
    request.send_header("Content-Length", str(100 * 1024 * 1024))
    request.end_headers()
    try:
        for _chunk in range(1600):
            request.wfile.write(b" " * 65_536)
    except OSError:
        request.close_connection = True
    return True


def _path_missing(request: _Handler, query: dict[str, str]) -> bool:
    body, headers = request.server.answer(query)
    request.send(200, json.dumps({"rows": json.loads(body)["items"]}).encode(), headers)
    return True


HARMS: dict[str, Harm] = {
    "latency": _latency,
    "429 with a date": _too_many,
    "503": _unavailable,
    "reset within the body": _reset,
    "wrong Content-Length": _wrong_length,
    "half a gzip": _half_gzip,
    "HTML": _html,
    "200 with an error": _error_body,
    "the page before again": _duplicate,
    "a page that changes": _changes,
    "a loop": _loop,
    "100 MB": _huge,
    "records path missing": _path_missing,
}
