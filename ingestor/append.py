"""Appends to one table's `_default` stream over one AppendRows call.

What it promises: every request that was handed over is either answered, under its own key, or named when the call ends.
Answers come in request order on a connection (the service's rule), so a FIFO matches them. What it cannot promise: that
an unanswered request was not written. Nothing is retried here; the run decides.

The library's transport is used directly (`client.transport.append_rows(iterator)`): its `AppendRowsStream` loses
error codes, polls for answers and mixes up futures under threads. `transport.append_rows` returns only after the first
answer, hence the receiver's own thread.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from ingestor.lean import without
from ingestor.outcome import Outcome, RowError, answered, ended, name

with without("pandas", "pyarrow", "fastavro"):
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient
    from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
    from google.cloud.bigquery_storage_v1.types import AppendRowsRequest, AppendRowsResponse, StorageError

_REQUEST = AppendRowsRequest.pb()
_STORAGE_ERROR = StorageError.pb()
_UNKNOWN = grpc.StatusCode.UNKNOWN.value[0]
_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Answer:
    """One request was answered in band."""

    key: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ended:
    """The call ended. `unanswered` were sent and are in doubt; nothing more comes from this connection."""

    outcome: Outcome
    unanswered: tuple[str, ...]


class AppendPort(Protocol):
    """A connection as the run sees it."""

    def send(self, key: str, rows: Sequence[bytes]) -> None:
        """Queue one request. Never blocks: the run's window bounds what is queued.

        Handed over after the call ended it goes nowhere, and `Ended` does not name it: `Ended` was reported before or
        is just being reported, so whoever has not heard it yet must count everything it sent as unanswered.
        """

    def cancel(self) -> None:
        """End the call now; what is unanswered is reported by `Ended`."""

    def close(self) -> None:
        """Half-close after what is queued, wait for its answers in bounded time, and release the call. Idempotent."""


def write_client(emulator_host: str | None) -> BigQueryWriteClient:
    """Return a client; with `emulator_host` (host:port) over plaintext and without credentials."""
    if emulator_host is None:
        return BigQueryWriteClient()  # type: ignore[no-untyped-call]
    channel = grpc.insecure_channel(emulator_host, options=_UNLIMITED)
    return BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))  # type: ignore[no-untyped-call]


def default_stream(project: str, dataset: str, table: str) -> str:
    """Return the resource name of a table's `_default` stream."""
    return f"projects/{project}/datasets/{dataset}/tables/{table}/streams/_default"


class Connection:
    """One AppendRows call: the gRPC library's sender consumes a queue, one thread of ours receives."""

    def __init__(  # noqa: PLR0913 - what a call needs, and who hears of it
        self,
        client: BigQueryWriteClient,
        stream: str,
        writer_schema: DescriptorProto,
        emit: Callable[[Answer | Ended], None],
        *,
        trace_id: str,
        close_timeout_s: float = 10.0,
    ) -> None:
        """Open lazily: the call starts with the first `send`.

        Args:
            client: from `write_client`.
            stream: from `default_stream`.
            writer_schema: self-contained descriptor of the rows, metadata columns included.
            emit: called from the receiver's thread, once per request and once at the end.
            trace_id: names the run in the service's logs.
            close_timeout_s: how long `close` waits for outstanding answers before it cancels.
        """
        self._append_rows: Any = client.transport.append_rows
        self._stream, self._schema, self._trace_id = stream, writer_schema, trace_id
        self._emit, self._close_timeout_s = emit, close_timeout_s
        self._requests: queue.SimpleQueue[tuple[str, Sequence[bytes]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unanswered: deque[str] = deque()
        self._call: Any = None
        self._cancelled = False
        self._over = False
        self._receiver = threading.Thread(target=self._receive, name="append-receiver", daemon=True)

    def send(self, key: str, rows: Sequence[bytes]) -> None:
        """Queue one request of serialized rows under `key`."""
        with self._lock:
            if self._over:
                return
            self._unanswered.append(key)
        self._requests.put((key, rows))
        if self._receiver.ident is None:
            self._receiver.start()

    def cancel(self) -> None:
        """End the call without waiting for answers."""
        with self._lock:
            self._cancelled = True
            call = self._call
        if call is not None:
            call.cancel()
        self._requests.put(None)

    def close(self) -> None:
        """Let the call end after the last answer; cancel it when that takes too long."""
        self._requests.put(None)
        if self._receiver.ident is None:
            return
        self._receiver.join(self._close_timeout_s)
        if self._receiver.is_alive():
            self.cancel()
            self._receiver.join(self._close_timeout_s)

    def _outgoing(self) -> Iterator[AppendRowsRequest]:
        first = True
        while (item := self._requests.get()) is not None:
            request = _REQUEST(write_stream=self._stream)
            if first:
                request.trace_id = self._trace_id
                request.proto_rows.writer_schema.proto_descriptor.CopyFrom(self._schema)
                first = False
            request.proto_rows.rows.serialized_rows.extend(item[1])
            yield AppendRowsRequest.wrap(request)

    def _receive(self) -> None:
        try:
            call = self._append_rows(
                self._outgoing(), metadata=(("x-goog-request-params", f"write_stream={self._stream}"),)
            )
            with self._lock:
                self._call, cancelled = call, self._cancelled
            if cancelled:
                call.cancel()
            for response in call:
                self._answer(AppendRowsResponse.pb(response))
            outcome = ended(0, "the connection was closed")
        except (grpc.RpcError, GoogleAPICallError) as error:
            outcome = _rpc_end(error)
        except Exception as error:  # noqa: BLE001 - whatever ends this thread, the run must hear of it
            outcome = ended(_UNKNOWN, f"{type(error).__name__}: {error}")
        self._requests.put(None)  # frees the library's sender, which may wait for the next request
        with self._lock:
            self._over = True
            unanswered = tuple(self._unanswered)
            self._unanswered.clear()
        self._emit(Ended(outcome, unanswered))

    def _answer(self, response: Any) -> None:  # noqa: ANN401 - the raw message class has no static type
        with self._lock:
            key = self._unanswered.popleft() if self._unanswered else ""
        status = response.error if response.HasField("error") else None
        outcome = answered(
            status.code if status else 0,
            status.message if status else "",
            storage_error=_storage_error(status),
            row_errors=tuple(RowError(e.index, e.code, e.message) for e in response.row_errors),
            updated_schema=response.HasField("updated_schema"),
        )
        self._emit(Answer(key, outcome))


def _rpc_end(error: Exception) -> Outcome:
    """Classify what ended the call; an error of google.api_core carries gRPC's own in its `errors`."""
    call = next((each for each in (error, *getattr(error, "errors", ())) if isinstance(each, grpc.Call)), None)
    if call is None:
        status_code = getattr(error, "grpc_status_code", None) or grpc.StatusCode.UNKNOWN
        return ended(status_code.value[0], str(error))
    code = call.code().value[0]
    return ended(code, call.details() or name(code), storage_error=_storage_error(_status(call)))


def _status(call: Any) -> Any:  # noqa: ANN401 - grpc has no types
    """Return the google.rpc.Status in the call's trailers; None without one, or when it contradicts the call."""
    try:
        return rpc_status.from_call(call)
    except ValueError:
        return None


def _storage_error(status: Any) -> int:  # noqa: ANN401 - the raw message class has no static type
    """Return the StorageError code in a google.rpc.Status' details, 0 without one."""
    found = _STORAGE_ERROR()
    for detail in status.details if status else ():
        if detail.Is(_STORAGE_ERROR.DESCRIPTOR) and _unpacked(detail, found):
            return int(found.code)
    return 0


def _unpacked(detail: Any, into: Any) -> bool:  # noqa: ANN401 - likewise
    try:
        return bool(detail.Unpack(into))
    except DecodeError:
        return False
