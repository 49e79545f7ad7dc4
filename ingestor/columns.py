"""A message's columns: what BigQuery's table must have so that the message's rows fit. Pure."""

from dataclasses import dataclass
from typing import Literal

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ingestor.descriptor import column_name, refusal, walk
from ingestor.errors import SchemaMismatch
from ingestor.messages import field_options, message_options

Mode = Literal["NULLABLE", "REQUIRED", "REPEATED"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `type` is the standard SQL name, RECORD for a structure, whose parts are `fields`."""

    name: str
    type: str
    mode: Mode = "NULLABLE"
    description: str = ""
    fields: tuple["Column", ...] = ()


METADATA_COLUMNS = (
    Column("_ingest_batch_id", "STRING", description="Batch that carried the row; see the ledger table"),
    Column("_ingest_row_index", "INT64", description="Place of the row's record in its batch, from 0"),
    Column("_ingest_time", "TIMESTAMP", description="When the batch was first attempted"),
)
"""What the ingestor adds to every row; the table is partitioned by the last and clustered by the first."""

# After BigQuery's "Supported protocol buffer data types". It does not list the zigzag and fixed-width encodings of
# integers; their values are those of int32, int64 and uint32.
_TYPES = {
    FieldDescriptor.TYPE_BOOL: "BOOL",
    FieldDescriptor.TYPE_BYTES: "BYTES",
    FieldDescriptor.TYPE_DOUBLE: "FLOAT64",
    FieldDescriptor.TYPE_ENUM: "STRING",
    FieldDescriptor.TYPE_FIXED32: "INT64",
    FieldDescriptor.TYPE_FLOAT: "FLOAT64",
    FieldDescriptor.TYPE_INT32: "INT64",
    FieldDescriptor.TYPE_INT64: "INT64",
    FieldDescriptor.TYPE_MESSAGE: "RECORD",
    FieldDescriptor.TYPE_SFIXED32: "INT64",
    FieldDescriptor.TYPE_SFIXED64: "INT64",
    FieldDescriptor.TYPE_SINT32: "INT64",
    FieldDescriptor.TYPE_SINT64: "INT64",
    FieldDescriptor.TYPE_STRING: "STRING",
    FieldDescriptor.TYPE_UINT32: "INT64",
}


def columns_of(message: Descriptor, *, metadata: bool = True) -> tuple[Column, ...]:
    """Return the columns in the order of the `.proto`, then the three metadata columns unless told not to.

    Raises:
        SchemaMismatch: the message can't be a table; one line names the first field at fault, why, and what to do.
    """
    if not message.fields:
        raise SchemaMismatch(f"message {message.full_name} has no fields and a table needs one; add a field")
    _refuse_message_options(message, message)
    for path, member in walk(message):
        _refuse_field_options(message, path, member)
    return _columns(message) + (METADATA_COLUMNS if metadata else ())


def timestamp_fields(message: Descriptor) -> tuple[str, ...]:
    """Return the dotted paths (field names, not column names) of the fields whose column is a TIMESTAMP."""
    return tuple(path for path, member in walk(message) if field_options(member).type_override == "TIMESTAMP")


def _columns(message: Descriptor) -> tuple[Column, ...]:
    by_number = message_options(message).output_field_order
    members = sorted(message.fields, key=lambda each: each.number) if by_number else message.fields
    return tuple(_column(member) for member in members)


def _column(member: FieldDescriptor) -> Column:
    options = field_options(member)
    inner = member.message_type
    return Column(
        name=column_name(member),
        type=options.type_override or _TYPES[member.type],
        mode=_mode(member),
        description=options.description,
        fields=_columns(inner) if inner is not None else (),
    )


def _mode(member: FieldDescriptor) -> Mode:
    if member.is_repeated:
        return "REPEATED"
    return "REQUIRED" if member.is_required or field_options(member).require else "NULLABLE"


def _refuse_field_options(root: Descriptor, path: str, member: FieldDescriptor) -> None:
    options = field_options(member)
    if member.type not in _TYPES:
        reason = "uint64 holds values that INT64 can't; use int64, or string"
        raise refusal(root, path, reason)
    if options.type_override not in ("", "TIMESTAMP"):
        raise refusal(root, path, f"type_override {options.type_override} is not supported by this version yet")
    if options.type_override and member.type != FieldDescriptor.TYPE_INT64:
        raise refusal(root, path, "a TIMESTAMP is sent as microseconds since the epoch; declare the field int64")
    for name in ("policy_tags", "default_value_expression"):
        if getattr(options, name):
            raise refusal(root, path, f"the option `{name}` is not supported by this version yet; remove it")
    if member.message_type is not None:
        _refuse_message_options(root, member.message_type)


def _refuse_message_options(root: Descriptor, message: Descriptor) -> None:
    options = message_options(message)
    for name in ("use_json_names", "extra_fields"):
        if getattr(options, name):
            detail = f"the option `{name}` of {message.full_name} is not supported by this version yet; remove it"
            raise SchemaMismatch(f"message {root.full_name}: {detail}")
