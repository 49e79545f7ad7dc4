"""Any number of flights as pages over HTTP, at so little cost that what is measured is the ingestor.

    python -m bench.pages PORT

`GET /flights?rows=N&latency_ms=L&limit=S&cursor=C` answers `{"flights": [...], "next_cursor": ...}` after L ms.
Flight i is January 2013's flight i modulo their number (27,004), encoded beforehand; each time round the year is one
more, so that rows differ. The cursor is the number of flights before it, null at the end.
"""

import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from ops.local.flights import JANUARY, encoded
from ops.local.process import HOST, Service, accepts

YEAR = 2013
_HEAD = b'{"year":%d,'


def page(lines: Sequence[bytes], rows: int, start: int, limit: int) -> bytes:
    """Return the body with flights `start` to `start + limit`, of `rows` in all."""
    end = min(start + limit, rows)
    parts = []
    at = start
    while at < end:
        times_round, first = divmod(at, len(lines))
        some = lines[first : first + end - at]
        parts.append(b",".join(some).replace(_HEAD % YEAR, _HEAD % (YEAR + times_round)))
        at += len(some)
    following = b'"%d"' % end if end < rows else b"null"
    return b'{"flights":[' + b",".join(parts) + b'],"next_cursor":' + following + b"}"


class PagesRequestHandler(BaseHTTPRequestHandler):
    """Speaks HTTP for `lines`; the name is the standard library's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lines: Sequence[bytes] = ()

    def do_GET(self) -> None:
        """Answer a page."""
        query = dict(parse_qsl(urlsplit(self.path).query))
        body = page(self.lines, int(query["rows"]), int(query.get("cursor", 0)), int(query["limit"]))
        time.sleep(int(query.get("latency_ms", 0)) / 1000)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


class Pages(Service):
    """The pages as a process."""

    name = "bench-pages"

    def source_url(self, rows: int, latency_ms: int) -> str:
        """Return the SOURCE_URL of so many flights."""
        return f"http://{HOST}:{self.ports[0]}/flights?rows={rows}&latency_ms={latency_ms}"

    def command(self) -> list[str]:
        """Run this module."""
        return [sys.executable, "-m", "bench.pages", str(self.ports[0])]

    def ready(self) -> bool:
        """It accepts connections."""
        return accepts(self.ports[0])


def serving(port: int, lines: Sequence[bytes]) -> ThreadingHTTPServer:
    """Return a server bound to the port; the caller runs and closes it."""
    server = ThreadingHTTPServer((HOST, port), type("Handler", (PagesRequestHandler,), {"lines": lines}))
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    serving(int(sys.argv[1]), encoded(*JANUARY)).serve_forever()
