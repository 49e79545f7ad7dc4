"""Which requests a rule hits, and what a script may say."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.cloud.bigquery_storage_v1.types import StorageError

from ops.local.storage_write import ScriptError, StorageWriteServer
from ops.local.storage_write_script import read_script, rule_from
from tests.unit.local.storage_write_client import (
    COLUMNS,
    SCHEMA,
    STREAM,
    TABLE,
    batches,
    call,
    request,
    rows,
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


REFUSE = {"answer": "ABORTED"}


@pytest.mark.parametrize(
    ("rule", "landed"),
    [
        ({"on": {"request": [1, 3]}}, "bd"),
        ({"on": {"from": 3}}, "ab"),
        ({"times": 2}, "cd"),
        ({"times": "always"}, ""),
        ({"on": {"from": 2}, "times": 1}, "acd"),
        ({"on": {"contains": "c"}}, "abd"),
        ({"on": {"contains": ["c", "d"]}}, "ab"),
        ({"on": {"contains": {"name": "c"}}}, "abd"),
        ({"on": {"contains": {"size": "c"}}}, "abcd"),
        ({"on": {"contains": {"size": 1, "name": "b"}}}, "acd"),
        ({"on": {"contains": {"size": True}}}, "abcd"),
        ({"on": {"stream": "*/tables/t/*", "request": 1}}, "bcd"),
        ({"on": {"stream": "*/tables/other/*"}}, "abcd"),
        ({"on": {"probability": 0.0}}, "abcd"),
        ({"on": {"probability": 1.0}}, ""),
    ],
    ids=str,
)
def test_a_rule_hits_the_requests_that_it_matches(server: StorageWriteServer, rule: Any, landed: str) -> None:
    server.play([{**rule, "do": REFUSE}])
    call(server.host, batches(*map(rows, "abcd")))
    assert names(server) == list(landed)
    assert server.hits()[0]["hits"] == 4 - len(landed)


@pytest.mark.parametrize(("per", "landed"), [("all", "bcd"), ("stream", "bd"), ("connection", "bd")])
def test_requests_are_numbered_overall_per_stream_or_per_connection(
    server: StorageWriteServer, per: str, landed: str
) -> None:
    server.play([{"on": {"request": 1, "per": per}, "do": REFUSE}])
    call(server.host, batches(*map(rows, "ab")))
    call(server.host, batches(*map(rows, "cd"), stream=STREAM.replace("/t/", "/other/")))
    assert names(server) + names(server, OTHER) == list(landed)


def test_a_connections_numbers_begin_at_one_on_the_same_stream(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 1, "per": "connection"}, "do": REFUSE}])
    for _ in range(2):
        call(server.host, batches(*map(rows, "ab")))
    assert names(server) == ["b", "b"]


def test_chance_is_the_same_for_the_same_seed(server: StorageWriteServer) -> None:
    def landed(seed: int) -> list[str]:
        server.clear()
        server.play([{"on": {"probability": 0.5, "seed": seed}, "do": REFUSE}])
        call(server.host, batches(*[rows(str(number)) for number in range(40)]))
        return names(server)

    assert landed(1) == landed(1) != landed(2)
    assert 10 < len(landed(1)) < 30


def test_the_first_rule_that_matches_and_has_times_left_is_obeyed(server: StorageWriteServer) -> None:
    server.play([{"name": "once", "do": {"answer": "ABORTED"}, "times": 1}, {"do": {"answer": "INTERNAL"}}])
    assert call(server.host, three()).codes == [10, 13, 13]
    assert [seen.rule for seen in server.requests()] == ["once", "rule 2", "rule 2"]
    assert server.hits() == [{"rule": "once", "hits": 1}, {"rule": "rule 2", "hits": 2}]


def test_a_new_script_counts_from_one_and_an_added_rule_goes_on(server: StorageWriteServer) -> None:
    second = {"on": {"request": 2}, "do": REFUSE}
    call(server.host, batches(rows("a")))
    server.add([second])
    assert call(server.host, batches(rows("b"))).codes == [10]
    server.play([second])
    assert call(server.host, batches(rows("c"), rows("d"))).codes == [0, 10]


RULE = {"on": {"request": 3}, "do": {"cut": "after"}}


@pytest.mark.parametrize(
    "text",
    [json.dumps([RULE, RULE]), json.dumps({"rules": [RULE, RULE]}), f"{json.dumps(RULE)}\n\n{json.dumps(RULE)}\n"],
    ids=["array", "object", "lines"],
)
def test_a_script_is_json_or_json_lines(text: str) -> None:
    assert [rule.requests for rule in read_script(text)] == [frozenset({3})] * 2


def test_one_rule_alone_is_a_script() -> None:
    assert len(read_script(json.dumps(RULE))) == 1


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"on": {}}, 'says what to "do"'),
        ({"do": {"cut": "after"}, "when": 3}, "rule knows no when"),
        ({"do": {"cut": "after"}, "on": {"requests": 3}}, "on knows no requests"),
        ({"do": {"cut": "sometime"}}, "before or after or answered, not 'sometime'"),
        ({"do": {"hold": "answered"}}, "before or after, not 'answered'"),
        ({"do": {"cut": "after", "end": "ABORTED"}}, "does one thing, not end and cut"),
        ({"do": {"cut": "after", "message": "x"}}, "cut knows no message"),
        ({"do": {"explode": True}}, "do knows no explode"),
        ({"do": []}, '"do" is an object'),
        ({"do": {"answer": "SORRY"}}, "gRPC's names"),
        ({"do": {"end": "ABORTED", "storage_error": "NOPE"}}, "no StorageError 'NOPE'"),
        ({"do": {"end": "ABORTED", "storage_error": 99}}, "99"),
        ({"do": {"answer": "ABORTED", "row_errors": ["x"]}}, "row_errors is"),
        ({"do": {"updated_schema": [{"name": "x", "type": "WHAT"}]}}, "there is no type 'WHAT'"),
        ({"do": {"delay_s": -1}}, "seconds are a number from 0"),
        ({"do": {}, "on": {"request": 0}}, "counted from 1"),
        ({"do": {}, "times": "twice"}, "counted from 1"),
        ({"do": {}, "on": {"per": "table"}}, "per is one of"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_rule_that_makes_no_sense_is_refused_in_one_line(rule: dict[str, Any], reason: str) -> None:
    with pytest.raises(ScriptError) as caught:
        rule_from(rule)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["3", '["x"]', "{nonsense"])
def test_a_file_that_is_no_script_is_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        read_script(text)


def test_a_script_that_makes_no_sense_leaves_the_old_one(server: StorageWriteServer) -> None:
    server.play([{"do": REFUSE}])
    with pytest.raises(ScriptError):
        server.play([{"do": {}}, {"do": {"explode": 1}}])
    assert call(server.host, [request(rows("a"), SCHEMA, write_stream=STREAM)]).codes == [10]
