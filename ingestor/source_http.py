"""One HTTP request to the source: its credential, its bounds, and what its answer means.

What another attempt may mend raises `Transient`: a connection that fails or falls silent, a body that is cut off or is
no JSON, 408, 425, 429 and 5xx. Everything else is final, because asking again would be answered alike. A refused
credential (401) is fetched anew once per request.
"""

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth

from ingestor.config_fields import size_text
from ingestor.credentials import Credential
from ingestor.errors import SourceError
from ingestor.paging import shown_cursor
from ingestor.urls import public_url

CONNECT_TIMEOUT_S = 10.0
_CHUNK_BYTES = 1024 * 1024
"""What is taken from the connection at once, at most. After every read the thread waits for the interpreter, which may
be encoding: with 64 KiB a page of 1.5 MB waited 24 times."""
_OK, _REDIRECT, _UNAUTHORIZED, _SERVER_ERROR = 200, 300, 401, 500
_RETRIED_STATUSES = frozenset({408, 425, 429})
_READ_OF_A_REFUSAL = 4096
_GONE = rb"expired|invalid|unknown|not.found|no.longer"
_CURSOR = rb"cursor|page.?token|continuation"
_CURSOR_GONE = re.compile(rb"(%s).{0,60}(%s)|(%s).{0,60}(%s)" % (_CURSOR, _GONE, _GONE, _CURSOR), re.IGNORECASE)
"""What the body of a 400, 416 or 422 says when the cursor, not the request, is wrong."""


class Transient(Exception):  # noqa: N818  # never leaves the source
    """An attempt failed in a way that another one may mend."""

    def __init__(self, reason: str, retry_after_s: float = 0.0, remedy: str = "check the source") -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """Bounds of one page: seconds for a request, requests, and decoded bytes of a response."""

    timeout_s: float = 30.0
    max_attempts: int = 6
    max_page_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer with a good status. `url` is as sent, redirects followed."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class SourceSession(requests.Session):
    """A session whose credential stays with the host it is meant for, and that takes none from a `.netrc` file."""

    def __init__(self, credential_header: str) -> None:
        super().__init__()
        self._credential_header = credential_header
        self.headers.update({"Accept": "application/json", "User-Agent": "bigquery-batch-ingestor"})

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Take the credential's header away on a redirect to another host (requests only knows `Authorization`)."""
        leaves: Any = self.should_strip_auth  # the stubs have no types for it
        if leaves(response.request.url, prepared_request.url):
            for name in {"Authorization", self._credential_header} - {""}:
                prepared_request.headers.pop(name, None)


class _Shown(AuthBase):
    """Puts a credential on a request; without one, what SOURCE_URL itself names as user and password."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        user, password = requests.utils.get_auth_from_url(str(request.url))
        if self._headers:
            request.headers.update(self._headers)
        elif user or password:
            HTTPBasicAuth(user, password)(request)
        return request


class SourceHttp:
    """Requests over one session, one at a time; `close` interrupts from another thread."""

    def __init__(
        self,
        credential: Credential,
        limits: SourceLimits,
        *,
        cursor_param: str,
        clock: Callable[[], float],
        wall_time: Callable[[], float],
    ) -> None:
        self._credential, self._limits, self._cursor_param = credential, limits, cursor_param
        self._clock, self._wall_time = clock, wall_time
        self._session = SourceSession(credential.header)
        self._response: requests.Response | None = None
        self._closed = threading.Event()

    def get(self, url: str, cursor: str | None, deadline: float) -> Response:
        """Return the answer to one request, which ends at `deadline` (a reading of the clock) at the latest.

        Raises:
            Transient: another attempt may be answered.
            SourceError: the answer is final.
        """
        shown = self._credential.headers()
        try:
            return self._get(url, cursor, deadline, shown)
        except _Refused as refused:
            if not self._credential.renew(shown):
                raise refused.error from None
        try:
            return self._get(url, cursor, deadline, self._credential.headers())
        except _Refused as refused:
            raise refused.error from None

    def drop_connections(self) -> None:
        """Let the next request use a fresh connection: it may reach a server that is not draining."""
        self._session.close()

    def close(self) -> None:
        """Release connections, and end the reading of a body in another thread."""
        self._closed.set()
        response = self._response
        if response is not None:
            with suppress(Exception):  # the reading thread may be done with it just now
                response.raw.shutdown()
        self._session.close()

    def shown(self, url: str) -> str:
        """Return a URL for a message."""
        return public_url(url, self._cursor_param)

    def _get(self, url: str, cursor: str | None, deadline: float, credential: Mapping[str, str]) -> Response:
        until = min(self._clock() + self._limits.timeout_s, deadline)
        with self._answer(url, until, credential) as answer:
            body = self._body(answer, cursor, until)
            return Response(answer.url, answer.status_code, answer.headers, body)

    @contextmanager
    def _answer(self, url: str, until: float, credential: Mapping[str, str]) -> Iterator[requests.Response]:
        left_s = until - self._clock()
        timeout = (min(CONNECT_TIMEOUT_S, left_s), left_s)
        try:
            response = self._session.get(url, stream=True, timeout=timeout, auth=_Shown(credential))
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise self._connection_problem(error, url) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError, ValueError) as error:
            raise SourceError(
                f"{self.shown(url)} cannot be requested ({_root_name(error)}): check SOURCE_URL and its redirects"
            ) from error
        self._response = response
        try:
            yield response
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Transient(f"the answer of {self.shown(url)} was cut off ({_root_name(error)})") from error
        finally:
            self._response = None
            response.close()

    def _connection_problem(self, error: Exception, url: str) -> Exception:
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            return SourceError(f"{self.shown(url)} shows a certificate that is not trusted: mend it or SOURCE_URL")
        return Transient(f"no answer from {self.shown(url)} ({type(root).__name__})")

    def _body(self, response: requests.Response, cursor: str | None, until: float) -> bytes:
        if response.status_code in _RETRIED_STATUSES or response.status_code >= _SERVER_ERROR:
            after_s = retry_after_s(response.headers.get("Retry-After"), self._wall_time())
            raise Transient(f"HTTP {response.status_code} from {self.shown(response.url)}", after_s)
        if not _OK <= response.status_code < _REDIRECT:
            error = SourceError(self._final_answer(response, cursor))
            raise _Refused(error) if response.status_code == _UNAUTHORIZED else error
        pieces: list[bytes] = []
        size_bytes = 0
        while piece := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            pieces.append(piece)
            size_bytes += len(piece)
            if size_bytes > self._limits.max_page_bytes:
                raise SourceError(self._too_large(response))
            if self._clock() >= until or self._closed.is_set():
                raise Transient(f"no complete answer from {self.shown(response.url)} in time")
        return b"".join(pieces)

    def _final_answer(self, response: requests.Response, cursor: str | None) -> str:
        said = f"HTTP {response.status_code} from {self.shown(response.url)}"
        match response.status_code:
            case 404 | 410 if cursor is not None:
                return f"{said}: {expired(cursor)}"
            case 400 | 416 | 422 if cursor is not None and _CURSOR_GONE.search(_beginning(response)):
                return f"{said}: {expired(cursor)}"
            case 404 | 410:
                return f"{said}: the URL is wrong: check SOURCE_URL"
            case 401 | 403 | 407:
                return (
                    f"{said}: the source refuses this caller: check SOURCE_AUTH, SOURCE_SECRET and the caller's rights"
                )
            case _:
                return f"{said}: asking again would not help: check SOURCE_URL and the names of its parameters"

    def _too_large(self, response: requests.Response) -> str:
        limit = size_text(self._limits.max_page_bytes)
        return (
            f"the page at {self.shown(response.url)} is larger than SOURCE_MAX_PAGE_BYTES ({limit}): "
            "ask for fewer records by SOURCE_PAGE_SIZE, or raise it"
        )


class _Refused(Exception):  # noqa: N818  # never leaves this module
    """The credential was refused; `error` is what it comes to when there is no other one."""

    def __init__(self, error: SourceError) -> None:
        super().__init__()
        self.error = error


def expired(cursor: str) -> str:
    """Return what to say of a cursor that the source no longer knows: nothing is passed over silently."""
    return (
        f"the cursor {shown_cursor(cursor)} expired or the URL is wrong: check SOURCE_URL, then go on from another "
        "cursor on purpose with `ingestor checkpoint set --to C --reason R`, and read what lies between with "
        "`ingestor backfill --from C --to C --lane NAME`"
    )


def retry_after_s(header: str | None, now: float) -> float:
    """Return the seconds that a Retry-After asks for (RFC 9110: seconds or a date); 0 when it says nothing usable."""
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]+", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _beginning(response: requests.Response) -> bytes:
    try:
        return bytes(response.raw.read1(_READ_OF_A_REFUSAL, decode_content=True))
    except (urllib3.exceptions.HTTPError, OSError):
        return b""


def _root(error: BaseException) -> BaseException:
    """Return the first cause; messages name its type only, because its text may hold the URL's secrets."""
    while (cause := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(cause, BaseException):
            break
        error = cause
    return error


def _root_name(error: BaseException) -> str:
    return type(_root(error)).__name__
