"""A message's columns: what BigQuery's table must have so that the message's rows fit. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from ingestor.binding import binding, column_type, dropped, is_map, is_type, record_of, well_known_type
from ingestor.descriptor import column_name, refusal, walk
from ingestor.errors import SchemaMismatch
from ingestor.messages import field_options, message_options

Mode = Literal["NULLABLE", "REQUIRED", "REPEATED"]
MODES: tuple[Mode, ...] = ("NULLABLE", "REQUIRED", "REPEATED")

MAX_DESCRIPTION = 1024
"""Characters of a column's description (BigQuery's quotas)."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        type: standard SQL name; RECORD for a structure, whose parts are `fields`; `RANGE<T>` for a range.
        policy_tag: resource name of the policy tag, empty for none.
        default: SQL expression of the default, empty for none.
        fits: types of an existing column that the rows fill as well.
        member: the field it stands for, None for a column of a table or of no field.
    """

    name: str
    type: str
    mode: Mode = "NULLABLE"
    description: str = ""
    fields: tuple["Column", ...] = ()
    policy_tag: str = ""
    default: str = ""
    fits: tuple[str, ...] = field(default=(), compare=False)
    member: FieldDescriptor | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view as it is. `partition_column` and `partition_unit` are empty when it isn't partitioned by time;
    `query` is the text of a view, empty for a table.
    """

    table_id: str
    columns: tuple[Column, ...]
    partition_column: str = ""
    partition_unit: str = ""
    cluster_columns: tuple[str, ...] = ()
    is_view: bool = False
    query: str = ""


METADATA_COLUMNS = (
    Column("_ingest_batch_id", "STRING", description="Batch that carried the row; see the ledger table"),
    Column("_ingest_row_index", "INT64", description="Place of the row's record in its batch, from 0"),
    Column("_ingest_time", "TIMESTAMP", description="When the batch was first attempted"),
)
"""What the ingestor adds to every row; the table is partitioned by the last and clustered by the first."""


def columns_of(message: Descriptor, *, metadata: bool = True) -> tuple[Column, ...]:
    """Return the columns in the order of the `.proto`, then the three metadata columns unless told not to.

    Raises:
        SchemaMismatch: the message can't be a table; one line names the first field at fault, why, and what to do.
    """
    for path, member in walk(message):
        if field_options(member).default_value_expression and "." in path:
            raise refusal(message, path, "BigQuery has defaults for columns only, not inside a RECORD; remove it")
    columns = _columns(message)
    if not columns:
        raise SchemaMismatch(f"message {message.full_name} has no fields and a table needs one; add a field")
    return columns + (METADATA_COLUMNS if metadata else ())


def warnings_of(message: Descriptor) -> tuple[str, ...]:
    """Return what may surprise in a message that can be a table, a line each: NULLs that can't be, options that do
    less than they say.

    Raises:
        SchemaMismatch: as `columns_of`.
    """
    return tuple(f"field {path}: {text}" for path, member in walk(message) for text in _warnings(member)) + tuple(
        _of_messages(message, "")
    )


def declaration(member: FieldDescriptor, override: str = "") -> str:
    """Return the field's line in the `.proto`, with another `type_override` where one is given."""
    label = "repeated " if member.is_repeated else "optional " if member.has_presence else ""
    if member.message_type is not None and is_map(member):
        key, value = member.message_type.fields
        label, type_ = "", f"map<{_type_name(key)}, {_type_name(value)}>"
    else:
        type_ = _type_name(member)
    written = override or field_options(member).type_override
    options = f' [(gen_bq_schema.bigquery).type_override = "{written}"]' if written else ""
    return f"{label}{type_} {member.name} = {member.number}{options};"


def _columns(message: Descriptor) -> tuple[Column, ...]:
    options = message_options(message)
    members = [each for each in message.fields if not dropped(each)]
    if options.by_number:
        members.sort(key=lambda each: each.number)
    extra = tuple(_extra_column(message, text) for text in options.extra_fields)
    return (*(_column(member) for member in members), *extra)


def _column(member: FieldDescriptor) -> Column:
    options, bound, inner = field_options(member), binding(member), record_of(member)
    return Column(
        name=column_name(member),
        type=bound.type,
        mode=_mode(member),
        description=_described(options.description),
        fields=() if inner is None else _columns(inner),
        policy_tag=options.policy_tags,
        default=options.default_value_expression,
        fits=bound.fits,
        member=member,
    )


def _described(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else f"{text[: MAX_DESCRIPTION - 3]}..."


def _mode(member: FieldDescriptor) -> Mode:
    if member.is_repeated and not (is_map(member) and record_of(member) is None):
        return "REPEATED"
    return "REQUIRED" if member.is_required or field_options(member).require else "NULLABLE"


def _extra_column(message: Descriptor, text: str) -> Column:
    """A column that no field fills. It is never REQUIRED, because then no row could be written."""
    name, _, rest = text.partition(":")
    type_, *more = rest.split(":")
    wanted = column_type(type_)
    of_message = more.pop(0) if wanted == "RECORD" and more else ""
    mode = more[0].upper() if more else "NULLABLE"
    if not (name.isascii() and name.isidentifier()) or mode not in MODES or len(more) > 1 or not is_type(wanted):
        form = "NAME:TYPE[:MODE] or NAME:RECORD:MESSAGE[:MODE]"
        raise SchemaMismatch(f"message {message.full_name}: extra_fields has {text!r}; write it as {form}")
    kept: Mode = "REPEATED" if mode == "REPEATED" else "NULLABLE"
    if wanted != "RECORD":
        return Column(name, wanted, kept)
    found = _message_named(message, of_message)
    if found.file.package == "google.protobuf":
        return Column(name, _of_well_known(message, text, found), kept)
    list(walk(found))  # refuses what can't be a RECORD
    return Column(name, "RECORD", kept, fields=_columns(found))


def _of_well_known(message: Descriptor, text: str, found: Descriptor) -> str:
    type_ = well_known_type(found)
    if not type_:
        raise SchemaMismatch(f"message {message.full_name}: extra_fields has {text!r}; {found.full_name} is no value")
    return type_


def _message_named(message: Descriptor, name: str) -> Descriptor:
    try:
        return message.file.pool.FindMessageTypeByName(name.removeprefix("."))
    except KeyError:
        pass
    try:
        return message.file.pool.FindMessageTypeByName(f"{message.file.package}.{name}")
    except KeyError:
        problem = f"extra_fields names the message {name!r}, which no imported file defines; import its file"
        raise SchemaMismatch(f"message {message.full_name}: {problem}") from None


def _warnings(member: FieldDescriptor) -> Iterator[str]:
    options, bound = field_options(member), binding(member)
    if _is_implicit(member) and not bound.nullable and not options.require:
        zero = {"STRING": "empty text", "BYTES": "no bytes", "BOOL": "false"}.get(bound.type, "0")
        yield f"proto3 can't tell absent from {zero}, so absent and null land as {zero}, not as NULL; write `optional`"
        if options.default_value_expression:
            yield "its default never applies, because it always has a value; write `optional`"
    if options.require and _mode(member) == "REPEATED":
        yield "`require` says nothing of a list: BigQuery's lists are never NULL, and may be empty"


def _is_implicit(member: FieldDescriptor) -> bool:
    holder = member.containing_type
    in_map = holder is not None and holder.GetOptions().map_entry
    return not (member.is_repeated or member.has_presence or in_map)


def _of_messages(message: Descriptor, prefix: str) -> Iterator[str]:
    for member in message.fields:
        reason = dropped(member)
        if reason and not field_options(member).ignore:
            yield f"field {prefix}{member.name}: left out of table and rows, because {reason}"
        elif (inner := record_of(member)) is not None:
            yield from _of_messages(inner, f"{prefix}{member.name}.")
    for text in message_options(message).extra_fields:
        if text.upper().endswith(":REQUIRED"):
            yield f"extra_fields {text!r}: no field fills the column, so it can't be REQUIRED and is NULLABLE"


def _type_name(member: FieldDescriptor) -> str:
    if member.message_type is not None:
        return str(member.message_type.full_name)
    if member.enum_type is not None:
        return str(member.enum_type.full_name)
    return FieldDescriptorProto.Type.Name(FieldDescriptorProto.Type.ValueType(member.type))[5:].lower()
