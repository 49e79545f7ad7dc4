"""Processes beside a run that isolates: the real isolation, its child process replaced by one that a record can end."""

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from ingestor.batch import Encode
from ingestor.child import Child, Died
from ingestor.child_tasks import do_nothing
from ingestor.isolating import part_of
from ingestor.isolation import Isolation
from ingestor.pages import Page
from ingestor.ports import Isolated, Log
from state.fold import STALLED_RUNS
from tests.explorer.faults import Kind, Process

Fetch = Callable[[str | None], Page]
DEADLY = b'"deadly"'
"""Stands in a record that ends the process which encodes it."""


class Beside:
    """A process beside the run: each of its tasks is one effect, which may end it by chance."""

    is_closed = False

    def __init__(self, process: Process) -> None:
        self._process = process

    def call(self, task: Callable[..., Any], *arguments: Any) -> None:
        """Do a task, unless it ends the process."""

        def do() -> None:
            encodes = task.__name__.startswith("encode_")
            if encodes and any(DEADLY in body for body in _bodies(arguments)):
                raise Died("SIGSEGV")

        name = "isolation.nothing" if task is do_nothing else "isolation.task"
        self._process.effect(name, Kind.READ, do, lambda: Died("SIGKILL"))


def _bodies(arguments: Sequence[Any]) -> Sequence[bytes]:
    given = [each for argument in arguments for each in (argument if isinstance(argument, list) else [argument])]
    return [each for each in given if isinstance(each, bytes)]


class IsolatedSource:
    """The source, every page of it read through the isolation."""

    def __init__(self, fetch: Fetch, isolation: Isolation) -> None:
        self._fetch, self._isolation = fetch, isolation

    def fetch(self, cursor: str | None) -> Page:
        """Return a page."""
        page = self._fetch(cursor)
        body = cast("dict[str, Any]", self._isolation.decode(json.dumps({"records": [*page.records]}).encode()))
        return Page(page.cursor, page.next_cursor, body["records"])

    def close(self) -> None:
        """Hold nothing."""


def isolated(  # noqa: PLR0913 - as `ingestor.isolation_wiring.isolated`
    process: Process, deaths: int, encode: Encode, *, rows: int, fetch: Fetch, connect: Any, log: Log
) -> Isolated:
    """Return what `ingestor.isolation_wiring` builds."""
    rows = part_of(rows, deaths)
    child = cast("Child", Beside(process))
    whole_first = deaths == STALLED_RUNS
    isolation = Isolation(child, "m", "records", encode, log, part=rows, whole_first=whole_first)
    return Isolated(
        source=IsolatedSource(fetch, isolation),
        open_connection=connect,
        encode=isolation.encode,
        rows=rows,
        isolate_next=isolation.found_undecodable,
        close=lambda: None,
    )
