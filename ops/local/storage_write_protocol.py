"""What goes over the wire of AppendRows: messages, names of streams, refusals and how they are packed.

The messages are the raw classes of `google.cloud.bigquery_storage_v1`; proto-plus around them is slow.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.cloud.bigquery_storage_v1.types import (
    AppendRowsRequest,
    AppendRowsResponse,
    GetWriteStreamRequest,
    StorageError,
    WriteStream,
)
from google.rpc import code_pb2, status_pb2

SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryWrite"
APPEND_ROWS = f"{SERVICE}/AppendRows"
GET_WRITE_STREAM = f"{SERVICE}/GetWriteStream"

MAX_REQUEST_BYTES = 20_000_000
"""A request must be smaller ("BigQuery quotas", Storage Write API: 20 MB). Whether the service counts MB or MiB is not
written down; the smaller one is meant here, so that what passes here passes there."""

FIELDS_ERROR = 1
"""The one code of RowError beside the unspecified one."""

TABLE_NOT_FOUND, STREAM_NOT_FOUND, SCHEMA_MISMATCH_EXTRA_FIELDS = 1, 3, 7
"""Codes of StorageError that the rules themselves give; a script can give every one."""

Request: Any = AppendRowsRequest.pb()
Response: Any = AppendRowsResponse.pb()
GetStream: Any = GetWriteStreamRequest.pb()
Stream: Any = WriteStream.pb()
_StorageError: Any = StorageError.pb()
_STORAGE_CODES: Any = StorageError.StorageErrorCode
_STREAM_NAME = re.compile(r"projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)(?:/streams)?/([^/]+)")


@dataclass(frozen=True, slots=True)
class RowError:
    """One row that is refused: its index in the request and why."""

    index: int
    message: str
    code: int = FIELDS_ERROR


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error: in band, or with `ends` as the end of the RPC. `code` is a gRPC status' name."""

    code: str
    message: str
    storage_error: int | None = None
    entity: str = ""
    row_errors: tuple[RowError, ...] = ()
    ends: bool = False

    def status(self) -> Any:  # noqa: ANN401 - google.rpc has no types
        """Return the `google.rpc.Status`; a StorageError is packed into its details."""
        status = status_pb2.Status(code=code_number(self.code), message=self.message)
        if self.storage_error is not None:
            detail = _StorageError(code=self.storage_error, entity=self.entity, error_message=self.message)
            status.details.add().Pack(detail)
        return status

    def response(self, stream: str) -> Any:  # noqa: ANN401 - likewise
        """Return the answer in band; with the code OK it is an append that never happened."""
        if self.code == "OK":
            return appended(stream)
        response = Response(write_stream=stream, error=self.status())
        for error in self.row_errors:
            response.row_errors.add(index=error.index, code=error.code, message=error.message)
        return response


class Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    """The request is refused with `refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def invalid(message: str, entity: str = "", *, ends: bool = True) -> Refused:
    """Return the refusal of a malformed request. Of the connection's set-up the service says it by ending the RPC."""
    return Refused(Refusal("INVALID_ARGUMENT", _with_entity(message, entity), ends=ends))


def not_found(entity: str, storage_error: int) -> Refused:
    """Return the refusal for a table or a stream that does not exist."""
    message = _with_entity("Requested entity was not found.", entity)
    return Refused(Refusal("NOT_FOUND", message, storage_error, entity, ends=True))


def extra_fields(names: Iterable[str], entity: str) -> Refused:
    """Return the refusal of a writer schema with more fields than the table."""
    listed = ", ".join(f"'{name}'" for name in names)
    message = _with_entity(f"Input schema has more fields than BigQuery schema, extra fields: {listed}", entity)
    return Refused(Refusal("INVALID_ARGUMENT", message, SCHEMA_MISMATCH_EXTRA_FIELDS, entity, ends=True))


def rows_refused(errors: tuple[RowError, ...], entity: str) -> Refused:
    """Return the refusal of rows: nothing of the request is written."""
    message = (
        "Errors found while processing rows. Please refer to the row_errors field for details. "
        "The list may not be complete because of the size limitations."
    )
    return Refused(Refusal("INVALID_ARGUMENT", _with_entity(message, entity), row_errors=errors))


def appended(stream: str) -> Any:  # noqa: ANN401 - the raw message class has no static type
    """Return the answer to an append that landed: no offset, as `_default` has none."""
    response = Response(write_stream=stream)
    response.append_result.SetInParent()
    return response


def table_of(stream: str) -> str:
    """Return `P.D.T` of a table's default stream, in either of its spellings.

    Raises:
        Refused: it is not the name of a stream, or it is another stream than `_default`.
    """
    match = _STREAM_NAME.fullmatch(stream)
    if match is None:
        raise invalid("Invalid stream name.", stream)
    *table, name = match.groups()
    if name != "_default":
        raise not_found(stream, STREAM_NOT_FOUND)
    return ".".join(table)


def code_number(name: str) -> int:
    """Return a gRPC status' number.

    Raises:
        ValueError: there is none of that name.
    """
    return int(code_pb2.Code.Value(name))


def storage_error_number(code: int | str) -> int:
    """Return a StorageError's number from its number or name.

    Raises:
        ValueError: there is none such.
    """
    try:
        return int(_STORAGE_CODES[code] if isinstance(code, str) else _STORAGE_CODES(code))
    except KeyError as error:
        raise ValueError(f"no StorageError {code!r}") from error


def _with_entity(message: str, entity: str) -> str:
    return f"{message} Entity: {entity}" if entity else message
