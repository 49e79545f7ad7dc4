"""In front of another Storage Write server: the same script around what is passed on."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ingestor.append import Connection, default_stream, write_client
from ops.local.services import request_json
from ops.local.storage_write import StorageWriteServer
from tests.unit.local.storage_write_client import (
    COLUMNS,
    SCHEMA,
    STREAM,
    TABLE,
    batches,
    call,
    client_of,
    request,
    rows,
    wait_for,
)

PROJECT = "test-project"


@dataclass
class Pair:
    """A proxy and what is behind it."""

    proxy: StorageWriteServer
    upstream: StorageWriteServer

    def landed(self) -> list[str]:
        return [row["name"] for row in self.upstream.rows(TABLE)]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with StorageWriteServer({TABLE: COLUMNS}) as upstream, StorageWriteServer(forward=upstream.host) as proxy:
        yield Pair(proxy, upstream)


def three() -> list[Any]:
    return batches(rows("a"), rows("b"), rows("c"))


def test_requests_go_up_with_the_streams_name_on_each_and_answers_come_back(pair: Pair) -> None:
    heard = call(pair.proxy.host, three())
    assert (heard.codes, heard.end, pair.landed()) == ([0, 0, 0], "OK", ["a", "b", "c"])
    assert [(seen.stream, seen.writer_schema) for seen in pair.upstream.requests()] == [
        (STREAM, True),
        (STREAM, False),
        (STREAM, False),
    ]
    assert {seen.connection for seen in pair.upstream.requests()} == {1}


@pytest.mark.parametrize(("when", "landed"), [("before", ["a"]), ("after", ["a", "b"])])
def test_a_cut_between_applying_and_answering_leaves_the_rows_upstream(
    pair: Pair, when: str, landed: list[str]
) -> None:
    pair.proxy.play([{"on": {"request": 2}, "do": {"cut": when}}])
    heard = call(pair.proxy.host, three(), by_turns=True)
    assert (heard.codes, heard.end, pair.landed()) == ([0], "UNAVAILABLE", landed)


def test_the_schema_of_a_request_that_was_not_passed_on_goes_up_with_the_next(pair: Pair) -> None:
    pair.proxy.play([{"on": {"contains": "a"}, "do": {"answer": "ABORTED"}}])
    heard = call(pair.proxy.host, three())
    assert (heard.codes, pair.landed()) == ([10, 0, 0], ["b", "c"])


def test_refusals_and_row_errors_come_back_as_the_upstream_sent_them(pair: Pair) -> None:
    heard = call(pair.proxy.host, batches([b"\xff"], rows("b")))
    assert (heard.codes, [error.index for error in heard.answers[0].row_errors]) == ([3, 0], [0])
    assert [seen.applied for seen in pair.proxy.requests()] == [False, True]


def test_the_end_of_the_upstreams_call_comes_back_with_its_details(pair: Pair) -> None:
    pair.upstream.drop(TABLE)
    heard = call(pair.proxy.host, batches(rows("a")))
    assert (heard.end, heard.detail.code, heard.detail.entity) == ("NOT_FOUND", 1, STREAM)


def test_an_upstream_that_is_not_there_is_unavailable(pair: Pair) -> None:
    pair.upstream.set_reachable(reachable=False)
    assert call(pair.proxy.host, batches(rows("a"))).end == "UNAVAILABLE"


def test_a_table_declared_at_the_proxy_is_checked_there_and_its_rows_kept(pair: Pair) -> None:
    pair.proxy.declare(TABLE, [COLUMNS[0], {**COLUMNS[1], "mode": "REQUIRED"}])
    heard = call(pair.proxy.host, batches(rows("a"), [b""], rows("c")))
    assert (heard.codes, pair.landed()) == ([0, 3, 0], ["a", "c"])
    assert pair.proxy.rows(TABLE) == pair.upstream.rows(TABLE)


def test_the_other_methods_are_passed_on(pair: Pair) -> None:
    with client_of(pair.proxy.host) as client:
        assert [field.name for field in client.get_write_stream(name=STREAM, retry=None).table_schema.fields] == [
            "name",
            "size",
        ]


def test_rows_that_the_upstream_refused_are_not_kept_at_the_proxy(pair: Pair) -> None:
    pair.proxy.declare(TABLE, COLUMNS)
    pair.upstream.play([{"on": {"request": 1}, "do": {"answer": "ABORTED"}}])
    assert call(pair.proxy.host, three()).codes == [10, 0, 0]
    assert [row["name"] for row in pair.proxy.rows(TABLE)] == ["b", "c"] == pair.landed()


def test_a_client_that_gives_up_on_a_silent_upstream_leaves_no_call_open(pair: Pair) -> None:
    pair.upstream.play([{"do": {"hold": "after"}}])
    client, heard = write_client(pair.proxy.host), list[Any]()
    connection = Connection(client, STREAM, SCHEMA, heard.append, trace_id="t", close_timeout_s=0.01)
    connection.send("a", rows("a"))
    wait_for(pair.upstream.requests)
    connection.close()
    client.transport.close()  # type: ignore[no-untyped-call]
    wait_for(lambda: not any(thread.name == "append-rows" for thread in threading.enumerate()))
    assert [each.unanswered for each in heard] == [("a",)]


def test_in_front_of_bqemulator_rows_land_once_unless_cut_and_sent_again(bigquery: Any, dataset: str) -> None:
    root = f"http://{bigquery.rest_host}/bigquery/v2/projects/{PROJECT}"
    reference = {"projectId": PROJECT, "datasetId": dataset, "tableId": "t"}
    request_json(
        "POST",
        f"{root}/datasets/{dataset}/tables",
        {"tableReference": reference, "schema": {"fields": COLUMNS}},
    )
    stream = default_stream(PROJECT, dataset, "t")
    with StorageWriteServer(forward=bigquery.grpc_host) as proxy:
        proxy.play([{"on": {"request": 2}, "do": {"cut": "after"}}])
        first, second = batches(rows("a"), rows("b"), stream=stream)
        assert call(proxy.host, [first, second], by_turns=True).codes == [0]
        assert call(proxy.host, [*batches(rows("b"), stream=stream), request(rows("c"))]).codes == [0, 0]
    query = {"query": f"SELECT name, count(*) AS n FROM {dataset}.t GROUP BY 1 ORDER BY 1", "useLegacySql": False}  # noqa: S608 - a name of ours
    answer = request_json("POST", f"{root}/queries", query)
    assert [[cell["v"] for cell in row["f"]] for row in answer["rows"]] == [["a", "1"], ["b", "2"], ["c", "1"]]
