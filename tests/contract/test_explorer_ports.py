"""The explorer's ports in memory behave as the real adapters do: each test runs on both."""

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from ingestor.append import Answer, Ended, write_client
from ingestor.append import Connection as RealConnection
from ingestor.batch import Draft, cut
from ingestor.bucket import Bucket as RealBucket
from ingestor.bucket import ObjectGone, storage_client
from ingestor.outcome import Action
from ops.local.storage_write_server import StorageWriteServer
from state.events import Position
from tests.explorer.effects import Bucket, Connection
from tests.explorer.faults import Chooser, Fault, Process
from tests.explorer.world import World
from tests.unit.local.storage_write_client import COLUMNS, SCHEMA, STREAM, TABLE, rows


def process(schedule: dict[int, Fault] | None = None) -> Process:
    return Process("p", Chooser(schedule or {}), lambda _: None, lambda: None, lambda: None)


@pytest.fixture(params=["memory", "real"])
def any_bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "memory":
        return Bucket(process(), World())
    url = request.getfixturevalue("gcs_url")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    return RealBucket(storage_client("test-project", url), request.getfixturevalue("bucket"))


def test_an_object_is_created_once_and_read_back(any_bucket: Any) -> None:
    any_bucket.check()
    generation = any_bucket.create("a/b.jsonl", b"one", "text/plain", {"k": "v"})
    assert generation > 0
    assert any_bucket.create("a/b.jsonl", b"two", "text/plain", {}) is None
    assert any_bucket.read("a/b.jsonl") == (b"one", generation)
    assert any_bucket.read("a/b.jsonl", generation) == (b"one", generation)
    assert any_bucket.exists("a/b.jsonl", generation)


def test_what_is_not_in_the_bucket_is_gone(any_bucket: Any) -> None:
    assert not any_bucket.exists("nothing", 1)
    with pytest.raises(ObjectGone):
        any_bucket.read("nothing", 1)


Heard = queue.SimpleQueue[Answer | Ended]
Rows = Sequence[bytes]
Opened = tuple[Any, Rows]
"""A connection, and the rows of a request that its table takes."""
Open = Callable[[Heard, Fault | None], Opened]


@pytest.fixture(params=["memory", "real"])
def connect(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a connection on which the second request meets this fault."""
    if request.param == "memory":
        draft = Draft(Position(None), Position("1"), (b'{"n": 1}',))
        taken = cut("p", "0", 0, draft, 1_700_000_000_000_000).rows
        yield lambda heard, fault: (Connection(process({1: fault} if fault else {}), World(), heard.put), taken)
        return
    with StorageWriteServer({TABLE: COLUMNS}) as server:
        client: Any = write_client(server.host)

        def connect(heard: Heard, fault: Fault | None) -> Opened:
            ends = {"end": "UNAVAILABLE", "when": "after" if fault is Fault.ERROR_AFTER else "before"}
            does = {"answer": "PERMISSION_DENIED"} if fault is Fault.DENIED else ends
            server.play([{"on": {"request": 2}, "do": does, "times": 1}] if fault else [])
            return RealConnection(client, STREAM, SCHEMA, heard.put, trace_id="t"), rows("a")

        yield connect
        client.transport.close()


def test_answers_come_in_the_order_of_the_requests_each_with_its_key(connect: Open) -> None:
    heard: Heard = queue.SimpleQueue()
    connection, taken = connect(heard, None)
    for key in ("a", "b", "c"):
        connection.send(key, taken)
    said = [heard.get(timeout=30) for _ in range(3)]
    connection.close()
    assert [report.key for report in said if isinstance(report, Answer)] == ["a", "b", "c"]
    assert {report.outcome.action for report in said} == {Action.APPENDED}


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.ERROR_AFTER])
def test_a_call_that_ends_says_so_once_and_takes_nothing_more(connect: Open, fault: Fault) -> None:
    heard: Heard = queue.SimpleQueue()
    connection, taken = connect(heard, fault)
    connection.send("a", taken)
    first = heard.get(timeout=30)
    connection.send("b", taken)
    end = heard.get(timeout=30)
    connection.send("c", taken)
    connection.close()
    assert isinstance(first, Answer)
    assert isinstance(end, Ended)
    assert (end.outcome.unknown, end.unanswered) == (True, ("b",))
    assert heard.empty()


def test_a_refusal_in_band_leaves_the_connection_open(connect: Open) -> None:
    heard: Heard = queue.SimpleQueue()
    connection, taken = connect(heard, Fault.DENIED)
    for key in ("a", "b", "c"):
        connection.send(key, taken)
    said = [heard.get(timeout=30) for _ in range(3)]
    connection.close()
    assert [report.outcome.action for report in said] == [Action.APPENDED, Action.SYSTEMIC, Action.APPENDED]
