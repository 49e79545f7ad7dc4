"""The rules of the service, through the official client: what is refused, how, and that nothing of it is written."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from ops.local.storage_write import StorageWriteServer
from tests.unit.local.storage_write_client import (
    COLUMNS,
    SCHEMA,
    STREAM,
    TABLE,
    Request,
    batches,
    call,
    client_of,
    descriptor,
    request,
    rows,
    unpacked,
    wait_for,
)

OPTIONAL = FieldDescriptorProto.LABEL_OPTIONAL
STRING, MESSAGE = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_MESSAGE


@pytest.fixture(scope="module")
def _server() -> Iterator[StorageWriteServer]:
    with StorageWriteServer(max_request_bytes=2000) as server:
        yield server


@pytest.fixture
def server(_server: StorageWriteServer) -> StorageWriteServer:
    _server.drop(TABLE)
    _server.declare(TABLE, COLUMNS)
    _server.play([])
    _server.clear()
    return _server


def names(server: StorageWriteServer) -> list[str]:
    return [row["name"] for row in server.rows(TABLE)]


@pytest.mark.parametrize("stream", [STREAM, "projects/p/datasets/d/tables/t/_default"])
def test_rows_are_kept_in_order_and_answered_under_the_stream_they_were_sent_to(
    server: StorageWriteServer, stream: str
) -> None:
    heard = call(server.host, batches(rows("a", "b"), rows("c"), rows("d"), stream=stream))
    assert [(a.WhichOneof("response"), a.write_stream) for a in heard.answers] == [("append_result", stream)] * 3
    assert not any(answer.append_result.HasField("offset") for answer in heard.answers)
    assert heard.end == "OK"
    assert server.rows(TABLE) == [{"name": name, "size": 1} for name in "abcd"]


def test_every_request_is_listed_with_what_its_client_heard(server: StorageWriteServer) -> None:
    call(server.host, batches(rows("a", "b"), [b"\xff"]))
    first, second = server.requests()
    assert (first.rows, first.writer_schema, first.trace_id, first.applied) == (2, True, "test", True)
    assert (second.rows, second.writer_schema, second.trace_id, second.applied) == (1, False, "", False)
    assert [(r.channel, r.answer) for r in (first, second)] == [("answer", "OK"), ("answer", "INVALID_ARGUMENT")]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (request(rows("a"), SCHEMA), "must name its write_stream"),
        (request(rows("a"), write_stream=STREAM), "must carry its writer_schema"),
        (request(rows("a"), SCHEMA, write_stream="p.d.t"), "Invalid stream name"),
    ],
    ids=["no stream", "no schema", "malformed stream"],
)
def test_a_first_request_without_stream_or_schema_ends_the_call(
    server: StorageWriteServer, first: Any, reason: str
) -> None:
    heard = call(server.host, [first])
    assert heard.end == "INVALID_ARGUMENT"
    assert reason in heard.error.details()
    assert names(server) == []


def test_a_missing_table_ends_the_call_with_not_found(server: StorageWriteServer) -> None:
    stream = STREAM.replace("/t/", "/nothing/")
    heard = call(server.host, batches(rows("a"), stream=stream))
    assert (heard.end, heard.answers) == ("NOT_FOUND", [])
    assert (heard.detail.code, heard.detail.entity) == (1, stream)


def test_another_stream_than_the_default_one_is_not_found(server: StorageWriteServer) -> None:
    heard = call(server.host, batches(rows("a"), stream=STREAM.replace("_default", "s1")))
    assert (heard.end, heard.detail.code) == ("NOT_FOUND", 3)


def test_a_table_dropped_under_a_connection_is_not_found_any_more(server: StorageWriteServer) -> None:
    def dropping() -> Iterator[Any]:
        first, second = batches(rows("a"), rows("b"))
        yield first
        wait_for(server.requests)
        server.drop(TABLE)
        yield second

    heard = call(server.host, dropping())
    assert (heard.codes, heard.end, heard.detail.code) == ([0], "NOT_FOUND", 1)


def test_a_connection_may_go_on_to_another_table_when_it_brings_a_schema(server: StorageWriteServer) -> None:
    server.declare("p.d.other", COLUMNS)
    other = STREAM.replace("/t/", "/other/")
    moved = request(rows("c"), SCHEMA, write_stream=other)
    back = request(rows("d"), write_stream=STREAM)
    heard = call(server.host, [*batches(rows("a"), rows("b")), moved, back])
    assert [a.write_stream for a in heard.answers] == [STREAM, STREAM, other]
    assert (names(server), [row["name"] for row in server.rows("p.d.other")]) == (["a", "b"], ["c"])
    assert heard.end == "INVALID_ARGUMENT"


def test_a_request_of_the_limit_is_refused_in_band_and_one_below_it_is_not(server: StorageWriteServer) -> None:
    def padded(size: int) -> Any:
        made = request(rows("b"))
        made.trace_id = "x" * (size - made.ByteSize() - 3)  # key and two bytes of length
        assert made.ByteSize() == size
        return made

    heard = call(server.host, [*batches(rows("a")), padded(2000), padded(1999)])
    assert heard.codes == [0, 3, 0]
    assert "request too large: 2000 limit 2000" in heard.answers[1].error.message
    assert names(server) == ["a", "b"]


def test_a_request_may_be_larger_than_what_grpc_takes_by_itself() -> None:
    with StorageWriteServer({TABLE: COLUMNS}) as server:
        assert call(server.host, batches(rows("x" * 19_000_000), rows("y" * 20_000_000))).codes == [0, 3]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (request(rows("b"), offset={"value": 0}), "Offset can't be specified"),
        (request(rows("b"), missing_value_interpretations={"name": 0}), "interpretation must be specified"),
    ],
)
def test_what_default_streams_do_not_take_is_refused_in_band(
    server: StorageWriteServer, wrong: Any, reason: str
) -> None:
    heard = call(server.host, [*batches(rows("a")), wrong, request(rows("c"))])
    assert (heard.codes, names(server)) == ([0, 3, 0], ["a", "c"])
    assert reason in heard.answers[1].error.message


def test_arrow_rows_are_not_implemented(server: StorageWriteServer) -> None:
    arrow = Request(write_stream=STREAM)
    arrow.arrow_rows.rows.serialized_record_batch = b"x"
    assert call(server.host, [arrow]).end == "UNIMPLEMENTED"


def test_a_required_column_that_the_schema_leaves_out_refuses_every_row(server: StorageWriteServer) -> None:
    server.declare(TABLE, [*COLUMNS, {"name": "id", "type": "STRING", "mode": "REQUIRED"}])
    (answer,) = call(server.host, batches(rows("a", "b"))).answers
    assert [error.index for error in answer.row_errors] == [0, 1]


def test_corrupt_rows_are_named_and_the_connection_lives(server: StorageWriteServer) -> None:
    corrupt = [b"\xff", *rows("good"), b"\x0a\x02\xff\xfe"]
    heard = call(server.host, batches(corrupt, rows("after")))
    assert [error.index for error in heard.answers[0].row_errors] == [0, 2]
    assert (heard.codes, names(server)) == ([3, 0], ["after"])


def test_a_row_without_a_field_that_its_own_descriptor_requires_is_refused(server: StorageWriteServer) -> None:
    schema = DescriptorProto(name="Row")
    schema.field.add(name="name", number=1, label=FieldDescriptorProto.LABEL_REQUIRED, type=STRING)
    (answer,) = call(server.host, batches([b""], schema=schema)).answers
    assert [error.index for error in answer.row_errors] == [0]


def test_an_unset_field_is_null_unless_its_descriptor_says_a_default(server: StorageWriteServer) -> None:
    schema = descriptor({"name": "string", "size": "int64"})
    schema.field[1].default_value = "7"
    call(server.host, batches([b""], schema=schema))
    schema.field[1].default_value = "0"
    schema.field[0].default_value = ""
    call(server.host, batches([b""], schema=schema))
    assert server.rows(TABLE) == [{"name": None, "size": 7}, {"name": "", "size": 0}]


def test_a_column_default_fills_what_the_schema_leaves_out_and_what_the_request_says(
    server: StorageWriteServer,
) -> None:
    server.declare(
        TABLE, [{**COLUMNS[0], "defaultValueExpression": "'x'"}, {**COLUMNS[1], "defaultValueExpression": "9"}]
    )
    schema = descriptor({"name": "string"})
    interpreted = request([b""], missing_value_interpretations={"name": 2})
    sticky = request([b""], default_missing_value_interpretation=2)
    call(server.host, [*batches([b""], schema=schema), interpreted, request([b""]), sticky, request([b""])])
    assert names(server) == [None, "x", None, "x", "x"]
    assert {row["size"] for row in server.rows(TABLE)} == {9}


def test_a_changed_table_is_told_once_on_an_open_connection(server: StorageWriteServer) -> None:
    def altering() -> Iterator[Any]:
        first, second, third = batches(rows("a"), rows("b"), rows("c"))
        yield first
        wait_for(server.requests)
        server.declare(TABLE, [*COLUMNS, {"name": "colour", "type": "STRING"}])
        yield from (second, third)

    heard = call(server.host, altering())
    assert [[f.name for f in a.updated_schema.fields] for a in heard.answers] == [[], ["name", "size", "colour"], []]
    assert [row.get("colour", "absent") for row in server.rows(TABLE)] == ["absent", None, None]


def test_get_write_stream_tells_the_schema_and_a_missing_table(server: StorageWriteServer) -> None:
    with client_of(server.host) as client:
        stream = client.get_write_stream(name=STREAM, retry=None)
        assert [(f.name, f.type_.name, f.mode.name) for f in stream.table_schema.fields] == [
            ("name", "STRING", "NULLABLE"),
            ("size", "INT64", "NULLABLE"),
        ]
        server.drop(TABLE)
        with pytest.raises(NotFound, match="Requested entity was not found") as caught:
            client.get_write_stream(name=STREAM, retry=None)
    assert unpacked(caught.value).code == 1
