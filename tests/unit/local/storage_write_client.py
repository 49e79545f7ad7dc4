"""The official client, spoken to a Storage Write server of ours, and descriptors to speak with."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest, AppendRowsResponse, StorageError
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from grpc_status import rpc_status

from ingestor.append import default_stream, write_client

TIMEOUT_S = 20.0
TABLE = "p.d.t"
STREAM = default_stream("p", "d", "t")
COLUMNS = [{"name": "name", "type": "STRING"}, {"name": "size", "type": "INTEGER"}]
Request: Any = AppendRowsRequest.pb()
Detail: Any = StorageError.pb()


@dataclass
class Heard:
    """What the client heard: raw answers, then how the call ended."""

    answers: list[Any] = field(default_factory=list)
    error: Any = None

    @property
    def codes(self) -> list[int]:
        return [answer.error.code for answer in self.answers]

    @property
    def end(self) -> str:
        return "OK" if self.error is None else str(self.error.code().name)

    @property
    def detail(self) -> Any:
        """The StorageError of the end."""
        return unpacked(rpc_status.from_call(self.error))


def unpacked(status: Any) -> Any:
    detail = Detail()
    assert len(status.details) == 1
    assert status.details[0].Unpack(detail)
    return detail


def descriptor(fields: Mapping[str, str], name: str = "Row") -> DescriptorProto:
    """Optional fields of scalar types, numbered from 1: `{"name": "string"}`."""
    proto = DescriptorProto(name=name)
    for number, (each, kind) in enumerate(fields.items(), 1):
        kinds: Any = FieldDescriptorProto
        proto.field.add(
            name=each, number=number, label=kinds.LABEL_OPTIONAL, type=kinds.Type.Value(f"TYPE_{kind.upper()}")
        )
    return proto


def row_class(proto: DescriptorProto) -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(FileDescriptorProto(name="row.proto", syntax="proto2", message_type=[proto]))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(proto.name))


SCHEMA = descriptor({"name": "string", "size": "int64"})
Row = row_class(SCHEMA)


def rows(*names: str) -> list[bytes]:
    return [Row(name=name, size=len(name)).SerializeToString() for name in names]


def request(serialized: Iterable[bytes], schema: DescriptorProto | None = None, **fields: Any) -> Any:
    made = Request(**fields)
    made.proto_rows.rows.serialized_rows.extend(serialized)
    if schema is not None:
        made.proto_rows.writer_schema.proto_descriptor.CopyFrom(schema)
    return made


def batches(*each: list[bytes], schema: DescriptorProto = SCHEMA, stream: str = STREAM) -> list[Any]:
    """Requests of one connection as the service wants them: stream and schema on the first."""
    first, *later = each
    return [request(first, schema, write_stream=stream, trace_id="test"), *map(request, later)]


def wait_for(happened: Callable[[], object]) -> None:
    """Wait until it is true, for what another thread is about to do."""
    deadline = time.monotonic() + TIMEOUT_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def client_of(host: str) -> Iterator[Any]:
    client = write_client(host)
    try:
        yield client
    finally:
        client.transport.close()  # type: ignore[no-untyped-call]


def call(host: str, requests: Iterable[Any], *, by_turns: bool = False) -> Heard:
    """One AppendRows call through the client's transport; all requests are sent without waiting for answers.

    By turns each waits for the answer to the one before it: a reset may lose an answer that is on its way.
    """
    heard, turn = Heard(), threading.Semaphore(0)

    def paced() -> Iterator[Any]:
        for each in requests:
            yield each
            if by_turns:
                turn.acquire(timeout=TIMEOUT_S)

    with client_of(host) as client:
        try:
            metadata = [("x-goog-request-params", f"write_stream={STREAM}")]
            for answer in client.transport.append_rows(paced(), metadata=metadata, timeout=TIMEOUT_S):
                heard.answers.append(AppendRowsResponse.pb(answer))
                turn.release()
        except grpc.RpcError as error:
            heard.error = error
        finally:
            turn.release()
    return heard
