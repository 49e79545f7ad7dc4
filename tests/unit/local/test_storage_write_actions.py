"""Faults on demand, through the official client: every action, every gRPC status, every StorageError."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.cloud.bigquery_storage_v1.types import StorageError

from ingestor.append import Answer, Connection, Ended, write_client
from ops.local.storage_write import StorageWriteServer
from tests.unit.local.storage_write_client import (
    COLUMNS,
    SCHEMA,
    STREAM,
    TABLE,
    TIMEOUT_S,
    Heard,
    batches,
    call,
    rows,
    unpacked,
    wait_for,
)

STORAGE_ERRORS = list(StorageError.StorageErrorCode)
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
OTHER = "p.d.other"


@pytest.fixture(scope="module")
def _server() -> Iterator[StorageWriteServer]:
    with StorageWriteServer({TABLE: COLUMNS, OTHER: COLUMNS}) as server:
        yield server


@pytest.fixture
def server(_server: StorageWriteServer) -> StorageWriteServer:
    _server.declare(TABLE, COLUMNS)
    _server.play([])
    _server.clear()
    return _server


def names(server: StorageWriteServer, table: str = TABLE) -> list[str]:
    return [row["name"] for row in server.rows(table)]


def three(**fields: Any) -> list[Any]:
    return batches(rows("a"), rows("b"), rows("c"), **fields)


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_each_grpc_status_is_answered_in_band_and_the_connection_lives(
    server: StorageWriteServer, code: grpc.StatusCode
) -> None:
    server.play([{"on": {"request": 2}, "do": {"answer": code.name, "message": "not now"}}])
    heard = call(server.host, three())
    assert (heard.codes, heard.end) == ([0, code.value[0], 0], "OK")
    assert (heard.answers[1].error.message, len(heard.answers[1].error.details)) == ("not now", 0)
    assert names(server) == ["a", "c"]


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_each_grpc_status_ends_the_call(server: StorageWriteServer, code: grpc.StatusCode) -> None:
    server.play([{"on": {"request": 2}, "do": {"end": code.name, "message": "good bye"}}])
    heard = call(server.host, three())
    assert (heard.codes, heard.end, heard.error.details()) == ([0], code.name, "good bye")
    assert names(server) == ["a"]


@pytest.mark.parametrize("error", STORAGE_ERRORS, ids=lambda error: error.name)
@pytest.mark.parametrize("verb", ["answer", "end"])
def test_each_storage_error_arrives_with_its_code_and_entity(server: StorageWriteServer, verb: str, error: Any) -> None:
    do = {verb: "FAILED_PRECONDITION", "storage_error": error.name, "entity": "projects/p", "message": "so it is"}
    server.play([{"do": do}])
    heard = call(server.host, batches(rows("a")))
    detail = unpacked(heard.answers[0].error) if verb == "answer" else heard.detail
    assert (detail.code, detail.entity, detail.error_message) == (error.value, "projects/p", "so it is")
    assert names(server) == []


def test_the_ingestors_own_connection_hears_both_channels(server: StorageWriteServer) -> None:
    server.play(
        [
            {"on": {"request": 1}, "do": {"answer": "INVALID_ARGUMENT", "row_errors": [0]}},
            {"on": {"request": 2}, "do": {"end": "INTERNAL", "storage_error": 13}},
        ]
    )
    client, heard = write_client(server.host), list[Answer | Ended]()
    connection = Connection(client, STREAM, SCHEMA, heard.append, trace_id="run-1")
    for key in ("first", "second"):
        connection.send(key, rows(key))
    connection.close()
    client.transport.close()  # type: ignore[no-untyped-call]
    answer, end = heard
    assert isinstance(answer, Answer)
    assert isinstance(end, Ended)
    assert (answer.key, answer.outcome.code, end.outcome.code, end.unanswered) == (
        "first",
        "INVALID_ARGUMENT",
        "INTERNAL",
        ("second",),
    )
    assert [seen.trace_id for seen in server.requests()] == ["run-1", ""]


def test_row_errors_come_as_the_script_lists_them(server: StorageWriteServer) -> None:
    errors = [1, {"index": 3, "message": "too blue", "code": 0}]
    server.play([{"do": {"answer": "INVALID_ARGUMENT", "message": "no", "row_errors": errors}, "times": 1}])
    heard = call(server.host, three())
    assert [(e.index, e.code, e.message) for e in heard.answers[0].row_errors] == [(1, 1, "no"), (3, 0, "too blue")]
    assert names(server) == ["b", "c"]


def test_row_errors_may_name_the_rows_that_hold_a_value_and_taking_them_out_heals(server: StorageWriteServer) -> None:
    do = {"answer": "INVALID_ARGUMENT", "row_errors": "matching"}
    server.play([{"on": {"contains": {"name": ["bad", "worse"]}}, "do": do}])
    heard = call(server.host, batches(rows("a", "bad", "c", "worse"), rows("a", "c")))
    assert [error.index for error in heard.answers[0].row_errors] == [1, 3]
    assert (heard.codes, names(server)) == ([3, 0], ["a", "c"])


def test_an_append_can_be_acknowledged_and_lost(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 2}, "do": {"answer": "OK"}}])
    heard = call(server.host, three())
    assert (heard.codes, names(server)) == ([0, 0, 0], ["a", "c"])
    assert [seen.applied for seen in server.requests()] == [True, False, True]


@pytest.mark.parametrize(
    ("when", "answered", "landed"), [("before", 1, "a"), ("after", 1, "ab"), ("answered", 2, "ab")]
)
@pytest.mark.parametrize(
    ("verb", "code"), [({"end": "INTERNAL"}, "INTERNAL"), ("go_away", "UNAVAILABLE"), ("cut", "UNAVAILABLE")]
)
def test_a_call_is_broken_before_after_or_behind_its_request(  # noqa: PLR0913, PLR0917 - a table of cases
    server: StorageWriteServer, verb: Any, code: str, when: str, answered: int, landed: str
) -> None:
    do = {verb: when} if isinstance(verb, str) else {**verb, "when": when}
    server.play([{"on": {"request": 2}, "do": do}])
    heard = call(server.host, three(), by_turns=verb == "cut")
    assert (heard.codes, heard.end) == ([0] * answered, code)
    assert names(server)[: len(landed)] == list(landed)
    assert [seen.applied for seen in server.requests()][:2] == [True, when != "before"]


def test_a_cut_is_a_reset_of_the_connection_and_the_next_one_is_served(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 1}, "do": {"cut": "after"}}])
    heard = call(server.host, batches(rows("a")))
    assert "reset" in heard.error.details()
    assert server.requests()[0].channel == "cut"
    following = call(server.host, batches(rows("a")))
    assert (following.codes, following.error) == ([0], None)
    assert names(server) == ["a", "a"]


def test_nothing_after_the_end_of_a_call_is_applied(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 1}, "do": {"end": "UNAVAILABLE", "when": "after"}}])
    call(server.host, batches(*[rows(str(number)) for number in range(20)]))
    assert names(server) == ["0"]


def test_a_delay_holds_back_the_answer_and_those_behind_it_not_the_rows(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 1}, "do": {"delay_s": 0.05}}])
    begun = time.monotonic()
    heard = call(server.host, three())
    assert time.monotonic() - begun >= 0.05
    assert (heard.codes, names(server)) == ([0, 0, 0], ["a", "b", "c"])


def test_an_end_can_be_delayed_and_what_comes_meanwhile_is_not_applied(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 2}, "do": {"end": "UNAVAILABLE", "when": "after", "delay_s": 0.05}}])
    begun = time.monotonic()
    heard = call(server.host, three())
    assert time.monotonic() - begun >= 0.05
    assert (heard.codes, heard.end, names(server)) == ([0], "UNAVAILABLE", ["a", "b"])


@pytest.mark.parametrize(("when", "landed"), [("before", ["b"]), ("after", ["a", "b"])])
def test_a_held_request_and_those_behind_it_are_never_answered_and_a_cut_ends_the_wait(
    server: StorageWriteServer, when: str, landed: list[str]
) -> None:
    server.play([{"on": {"request": 1}, "do": {"hold": when}}, {"on": {"request": 3}, "do": {"cut": "before"}}])
    heard = call(server.host, three())
    assert (heard.codes, heard.end, names(server)) == ([], "UNAVAILABLE", landed)


def test_a_client_that_gives_up_on_a_held_request_leaves_the_server_free(server: StorageWriteServer) -> None:
    server.play([{"do": {"hold": "after"}, "times": 1}])
    client, heard = write_client(server.host), list[Any]()
    connection = Connection(client, STREAM, SCHEMA, heard.append, trace_id="t", close_timeout_s=0.01)
    connection.send("a", rows("a"))
    wait_for(server.requests)
    connection.close()
    client.transport.close()  # type: ignore[no-untyped-call]
    assert [(type(each), each.unanswered) for each in heard] == [(Ended, ("a",))]
    assert call(server.host, batches(rows("b"))).codes == [0]


def call_that_stays_open(server: StorageWriteServer, requests: list[Any]) -> Heard:
    """Send the requests and no end of them until the server has ended the call."""
    done = threading.Event()

    def requests_and_silence() -> Iterator[Any]:
        yield from requests
        done.wait(TIMEOUT_S)

    heard = call(server.host, requests_and_silence())
    done.set()
    return heard


def test_an_idle_connection_is_closed_with_aborted_after_its_answers(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 3}, "do": {"idle_close_s": 0}}])
    heard = call_that_stays_open(server, three())
    assert (heard.codes, heard.end, names(server)) == ([0, 0, 0], "ABORTED", ["a", "b", "c"])


def test_a_server_closes_a_connection_without_requests_after_its_idle_time() -> None:
    with StorageWriteServer({TABLE: COLUMNS}, idle_s=1.0) as server:
        heard = call_that_stays_open(server, batches(rows("a")))
    assert (heard.codes, heard.end) == ([0], "ABORTED")
    assert "idle" in heard.error.details()


@pytest.mark.parametrize(
    ("wanted", "told"), [(True, ["name", "size"]), ([{"name": "new", "type": "RANGE<DATE>"}], ["new"])]
)
def test_an_answer_may_tell_an_updated_schema(server: StorageWriteServer, wanted: Any, told: list[str]) -> None:
    server.play([{"on": {"request": 2}, "do": {"updated_schema": wanted}}])
    heard = call(server.host, three())
    assert [[field.name for field in answer.updated_schema.fields] for answer in heard.answers] == [[], told, []]
    assert (heard.codes, names(server)) == ([0, 0, 0], ["a", "b", "c"])


def test_the_schema_of_a_refused_first_request_stays_with_the_connection(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 1}, "do": {"answer": "ABORTED"}}])
    assert call(server.host, three()).codes == [10, 0, 0]


def test_an_unreachable_server_resets_every_connection_until_it_is_back(server: StorageWriteServer) -> None:
    server.set_reachable(reachable=False)
    heard = call(server.host, batches(rows("a")))
    server.set_reachable(reachable=True)
    assert (heard.end, server.requests()) == ("UNAVAILABLE", [])
    wait_for(lambda: call(server.host, batches(rows("a"))).codes == [0])  # gRPC waits a moment before it connects again
