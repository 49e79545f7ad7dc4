"""Pages over HTTP: requests retried within bounds, put together into pages by the way of paging.

Pauses between attempts are spread over the whole wait (full jitter) and never shorter than a Retry-After asks for. No
attempt or wait goes beyond the run's deadline: then reading stops and the run ends as partial. A page is returned whole
or not at all.

What it cannot promise: `close` interrupts a wait between attempts and the reading of a body at once, but not a server
that is silent before its first byte; that ends with the request's timeout.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from ingestor.credentials import Credential, NoCredential
from ingestor.decode import Undecodable, decode
from ingestor.errors import SourceError
from ingestor.pace import Pace
from ingestor.pages import JsonValue, Page, SourceRequest
from ingestor.paging import BadCursor, Paging, Reading
from ingestor.source_http import Response, SourceHttp, SourceLimits, Transient

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
LONGEST_READING_S = 480.0
"""How long a source is read that is given no deadline."""
_REQUEST_ID_HEADERS = ("X-Request-Id", "X-Correlation-Id", "X-Cloud-Trace-Context", "Traceparent")

OnRetry = Callable[[int, str, float], None]
"""Called with the attempt that failed (from 1), the reason in one line, and the seconds until the next one."""


class ReadingStopped(SourceError):  # noqa: N818  # nothing went wrong
    """Reading was ended from this side, by `close` or by the run's deadline; the next run goes on from here."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A response with what it takes to read it again."""

    response: Response
    attempts: int


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
        credential: Credential | None = None,
        pace: Pace | None = None,
        cursor_param: str = "cursor",
        deadline: float | None = None,
        on_retry: OnRetry | None = None,
        sleep: Callable[[float], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_time: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        read: Callable[[bytes], JsonValue] = decode,
    ) -> None:
        self._paging, self._decode = paging, read
        self._limits = limits or SourceLimits()
        self._pace = pace or Pace(None, clock)
        self._deadline = clock() + LONGEST_READING_S if deadline is None else deadline
        self._on_retry = on_retry
        self._closed = threading.Event()
        self._sleep: Callable[[float], Any] = sleep or self._closed.wait
        self._clock, self._wall_time, self._jitter = clock, wall_time, jitter
        self._http = SourceHttp(
            credential or NoCredential(), self._limits, cursor_param=cursor_param, clock=clock, wall_time=wall_time
        )

    def fetch(self, cursor: str | None) -> Page:
        """Return the page at `cursor`; None is the first page.

        Raises:
            ReadingStopped: closed, or the deadline came first.
            SourceError: final answer, or retries used up.
        """
        started, asked_at_us = self._clock(), int(self._wall_time() * 1e6)
        parts: list[_Part] = []
        reading: Reading | None = None
        at = cursor
        while reading is None or reading.more is not None:
            part, reading = self._retried(cursor, at, reading)
            parts.append(part)
            at = reading.more
        first = parts[0].response
        bodies = [(part.response.body, part.response.headers) for part in parts]
        return Page(
            reading.name or cursor,
            reading.next_cursor,
            reading.records,
            size_bytes=sum(len(body) for body, _ in bodies),
            latency_ms=round((self._clock() - started) * 1000),
            attempts=sum(part.attempts for part in parts),
            request=SourceRequest(first.url, first.status, _request_id(first.headers), asked_at_us),
            reread=lambda: self._reread(cursor, bodies),
            trail=reading.trail,
            whole=self._paging.whole,
        )

    def close(self) -> None:
        """Release connections; interrupts a wait or the reading of a body in another thread."""
        self._closed.set()
        self._http.close()

    def _reread(self, cursor: str | None, bodies: list[tuple[bytes, Mapping[str, str]]]) -> list[JsonValue]:
        reading: Reading | None = None
        for body, headers in bodies:
            reading = self._paging.read(cursor, self._decode(body), headers, reading)
        return reading.records if reading else []

    def _retried(self, cursor: str | None, at: str | None, before: Reading | None) -> tuple[_Part, Reading]:
        url = self._paging.url(at)
        retrying = Retrying(
            retry=retry_if_exception_type(Transient),
            wait=self._wait_s,
            stop=self._gives_up,
            sleep=self._sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            response, reading = retrying(self._attempt, cursor, url, before)
        except Transient as error:
            raise self._used_up(error, retrying) from error
        return _Part(response, int(retrying.statistics["attempt_number"])), reading

    def _attempt(self, cursor: str | None, url: str, before: Reading | None) -> tuple[Response, Reading]:
        self._keep_pace()
        try:
            response = self._http.get(url, cursor, self._deadline)
            return response, self._read(response, cursor, before)
        except Transient:
            self._http.drop_connections()
            if self._closed.is_set():
                raise ReadingStopped("reading was stopped within a page: the next run goes on from here") from None
            raise

    def _keep_pace(self) -> None:
        wait_s = self._pace.wait_s() if not self._over() else 0.0
        if wait_s > 0 and self._clock() + wait_s < self._deadline:
            self._sleep(wait_s)
            wait_s = 0.0
        if wait_s > 0 or self._over():
            raise ReadingStopped("reading was stopped before a page was there: the next run goes on from here")

    def _over(self) -> bool:
        return self._closed.is_set() or self._clock() >= self._deadline

    def _read(self, response: Response, cursor: str | None, before: Reading | None) -> Reading:
        where = f"at {self._http.shown(response.url)}"
        try:
            value = self._decode(response.body)
        except Undecodable as error:
            raise Transient(f"{error} {where}", remedy="check SOURCE_URL, it must answer with JSON") from error
        try:
            return self._paging.read(cursor, value, response.headers, before)
        except Undecodable as error:
            raise SourceError(f"{error} {where}: set SOURCE_RECORDS_PATH to the path of the array") from error
        except BadCursor as error:
            raise BadCursor(f"{error} ({where})") from error

    def _used_up(self, error: Transient, retrying: Retrying) -> SourceError:
        attempts = int(retrying.statistics["attempt_number"])
        if attempts >= self._limits.max_attempts:
            return SourceError(f"{error.reason}, {attempts} attempts: {error.remedy}; the next run goes on from here")
        asked = f", which asks to wait {error.retry_after_s:.0f} s" if error.retry_after_s else ""
        return ReadingStopped(
            f"{error.reason}{asked}: no time left for attempt {attempts + 1}: the next run goes on from here"
        )

    def _wait_s(self, state: RetryCallState) -> float:
        ceiling_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(state.attempt_number - 1, 30))
        return max(_failure(state).retry_after_s, self._jitter() * ceiling_s)

    def _gives_up(self, state: RetryCallState) -> bool:
        return (
            state.attempt_number >= self._limits.max_attempts or self._clock() + state.upcoming_sleep >= self._deadline
        )

    def _tell(self, state: RetryCallState) -> None:
        if self._on_retry is not None:
            self._on_retry(state.attempt_number, _failure(state).reason, state.upcoming_sleep)


def _request_id(headers: Mapping[str, str]) -> str:
    """Return what the server calls the request, by the headers that are usual for it."""
    return next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), "")


def _failure(state: RetryCallState) -> Transient:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, Transient) else Transient("failed")
