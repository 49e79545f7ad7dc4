"""The Storage Write server in this process: a real gRPC server on a real port, with a script.

with StorageWriteServer(tables={"p.d.t": columns}) as server:
    server.play([{"on": {"request": 3}, "do": {"end": "UNAVAILABLE", "when": "after"}}])
    ... write_client(server.host) ...
    assert server.rows("p.d.t") == [...]
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Self

import grpc
from grpc_status import rpc_status

from ops.local.process import HOST
from ops.local.storage_write_call import IDLE_S, Call, Journal, RequestSeen, Shared
from ops.local.storage_write_columns import Declared, table_schema
from ops.local.storage_write_protocol import (
    APPEND_ROWS,
    GET_WRITE_STREAM,
    MAX_REQUEST_BYTES,
    SERVICE,
    TABLE_NOT_FOUND,
    GetStream,
    Refused,
    Stream,
    not_found,
    table_of,
)
from ops.local.storage_write_proxy import UNLIMITED, ProxySession
from ops.local.storage_write_relay import Relay
from ops.local.storage_write_rows import Row
from ops.local.storage_write_script import Rule, Script
from ops.local.storage_write_session import Session, TableSession
from ops.local.storage_write_tables import Tables, TableStore

CALLS = 256
"""Calls that can be open at once: each has a thread."""

_NO_TABLES: Tables = MappingProxyType({})
_COMMITTED = 1  # WriteStream.Type; what the service calls `_default` is not documented


class StorageWriteServer:
    """Serves AppendRows and GetWriteStream until closed; a context manager.

    Args:
        tables: columns by `P.D.T`, see `columns_from`.
        rules: the script.
        port: 0 for a free one.
        forward: host:port of a server to pass requests on to; without it, rows go to declared tables.
        max_request_bytes: a request must be smaller.
        idle_s: a connection without requests for so long is closed with ABORTED.

    Raises:
        OSError: the port is taken.
    """

    def __init__(  # noqa: PLR0913 - all optional
        self,
        tables: Tables = _NO_TABLES,
        rules: Iterable[Rule | Mapping[str, Any]] = (),
        *,
        port: int = 0,
        forward: str | None = None,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        idle_s: float = IDLE_S,
    ) -> None:
        self._tables, self._script, self._journal = TableStore(), Script(), Journal()
        for name, columns in tables.items():
            self.declare(name, columns)
        self.play(rules)
        self._max_request_bytes = max_request_bytes
        self._upstream: Any = grpc.insecure_channel(forward, options=UNLIMITED) if forward else None
        options = [*UNLIMITED, ("grpc.so_reuseport", 0)]
        self._grpc = grpc.server(ThreadPoolExecutor(CALLS), handlers=[_Methods(self)], options=options)
        behind = self._grpc.add_insecure_port(f"{HOST}:0")
        self._relay = Relay(port, behind)
        self._shared = Shared(self._script, self._journal, self._tables, self._relay, idle_s)
        self._grpc.start()

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._relay.port

    @property
    def host(self) -> str:
        """What `write_client` and BIGQUERY_STORAGE_EMULATOR_HOST want."""
        return f"{HOST}:{self.port}"

    def play(self, rules: Iterable[Rule | Mapping[str, Any]]) -> None:
        """Replace the script; requests are counted from 1 again.

        Raises:
            ScriptError: a rule makes no sense.
        """
        self._script.play(rules)

    def add(self, rules: Iterable[Rule | Mapping[str, Any]]) -> None:
        """Add rules after those that are there.

        Raises:
            ScriptError: a rule makes no sense.
        """
        self._script.add(rules)

    def hits(self) -> list[dict[str, Any]]:
        """Return each rule's name and how often it was obeyed."""
        return self._script.hits()

    def declare(self, table: str, columns: Iterable[Declared] | Mapping[str, Any]) -> None:
        """Create a table or change its columns; its rows stay.

        Raises:
            TableError: the name is not `P.D.T`.
            ColumnError: a column can't be.
        """
        self._tables.declare(table, columns)

    def drop(self, table: str) -> None:
        """Delete a table with its rows."""
        self._tables.drop(table)

    def tables(self) -> list[str]:
        """Return the names of the declared tables."""
        return self._tables.names()

    def rows(self, table: str) -> list[Row]:
        """Return a table's rows, as Python values by column type, in the order in which they landed.

        Raises:
            TableError: there is no such table.
        """
        return self._tables.rows(table)

    def requests(self) -> list[RequestSeen]:
        """Return the requests that came, in order."""
        return self._journal.requests()

    def clear(self) -> None:
        """Forget rows and requests; tables and script stay."""
        self._tables.clear()
        self._journal.clear()

    def set_reachable(self, *, reachable: bool) -> None:
        """While not reachable, every connection is reset at once."""
        self._relay.set_reachable(reachable=reachable)

    def close(self) -> None:
        """Stop serving; open calls end."""
        self._relay.close()
        self._grpc.stop(None).wait()
        if self._upstream is not None:
            self._upstream.close()

    def append_rows(self, requests: Iterable[bytes], context: Any) -> Iterable[bytes]:  # noqa: ANN401 - grpc has no types
        """Serve one AppendRows call."""
        if self._upstream is None:
            session: Session = TableSession(self._tables, self._max_request_bytes)
        else:
            session = ProxySession(self._upstream, self._tables, self._max_request_bytes)
        return Call(self._shared, session).serve(requests, context)

    def get_write_stream(self, data: bytes, context: Any) -> bytes:  # noqa: ANN401 - likewise
        """Tell of a default stream: its name, its type and the table's schema."""
        name = GetStream.FromString(data).name
        try:
            table = self._tables.find(table_of(name))
            if table is None:
                raise not_found(name, TABLE_NOT_FOUND)
        except Refused as refused:
            context.abort_with_status(rpc_status.to_status(refused.refusal.status()))
            raise
        stream = Stream(name=name, type_=_COMMITTED, table_schema=table_schema(table.columns))
        return bytes(stream.SerializeToString())

    def pass_on(self, method: str, data: bytes, context: Any) -> bytes:  # noqa: ANN401 - likewise
        """Pass a unary call on to the upstream."""
        try:
            return bytes(self._upstream.unary_unary(method)(data, timeout=context.time_remaining()))
        except grpc.RpcError as error:
            status = rpc_status.from_call(error)
            if status is not None:
                context.abort_with_status(rpc_status.to_status(status))
            context.abort(error.code(), error.details())
            raise

    @property
    def forwards(self) -> bool:
        """Whether requests are passed on."""
        return self._upstream is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types; the name of the base is gRPC's
    """Finds what serves a method."""

    def __init__(self, server: StorageWriteServer) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:  # noqa: ANN401 - likewise
        """Return what serves the method, None when nothing does: the client hears UNIMPLEMENTED."""
        method = handler_call_details.method
        if method == APPEND_ROWS:
            return grpc.stream_stream_rpc_method_handler(self._server.append_rows)
        if self._server.forwards and method.startswith(f"{SERVICE}/"):

            def pass_on(data: bytes, context: Any) -> bytes:  # noqa: ANN401 - likewise
                return self._server.pass_on(method, data, context)

            return grpc.unary_unary_rpc_method_handler(pass_on)
        if method == GET_WRITE_STREAM:
            return grpc.unary_unary_rpc_method_handler(self._server.get_write_stream)
        return None
