"""The port behind which every source stands: pages, each with the cursor that fetches it again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

JsonValue = Any
"""What a JSON decoder yields. A record should be an object, but a source may send anything."""


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """The request that brought a page. `url` is as sent: whoever writes it down leaves out what is secret in it."""

    url: str
    status: int
    request_id: str
    requested_at_us: int


class Trail(Protocol):
    """Names the places between a page's records, where a cursor is no page's name but a place of its own (an offset, a
    high-water mark).
    """

    @property
    def counts(self) -> bool:
        """Places are counted: a page read again from one begins with the record taken last, or records moved."""

    def after(self, count: int) -> tuple[str | None, int]:
        """Return the cursor after the first `count` records of the page, and how many of the page's first records the
        page at that cursor leaves out. Neither ever goes back as `count` grows.
        """


@dataclass(frozen=True, slots=True)
class Page:
    """One response of the source.

    `cursor` fetches this page again; `next_cursor` fetches the one after it, None at the end of the data. They differ
    whenever `next_cursor` is given: a source that answers an empty page with its own cursor is at its end, one that
    does so with records is refused by the adapter.
    """

    cursor: str | None
    next_cursor: str | None
    records: Sequence[JsonValue]
    size_bytes: int = 0
    latency_ms: int = 0
    attempts: int = 1
    request: SourceRequest | None = field(default=None, compare=False)
    reread: Callable[[], Sequence[JsonValue]] | None = field(default=None, compare=False)
    """Decodes the page's records again from its bytes, so that a refused row's original record can be set aside without
    keeping every decoded record until its batch is settled; None: `records` is all there is."""
    trail: Trail | None = field(default=None, compare=False)
    """None: a place within the page is the page's cursor and the number of its records taken."""
    whole: bool = False
    """The page is all that the source has, and `cursor` names its content: what it no longer holds is forgotten."""


class Source(Protocol):
    """Reads pages. Used by one thread at a time."""

    def fetch(self, cursor: str | None) -> Page:
        """Return the page at `cursor` (None: the first page of all).

        Raises:
            SourceError: it cannot be read; one line says why and what to do. Retries are already used up.
        """

    def close(self) -> None:
        """Release connections. Idempotent; may be called from another thread to interrupt a wait."""
