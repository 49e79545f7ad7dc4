"""One response of the source as it is, with everything that a request to it needs: credential, bounds, retries."""

from collections.abc import Mapping
from dataclasses import dataclass

from ingestor.config import Config
from ingestor.pages import JsonValue
from ingestor.paging import Reading
from ingestor.source_wiring import build_source, paging_settings
from ingestor.urls import with_params


@dataclass(frozen=True, slots=True)
class Seen:
    """A decoded response and what came with it."""

    value: JsonValue
    headers: Mapping[str, str]
    size_bytes: int
    latency_ms: int


class _AnyPaging:
    """Takes a response whatever its shape."""

    whole = False

    def __init__(self, url: str) -> None:
        self._url = url
        self.value: JsonValue = None
        self.headers: Mapping[str, str] = {}

    def url(self, cursor: str | None) -> str:
        """Return the one URL."""
        del cursor
        return self._url

    def read(
        self, cursor: str | None, value: JsonValue, headers: Mapping[str, str], before: Reading | None = None
    ) -> Reading:
        """Keep the response."""
        del cursor, before
        self.value, self.headers = value, headers
        return Reading([], None)

    def reaches(self, cursor: str, limit: str) -> bool:
        """Tell equal cursors."""
        return cursor == limit


def peek(config: Config, deadline: float) -> Seen:
    """Return the answer to the first request.

    Raises:
        SourceError: there is none; one line says why.
    """
    settings = paging_settings(config)
    paging = _AnyPaging(with_params(settings.url, settings.size_params))
    source = build_source(config, paging, deadline=deadline)
    try:
        page = source.fetch(None)
    finally:
        source.close()
    return Seen(paging.value, paging.headers, page.size_bytes, page.latency_ms)
