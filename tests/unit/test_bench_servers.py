"""The counting servers of the benchmarks: what they count is what was sent."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest, AppendRowsResponse
from google.cloud.firestore_v1.types import CommitRequest
from google.protobuf.descriptor_pb2 import DescriptorProto

from bench.sink import APPEND_ROWS, SinkServer
from bench.tap import COMMIT, TapServer
from bench.wire import Counting, ask, serving
from ingestor.append import Answer, Connection, Ended, default_stream, write_client
from ingestor.outcome import Action
from ops.local.process import HOST, free_port

BATCH_GET = "/google.firestore.v1.Firestore/BatchGetDocuments"
Serve = Callable[[Counting], str]


def stop(server: Any) -> None:
    server.stop(None).wait()


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as exits:

        def start(counting: Counting) -> str:
            while True:
                port = free_port()
                try:
                    server = serving(counting, port)
                except RuntimeError:  # somebody else was faster
                    continue
                exits.callback(stop, server)
                return f"{HOST}:{port}"

        yield start


def assert_true(value: object) -> None:
    assert value


def append(host: str, batches: list[list[bytes]]) -> list[Answer | Ended]:
    client, heard = write_client(host), list[Answer | Ended]()
    stream = default_stream("p", "d", "flights")
    connection = Connection(client, stream, DescriptorProto(name="Flight"), heard.append, trace_id="test")
    for number, rows in enumerate(batches):
        connection.send(str(number), rows)
    connection.close()
    client.transport.close()  # type: ignore[no-untyped-call]
    return heard


def test_the_sink_acknowledges_every_request_in_order_and_counts_its_rows(serve: Serve) -> None:
    host = serve(SinkServer())
    *answers, end = append(host, [[b"a"], [b"bb", b"cc"], [b"ddd"] * 3])
    assert isinstance(end, Ended)
    assert end.unanswered == ()
    assert [(a.key, a.outcome.action) for a in answers if isinstance(a, Answer)] == [
        (key, Action.APPENDED) for key in "012"
    ]
    counters = ask(host)
    assert [counters[f"flights.{name}"] for name in ("requests", "rows", "bytes")] == [3, 6, 14]


def test_the_sink_takes_requests_while_earlier_ones_wait_for_their_answers(serve: Serve) -> None:
    all_here = threading.Event()

    class Patient(SinkServer):
        def at_least(self, name: str, value: int) -> None:
            super().at_least(name, value)
            if self._counters["flights.requests"] == 8:
                all_here.set()

    host = serve(Patient(wait_until=lambda _: assert_true(all_here.wait(10))))
    ask(host, latency_ms=1)
    assert len(append(host, [[b"row"]] * 8)) == 9
    assert ask(host)["flights.in_flight"] == 8


def test_a_request_that_was_answered_is_in_flight_no_longer(serve: Serve) -> None:
    host, answered = serve(SinkServer()), threading.Semaphore()

    def requests() -> Iterator[bytes]:
        for _ in range(3):
            assert answered.acquire(timeout=5)
            yield AppendRowsRequest.serialize(AppendRowsRequest(write_stream=default_stream("p", "d", "flights")))

    with grpc.insecure_channel(host) as channel:
        for _ in channel.stream_stream(APPEND_ROWS)(requests(), timeout=10):
            answered.release()
    assert ask(host)["flights.in_flight"] == 1


def test_an_answer_is_due_its_latency_after_the_request_came(serve: Serve) -> None:
    due: list[float] = []
    host = serve(SinkServer(wait_until=due.append))
    ask(host, latency_ms=600_000)
    before = time.monotonic()
    append(host, [[b"row"]])
    assert before + 600 <= due[0] <= time.monotonic() + 600


def test_a_reset_puts_the_counters_to_zero_and_keeps_the_latency(serve: Serve) -> None:
    sink = SinkServer()
    host = serve(sink)
    append(host, [[b"row"]])
    assert ask(host, latency_ms=5, reset=True) == {}
    assert ask(host, reset=True) == {}
    assert sink.latency_s == 0.005


def test_a_call_without_a_table_on_every_request_is_counted_for_the_first_ones_table(serve: Serve) -> None:
    host = serve(SinkServer())
    first = AppendRowsRequest(write_stream=default_stream("p", "d", "flights"), proto_rows={"rows": {}})
    later = AppendRowsRequest(proto_rows={"rows": {"serialized_rows": [b"row"]}})
    with grpc.insecure_channel(host) as channel:
        call = channel.stream_stream(
            APPEND_ROWS,
            request_serializer=AppendRowsRequest.serialize,
            response_deserializer=AppendRowsResponse.deserialize,
        )
        assert len(list(call(iter([first, later]), timeout=5))) == 2
    assert ask(host)["flights.rows"] == 1


class Upstream(Counting):
    """Stands for Firestore: takes commits, refuses one of a named database, streams what is read."""

    def serve(self, method: str) -> Any:
        if method == COMMIT:
            return grpc.unary_unary_rpc_method_handler(self._commit)
        return grpc.unary_stream_rpc_method_handler(lambda request, _: iter([request, request]))

    def _commit(self, request: bytes, context: Any) -> bytes:
        metadata = dict(context.invocation_metadata())
        if CommitRequest.deserialize(request).database == "refused":
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"it is there, {metadata['who']}")
        return b""


def commit(host: str, database: str, writes: int) -> None:
    request = CommitRequest(database=database, writes=[{"delete": str(n)} for n in range(writes)])
    with grpc.insecure_channel(host) as channel:
        channel.unary_unary(COMMIT)(CommitRequest.serialize(request), timeout=5, metadata=[("who", "me")])


def test_the_tap_counts_the_documents_of_commits_that_succeeded(serve: Serve) -> None:
    tap = serve(TapServer(serve(Upstream())))
    commit(tap, "taken", writes=3)
    commit(tap, "taken", writes=4)
    with pytest.raises(grpc.RpcError):
        commit(tap, "refused", writes=50)
    assert ask(tap) == {"calls": 2, "commits": 2, "writes": 7}


def test_the_tap_passes_on_streams_metadata_and_refusals(serve: Serve) -> None:
    tap = serve(TapServer(serve(Upstream())))
    with grpc.insecure_channel(tap) as channel:
        assert list(channel.unary_stream(BATCH_GET)(b"read", timeout=5)) == [b"read", b"read"]
    assert ask(tap) == {"calls": 2, "commits": 0, "writes": 0}
    with pytest.raises(grpc.RpcError) as refused:
        commit(tap, "refused", writes=1)
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert refused.value.details() == "it is there, me"


@pytest.mark.parametrize("method", ["BatchWrite", "Write", "CreateDocument"])
def test_the_tap_refuses_writes_that_it_does_not_count(serve: Serve, method: str) -> None:
    tap = serve(TapServer(serve(Upstream())))
    with grpc.insecure_channel(tap) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(f"/google.firestore.v1.Firestore/{method}")(b"", timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
