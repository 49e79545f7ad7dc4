"""The flights as an HTTP API: the demo's source, which misbehaves on request.

    python -m ops.local.demo_api [--port 0]        prints its address on the first line

`GET /flights` answers `{"flights": [...], "next_cursor": "..." or null}`, always in the same order. Parameters: `limit`
(default 1000, at most 10000), `cursor` (from the answer before; an unknown one is answered 410), `from` (inclusive) and
`to` (exclusive), ISO dates, default the year 2013. The same flights by other ways of paging: `demo_api_pages`.
Of several `partitions` only the flights of one `partition`, from 0: every so manieth.

`POST /_admin` sets switches (a JSON object, see `Switches`; `{"reset": true}` puts everything back); `GET /_admin`
tells switches and counters. The parameters `latency_ms=N` and `misbehave=SWITCH` do the same for one request.
"""

import argparse
import base64
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import date
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from ops.local.demo_api_pages import STYLES, Answer, in_order
from ops.local.demo_api_switches import ALWAYS, MISBEHAVIOURS, Switches
from ops.local.flights import YEAR, encoded

DEFAULT_LIMIT, MAX_LIMIT = 1000, 10_000


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """The request is answered with an error status."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """State of the API, shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.switches = Switches()
        self.counters: Counter[str] = Counter()

    def set(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Change switches and return the new state.

        Raises:
            Refusal: there is no such switch.
        """
        with self._lock:
            if wanted.pop("reset", False):
                self.switches, self.counters = Switches(), Counter()
            unknown = wanted.keys() - {known.name for known in fields(Switches)}
            if unknown:
                raise Refusal(HTTPStatus.BAD_REQUEST, f"no such switch: {', '.join(sorted(unknown))}")
            for name, value in wanted.items():
                setattr(self.switches, name, value)
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return switches and counters."""
        with self._lock:
            return {"switches": asdict(self.switches), "counters": dict(self.counters)}

    def next_misbehaviour(self, asked: str | None) -> str | None:
        """Count a request, and use up and return the switch that hits it."""
        with self._lock:
            self.counters["requests"] += 1
            hit = asked or next((name for name in MISBEHAVIOURS if getattr(self.switches, name)), None)
            if hit is None:
                return None
            self.counters[hit] += 1
            left = getattr(self.switches, hit, 0)
            if not asked and left != ALWAYS:
                setattr(self.switches, hit, left - 1)
            return hit

    def count(self, records: int) -> None:
        """Count a page that was served."""
        with self._lock:
            self.counters["pages"] += 1
            self.counters["records"] += records

    def page(self, query: dict[str, str], *, repeat_cursor: bool, records_absent: bool) -> bytes:
        """Return the body of one page.

        Raises:
            Refusal: a parameter is wrong or the cursor is unknown.
        """
        lines, limit = self._visible(query), _limit(query)
        start = _offset(query.get("cursor"), len(lines))
        end = min(start + limit, len(lines))
        following = start if repeat_cursor else end
        cursor = orjson.dumps(_cursor(following) if following < len(lines) or repeat_cursor else None)
        if records_absent:
            return b'{"next_cursor":' + cursor + b"}"
        self.count(end - start)
        page = [self._poisoned(number, lines[number]) for number in range(start, end)]
        return b'{"flights":[' + b",".join(page) + b'],"next_cursor":' + cursor + b"}"

    def styled(self, path: str, query: dict[str, str], base: str) -> Answer:
        """Return body and headers of a page in another way of paging.

        Raises:
            Refusal: a parameter is wrong.
        """
        lines, limit = self._visible(query, path), _limit(query)
        for name in ("page", "offset"):
            if not query.get(name, "0").isdecimal():
                raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} is a number, not {query[name]!r}")
        self.count(0)
        return STYLES[path](lines, query, limit, base)

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a request shows what `require` asks for."""
        return all(headers.get(name) == value for name, value in self.switches.require.items())

    def _visible(self, query: dict[str, str], path: str = "/flights") -> list[bytes]:
        try:
            start, end = (
                date.fromisoformat(query.get("from", str(YEAR[0]))),
                date.fromisoformat(query.get("to", str(YEAR[1]))),
            )
        except ValueError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"from and to are ISO dates: {error}") from error
        lines = _flights(start, end, path)[int(query.get("partition", 0)) :: int(query.get("partitions", 1))]
        return lines if self.switches.visible is None else lines[: self.switches.visible]

    def _poisoned(self, number: int, line: bytes) -> bytes:
        poison = self.switches.poison.get(str(number)) if self.switches.poison else None
        return orjson.dumps({**orjson.loads(line), **poison}) if poison else line


@lru_cache(maxsize=4)
def _flights(start: date, end: date, path: str) -> list[bytes]:
    return in_order(path, encoded(start, end))


def _limit(query: dict[str, str]) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not text.isdecimal() or not 0 < int(text) <= MAX_LIMIT:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"limit is a number from 1 to {MAX_LIMIT}, not {text!r}")
    return int(text)


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(f"flight:{offset}".encode()).decode()


def _offset(cursor: str | None, end: int) -> int:
    if not cursor:
        return 0
    try:
        kind, _, offset = base64.urlsafe_b64decode(cursor).decode().partition(":")
    except ValueError:  # not base64, not ASCII, not text
        kind, offset = "", ""
    if kind != "flight" or not offset.isdecimal() or int(offset) > end:
        raise Refusal(HTTPStatus.GONE, "unknown cursor")
    return int(offset)


class FlightsRequestHandler(BaseHTTPRequestHandler):
    """Speaks HTTP for an `Api`; the name is the standard library's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: Api

    def do_GET(self) -> None:
        """Answer a page or the state."""
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if url.path == "/_admin":
            self._send(HTTPStatus.OK, orjson.dumps(self.api.state()))
        elif url.path == "/flights" or url.path in STYLES:
            self._flights(url.path, query)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"there is nothing at {url.path}")

    def do_POST(self) -> None:
        """Set switches."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/_admin":
            self._refuse(HTTPStatus.NOT_FOUND, f"there is nothing to post to at {self.path}")
            return
        try:
            self._send(HTTPStatus.OK, orjson.dumps(self.api.set(orjson.loads(body))))
        except (orjson.JSONDecodeError, AttributeError):
            self._refuse(HTTPStatus.BAD_REQUEST, "POST a JSON object to /_admin")
        except Refusal as refusal:
            self._refuse(refusal.status, str(refusal))

    def _flights(self, path: str, query: dict[str, str]) -> None:
        if not self.api.admits(dict(self.headers.items())):
            self._refuse(HTTPStatus.UNAUTHORIZED, "who are you?")
            return
        hit = self.api.next_misbehaviour(query.get("misbehave"))
        time.sleep(int(query.get("latency_ms") or self.api.switches.latency_ms) / 1000)
        match hit:
            case "unavailable":
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "come back later", retry=True)
            case "too_many_requests":
                self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "not so fast", retry=True)
            case "not_found":
                self._refuse(HTTPStatus.NOT_FOUND, "no flights here")
            case "html":
                self._send(HTTPStatus.OK, b"<!doctype html><title>Sign in</title>", kind="text/html")
            case _:
                self._page(path, query, hit)

    def _page(self, path: str, query: dict[str, str], hit: str | None) -> None:
        repeat, absent = hit == "repeat_cursor", hit == "records_absent"
        extra: dict[str, str] = {}
        try:
            if path in STYLES:
                body, extra = self.api.styled(path, query, f"http://{self.headers['Host']}{path}")
            else:
                body = self.api.page(query, repeat_cursor=repeat, records_absent=absent)
        except Refusal as refusal:
            self._refuse(refusal.status, str(refusal))
        else:
            self._send(HTTPStatus.OK, body, extra=extra, cut=hit == "cut_off")

    def _refuse(self, status: HTTPStatus, message: str, *, retry: bool = False) -> None:
        extra = {"Retry-After": self.api.switches.retry_after} if retry and self.api.switches.retry_after else {}
        self._send(status, orjson.dumps({"error": message}), extra=extra)

    def _send(
        self,
        status: HTTPStatus,
        body: bytes,
        kind: str = "application/json",
        extra: dict[str, str] | None = None,
        *,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing; the counters tell."""


class FlightsServer(ThreadingHTTPServer):
    """One thread per connection."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away in the middle of an answer, as killed ones do."""


def serve(port: int) -> FlightsServer:
    """Return a server bound to the port, 0 = a free one; the caller runs it."""
    handler = type("Handler", (FlightsRequestHandler,), {"api": Api()})
    return FlightsServer(("127.0.0.1", port), handler)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m ops.local.demo_api", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0 = a free one")
    with serve(parser.parse_args().port) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
