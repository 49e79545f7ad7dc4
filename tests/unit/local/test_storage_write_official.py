"""The official `AppendRowsStream` works against the server, and its known losses show."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from google.api_core.exceptions import Aborted, GoogleAPICallError, InvalidArgument
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.writer import AppendRowsStream

from ops.local.storage_write import StorageWriteServer
from tests.unit.local.storage_write_client import COLUMNS, SCHEMA, STREAM, TABLE, client_of, rows


@pytest.fixture
def server() -> Iterator[StorageWriteServer]:
    with StorageWriteServer({TABLE: COLUMNS}) as server:
        yield server


@contextmanager
def stream_to(server: StorageWriteServer) -> Iterator[Any]:
    template = types.AppendRowsRequest(write_stream=STREAM)
    template.proto_rows = types.AppendRowsRequest.ProtoData(
        writer_schema=types.ProtoSchema(proto_descriptor=SCHEMA), rows=types.ProtoRows()
    )
    with client_of(server.host) as client:
        official: Any = AppendRowsStream
        stream = official(client, template)
        yield stream
        if stream.is_active:
            stream.close()


def sent(*names: str) -> Any:
    data = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=rows(*names)))
    return types.AppendRowsRequest(write_stream=STREAM, proto_rows=data)


def test_rows_land_and_each_future_gets_its_answer(server: StorageWriteServer) -> None:
    with stream_to(server) as stream:
        futures = [stream.send(sent(name)) for name in "abc"]
        answers = [future.result(timeout=20) for future in futures]
    assert [answer.append_result is not None and answer.error.code for answer in answers] == [0, 0, 0]
    assert [row["name"] for row in server.rows(TABLE)] == ["a", "b", "c"]
    assert server.requests()[0].trace_id.startswith("python-writer:")


def test_an_answer_in_band_is_the_exception_of_its_future_with_its_rows(server: StorageWriteServer) -> None:
    do = {"answer": "INVALID_ARGUMENT", "row_errors": "matching"}
    server.play([{"on": {"contains": "bad"}, "do": do}, {"on": {"request": 3}, "do": {"answer": "ABORTED"}}])
    with stream_to(server) as stream:
        stream.send(sent("a")).result(timeout=20)
        with pytest.raises(InvalidArgument) as refused:
            stream.send(sent("b", "bad")).result(timeout=20)
        with pytest.raises(Aborted):
            stream.send(sent("c")).result(timeout=20)
        stream.send(sent("d")).result(timeout=20)
    assert [error.index for error in refused.value.response.row_errors] == [1]
    assert [row["name"] for row in server.rows(TABLE)] == ["a", "d"]


def test_a_broken_connection_fails_the_future_and_the_next_send_opens_another(server: StorageWriteServer) -> None:
    server.play([{"on": {"request": 2}, "do": {"cut": "after"}}])
    with stream_to(server) as stream:
        stream.send(sent("a")).result(timeout=20)
        with pytest.raises(GoogleAPICallError):
            stream.send(sent("b")).result(timeout=20)
        stream.send(sent("c")).result(timeout=20)
    assert [seen.connection for seen in server.requests()] == [1, 1, 2]
    assert [row["name"] for row in server.rows(TABLE)] == ["a", "b", "c"]
