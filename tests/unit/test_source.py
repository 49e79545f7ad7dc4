import gzip
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from ingestor.config import load
from ingestor.errors import SourceError
from ingestor.pace import Pace
from ingestor.paging import PagingSettings
from ingestor.paging_links import NextCursorPaging
from ingestor.paging_marks import HighWaterMarkPaging
from ingestor.source import HttpSource, ReadingStopped
from ingestor.source_http import SourceLimits, retry_after_s
from ingestor.source_wiring import open_source as wired

Answer = Callable[[BaseHTTPRequestHandler], None]
PAGE = {"next_cursor": "b", "items": [{"n": 1}, {"n": 2}]}
BODY = json.dumps(PAGE).encode()


def reply(
    status: int = 200, body: bytes = BODY, headers: Mapping[str, str] | None = None, *, length: int | None = None
) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)
        if length is not None:
            request.close_connection = True

    return answer


def chunked_and_cut(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"%x\r\n" % len(BODY) + BODY[:20])
    request.close_connection = True


def unbounded_and_cut(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(BODY[:-9])
    request.close_connection = True


def reset(request: BaseHTTPRequestHandler) -> None:
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True


@dataclass
class Server:
    """Answers requests from a script; the last answer repeats."""

    script: list[Answer] = field(default_factory=lambda: [reply()])
    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    callers: list[int] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.paths.append(request.path)
        self.callers.append(request.client_address[1])
        self.headers.append(dict(request.headers.items()))
        self.script[min(len(self.paths), len(self.script)) - 1](request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/records"

    def silent(self, _: BaseHTTPRequestHandler) -> None:
        self.released.wait(20)

    def dripping(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        while not self.released.wait(0.005):
            try:
                request.wfile.write(b" ")
            except OSError:
                return

    def stuck(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        request.wfile.write(b"[")
        request.wfile.flush()
        self.released.wait(20)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    listener = Listener(("127.0.0.1", 0), Requests)
    state.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.released.set()
    listener.shutdown()
    thread.join()
    listener.server_close()


@dataclass
class Waits:
    """The injected sleep: remembers, and moves the injected clock."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    told: list[tuple[int, str, float]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def tell(self, attempt: int, reason: str, wait_s: float) -> None:
        self.told.append((attempt, reason, wait_s))


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def open_source(server: Server, waits: Waits) -> Iterator[Callable[..., HttpSource]]:
    opened: list[HttpSource] = []

    def build(url: str | None = None, limits: SourceLimits | None = None, **options: Any) -> HttpSource:
        effects = {"sleep": waits.sleep, "clock": waits.clock, "on_retry": waits.tell, "jitter": lambda: 1.0}
        paging = NextCursorPaging(PagingSettings(url=url or server.url, records_path="items"))
        source = HttpSource(paging, limits or SourceLimits(timeout_s=5), **cast("Any", effects | options))
        opened.append(source)
        return source

    yield build
    for source in opened:
        source.close()


Open = Callable[..., HttpSource]


def test_a_page_carries_its_cursor_the_next_one_and_its_records(server: Server, open_source: Open) -> None:
    page = open_source().fetch(None)
    assert (page.cursor, page.next_cursor, page.records, page.attempts) == (None, "b", PAGE["items"], 1)
    assert page.size_bytes == len(BODY)
    assert server.paths == ["/records?limit=1000"]


def test_the_urls_own_query_is_kept_and_cursor_and_page_size_are_added(server: Server, open_source: Open) -> None:
    source = open_source(f"{server.url}?from=2013-01-01&tag=a%20b")
    source.fetch("a/b c")
    assert server.paths == ["/records?from=2013-01-01&tag=a%20b&limit=1000&cursor=a%2Fb+c"]


MENDED_BY_ANOTHER_ATTEMPT = {
    "408": reply(408),
    "425": reply(425),
    "429": reply(429),
    "500": reply(500),
    "503": reply(503, b"<html>"),
    "599": reply(599),
    "connection reset": reset,
    "a body shorter than Content-Length": reply(length=len(BODY) + 10),
    "a body longer than Content-Length": reply(length=len(BODY) - 10),
    "a chunked body that is cut": chunked_and_cut,
    "a body without a length that is cut": unbounded_and_cut,
    "an empty body": reply(body=b""),
    "half a gzip": reply(body=gzip.compress(BODY * 50)[:60], headers={"Content-Encoding": "gzip"}),
    "a page of HTML": reply(body=b"<!DOCTYPE html><p>be right back"),
    "no JSON at all": reply(body=b"hello"),
    "no gzip at all": reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("first", MENDED_BY_ANOTHER_ATTEMPT.values(), ids=MENDED_BY_ANOTHER_ATTEMPT.keys())
def test_a_page_is_fetched_again_when_another_attempt_may_mend_it(
    first: Answer, server: Server, open_source: Open, waits: Waits
) -> None:
    server.script = [first, reply()]
    page = open_source().fetch("a")
    assert page.records == PAGE["items"]
    assert page.attempts == 2
    assert waits.slept == [0.5]
    assert [(attempt, wait_s) for attempt, _, wait_s in waits.told] == [(1, 0.5)]
    assert "\n" not in waits.told[0][1]


def test_a_gzipped_page_is_unpacked(server: Server, open_source: Open) -> None:
    server.script = [reply(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"})]
    page = open_source().fetch(None)
    assert page.records == PAGE["items"]
    assert page.size_bytes == len(BODY)


FINAL = {
    "400": (reply(400), r"HTTP 400 .*asking again"),
    "401": (reply(401), r"HTTP 401 .*SOURCE_AUTH"),
    "403": (reply(403), r"HTTP 403 .*SOURCE_AUTH"),
    "404": (reply(404), r"HTTP 404 .*the cursor 'a' expired or the URL is wrong"),
    "410": (reply(410), r"HTTP 410 .*the cursor 'a' expired or the URL is wrong"),
    "304": (reply(304, b""), r"HTTP 304"),
    "no records": (reply(body=b'{"data": [], "next": 1}'), r"'data', 'next'.*SOURCE_RECORDS_PATH"),
    "own cursor": (
        reply(body=b'{"items": [1], "next_cursor": "a"}'),
        r"names itself as the next one but has records .1.: check",
    ),
    "cursor object": (reply(body=b'{"items": [], "next_cursor": {}}'), r"is an object.*SOURCE_NEXT_PATH"),
    "too large": (reply(body=b"[" + b" " * 2000 + b"]"), r"larger than SOURCE_MAX_PAGE_BYTES \(1 KiB\)"),
}


@pytest.mark.parametrize(("answer", "line"), FINAL.values(), ids=FINAL.keys())
def test_what_another_attempt_would_not_mend_is_final_and_one_line(
    answer: Answer, line: str, server: Server, open_source: Open, waits: Waits
) -> None:
    server.script = [answer]
    with pytest.raises(SourceError, match=line) as raised:
        open_source(limits=SourceLimits(timeout_s=5, max_page_bytes=1024)).fetch("a")
    assert "\n" not in str(raised.value)
    assert len(server.paths) == 1
    assert waits.slept == []


@pytest.mark.parametrize(
    ("status", "body"), [(404, b""), (410, b""), (400, b'{"error": "cursor expired"}'), (422, b"Invalid page_token")]
)
def test_an_expired_cursor_stops_with_the_choice_spelled_out(
    status: int, body: bytes, server: Server, open_source: Open
) -> None:
    server.script = [reply(status, body)]
    with pytest.raises(
        SourceError, match=r"the cursor 'a' expired .*checkpoint set --to C.*backfill --from C"
    ) as raised:
        open_source().fetch("a")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><p>log in", b"hello"])
def test_what_stays_no_json_names_the_setting_to_check(body: bytes, server: Server, open_source: Open) -> None:
    server.script = [reply(body=body)]
    with pytest.raises(SourceError, match=r"JSON.*3 attempts: check SOURCE_URL, it must answer with JSON"):
        open_source(limits=SourceLimits(timeout_s=5, max_attempts=3)).fetch("a")


def test_a_missing_first_page_speaks_of_no_cursor(server: Server, open_source: Open) -> None:
    server.script = [reply(404)]
    with pytest.raises(SourceError, match="the URL is wrong") as raised:
        open_source().fetch(None)
    assert "cursor" not in str(raised.value).split(": ", 1)[1]


def test_errors_show_no_user_no_password_and_no_query_value_but_the_cursor(server: Server, open_source: Open) -> None:
    server.script = [reply(404)]
    url = server.url.replace("//", "//user:secret-a@") + "?key=secret-b"
    with pytest.raises(SourceError) as raised:
        open_source(url).fetch("c7")
    assert "secret" not in str(raised.value)
    assert "user" not in str(raised.value)
    assert f"http://127.0.0.1:{server.port}/records?key=...&limit=...&cursor=c7" in str(raised.value)


def test_reasons_of_a_failed_connection_hide_the_urls_secrets_too(open_source: Open, waits: Waits) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://user:secret-a@127.0.0.1:{unused.getsockname()[1]}/x?key=secret-b"
        with pytest.raises(SourceError, match=r"ConnectionRefusedError.*3 attempts") as raised:
            open_source(url, SourceLimits(max_attempts=3)).fetch(None)
    assert "secret" not in str(raised.value) + str(waits.told)


def chunked(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))


GZIPPED = reply(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("whole", [reply(), GZIPPED, chunked], ids=["plain", "gzip", "chunked"])
def test_another_attempt_goes_over_a_fresh_connection_and_another_page_over_the_same(
    whole: Answer, server: Server, open_source: Open
) -> None:
    server.script = [reply(body=b""), whole]
    source = open_source()
    source.fetch("a")
    source.fetch("c")
    first, second, third = server.callers
    assert first != second == third


def test_backoff_doubles_and_attempts_are_bounded(server: Server, open_source: Open, waits: Waits) -> None:
    server.script = [reply(503)]
    with pytest.raises(SourceError, match=r"HTTP 503 .*6 attempts"):
        open_source().fetch(None)
    assert waits.slept == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert len(server.paths) == 6


def test_backoff_is_spread_over_the_whole_wait(server: Server, open_source: Open, waits: Waits) -> None:
    server.script = [reply(503), reply(503), reply()]
    shares = iter([0.0, 0.25])
    open_source(jitter=lambda: next(shares)).fetch(None)
    assert waits.slept == [0.0, 0.25]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("header", ["7", "Sat, 23 Nov 2013 10:00:07 GMT"])
def test_retry_after_is_honoured_as_seconds_and_as_a_date(
    header: str, status: int, server: Server, open_source: Open, waits: Waits
) -> None:
    server.script = [reply(status, headers={"Retry-After": header}), reply()]
    open_source(wall_time=lambda: 1385200800.0).fetch(None)
    assert waits.slept == [7.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("120", 120.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("Sat, 23 Nov 2013 09:59:00 GMT", 0.0),
        ("Sat, 23 Nov 2013 10:01:00 GMT", 60.0),
    ],
)
def test_an_unusable_or_past_retry_after_asks_for_nothing(header: str | None, seconds: float) -> None:
    assert retry_after_s(header, 1385200800.0) == seconds


def test_no_wait_goes_beyond_the_deadline(server: Server, open_source: Open, waits: Waits) -> None:
    server.script = [reply(429, headers={"Retry-After": "60"})]
    with pytest.raises(SourceError, match=r"HTTP 429 .*wait 60 s.*no time left for attempt 2") as raised:
        open_source(deadline=waits.now + 50).fetch(None)
    assert isinstance(raised.value, ReadingStopped)
    assert waits.slept == []


def test_a_wait_of_hours_is_honoured_when_the_deadline_allows_it(
    server: Server, open_source: Open, waits: Waits
) -> None:
    server.script = [reply(503, headers={"Retry-After": "7200"}), reply()]
    open_source(deadline=waits.now + 10_000).fetch(None)
    assert waits.slept == [7200.0]


@pytest.mark.parametrize("seconds", ["481", "9" * 400])
def test_without_a_deadline_no_wait_is_longer_than_a_run(
    seconds: str, server: Server, open_source: Open, waits: Waits
) -> None:
    server.script = [reply(503, headers={"Retry-After": seconds})]
    with pytest.raises(ReadingStopped, match="no time left"):
        open_source().fetch(None)
    assert waits.slept == []


def test_nothing_is_asked_after_the_deadline(server: Server, open_source: Open, waits: Waits) -> None:
    with pytest.raises(ReadingStopped):
        open_source(deadline=waits.now).fetch(None)
    assert server.paths == []


def test_a_silent_server_is_asked_again(server: Server, open_source: Open, waits: Waits) -> None:
    server.script = [server.silent, reply()]
    assert open_source(limits=SourceLimits(timeout_s=0.05)).fetch(None).attempts == 2
    assert "no answer from" in waits.told[0][1]


def test_a_body_that_drips_is_cut_by_the_requests_timeout(server: Server, open_source: Open, waits: Waits) -> None:
    server.script = [server.dripping, reply()]
    source = open_source(limits=SourceLimits(timeout_s=0.5), clock=time.monotonic)
    assert source.fetch(None).attempts == 2
    assert "no complete answer" in waits.told[0][1]


def test_a_small_body_that_unpacks_beyond_the_limit_is_refused_without_unpacking_all(
    server: Server, open_source: Open
) -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]", compresslevel=1)
    server.script = [reply(body=bomb, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(SourceError, match="SOURCE_MAX_PAGE_BYTES"):
        open_source(limits=SourceLimits(max_page_bytes=100_000)).fetch(None)


def test_a_page_of_exactly_the_limit_is_taken(server: Server, open_source: Open) -> None:
    server.script = [reply()]
    assert open_source(limits=SourceLimits(max_page_bytes=len(BODY))).fetch(None).records


def test_a_cursor_may_be_fetched_again(server: Server, open_source: Open) -> None:
    server.script = [reply(404), reply()]
    source = open_source()
    with pytest.raises(SourceError):
        source.fetch("a")
    assert source.fetch("a") == replace(source.fetch("a"), latency_ms=0)


def test_close_interrupts_a_wait_between_attempts(server: Server, open_source: Open) -> None:
    server.script = [reply(503, headers={"Retry-After": "800"})]
    source: HttpSource = open_source(sleep=None, on_retry=lambda *_: source.close())
    with pytest.raises(ReadingStopped):
        source.fetch(None)
    assert len(server.paths) == 1


def test_close_interrupts_the_reading_of_a_body(server: Server, open_source: Open) -> None:
    server.script = [server.stuck]
    source = open_source(limits=SourceLimits(timeout_s=15), clock=time.monotonic)
    raised: list[BaseException] = []

    def read() -> None:
        try:
            source.fetch(None)
        except SourceError as error:
            raised.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while source._http._response is None and reader.is_alive():
        time.sleep(0.001)
    source.close()
    reader.join(5)
    assert not reader.is_alive()
    assert [type(error) for error in raised] == [ReadingStopped]


def test_a_closed_source_fetches_nothing(server: Server, open_source: Open) -> None:
    source = open_source()
    source.close()
    source.close()
    with pytest.raises(ReadingStopped):
        source.fetch(None)
    assert server.paths == []


def test_a_redirect_to_another_host_carries_no_credentials(server: Server, open_source: Open) -> None:
    elsewhere = f"http://localhost:{server.port}/moved?items=1"
    server.script = [reply(302, b"", {"Location": elsewhere}), reply()]
    source = open_source()
    source._http._session.headers["Authorization"] = "Bearer secret"
    source.fetch(None)
    assert ["Authorization" in headers for headers in server.headers] == [True, False]


def test_a_redirect_without_end_is_final(server: Server, open_source: Open) -> None:
    server.script = [reply(302, b"", {"Location": "/again"})]
    with pytest.raises(SourceError, match=r"TooManyRedirects.*SOURCE_URL"):
        open_source().fetch(None)


def test_the_configured_source_reads_with_the_configured_names(server: Server) -> None:
    server.script = [reply(body=b'{"d": {"rows": [1]}, "m": {"after": 7}}')]
    config = load(
        {
            "GCP_PROJECT_ID": "p",
            "BQ_DATASET_ID": "d",
            "BQ_TABLE_ID": "t",
            "MESSAGE_TYPE": "flights.Flight",
            "DEAD_LETTER_BUCKET": "bucket",
            "SOURCE_URL": f"{server.url}/{{partition}}",
            "SOURCE_RECORDS_PATH": "d.rows",
            "SOURCE_NEXT_PATH": "m.after",
            "SOURCE_CURSOR_PARAM": "since",
            "SOURCE_PAGE_SIZE_PARAM": "count",
            "SOURCE_PAGE_SIZE": "2",
            "SOURCE_START": "s1",
        }
    )
    source = wired(config, partition=3)
    page = source.fetch(None)
    source.close()
    assert (page.records, page.next_cursor) == ([1], "7")
    assert server.paths == ["/records/3?count=2&since=s1"]
    assert re.fullmatch("bigquery-batch-ingestor.*", server.headers[0]["User-Agent"])


def test_requests_keep_the_configured_rate(server: Server, open_source: Open, waits: Waits) -> None:
    server.script = [reply(503), reply()]
    source = open_source(pace=Pace(0.5, waits.clock), jitter=lambda: 0.0)
    source.fetch(None)
    source.fetch("a")
    assert waits.slept == [0.0, 2.0, 2.0]


def test_a_request_that_the_rate_puts_beyond_the_deadline_is_not_made(
    server: Server, open_source: Open, waits: Waits
) -> None:
    source = open_source(pace=Pace(0.1, waits.clock), deadline=waits.now + 5)
    source.fetch(None)
    with pytest.raises(ReadingStopped):
        source.fetch("a")
    assert len(server.paths) == 1
    assert waits.slept == []


def test_a_page_that_takes_several_requests_is_counted_and_reread_as_one(server: Server, waits: Waits) -> None:
    settings = PagingSettings(url=server.url, records_path="items", cursor_param="since", field="at", overlap=20)
    first, second = ([{"n": n, "at": at} for n, at in each] for each in ([(1, 80), (2, 90)], [(2, 90), (3, 101)]))
    server.script = [reply(body=json.dumps({"items": items}).encode()) for items in (first, second)]
    source = HttpSource(HighWaterMarkPaging(settings), sleep=waits.sleep, clock=waits.clock)
    page = source.fetch("100 -20")
    source.close()
    assert [urlsplit(path).query for path in server.paths] == ["limit=1000&since=80", "limit=1000&since=90"]
    assert [record["n"] for record in page.records] == [1, 2, 3]
    assert (page.attempts, page.next_cursor) == (2, "101 -20")
    assert page.reread is not None
    assert list(page.reread()) == page.records
