"""Pages of an `offset` source fetched at once and handed out in order.

What is asked for ahead is a guess: the next page is where this one would end if the source grants the page size asked
for. Only a page that really follows is handed out; a wrong guess is dropped and fetched again from the right place, so
checkpoints and what is read are those of one page after the other. At most as many pages are on the way or waiting as
there are sources.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ingestor.pages import Page, Source
from ingestor.paging_places import OffsetPaging


class ParallelPages:
    """A `Source` over several, each with a connection of its own."""

    def __init__(self, sources: Sequence[Source], paging: OffsetPaging, page_size: int) -> None:
        """Take one source for each page that may be on the way."""
        self._sources, self._paging, self._stride = list(sources), paging, page_size
        self._pool = ThreadPoolExecutor(len(sources), thread_name_prefix="page")
        self._free = list(sources)
        self._ahead: dict[int, Future[Page]] = {}

    def fetch(self, cursor: str | None) -> Page:
        """Return the page at `cursor`, and ask for those that probably follow it.

        Raises:
            SourceError: this page cannot be read; what befell pages ahead is told when they are asked for.
        """
        offset = self._paging.offset(cursor)
        if offset not in self._ahead:
            self._forget()
            self._ask(offset, cursor)
        for number in range(1, len(self._sources)):
            self._ask(offset + number * self._stride, None)
        page = self._ahead.pop(offset).result()
        if page.next_cursor is None:
            self._forget()
        else:
            self._stride = min(self._stride, self._paging.offset(page.next_cursor) - offset)
        return page

    def close(self) -> None:
        """Release connections and end the threads; what is on the way ends with its connection."""
        for source in self._sources:
            source.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, offset: int, cursor: str | None) -> None:
        if offset not in self._ahead:
            at = str(offset) if cursor is None and offset else cursor
            self._ahead[offset] = self._pool.submit(self._fetch, at)

    def _fetch(self, cursor: str | None) -> Page:
        source = self._free.pop()  # as many sources as threads: there is always one; list.pop is atomic
        try:
            return source.fetch(cursor)
        finally:
            self._free.append(source)

    def _forget(self) -> None:
        """Drop what was asked for on a wrong guess; what is under way ends by itself."""
        for future in self._ahead.values():
            future.cancel()
        self._ahead.clear()
