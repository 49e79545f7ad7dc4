"""Pages over HTTP: one request at a time, retried within bounds, never larger than allowed.

What ends in another attempt: a connection that fails or falls silent, a body that is cut off, 408, 425, 429 and 5xx.
Everything else is final, because asking again would be answered alike. A page is returned whole or not at all.

What it cannot promise: `close` interrupts a wait between attempts and the reading of a body at once, but not a server
that is silent before its first byte; that ends with the request's timeout.
"""

import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from ingestor.config_fields import size_text
from ingestor.config_model import Config
from ingestor.decode import Undecodable, decode
from ingestor.errors import SourceError
from ingestor.pages import JsonValue, Page, SourceRequest
from ingestor.paging import PAGINGS, BadCursor, Paging, PagingSettings, public_url, shown_cursor

CONNECT_TIMEOUT_S = 10.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
LONGEST_RETRY_AFTER_S = 900.0
"""A server that asks for more patience than this is given up in this run even when no deadline is set."""
_CHUNK_BYTES = 64 * 1024
_OK, _REDIRECT, _SERVER_ERROR = 200, 300, 500
_RETRIED_STATUSES = frozenset({408, 425, 429})

_REQUEST_ID_HEADERS = ("X-Request-Id", "X-Correlation-Id", "X-Cloud-Trace-Context", "Traceparent")

OnRetry = Callable[[int, str, float], None]
"""Called with the attempt that failed (from 1), the reason in one line, and the seconds until the next one."""


class ReadingStopped(SourceError):  # noqa: N818  # nothing went wrong
    """Reading was ended from this side, by `close` or by the run's deadline; nothing is wrong with the source."""


class _Transient(Exception):  # noqa: N818  # never leaves this module
    """An attempt failed in a way that another one may mend."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """Bounds of one page: seconds for a request, requests, and decoded bytes."""

    timeout_s: float = 30.0
    max_attempts: int = 6
    max_page_bytes: int = 64 * 1024 * 1024


class HttpSource:
    """The `Source` over HTTP, for one run on one lane.

    `deadline` is a reading of `clock`: no attempt or wait goes beyond it. `sleep` waits between attempts; the default
    wakes up when `close` is called. `wall_time` (seconds since 1970) is for dates in Retry-After.
    """

    def __init__(  # noqa: PLR0913  # the injected effects, all optional
        self,
        paging: Paging,
        limits: SourceLimits | None = None,
        *,
        cursor_param: str = "cursor",
        deadline: float | None = None,
        on_retry: OnRetry | None = None,
        session_factory: Callable[[], requests.Session] = requests.Session,
        sleep: Callable[[float], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_time: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._paging = paging
        self._limits = limits or SourceLimits()
        self._cursor_param = cursor_param
        self._deadline = float("inf") if deadline is None else deadline
        self._on_retry = on_retry
        self._closed = threading.Event()
        self._sleep: Callable[[float], Any] = sleep or self._closed.wait
        self._clock, self._wall_time, self._jitter = clock, wall_time, jitter
        self._response: requests.Response | None = None
        self._session = session_factory()
        self._session.headers.update({"Accept": "application/json", "User-Agent": "bigquery-batch-ingestor"})

    def fetch(self, cursor: str | None) -> Page:
        """Return the page at `cursor`; None is the first page.

        Raises:
            ReadingStopped: closed, or the deadline passed before the source failed even once.
            SourceError: final answer, or retries used up.
        """
        url = self._paging.url(cursor)
        retrying = Retrying(
            retry=retry_if_exception_type(_Transient),
            wait=self._wait_s,
            stop=self._gives_up,
            sleep=self._sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return retrying(self._attempt, cursor, url, retrying)
        except _Transient as error:
            raise self._used_up(error, url, retrying) from error

    def close(self) -> None:
        """Release connections; interrupts a wait or the reading of a body in another thread."""
        self._closed.set()
        response = self._response
        if response is not None:
            with suppress(Exception):  # the reading thread may be done with it just now
                response.raw.shutdown()
        self._session.close()

    def _attempt(self, cursor: str | None, url: str, retrying: Retrying) -> Page:
        started, asked_at_us = self._clock(), int(self._wall_time() * 1e6)
        if self._closed.is_set() or started >= self._deadline:
            raise ReadingStopped("reading was stopped before a page was there: the next run goes on from here")
        try:
            with self._answer(url) as response:
                body = self._body(response, cursor, started)
                asked = SourceRequest(response.url, response.status_code, _request_id(response), asked_at_us)
                page = self._page(response, body, cursor)
        except _Transient:
            self._session.close()  # a fresh connection may reach a server that is not draining
            if self._closed.is_set():
                raise ReadingStopped("reading was stopped within a page: the next run goes on from here") from None
            raise
        latency_ms = round((self._clock() - started) * 1000)
        attempts = int(retrying.statistics["attempt_number"])
        return Page(
            cursor,
            page[1],
            page[0],
            size_bytes=len(body),
            latency_ms=latency_ms,
            attempts=attempts,
            request=asked,
            reread=lambda: self._paging.read(cursor, decode(body), {}).records,
        )

    @contextmanager
    def _answer(self, url: str) -> Iterator[requests.Response]:
        left_s = min(self._limits.timeout_s, self._deadline - self._clock())
        timeout = (min(CONNECT_TIMEOUT_S, left_s), left_s)
        try:
            response = self._session.get(url, stream=True, timeout=timeout)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise self._connection_problem(error, url) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
            raise SourceError(
                f"{self._shown(url)} cannot be requested ({_root_name(error)}): check SOURCE_URL and its redirects"
            ) from error
        self._response = response
        try:
            yield response
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _Transient(f"the answer of {self._shown(url)} was cut off ({_root_name(error)})") from error
        finally:
            self._response = None
            response.close()

    def _connection_problem(self, error: Exception, url: str) -> Exception:
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            return SourceError(f"{self._shown(url)} shows a certificate that is not trusted: mend it or SOURCE_URL")
        return _Transient(f"no answer from {self._shown(url)} ({type(root).__name__})")

    def _body(self, response: requests.Response, cursor: str | None, started: float) -> bytes:
        if response.status_code in _RETRIED_STATUSES or response.status_code >= _SERVER_ERROR:
            after_s = retry_after_s(response.headers.get("Retry-After"), self._wall_time())
            raise _Transient(f"HTTP {response.status_code} from {self._shown(response.url)}", after_s)
        if not _OK <= response.status_code < _REDIRECT:
            raise SourceError(self._final_answer(response, cursor))
        until = min(started + self._limits.timeout_s, self._deadline)
        pieces: list[bytes] = []
        size_bytes = 0
        while piece := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            pieces.append(piece)
            size_bytes += len(piece)
            if size_bytes > self._limits.max_page_bytes:
                raise SourceError(self._too_large(response))
            if self._clock() >= until or self._closed.is_set():
                raise _Transient(f"no complete answer from {self._shown(response.url)} in time")
        return b"".join(pieces)

    def _page(self, response: requests.Response, body: bytes, cursor: str | None) -> tuple[list[JsonValue], str | None]:
        where = f"at {self._shown(response.url)}"
        try:
            value = decode(body)
        except Undecodable as error:
            if error.cut:
                raise _Transient(f"{error} {where}") from error
            raise SourceError(f"{error} {where}: check SOURCE_URL, it must answer with JSON") from error
        try:
            reading = self._paging.read(cursor, value, response.headers)
        except Undecodable as error:
            raise SourceError(f"{error} {where}: set SOURCE_RECORDS_PATH to the path of the array") from error
        except BadCursor as error:
            raise BadCursor(f"{error} ({where})") from error
        return reading.records, reading.next_cursor

    def _final_answer(self, response: requests.Response, cursor: str | None) -> str:
        said = f"HTTP {response.status_code} from {self._shown(response.url)}"
        match response.status_code:
            case 404 | 410 if cursor is not None:
                return f"{said}: the cursor {shown_cursor(cursor)} expired or the URL is wrong: check SOURCE_URL"
            case 404 | 410:
                return f"{said}: the URL is wrong: check SOURCE_URL"
            case 401 | 403 | 407:
                return f"{said}: the source refuses this caller: check SOURCE_URL, SOURCE_AUTH and the caller's rights"
            case _:
                return f"{said}: asking again would not help: check SOURCE_URL and the names of its parameters"

    def _too_large(self, response: requests.Response) -> str:
        limit = size_text(self._limits.max_page_bytes)
        return (
            f"the page at {self._shown(response.url)} is larger than SOURCE_MAX_PAGE_BYTES ({limit}): "
            "ask for fewer records by SOURCE_PAGE_SIZE, or raise it"
        )

    def _used_up(self, error: _Transient, url: str, retrying: Retrying) -> SourceError:
        attempts = int(retrying.statistics["attempt_number"])
        if attempts == 1 and self._clock() >= self._deadline:
            return ReadingStopped(f"the run's deadline passed while {self._shown(url)} was read: the next run goes on")
        if attempts >= self._limits.max_attempts:
            return SourceError(f"{error.reason}, {attempts} attempts: check the source; the next run goes on from here")
        asked = f", which asks to wait {error.retry_after_s:.0f} s" if error.retry_after_s else ""
        return SourceError(f"{error.reason}{asked}: no time left for attempt {attempts + 1}: the next run goes on")

    def _wait_s(self, state: RetryCallState) -> float:
        ceiling_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(state.attempt_number - 1, 30))
        return max(_failure(state).retry_after_s, self._jitter() * ceiling_s)

    def _gives_up(self, state: RetryCallState) -> bool:
        return (
            state.attempt_number >= self._limits.max_attempts
            or state.upcoming_sleep > LONGEST_RETRY_AFTER_S
            or self._clock() + state.upcoming_sleep >= self._deadline
        )

    def _tell(self, state: RetryCallState) -> None:
        if self._on_retry is not None:
            self._on_retry(state.attempt_number, _failure(state).reason, state.upcoming_sleep)

    def _shown(self, url: str) -> str:
        return public_url(url, self._cursor_param)


def http_source(
    config: Config, *, partition: int = 0, deadline: float | None = None, on_retry: OnRetry | None = None
) -> HttpSource:
    """Return the configured source of one partition; `deadline` is a reading of `time.monotonic`."""
    settings = PagingSettings(
        url=config.source_url_of(partition),
        records_path=config.source_records_path,
        cursor_param=config.source_cursor_param,
        next_path=config.source_next_path,
        page_size_param=config.source_page_size_param,
        page_size=config.source_page_size,
        start=config.source_start,
    )
    limits = SourceLimits(
        timeout_s=config.source_timeout_s,
        max_attempts=config.source_max_attempts,
        max_page_bytes=config.source_max_page_bytes,
    )
    paging = PAGINGS[config.source_pagination](settings)
    return HttpSource(paging, limits, cursor_param=config.source_cursor_param, deadline=deadline, on_retry=on_retry)


def _request_id(response: requests.Response) -> str:
    """Return what the server calls the request, by the headers that are usual for it."""
    return next((response.headers[name] for name in _REQUEST_ID_HEADERS if name in response.headers), "")


def retry_after_s(header: str | None, now: float) -> float:
    """Return the seconds that a Retry-After asks for (RFC 9110: seconds or a date); 0 when it says nothing usable."""
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]+", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _failure(state: RetryCallState) -> _Transient:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, _Transient) else _Transient("failed")


def _root(error: BaseException) -> BaseException:
    """Return the first cause; messages name its type only, because its text may hold the URL's secrets."""
    while (cause := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(cause, BaseException):
            break
        error = cause
    return error


def _root_name(error: BaseException) -> str:
    return type(_root(error)).__name__
