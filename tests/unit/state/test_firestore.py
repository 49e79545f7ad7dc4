import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError
from google.cloud.firestore_v1.query import Query

from state.errors import LedgerError, LedgerUnavailable, OutcomeUnknown, VersionConflict
from state.firestore import FirestoreJournal, _of_commit, client_for
from state.fold import LaneState
from state.index import BATCH_FIELDS
from state.journal import BatchQuery, Time
from tests.unit.state.histories import LANE, PIPELINE, Clock, started, writer

INDEXES = json.loads((Path(__file__).parents[3] / "firestore.indexes.json").read_text())
RULES = (Path(__file__).parents[3] / "firestore.rules").read_text()


def error(name: str, *args: object) -> Any:
    return getattr(exceptions, name, RefreshError)(*args)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error("AlreadyExists", "entry"), VersionConflict),
        (error("FailedPrecondition", "update time"), VersionConflict),
        (error("NotFound", "No document to update: projects/p/databases/d/documents/x"), VersionConflict),
        (error("NotFound", "The database (default) does not exist for project p"), LedgerUnavailable),
        (error("PermissionDenied", "no"), LedgerUnavailable),
        (error("Unauthenticated", "no"), LedgerUnavailable),
        (error("InvalidArgument", "too large"), LedgerUnavailable),
        (error("RefreshError", "expired"), LedgerUnavailable),
        (error("DeadlineExceeded", "10 s"), OutcomeUnknown),
        (error("ServiceUnavailable", "gone"), OutcomeUnknown),
        (error("Aborted", "contention"), OutcomeUnknown),
        (error("InternalServerError", "?"), OutcomeUnknown),
        (error("Unknown", "?"), OutcomeUnknown),
        (error("Cancelled", "?"), OutcomeUnknown),
        (error("ResourceExhausted", "quota"), OutcomeUnknown),
        (error("RetryError", "timeout", None), OutcomeUnknown),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_an_answer_that_says_so_means_nothing_was_written(answer: Exception, kind: type[LedgerError]) -> None:
    message = _of_commit("lane 0 version 7", answer)
    assert type(message) is kind
    assert "lane 0 version 7" in str(message)
    assert "\n" not in str(message)


@pytest.fixture
def closed_port() -> Iterator[str]:
    with closing(socket.socket()) as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def unreachable(closed_port: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Clock], FirestoreJournal]]:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", closed_port)
    client = client_for("nowhere", "(default)")
    journals = []

    def journal(clock: Clock) -> FirestoreJournal:
        journals.append(FirestoreJournal(client, PIPELINE, sleep=clock.sleep, monotonic=clock.read_s))
        return journals[-1]

    yield journal
    for opened in journals:
        opened.close()


CALLS: dict[str, Callable[[FirestoreJournal], object]] = {
    "opening": lambda journal: writer(journal).open(),
    "an entry": lambda journal: journal.read_entry(LANE, 1),
    "a list": lambda journal: journal.list_runs(),
    "a skip": lambda journal: journal.create_skip("tick", {}, 1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_an_unreachable_firestore_fails_in_bounded_time_and_one_line(
    unreachable: Callable[[Clock], FirestoreJournal], call: Callable[[FirestoreJournal], object]
) -> None:
    clock, begun = Clock(), time.monotonic()
    with pytest.raises(LedgerUnavailable, match=r"\AFirestore, [^\n]*; check the network[^\n]*\Z"):
        call(unreachable(clock))
    assert 1 < sum(clock.slept_s) <= 12
    assert time.monotonic() - begun < 15


def test_an_unreachable_firestore_leaves_the_outcome_of_a_commit_unknown_at_once(
    unreachable: Callable[[Clock], FirestoreJournal],
) -> None:
    clock = Clock()
    journal = unreachable(clock)
    ledger = writer(journal, clock=clock)
    ledger._state = LaneState()
    with pytest.raises(LedgerUnavailable):
        ledger.append([started()], run_id="run-1")
    assert sum(clock.slept_s) <= 12


def test_a_query_without_its_index_is_asked_once_and_the_way_out_is_said(
    unreachable: Callable[[Clock], FirestoreJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, asked = Clock(), list[int]()
    journal = unreachable(clock)

    def refuse(*_: object, **__: object) -> None:
        asked.append(1)
        raise error("FailedPrecondition", "The query requires an index.")

    monkeypatch.setattr(Query, "stream", refuse)
    with pytest.raises(LedgerUnavailable, match=r"requires an index.*; deploy firestore\.indexes\.json"):
        journal.list_batches()
    assert (asked, clock.slept_s) == ([1], [])


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "__x__"])
def test_a_name_that_would_lead_out_of_the_pipeline_is_refused(
    unreachable: Callable[[Clock], FirestoreJournal], name: str
) -> None:
    with pytest.raises(ValueError, match="cannot name a document"):
        unreachable(Clock()).read_snapshot(name)


# firestore.indexes.json: the emulator needs no index, so only this ties the file to the queries.


def _override(group: str, name: str) -> dict[str, Any] | None:
    found = [
        item for item in INDEXES["fieldOverrides"] if (item["collectionGroup"], item["fieldPath"]) == (group, name)
    ]
    return found[0] if found else None


@pytest.mark.parametrize("group", ["journal", "batches", "troubled", "runs", "skips", "receipts"])
def test_what_expires_has_a_ttl_and_no_index_of_its_time(group: str) -> None:
    assert _override(group, "expire_at") == {
        "collectionGroup": group,
        "fieldPath": "expire_at",
        "ttl": True,
        "indexes": [],
    }


def test_the_lane_document_never_expires() -> None:
    assert _override("lanes", "expire_at") is None


@pytest.mark.parametrize(
    ("group", "name"),
    [("troubled", "error"), ("journal", "events"), ("batches", "row_digests"), ("lanes", "state"), ("runs", "error")]
    + [("batches", name) for name in ("start", "end", "rejected_indexes", "rejections", "repairs", "discarded_indexes")]
    + [("receipts", "batch_ids"), ("receipts", "outcomes")],
)
def test_what_may_be_large_or_a_cursor_is_not_indexed(group: str, name: str) -> None:
    override = _override(group, name)
    assert override is not None
    assert override["indexes"] == []


FIELDS: dict[str, Any] = {"status": "DEAD_LETTERED", "lane": "0", "run": "run-1", "fingerprint": "f1"}
BOUNDS: list[dict[str, Any]] = [{}, {"since_us": 1}, {"until_us": 9}, {"since_us": 1, "until_us": 9, "after": "0~b"}]
QUERIES = [
    BatchQuery(**{name: FIELDS[name] for name in names}, **bounds, by=by)
    for count in range(5)
    for names in combinations(FIELDS, count)
    for bounds in BOUNDS
    for by in get_args(Time)
]


def _recorded(journal: FirestoreJournal, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> Any:
    queries: list[Any] = []

    def take(query: Any) -> list[Any]:
        queries.append(query)
        return []

    monkeypatch.setattr(journal, "_list", take)
    with contextlib.suppress(IndexError):  # a count has always one answer
        call()
    return queries[0]._to_protobuf()


def _filters(query: Any) -> list[Any]:
    where = query.where
    filters = where.composite_filter.filters if "composite_filter" in where else [where]
    return [item.field_filter for item in filters if "field_filter" in item]


def _uncovered(query: Any) -> list[list[tuple[str, str]]]:
    """Return the indexes that a query needs and that the file does not hold. Those that it needs for several fields
    Firestore merges of one for each field with the same order.
    """
    group = query.from_[0].collection_id
    equals = [item.field.field_path for item in _filters(query) if item.op.name == "EQUAL"]
    ranged = {item.field.field_path for item in _filters(query) if item.op.name != "EQUAL"}
    orders = [(order.field.field_path, order.direction.name) for order in query.order_by]
    assert len({direction for _, direction in orders}) <= 1, "a tie is broken by name in the order of the time"
    orders = [order for order in orders if order[0] != "__name__"]
    assert ranged <= {name for name, _ in orders}
    assert len(orders) <= 1
    needed = [[(name, "ASCENDING"), *orders] for name in equals] or [orders]
    composites = [
        [(field["fieldPath"], field["order"]) for field in index["fields"]]
        for index in INDEXES["indexes"]
        if index["collectionGroup"] == group
    ]
    single = [index for index in needed if len(index) == 1 and _override(group, index[0][0]) is None]
    return [index for index in needed if index and index not in single and index not in composites]


@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_every_list_of_batches_is_covered_by_an_index(
    unreachable: Callable[[Clock], FirestoreJournal], monkeypatch: pytest.MonkeyPatch, asked: BatchQuery
) -> None:
    journal = unreachable(Clock())
    query = _recorded(journal, monkeypatch, lambda: journal.list_batches(asked))
    assert {item.field.field_path for item in _filters(query) if item.op.name == "EQUAL"} == set(asked.equals)
    assert _uncovered(query) == []
    selected = {field.field_path for field in query.select.fields}
    is_troubled = asked.by == "dead_at_us" and asked.run is None
    assert query.from_[0].collection_id == ("troubled" if is_troubled else "batches")
    assert selected == ({"dead_at_us"} if is_troubled else {*BATCH_FIELDS, "expire_at"} - {"expire_at_us"})


@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_every_count_of_batches_uses_the_indexes_of_the_lists(
    unreachable: Callable[[Clock], FirestoreJournal], monkeypatch: pytest.MonkeyPatch, asked: BatchQuery
) -> None:
    journal = unreachable(Clock())
    query = _recorded(journal, monkeypatch, lambda: journal.count_batches(asked)).structured_query
    is_troubled = asked.by == "dead_at_us" and asked.run is None
    assert query.from_[0].collection_id == ("troubled" if is_troubled else "batches")
    assert {item.field.field_path for item in _filters(query) if item.op.name == "EQUAL"} == set(asked.equals)
    assert _uncovered(query) == []


LISTS: dict[str, Callable[[FirestoreJournal], object]] = {
    "entries": lambda journal: journal.read_entries(LANE, 3, 9),
    "lanes": lambda journal: journal.read_lanes(),
    "runs": lambda journal: journal.list_runs(before="run-2"),
    "runs of a lane": lambda journal: journal.list_runs(lane=LANE, before="run-2"),
    "runs in a status": lambda journal: journal.list_runs(status="complete"),
    "runs of a lane in a status": lambda journal: journal.list_runs(lane=LANE, status="complete"),
    "index of batches": lambda journal: journal.read_index("batches", limit=2, after="b1"),
    "index of runs": lambda journal: journal.read_index("runs", limit=2),
    "receipts": lambda journal: journal.list_receipts(after="7~r1"),
    "causes": lambda journal: journal.list_causes(BatchQuery(status="DEAD_LETTERED", by="dead_at_us")),
    "open records": lambda journal: journal.list_open_records(after="7~b1"),
    "skips": lambda journal: journal.list_skips(since_us=5),
    "skips of a lane": lambda journal: journal.list_skips(lane=LANE, since_us=5),
    "newest entry": lambda journal: journal.read_newest_entry(LANE),
    "entries of people": lambda journal: journal.list_entries_of_people(LANE, before=9),
}


@pytest.mark.parametrize("call", LISTS.values(), ids=LISTS.keys())
def test_every_other_list_is_covered_by_an_index(
    unreachable: Callable[[Clock], FirestoreJournal],
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[FirestoreJournal], object],
) -> None:
    journal = unreachable(Clock())
    assert _uncovered(_recorded(journal, monkeypatch, lambda: call(journal))) == []


def test_an_index_that_no_query_needs_is_not_kept(
    unreachable: Callable[[Clock], FirestoreJournal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, all_indexes = unreachable(Clock()), INDEXES["indexes"]
    asked = [_recorded(journal, monkeypatch, partial(journal.list_batches, query)) for query in QUERIES]
    asked += [_recorded(journal, monkeypatch, partial(call, journal)) for call in LISTS.values()]
    for index in all_indexes:
        monkeypatch.setitem(INDEXES, "indexes", [other for other in all_indexes if other != index])
        assert any(_uncovered(query) for query in asked), index


def test_clients_on_the_web_are_refused_everything() -> None:
    statements = [line.strip() for line in RULES.splitlines() if line.strip().startswith("allow")]
    assert statements == ["allow read, write: if false;"]
