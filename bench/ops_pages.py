"""What each of the operators' pages asks of Firestore, and how long it takes, on a ledger with many dead batches.

Queries and reads are counted where the journal hands them to Firestore's client. Firestore answers a query in time that
grows with what it returns; its emulator looks at every document for each one and sorts those of the collection, so that
a page's time there grows with the ledger and with the number of its queries. The dead letters themselves are in no
bucket here: the page that opens one says so.
"""

import os
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from bench.ops_ledger import PIPELINE, Size, begin, fill, id_of
from bench.results import Bar, Result
from ops.local.services import FirestoreEmulator, GcsServer
from state.firestore import FirestoreJournal, client_for
from state.journal import BatchQuery, page_key

if TYPE_CHECKING:
    from bench.world import World
    from ops.service import Service

NAME = "ops_pages"
NEEDS_FIRESTORE = True
ROWS = 100_000
"""Small batches; a tenth as many are dead besides."""
ROUNDS = 9
WARMING = 5
"""Requests of each page before those that are told: the emulator compiles what it runs often."""
WANTED_MS = 500
"""What a page stays under at the median: what was asked for. A machine's load is in it, so no test is timed by it."""
HEAP_MB = 6_000
PROJECT, BUCKET = "bench-pages", "bench-pages"
ENTRIES_A_READ = 1_000
"""Index entries that a count looks at for the price of one read (cloud.google.com/firestore/pricing)."""
MOST = {
    "/": (7, 250),
    "/live": (5, 27),
    "/failures": (2, 1_000),
    "/batches": (3, 54),
    "/batches?since=6h": (3, 54),
    "/batches?run=run-000007": (3, 102),
    "/batches?status=ATTEMPTED&lane=0": (2, 3),
    "/batches?status=DEAD_LETTERED": (3, 102),
    "/batches?status=DEAD_LETTERED&fingerprint={kind}&lane=0": (3, 102),
    "/batches?status=DEAD_LETTERED&page={following}": (3, 102),
    "/batches/{one}": (2, 2),
    "/batches/{acted}": (3, 104),
    "/records": (3, 102),
    "/receipts": (1, 51),
    "/runs": (2, 53),
    "/runs/run-000007": (3, 102),
    "/audit": (2, 52),
}
"""Of each page: calls of Firestore, and documents that they may return, however large the ledger; one lane."""
AT_WORK = {
    "/": (9, 312),
    "/live": (7, 88),
    "/batches": (5, 116),
    "/batches?status=ATTEMPTED&lane=0": (5, 66),
    "/runs/{working}": (5, 153),
}
"""Likewise while a run is at work that has written `ENTRIES`."""
ENTRIES = 60


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls of Firestore, documents that they returned, index entries that counts looked at."""

    calls: int = 0
    documents: int = 0
    counted: int = 0

    @property
    def billed(self) -> int:
        """Reads as Firestore bills them."""
        return self.documents + -(-self.counted // ENTRIES_A_READ)


class CountedJournal(FirestoreJournal):
    """A journal that counts what its client is asked for."""

    def __init__(self, client: Any, pipeline: str) -> None:  # noqa: ANN401 - the client has no types
        super().__init__(client, pipeline)
        self._cost, self._lock = Cost(), threading.Lock()

    def take(self) -> Cost:
        """Return the cost since the last time."""
        with self._lock:
            cost, self._cost = self._cost, Cost()
        return cost

    def _get(self, reference: Any) -> Any:  # noqa: ANN401
        found = super()._get(reference)
        self._add(1, 0)
        return found

    def _list(self, query: Any) -> list[Any]:  # noqa: ANN401
        found = super()._list(query)
        is_count = bool(found) and isinstance(found[0], list)
        self._add(0 if is_count else max(1, len(found)), _counted(found[0]) if is_count else 0)
        return found

    def _get_all(self, references: Sequence[Any], fields: Sequence[str] | None = None) -> list[Any]:
        found = super()._get_all(references, fields)
        if references:
            self._add(len(references), 0)
        return found

    def _add(self, documents: int, counted: int) -> None:
        with self._lock:
            before = self._cost
            self._cost = Cost(before.calls + 1, before.documents + documents, before.counted + counted)


def _counted(answer: Sequence[Any]) -> int:
    """Return the index entries that an aggregation went through; one is billed where there are none."""
    return max([1, *(int(each.value) for each in answer if each.alias != "sum")])


def measure(world: "World", rows: int = ROWS) -> Result:
    """Fill a ledger of its own and ask for every page."""
    del world  # nothing runs: the ledger is written by its own writer
    size = Size(dead=rows // 10, small=rows)
    with FirestoreEmulator(heap_mb=HEAP_MB) as emulator, GcsServer() as gcs:
        gcs.create_bucket(BUCKET)
        with patch.dict(os.environ, {"FIRESTORE_EMULATOR_HOST": emulator.host}):
            began = time.perf_counter()
            fill(FirestoreJournal(client_for(PROJECT, "(default)"), PIPELINE), size, time.time_ns() // 1000)
            print(f"{size.dead:,} dead and {size.small:,} small batches in {time.perf_counter() - began:.0f} s")
            journal = CountedJournal(client_for(PROJECT, "(default)"), PIPELINE)
            service = service_on(journal, gcs.url)
            try:
                found = pages(service, journal)
                working = begin(journal, size.dead + size.small, ENTRIES, time.time_ns() // 1000)
                figures, bars = told(found, pages(service, journal, which=AT_WORK, working=working))
            finally:
                service.close()
                journal.close()
    settings = {"dead batches": size.dead, "small batches": size.small, "runs": size.runs, "requests a page": ROUNDS}
    slowest = max(figure["median ms"] for figure in figures)
    return Result(
        NAME, "The operators' pages on Firestore's emulator", settings, figures, bars, {"slowest_ms": slowest}
    )


def service_on(journal: FirestoreJournal, gcs_url: str) -> "Service":
    """Return the operators' service on this ledger, as it is put together for real."""
    from ingestor.config import load  # noqa: PLC0415 - nothing but this benchmark needs them
    from ingestor.logs import configure  # noqa: PLC0415
    from ingestor.replay_wiring import open_replayer  # noqa: PLC0415
    from ops.service import Service  # noqa: PLC0415

    named = {"GCP_PROJECT_ID": PROJECT, "BQ_DATASET_ID": "bench", "BQ_TABLE_ID": PIPELINE, "AUTH": "none"}
    settings = {"MESSAGE_TYPE": "flights.Flight", "SOURCE_URL": "http://127.0.0.1:1/", "DEAD_LETTER_BUCKET": BUCKET}
    where = {"STORAGE_EMULATOR_HOST": gcs_url, "BIGQUERY_EMULATOR_HOST": "127.0.0.1:1"}
    config, log = load({**named, **settings, **where}), configure("bench", PIPELINE, "ERROR")
    return Service(config, log, open_replayer=lambda: open_replayer(config, journal))


def pages(
    service: "Service",
    journal: CountedJournal,
    rounds: int = ROUNDS,
    which: Mapping[str, tuple[int, int]] = MOST,
    working: str = "",
) -> dict[str, tuple[float, Cost]]:
    """Return the median in milliseconds and the cost of each of these pages, after `WARMING` requests that are not told
    (one request of no `rounds`: only the cost is wanted). `working` is the run at work.

    Raises:
        ValueError: a page did not answer 200.
    """
    from ops.web import create_app  # noqa: PLC0415 - likewise

    client = create_app(service=service).test_client()
    dead = journal.list_batches(BatchQuery(status="DEAD_LETTERED", by="dead_at_us"), limit=60)
    following = page_key(dead[49]["dead_at_us"], dead[49]["batch_id"])
    found = dict[str, tuple[float, Cost]]()
    for page in which:
        told_of = {"one": dead[0]["batch_id"], "kind": dead[0]["fingerprint"], "acted": id_of(0), "working": working}
        path = page.format(**told_of, following=following)
        times, cost = list[float](), Cost()
        for _ in range(WARMING + rounds if rounds else 1):
            journal.take()
            began = time.perf_counter()
            answer = client.get(path)
            times.append((time.perf_counter() - began) * 1_000)
            cost = journal.take()
            if answer.status_code != 200:  # noqa: PLR2004 - HTTP's own
                raise ValueError(f"{page} answered {answer.status_code}: {answer.text[:500]}")
        found[page] = (statistics.median(times[-rounds:]), cost)
    return found


def told(
    between: Mapping[str, tuple[float, Cost]], at_work: Mapping[str, tuple[float, Cost]]
) -> tuple[Sequence[dict[str, Any]], Sequence[Bar]]:
    """Return a line for each page, between runs and while one is at work, and the bars on all of them."""
    figures = [_line(page, *found, MOST[page]) for page, found in between.items()]
    figures += [_line(f"{page}, a run at work", *found, AT_WORK[page]) for page, found in at_work.items()]
    calls = sum(each["calls"] > each["at most"] for each in figures)
    documents = sum(each["documents"] > each["no more than"] for each in figures)
    slow = sum(each["median ms"] > WANTED_MS for each in figures)
    bars = [
        Bar(f"pages that take more than {WANTED_MS} ms at the median", 0, slow),
        Bar("pages that call Firestore more often than they may", 0, calls),
        Bar("pages that read more documents than they may", 0, documents),
    ]
    return figures, bars


def _line(page: str, median_ms: float, cost: Cost, most: tuple[int, int]) -> dict[str, Any]:
    return {
        "page": page,
        "median ms": round(median_ms),
        "calls": cost.calls,
        "at most": most[0],
        "documents": cost.documents,
        "no more than": most[1],
        "reads billed": cost.billed,
    }
