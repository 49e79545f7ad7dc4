"""The writer schema: a descriptor that must stand alone, and how its fields meet a table's columns.

Both are told by the service when a connection is opened: it ends the RPC (googleapis/python-bigquery-storage #257 and
#519 for the descriptor, apache/beam #27892 for extra fields).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from ops.local.storage_write_columns import TableColumn
from ops.local.storage_write_protocol import extra_fields, invalid
from ops.local.storage_write_values import CONVERSIONS, Convert

_KINDS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_FIXED32: "uint32",
    FieldDescriptor.TYPE_FIXED64: "uint64",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_SFIXED32: "int32",
    FieldDescriptor.TYPE_SFIXED64: "int64",
    FieldDescriptor.TYPE_SINT32: "int32",
    FieldDescriptor.TYPE_SINT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}
_SECONDS_AND_NANOS = [("seconds", 1, "int64"), ("nanos", 2, "int32")]
_MAX_DEPTH = 15
"""Levels of nested RECORDs ("BigQuery quotas")."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A field of the writer schema and the column that takes it.

    `convert` is set for a plain value, `cells` for a structure. `has_default`: the descriptor says what an unset field
    stands for, as rows are read by proto2 rules. `labels` names an enum's numbers for a STRING column.
    """

    column: TableColumn
    field: str
    repeated: bool
    has_default: bool
    convert: Convert | None = None
    cells: tuple["Cell", ...] = ()
    labels: Mapping[int, str] | None = None


def message_class(proto: DescriptorProto, entity: str) -> Any:  # noqa: ANN401 - made at run time
    """Return the class of the rows: the descriptor alone in a proto2 file without a package.

    Raises:
        Refused: it doesn't stand alone (INVALID_ARGUMENT, the RPC ends).
    """
    for path, nested in _walk(proto, proto.name):
        for field in nested.field:
            if field.proto3_optional:
                reason = f"The [proto3_optional=true] option may only be set on proto3 fields, not {path}.{field.name}"
                raise invalid(f"Invalid proto schema: BqMessage.proto: {path}.{field.name}: {reason}.", entity)
    pool = descriptor_pool.DescriptorPool()
    try:
        pool.Add(FileDescriptorProto(name="BqMessage.proto", syntax="proto2", message_type=[proto]))
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(proto.name))
    except (TypeError, KeyError) as error:
        reason = str(error).removeprefix("Couldn't build proto file into descriptor pool: ")
        raise invalid(f"Invalid proto schema: BqMessage.proto: {proto.name}: {reason}.", entity) from error


def bind(message: Descriptor, columns: tuple[TableColumn, ...], entity: str) -> tuple[Cell, ...]:
    """Match the fields with the columns by name, in any case.

    Raises:
        Refused: fields without a column (SCHEMA_MISMATCH_EXTRA_FIELDS), two for one column, or of a type or mode that
            doesn't fit. The RPC ends.
    """
    extra = tuple(_extra(message, columns, ""))
    if extra:
        raise extra_fields(extra, entity)
    return _cells(message, columns, entity, "root", 0)


def _walk(proto: DescriptorProto, path: str) -> Iterator[tuple[str, DescriptorProto]]:
    yield path, proto
    for nested in proto.nested_type:
        yield from _walk(nested, f"{path}.{nested.name}")


def _extra(message: Descriptor, columns: tuple[TableColumn, ...], prefix: str) -> Iterator[str]:
    known = {column.name.lower(): column for column in columns}
    for field in message.fields:
        column = known.get(field.name.lower())
        if column is None:
            yield f"{prefix}{field.name}"
        elif column.type == "RECORD" and field.message_type is not None:
            yield from _extra(field.message_type, column.fields, f"{prefix}{field.name}.")


def _cells(
    message: Descriptor, columns: tuple[TableColumn, ...], entity: str, path: str, depth: int
) -> tuple[Cell, ...]:
    if depth > _MAX_DEPTH:
        raise invalid(f"{path} is nested deeper than {_MAX_DEPTH} levels.", entity)
    known, cells = {column.name.lower(): column for column in columns}, []
    for field in message.fields:
        column = known.pop(field.name.lower(), None)
        if column is None:
            raise invalid(f"The proto has two fields for the column {path}.{field.name}.", entity)
        cells.append(_cell(field, column, entity, f"{path}.{field.name}", depth))
    return tuple(cells)


def _cell(field: FieldDescriptor, column: TableColumn, entity: str, path: str, depth: int) -> Cell:
    kind = _kind(field)
    repeated, inner = column.mode == "REPEATED", field.message_type
    if field.is_repeated != repeated:
        raise _mismatch(
            path, f"{'repeated ' if field.is_repeated else ''}{kind}", f"{column.mode} {column.type}", entity
        )
    convert, cells = CONVERSIONS.get(column.type, {}).get(kind), tuple[Cell, ...]()
    if column.type == "RECORD" and inner is not None:
        cells = _cells(inner, column.fields, entity, path, depth + 1)
    elif column.type == "RANGE" and inner is not None and {part.name for part in inner.fields} <= {"start", "end"}:
        cells = _cells(inner, _range_parts(column), entity, path, depth)
    elif convert is None:
        raise _mismatch(path, kind, column.type, entity)
    labels = _labels(field) if column.type == "STRING" else None
    return Cell(column, field.name, repeated, bool(field.has_default_value), convert, cells, labels)


def _kind(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is None:
        return _KINDS.get(field.type, "group")
    parts = [(part.name, part.number, _KINDS.get(part.type)) for part in message.fields]
    if parts == _SECONDS_AND_NANOS and message.name.endswith(("Timestamp", "Duration")):
        return "timestamp" if message.name.endswith("Timestamp") else "duration"
    return "message"


def _labels(field: FieldDescriptor) -> Mapping[int, str] | None:
    """Return an enum's names by number; of aliases the first."""
    if field.enum_type is None:
        return None
    return {value.number: value.name for value in reversed(list(field.enum_type.values))}


def _range_parts(column: TableColumn) -> tuple[TableColumn, ...]:
    return (TableColumn("start", column.element), TableColumn("end", column.element))


def _mismatch(path: str, proto: str, column: str, entity: str) -> Exception:
    message = f"The proto field mismatched with BigQuery field at {path}, the proto field type {proto}"
    return invalid(f"{message}, BigQuery field type {column}.", entity)
