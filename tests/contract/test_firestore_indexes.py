"""`firestore.indexes.json` covers every query that the code issues, and holds no index that none needs.

The emulator answers any query without indexes. So queries are recorded where the client sends them, while every list of
the port is asked for in every way that it can be, and each is held against the file.
"""

import contextlib
import inspect
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, combinations, product
from typing import Any, get_args

import pytest
from google.cloud.firestore_v1.aggregation import AggregationQuery
from google.cloud.firestore_v1.query import Query

from state.firestore import FirestoreJournal, client_for
from state.firestore_views import FirestoreViews
from state.journal import BatchQuery, Kind, page_key
from tests.firestore_indexes import FILE, SHIPPED, Asked, asked, read

KEY = page_key(5, "b")


def subsets(names: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every choice of some of these arguments, none and all included."""
    items = list(names.items())
    return (dict(some) for some in chain.from_iterable(combinations(items, n) for n in range(len(items) + 1)))


def batch_queries() -> Iterator[BatchQuery]:
    """Every form of a list of batches."""
    equal = {"status": "COMMITTED", "lane": "0", "run": "r", "fingerprint": "f"}
    bounds = {"since_us": 1, "until_us": 9}
    for same, bound, by in product(subsets(equal), subsets(bounds), ("attempted_at_us", "dead_at_us")):
        yield BatchQuery(**same, **bound, by=by)
    yield BatchQuery(after=KEY)


LISTS: Mapping[str, Callable[[FirestoreJournal], object]] = {
    "list_batches": lambda journal: [journal.list_batches(query, limit=1) for query in batch_queries()],
    "count_batches": lambda journal: [journal.count_batches(query) for query in batch_queries() if not query.after],
    "count_waiting": lambda journal: journal.count_waiting(),
    "count_open_records": lambda journal: journal.count_open_records(),
    "list_open_records": lambda journal: [journal.list_open_records(limit=1, after=after) for after in (None, KEY)],
    "list_receipts": lambda journal: [journal.list_receipts(limit=1, after=after) for after in (None, KEY)],
    "list_runs": lambda journal: [
        journal.list_runs(limit=1, **some) for some in subsets({"lane": "0", "status": "failed", "before": "r"})
    ],
    "read_index": lambda journal: [
        journal.read_index(kind, limit=1, after=after) for kind, after in product(get_args(Kind), (None, "x"))
    ],
    "read_lanes": lambda journal: journal.read_lanes(),
    "read_entries": lambda journal: journal.read_entries("0", 1, 1),
    "list_causes": lambda journal: [
        journal.list_causes(query, limit=1) for query in batch_queries() if query.goes_by_trouble
    ],
    "read_troubled": lambda journal: [journal.read_troubled(limit=1, after=after) for after in (None, "x")],
    "list_skips": lambda journal: [journal.list_skips(lane=lane, since_us=1) for lane in (None, "0")],
    "read_newest_entry": lambda journal: journal.read_newest_entry("0"),
    "list_entries_of_people": lambda journal: [journal.list_entries_of_people("ops", before=at) for at in (None, 3)],
}


def as_sent(query: Any) -> Any:
    return query._to_protobuf()._pb


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What the client was asked to stream, in the form in which it is sent."""
    queries: list[Asked] = []
    ordinary: Any = Query._get_stream_iterator
    aggregated: Any = AggregationQuery._get_stream_iterator

    def stream(self: Query, *arguments: object, **named: object) -> object:
        queries.append(asked(as_sent(self)))
        return ordinary(self, *arguments, **named)

    def count(self: AggregationQuery, *arguments: object, **named: object) -> object:
        queries.append(asked(as_sent(self._nested_query)))
        return aggregated(self, *arguments, **named)

    monkeypatch.setattr(Query, "_get_stream_iterator", stream)
    monkeypatch.setattr(AggregationQuery, "_get_stream_iterator", count)
    return queries


@pytest.fixture
def firestore_journal(firestore_host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FirestoreJournal]:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
    with contextlib.closing(FirestoreJournal(client_for(f"t{uuid.uuid4().hex[:20]}", "(default)"), "p")) as journal:
        yield journal


@pytest.mark.firestore
def test_every_query_that_is_issued_has_its_indexes_and_every_index_its_query(
    firestore_journal: FirestoreJournal, recorded: list[Asked]
) -> None:
    used: set[int] = set()
    for name, ask in LISTS.items():
        before = len(recorded)
        ask(firestore_journal)
        assert len(recorded) > before, f"{name} was not recorded"
    for query in recorded:
        answer = SHIPPED.used_by(query)
        assert answer is not None, f"no index for {query}"
        used |= answer
    assert used == set(range(len(SHIPPED.composite)))


def test_every_method_that_queries_is_among_those_that_are_asked() -> None:
    methods = [*inspect.getmembers(FirestoreJournal, inspect.isfunction)]
    methods += inspect.getmembers(FirestoreViews, inspect.isfunction)
    asking = ("self._list(", "self._count(", "self._of_troubled(")
    sources = {name: inspect.getsource(method) for name, method in methods if not name.startswith("_")}
    querying = {name for name, source in sources.items() if any(call in source for call in asking)}
    assert querying == set(LISTS)


@pytest.mark.parametrize("place", range(len(SHIPPED.composite)))
def test_an_index_that_goes_missing_is_missed(place: int) -> None:
    """Each shipped index alone answers some query of one equality and one order, or of none and two."""
    content = json.loads(FILE.read_text())
    collection, fields = SHIPPED.composite[place]
    query = Asked(collection, frozenset(field for field, _ in fields[:-1]), fields[-1:])
    assert SHIPPED.used_by(query) is not None
    del content["indexes"][place]
    assert read(content).used_by(query) is None


def test_an_order_by_an_exempt_field_is_found() -> None:
    assert SHIPPED.used_by(Asked("batches", frozenset(), (("error", "ASCENDING"),))) is None
    assert SHIPPED.used_by(Asked("batches", frozenset({"status", "lane"}), (("count", "ASCENDING"),))) is None
    assert SHIPPED.used_by(Asked("batches", frozenset({"status"}), ())) is not None
