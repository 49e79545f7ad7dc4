"""A connection against a real gRPC server of the test's own, which answers as each test says."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest, AppendRowsResponse, StorageError
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pb2 import DescriptorProto
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from ingestor.append import Answer, Connection, Ended, default_stream, write_client
from ingestor.outcome import Action, Outcome, RowError

STREAM = default_stream("p", "d", "t")
SCHEMA = DescriptorProto(name="Row")
REQUEST: Any = AppendRowsRequest.pb()
RESPONSE: Any = AppendRowsResponse.pb()
STORAGE_ERROR: Any = StorageError.pb()
PATIENCE_S = 10.0
Talk = Callable[[Iterator[Any], Any], Iterator[Any]]
Connect = Callable[..., Connection]


class Server(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """AppendRows as the test writes it: a generator over the requests of one call."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk

    def service(self, handler_call_details: Any) -> Any:
        assert handler_call_details.method.endswith("/AppendRows")
        metadata = dict(handler_call_details.invocation_metadata)
        assert metadata["x-goog-request-params"] == f"write_stream={STREAM}"
        return grpc.stream_stream_rpc_method_handler(
            self.talk,
            request_deserializer=REQUEST.FromString,
            response_serializer=RESPONSE.SerializeToString,
        )


class Heard:
    """What a connection reported, in order."""

    def __init__(self) -> None:
        self._reports: queue.SimpleQueue[Answer | Ended] = queue.SimpleQueue()

    def emit(self, report: Answer | Ended) -> None:
        self._reports.put(report)

    def next(self) -> Answer | Ended:
        return self._reports.get(timeout=PATIENCE_S)

    def answer(self) -> Answer:
        report = self.next()
        assert isinstance(report, Answer), report
        return report

    def end(self) -> Ended:
        report = self.next()
        assert isinstance(report, Ended), report
        return report

    def nothing_more(self) -> bool:
        return self._reports.empty()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def connect(heard: Heard) -> Iterator[Callable[[Talk], Connection]]:
    closing: list[Callable[[], object]] = []

    def start(talk: Talk) -> Connection:
        server = grpc.server(ThreadPoolExecutor(4), handlers=[Server(talk)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        client = write_client(f"127.0.0.1:{port}")
        connection = Connection(client, STREAM, SCHEMA, heard.emit, trace_id="ingestor:r1", close_timeout_s=PATIENCE_S)
        closing.extend((connection.cancel, connection.close, client.transport.close, lambda: server.stop(None).wait()))
        return connection

    yield start
    for close in closing:
        close()


def done(request: Any = None) -> Any:
    response = RESPONSE(write_stream=STREAM)
    response.append_result.SetInParent()
    if request is not None:  # the row says which request this was
        response.append_result.offset.value = int(request.proto_rows.rows.serialized_rows[0])
    return response


def status(code: int, message: str, storage_error: int = 0) -> Status:
    found = Status(code=code, message=message)
    if storage_error:
        found.details.add().Pack(STORAGE_ERROR(code=storage_error, entity=STREAM, error_message=message))
    return found


def refused(error: Status, *rows: tuple[int, str]) -> Any:
    response = RESPONSE(row_errors=[{"index": index, "code": 1, "message": text} for index, text in rows])
    response.error.ParseFromString(error.SerializeToString())
    return response


def all_done(requests: Iterator[Any], _: Any) -> Iterator[Any]:
    for request in requests:
        yield done(request)


def outcome_of(connect: Connect, heard: Heard, response: Any) -> Outcome:
    connection = connect(lambda requests, _: (response for _ in requests))
    connection.send("b0", [b"0"])
    return heard.answer().outcome


def end_of(connect: Connect, heard: Heard, abort: Callable[[Any], None]) -> Outcome:
    def talk(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        next(requests)
        abort(context)
        yield

    connect(talk).send("b0", [b"0"])
    end = heard.end()
    assert end.unanswered == ("b0",)
    return end.outcome


def test_answers_are_matched_in_order_with_eight_in_flight(connect: Connect, heard: Heard) -> None:
    most = 0

    def talk(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        nonlocal most
        for _ in range(5):
            waiting = [next(requests) for _ in range(8)]
            most = max(most, len(waiting))
            for request in waiting:
                number = int(request.proto_rows.rows.serialized_rows[0])
                yield refused(status(13, str(number))) if number % 3 == 0 else done(request)

    connection = connect(talk)
    for number in range(40):
        connection.send(f"b{number}", [str(number).encode()])
    answers = [heard.answer() for _ in range(40)]
    assert most == 8
    assert [answer.key for answer in answers] == [f"b{number}" for number in range(40)]
    for number, answer in enumerate(answers):
        expected = (Action.RETRY, str(number)) if number % 3 == 0 else (Action.APPENDED, "")
        assert (answer.outcome.action, answer.outcome.message) == expected


def test_the_first_request_brings_schema_and_trace_and_every_one_the_stream(connect: Connect, heard: Heard) -> None:
    seen: list[Any] = []

    def talk(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        for request in requests:
            seen.append(request)
            yield done()

    connection = connect(talk)
    connection.send("a", [b"x", b"y"])
    connection.send("b", [b"z"])
    assert [heard.answer().key, heard.answer().key] == ["a", "b"]
    assert [r.write_stream for r in seen] == [STREAM, STREAM]
    assert [r.trace_id for r in seen] == ["ingestor:r1", ""]
    assert [r.proto_rows.writer_schema.proto_descriptor.name for r in seen] == ["Row", ""]
    assert [list(r.proto_rows.rows.serialized_rows) for r in seen] == [[b"x", b"y"], [b"z"]]


def test_the_end_of_the_call_in_the_middle_names_what_is_unanswered(connect: Connect, heard: Heard) -> None:
    def talk(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        first, second, *_ = [next(requests) for _ in range(5)]
        yield done(first)
        yield done(second)
        context.abort(grpc.StatusCode.UNAVAILABLE, "the connection is draining")

    connection = connect(talk)
    for number in range(5):
        connection.send(f"b{number}", [str(number).encode()])
    assert [heard.answer().key, heard.answer().key] == ["b0", "b1"]
    end = heard.end()
    assert end.unanswered == ("b2", "b3", "b4")
    assert (end.outcome.action, end.outcome.code) == (Action.RECONNECT, "UNAVAILABLE")
    assert end.outcome.message == "the connection is draining"
    assert end.outcome.unknown


def test_a_server_that_ends_the_call_without_an_error_names_what_is_unanswered(connect: Connect, heard: Heard) -> None:
    def talk(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        yield done(next(requests))
        next(requests)

    connection = connect(talk)
    for key in "ab":
        connection.send(key, [b"0"])
    assert heard.answer().key == "a"
    end = heard.end()
    assert (end.unanswered, end.outcome.action, end.outcome.unknown) == (("b",), Action.RECONNECT, True)


def test_refused_rows_come_with_index_code_and_message(connect: Connect, heard: Heard) -> None:
    error = status(3, "Errors found while processing rows.")
    outcome = outcome_of(connect, heard, refused(error, (4, "bad date"), (17, "no name")))
    assert outcome.action is Action.TAKE_OUT
    assert outcome.row_errors == (RowError(4, 1, "bad date"), RowError(17, 1, "no name"))
    assert (outcome.code, outcome.message) == ("INVALID_ARGUMENT", "Errors found while processing rows.")


def test_a_storage_error_in_band_is_read_from_the_details(connect: Connect, heard: Heard) -> None:
    error = status(3, "extra fields", storage_error=7)
    outcome = outcome_of(connect, heard, refused(error))
    assert (outcome.storage_error, outcome.storage_error_name) == (7, "SCHEMA_MISMATCH_EXTRA_FIELDS")
    assert (outcome.action, outcome.unknown) == (Action.WAIT_FOR_TABLE, False)


def test_details_that_are_something_else_or_broken_leave_it_to_the_status(connect: Connect, heard: Heard) -> None:
    error = status(13, "oops")
    error.details.append(AnyMessage(type_url="type.googleapis.com/other.Message", value=b"\x08\x07"))
    error.details.append(
        AnyMessage(type_url="type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError", value=b"\xff")
    )
    outcome = outcome_of(connect, heard, refused(error))
    assert (outcome.action, outcome.storage_error) == (Action.RETRY, 0)


def test_an_append_with_an_updated_schema_says_so(connect: Connect, heard: Heard) -> None:
    response = done()
    response.updated_schema.fields.add(name="new")
    outcome = outcome_of(connect, heard, response)
    assert (outcome.action, outcome.updated_schema) == (Action.APPENDED, True)


def test_a_storage_error_at_the_end_of_the_call_is_read_from_its_trailers(connect: Connect, heard: Heard) -> None:
    error = rpc_status.to_status(status(5, "no such table", storage_error=1))
    outcome = end_of(connect, heard, lambda context: context.abort_with_status(error))
    assert (outcome.action, outcome.code, outcome.storage_error) == (Action.WAIT_FOR_TABLE, "NOT_FOUND", 1)
    assert (outcome.message, outcome.unknown) == ("no such table", True)


def test_trailers_that_contradict_the_call_are_passed_over(connect: Connect, heard: Heard) -> None:
    def abort(context: Any) -> None:
        details = status(5, "another", storage_error=1).SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")

    outcome = end_of(connect, heard, abort)
    assert (outcome.action, outcome.code, outcome.storage_error) == (Action.SYSTEMIC, "PERMISSION_DENIED", 0)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_the_first_request_s_status_arrives_under_its_own_code(
    connect: Connect, heard: Heard, code: grpc.StatusCode
) -> None:
    assert end_of(connect, heard, lambda context: context.abort(code, "why")).code == code.name


def test_a_server_that_is_not_there_ends_the_call(heard: Heard) -> None:
    client = write_client("127.0.0.1:1")
    connection = Connection(client, STREAM, SCHEMA, heard.emit, trace_id="t")
    connection.send("b0", [b"0"])
    end = heard.end()
    assert (end.unanswered, end.outcome.code, end.outcome.action) == (("b0",), "UNAVAILABLE", Action.RECONNECT)
    connection.close()
    client.transport.close()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("answered", [0, 1])
def test_cancelling_ends_the_call_at_once_and_names_what_is_unanswered(
    connect: Connect, heard: Heard, answered: int
) -> None:
    over = threading.Event()

    def talk(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        context.add_callback(over.set)
        for _ in range(answered):
            yield done(next(requests))
        over.wait(PATIENCE_S)

    connection = connect(talk)
    for number in range(3):
        connection.send(str(number), [b"0"])
    for _ in range(answered):
        heard.answer()
    started = time.monotonic()
    connection.cancel()
    end = heard.end()
    assert time.monotonic() - started < PATIENCE_S / 2
    assert end.unanswered == ("0", "1", "2")[answered:]
    assert (end.outcome.code, end.outcome.unknown) == ("CANCELLED", True)


def test_closing_waits_for_the_answers_that_are_due(connect: Connect, heard: Heard) -> None:
    half_closed = threading.Event()

    def talk(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        taken = list(requests)  # ends with the client's half-close
        half_closed.set()
        yield from map(done, taken)

    connection = connect(talk)
    for number in range(3):
        connection.send(f"b{number}", [str(number).encode()])
    connection.close()
    assert half_closed.is_set()
    assert [heard.answer().key for _ in range(3)] == ["b0", "b1", "b2"]
    assert heard.end().unanswered == ()
    connection.close()
    assert heard.nothing_more()


def test_closing_cancels_what_is_not_answered_in_time(heard: Heard) -> None:
    over = threading.Event()

    def talk(_: Iterator[Any], context: Any) -> Iterator[Any]:
        context.add_callback(over.set)
        over.wait(PATIENCE_S)
        yield from ()

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Server(talk)])
    client = write_client(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    connection = Connection(client, STREAM, SCHEMA, heard.emit, trace_id="t", close_timeout_s=0.05)
    connection.send("b0", [b"0"])
    connection.close()
    assert heard.end().unanswered == ("b0",)
    client.transport.close()  # type: ignore[no-untyped-call]
    server.stop(None).wait()


def test_closing_without_a_send_makes_no_call(connect: Connect, heard: Heard) -> None:
    def talk(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        raise AssertionError(list(requests))

    connection = connect(talk)
    connection.close()
    connection.cancel()
    connection.close()
    assert heard.nothing_more()


def test_a_send_after_the_end_does_not_block_and_follows_an_end_that_was_reported(
    connect: Connect, heard: Heard
) -> None:
    def talk(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        yield done(next(requests))
        context.abort(grpc.StatusCode.ABORTED, "idle")

    connection = connect(talk)
    connection.send("a", [b"0"])
    assert heard.answer().key == "a"
    assert heard.end().unanswered == ()
    connection.send("late", [b"0"])
    connection.close()
    assert heard.nothing_more(), "one end, and before the send"
    assert not connection._unanswered, "what nobody will answer is not kept"


def test_whatever_is_sent_while_the_call_ends_is_answered_named_or_followed_by_the_end(heard: Heard) -> None:
    """The rule the run lives by: when `Ended` is heard, everything sent and unanswered is unknown."""

    def talk(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        for _ in range(3):
            yield done(next(requests))
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Server(talk)])
    client = write_client(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    for _ in range(20):
        connection = Connection(client, STREAM, SCHEMA, heard.emit, trace_id="t")
        sent = [str(number) for number in range(12)]
        for key in sent:
            connection.send(key, [b"0"])
        answers = [heard.answer().key for _ in range(3)]
        end = heard.end()
        assert [*answers, *end.unanswered] == sent[: 3 + len(end.unanswered)]
        connection.close()
    client.transport.close()  # type: ignore[no-untyped-call]
    server.stop(None).wait()


@pytest.mark.parametrize("how", ["answered", "cut", "never closed", "cancelled"])
def test_no_thread_and_no_descriptor_is_left_behind(heard: Heard, how: str) -> None:
    def talk(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        yield done(next(requests))
        if how in ("cut", "never closed"):
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        yield from map(done, requests)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Server(talk)])
    client = write_client(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()

    def once() -> None:
        connection = Connection(client, STREAM, SCHEMA, heard.emit, trace_id="t")
        connection.send("a", [b"0"])
        heard.answer()
        if how == "cancelled":
            connection.cancel()
        if how != "never closed":
            connection.close()
        heard.end()

    once()
    threads, descriptors = resources()
    for _ in range(5):
        once()
    deadline = time.monotonic() + PATIENCE_S
    while more_than(threads, descriptors) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not more_than(threads, descriptors)
    client.transport.close()  # type: ignore[no-untyped-call]
    server.stop(None).wait()


def more_than(threads: int, descriptors: int) -> bool:
    now_threads, now_descriptors = resources()
    return now_threads > threads or now_descriptors > descriptors


def resources() -> tuple[int, int]:
    """Threads other than the server's own pool, and open descriptors."""
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("ThreadPoolExecutor")]
    return len(threads), len(list(Path("/dev/fd").iterdir()))
