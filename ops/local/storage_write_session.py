"""One connection's requests: what the first sets up, the rules of the service, and where the rows go."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from ops.local.storage_write_columns import table_schema
from ops.local.storage_write_protocol import (
    TABLE_NOT_FOUND,
    Refusal,
    Refused,
    Response,
    appended,
    invalid,
    not_found,
    rows_refused,
    table_of,
)
from ops.local.storage_write_rows import NULL_VALUE, Row, RowReader
from ops.local.storage_write_schema import bind, message_class
from ops.local.storage_write_tables import Table, TableStore, now


class Session(Protocol):
    """One connection as the server drives it."""

    @property
    def stream(self) -> str:
        """The stream that requests without a name go to."""

    def prepare(self, request: Any, size: int) -> Refusal | None:  # noqa: ANN401 - the raw message class has no static type
        """Take in what the request says of the connection, whatever the script does next; return what is wrong."""

    def messages(self, request: Any) -> list[Any]:  # noqa: ANN401 - likewise
        """Return the request's rows decoded, None for one that can't be."""

    def append(self, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Apply the request and return its answer.

        Raises:
            Refused: nothing of it was written, or the RPC ends.
        """

    def close(self) -> None:
        """Release what the connection holds."""


@dataclass
class Connection:
    """What a connection has said so far: stream, writer schema, and what missing values mean."""

    stream: str = ""
    message: Any = None
    schema: Any = None
    missing: int = NULL_VALUE

    def take(self, request: Any) -> None:  # noqa: ANN401 - likewise
        """Follow a request.

        Raises:
            Refused: the first names no stream or brings no writer schema, a new destination comes without one, the
                descriptor doesn't stand alone.
        """
        moved = bool(request.write_stream) and request.write_stream != self.stream
        self.stream = request.write_stream or self.stream
        if not self.stream:
            raise invalid("The first request of a connection must name its write_stream.")
        if moved:
            self.message, self.schema = None, None
        table_of(self.stream)
        self.missing = request.default_missing_value_interpretation or self.missing
        if request.proto_rows.HasField("writer_schema"):
            self.schema = request.proto_rows.writer_schema.proto_descriptor
            self.message = None
            self.message = message_class(self.schema, self.stream)
        elif self.schema is None and request.WhichOneof("rows") != "arrow_rows":
            raise invalid("The first request to a destination must carry its writer_schema.", self.stream)

    def messages(self, request: Any) -> Iterator[Any]:  # noqa: ANN401 - likewise
        """Yield the request's rows decoded, None for one that can't be."""
        for data in request.proto_rows.rows.serialized_rows if self.message is not None else ():
            try:
                yield self.message.FromString(data)
            except DecodeError:
                yield None


class TableSession:
    """A connection whose rows are checked against declared tables and kept there."""

    def __init__(self, tables: TableStore, max_request_bytes: int) -> None:
        self._tables, self._max_request_bytes = tables, max_request_bytes
        self._connection = Connection()
        self._reader: RowReader | None = None
        self._bound: tuple[str, int, Any] | None = None
        self._told: tuple[str, int] | None = None

    @property
    def stream(self) -> str:
        """The stream that requests without a name go to."""
        return self._connection.stream

    def prepare(self, request: Any, size: int) -> Refusal | None:  # noqa: ANN401 - likewise
        """Take in stream and schema; return what is wrong with the request as such."""
        try:
            self._connection.take(request)
            self._check(request, size)
        except Refused as refused:
            return refused.refusal
        return None

    def messages(self, request: Any) -> list[Any]:  # noqa: ANN401 - likewise
        """Return the request's rows decoded, None for one that can't be."""
        return list(self._connection.messages(request))

    def read(self, request: Any) -> list[Row]:  # noqa: ANN401 - likewise
        """Return the rows as the table would hold them, without keeping them.

        Raises:
            Refused: no such table, the schema doesn't fit it, or rows are refused.
        """
        reader = self._bind(self._table())
        interpretations = dict(request.missing_value_interpretations)
        sent = request.proto_rows.rows.serialized_rows
        rows, errors = reader.read(sent, interpretations, self._connection.missing)
        if errors:
            raise rows_refused(errors, self.stream)
        return rows

    def keep(self, rows: list[Row]) -> None:
        """Keep rows that landed."""
        self._tables.add(table_of(self.stream), rows)

    def append(self, request: Any) -> Any:  # noqa: ANN401 - likewise
        """Check and keep the rows; the answer tells a schema that changed since the connection last heard of it."""
        self.keep(self.read(request))
        answer, name, table = appended(self.stream), table_of(self.stream), self._table()
        if self._told is not None and self._told[0] == name and self._told[1] < table.version:
            answer.updated_schema.CopyFrom(table_schema(table.columns))
        self._told = (name, table.version)
        return answer

    def close(self) -> None:
        """Nothing is held."""

    def _table(self) -> Table:
        table = self._tables.find(table_of(self.stream))
        if table is None:
            raise not_found(self.stream, TABLE_NOT_FOUND)
        return table

    def _bind(self, table: Table) -> RowReader:
        message = self._connection.message
        bound = (self.stream, table.version, message)
        if self._reader is None or self._bound != bound:
            cells = bind(message.DESCRIPTOR, table.columns, self.stream)
            self._reader, self._bound = RowReader(message, cells, table.columns, now), bound
        return self._reader

    def _check(self, request: Any, size: int) -> None:  # noqa: ANN401 - likewise
        if size >= self._max_request_bytes:
            limit = f"AppendRows request too large: {size} limit {self._max_request_bytes}"
            raise invalid(limit, self.stream, ends=False)
        if request.HasField("offset"):
            raise invalid("Offset can't be specified on the default stream.", self.stream, ends=False)
        if request.WhichOneof("rows") == "arrow_rows":
            raise Refused(Refusal("UNIMPLEMENTED", "This server takes rows in protobuf only.", ends=True))
        if 0 in request.missing_value_interpretations.values():
            raise invalid("A missing value interpretation must be specified.", self.stream, ends=False)


def with_schema(answer: Any, schema: Any) -> Any:  # noqa: ANN401 - likewise
    """Return a copy of an answer that also tells of an updated schema."""
    told = Response()
    told.CopyFrom(answer)
    told.updated_schema.CopyFrom(schema)
    return told
