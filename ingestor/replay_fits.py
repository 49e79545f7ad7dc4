"""Does today's table take rows that were encoded for another day's? Their descriptor against its columns, in words.

Pure. What is compared is what the append path compares: names, wire types and lists ("Protobuf: data type conversions"
of the Storage Write API), not what the `.proto` says today. Values are not looked at, but for those missing in REQUIRED
columns: a text that is no date is found out by the append itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto

from ingestor.columns import Column, Mode, Table
from ingestor.replay_rows import row_class
from ingestor.schema_compare import compare

_NUMBERS = ("NUMERIC", "BIGNUMERIC")
_INT32 = ("INT64", "DATE", "BOOL", *_NUMBERS)
_INT64 = ("INT64", "TIMESTAMP", "DATE", "DATETIME", "TIME", "BOOL", *_NUMBERS)
_UINT32 = ("INT64", "BOOL", *_NUMBERS)
_FLOAT = ("FLOAT64", *_NUMBERS)
_TEXT = ("STRING", "BYTES", "DATE", "DATETIME", "TIME", "JSON", "GEOGRAPHY", "INTERVAL", *_NUMBERS)
_TAKEN_BY: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        FieldDescriptor.TYPE_BOOL: ("BOOL",),
        FieldDescriptor.TYPE_BYTES: ("BYTES", *_NUMBERS),
        FieldDescriptor.TYPE_DOUBLE: _FLOAT,
        FieldDescriptor.TYPE_FLOAT: _FLOAT,
        FieldDescriptor.TYPE_ENUM: ("STRING", "INT64"),
        FieldDescriptor.TYPE_INT32: _INT32,
        FieldDescriptor.TYPE_SINT32: _INT32,
        FieldDescriptor.TYPE_SFIXED32: _INT32,
        FieldDescriptor.TYPE_INT64: _INT64,
        FieldDescriptor.TYPE_SINT64: _INT64,
        FieldDescriptor.TYPE_SFIXED64: _INT64,
        FieldDescriptor.TYPE_UINT32: _UINT32,
        FieldDescriptor.TYPE_FIXED32: _UINT32,
        FieldDescriptor.TYPE_UINT64: ("BOOL",),
        FieldDescriptor.TYPE_FIXED64: ("BOOL",),
        FieldDescriptor.TYPE_STRING: _TEXT,
    }
)
"""Column types that take a field of the writer schema, the usual one first."""


def refusals(descriptor: DescriptorProto, table: Table | None) -> tuple[str, ...]:
    """Return why the table refuses all rows of this descriptor, a line each; nothing when it takes them."""
    if table is None:
        return ("the table does not exist",)
    message: Any = row_class(descriptor).DESCRIPTOR
    found = compare(_columns(message, table.columns), table)
    return tuple(each.text.partition(";")[0].replace("message ", "batch ") for each in found.blocking)


def _columns(message: Descriptor, present: Sequence[Column]) -> tuple[Column, ...]:
    """What the descriptor needs of a table, every freedom that its wire types leave used in favour of what is there."""
    by_name = {column.name.lower(): column for column in present}
    return tuple(_column(member, by_name.get(member.name.lower())) for member in message.fields)


def _column(member: FieldDescriptor, found: Column | None) -> Column:
    mode: Mode = "REPEATED" if member.is_repeated else "NULLABLE"
    if found is not None and (mode, found.mode) == ("NULLABLE", "REQUIRED"):
        mode = found.mode
    inner = member.message_type
    if inner is None:
        taken = _TAKEN_BY.get(member.type, ("nothing",))
        return Column(member.name, taken[0] if found else " or ".join(taken), mode, fits=taken)
    if found is not None and found.type in _one_value(inner):
        return Column(member.name, found.type, mode)
    return Column(member.name, "RECORD", mode, fields=_columns(inner, found.fields if found else ()))


def _one_value(message: Descriptor) -> tuple[str, ...]:
    """Column types that are no RECORD and yet take this message."""
    names = {each.name for each in message.fields}
    if names and names <= {"start", "end"}:
        return ("RANGE<DATE>", "RANGE<DATETIME>", "RANGE<TIMESTAMP>")
    if names == {"seconds", "nanos"}:
        return ("TIMESTAMP",) if message.name.endswith("Timestamp") else ("INTERVAL",)
    return ()


def lacking(descriptor: DescriptorProto, table: Table, rows: Sequence[bytes]) -> Iterator[str]:
    """Yield a line for each REQUIRED column that some of the rows have no value for: these rows alone are refused."""
    kind = row_class(descriptor)
    message: Any = kind.DESCRIPTOR
    members = {each.name.lower(): each for each in message.fields}
    required = [
        member
        for column in table.columns
        if column.mode == "REQUIRED" and (member := members.get(column.name.lower())) is not None
        if member.has_presence and not member.has_default_value
    ]
    if not required or not rows:
        return
    parsed = [kind.FromString(row) for row in rows]
    for member in required:
        without = sum(not row.HasField(member.name) for row in parsed)
        if without:
            yield (
                f"table {table.table_id}, column {member.name}: table has it REQUIRED, "
                f"{without} of {len(rows)} rows have no value"
            )
