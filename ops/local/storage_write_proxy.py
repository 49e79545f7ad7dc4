"""A connection passed on to another Storage Write server, such as bqemulator, one request at a time.

The upstream gets the stream's name on every request (bqemulator wants that) and the writer schema on the first that it
sees, which need not be the client's first. Tables that are declared here too are checked here first, and their rows
kept once the upstream has taken them.
"""

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

import grpc
from grpc_status import rpc_status

from ops.local.storage_write_protocol import APPEND_ROWS, Refusal, Refused, Request, Response, table_of
from ops.local.storage_write_session import Connection, TableSession
from ops.local.storage_write_tables import TableStore

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class PassedOn(Refused):
    """The upstream ended the RPC; `status` is its own, with its details, where it sent one."""

    def __init__(self, refusal: Refusal, status: Any) -> None:  # noqa: ANN401 - google.rpc has no types
        super().__init__(refusal)
        self.status = status


class ProxySession:
    """A connection to the upstream, opened by the first request that is passed on."""

    def __init__(self, channel: Any, tables: TableStore, max_request_bytes: int) -> None:  # noqa: ANN401 - grpc has no types
        self._channel, self._tables = channel, tables
        self._checked = TableSession(tables, max_request_bytes)
        self._connection = Connection()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers: Any = None
        self._sent: tuple[str, Any] | None = None

    @property
    def stream(self) -> str:
        """The stream that requests without a name go to."""
        return self._connection.stream

    def prepare(self, request: Any, size: int) -> Refusal | None:  # noqa: ANN401 - the raw message class has no static type
        """Take in stream and schema; only for a table that is declared here, return what is wrong."""
        refusal = self._checked.prepare(request, size)
        with contextlib.suppress(Refused):  # the upstream says what it thinks of it
            self._connection.take(request)
        return refusal if self._declared() else None

    def messages(self, request: Any) -> list[Any]:  # noqa: ANN401 - likewise
        """Return the request's rows decoded, None for one that can't be."""
        return list(self._connection.messages(request))

    def append(self, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Pass the request on and wait for its answer.

        Raises:
            Refused: the rules here refuse it.
            PassedOn: the upstream ended the RPC.
        """
        rows = self._checked.read(request) if self._declared() else []
        self._outgoing.put(self._rewritten(request).SerializeToString())
        if self._answers is None:
            call = self._channel.stream_stream(APPEND_ROWS)
            metadata = [("x-goog-request-params", f"write_stream={self.stream}")]
            self._answers = call(self._requests(), metadata=metadata)
        try:
            answer = Response.FromString(next(self._answers))
        except StopIteration as error:
            raise PassedOn(Refusal("UNAVAILABLE", "The upstream ended the call.", ends=True), None) from error
        except grpc.RpcError as error:
            refusal = Refusal(error.code().name, error.details() or "", ends=True)
            raise PassedOn(refusal, rpc_status.from_call(error)) from error
        if not answer.HasField("error"):
            self._checked.keep(rows)
        return answer

    def close(self) -> None:
        """End the upstream's call."""
        self._outgoing.put(None)
        if self._answers is not None:
            self._answers.cancel()

    def _declared(self) -> bool:
        try:
            return self._tables.find(table_of(self.stream)) is not None
        except Refused:
            return False

    def _rewritten(self, request: Any) -> Any:  # noqa: ANN401 - likewise
        passed, schema = Request(), self._connection.schema
        passed.CopyFrom(request)
        passed.write_stream = self.stream
        if schema is not None and self._sent != (self.stream, schema):
            passed.proto_rows.writer_schema.proto_descriptor.CopyFrom(schema)
            self._sent = (self.stream, schema)
        return passed

    def _requests(self) -> Iterator[bytes]:
        while (data := self._outgoing.get()) is not None:
            yield data
