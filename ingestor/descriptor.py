"""The writer schema: a message's descriptor in the self-contained form that the Storage Write API asks for.

Normalization follows the Go client (`bigquery/storage/managedwriter/adapt`): no package, every type nested under the
root and referred to by a relative name. One thing is ours: proto3 fields without presence get an explicit default.
BigQuery reads rows by proto2 rules and such a field's zero is not on the wire, so it would land as NULL. What is
normalized is the message on the wire (`ingestor.wire`): without ignored fields, with the types that the columns want.

Everything here is pure. What BigQuery can't hold is refused with the field's path, before a byte is sent.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto

from ingestor.binding import dropped, record_of
from ingestor.errors import SchemaMismatch
from ingestor.messages import field_options, message_options
from ingestor.wire import wire_message

METADATA_FIELDS: Mapping[str, int] = MappingProxyType(
    {"_ingest_batch_id": 100_001, "_ingest_row_index": 100_002, "_ingest_time": 100_003}
)
"""Field numbers of the metadata columns: string, int64, int64 (microseconds since the epoch). They are part of every
stored dead letter, so they never change."""

RESERVED_PREFIXES = (
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
    "_CHANGE_SEQUENCE_NUMBER",
    "_CHANGE_TYPE",
    "_CHANGE_TIMESTAMP",
)
"""Column names BigQuery keeps for itself, in any case (its documentation, "Column names")."""

MAX_RECORD_DEPTH = 15
"""Levels of nested RECORDs in a table (BigQuery's quotas)."""

MAX_NAME_LENGTH = 300
"""Characters of a column's name (BigQuery's documentation, "Column names")."""

_DEFAULTS = {
    FieldDescriptor.CPPTYPE_BOOL: "false",
    FieldDescriptor.CPPTYPE_STRING: "",
}


def writer_schema(message: Descriptor) -> DescriptorProto:
    """Return the schema of a row on the wire: the normalized message and the metadata fields.

    Raises:
        SchemaMismatch: as `normalized`, or the message itself uses a metadata column's name or number.
    """
    schema = normalized(message)
    metadata = [_metadata_field(name, number) for name, number in METADATA_FIELDS.items()]
    taken = {added.name.lower(): f"name {added.name}" for added in metadata}
    numbers = {added.number: f"number {added.number}" for added in metadata}
    for own in message.fields:
        clash = taken.get(column_name(own).lower()) or numbers.get(own.number)
        if clash:
            raise refusal(message, own.name, f"the {clash} belongs to a metadata column; choose another")
    schema.field.extend(metadata)
    schema.field.sort(key=lambda each: each.number)
    return schema


def normalized(message: Descriptor) -> DescriptorProto:
    """Return the message as one self-contained descriptor: alone in a file, it decodes the message's rows.

    Raises:
        SchemaMismatch: it can't be a table (recursion, a reserved name, names that differ only in case, a well-known
            type that is no value, options that contradict the declaration, too deep a nesting); says where, why and
            what to do instead.
    """
    names = {_short(message.full_name)}
    names.update(column_name(member) for _, member in walk(message))
    root = DescriptorProto(name=_short(message.full_name))
    _Normalization(root, names).fill(root, wire_message(message))
    return root


def fingerprint(schema: DescriptorProto) -> str:
    """Return 32 hex digits that are equal for equal schemas: half of a SHA-256 of the serialized descriptor."""
    return hashlib.sha256(schema.SerializeToString(deterministic=True)).hexdigest()[:32]


def walk(message: Descriptor) -> Iterator[tuple[str, FieldDescriptor]]:
    """Yield every field that is a column, at every level, with its dotted path: parents before children, in the order
    of the `.proto`.

    Raises:
        SchemaMismatch: as `normalized`.
    """
    yield from _walk(message, message, "", (message,))


def column_name(member: FieldDescriptor) -> str:
    """Return the column's name, case kept: the option `name` where it is written, else the field's own, or its JSON
    name where the message says `use_json_names`.
    """
    named = field_options(member).name
    if named:
        return named
    holder = member.containing_type
    by_json = holder is not None and message_options(holder).use_json_names
    return str(member.json_name if by_json else member.name)


def refusal(message: Descriptor, path: str, reason: str) -> SchemaMismatch:
    """Return the error that names the message, the field's path and the reason with what to do."""
    return SchemaMismatch(f"message {message.full_name}, field {path}: {reason}")


def _walk(
    root: Descriptor, message: Descriptor, prefix: str, above: tuple[Descriptor, ...]
) -> Iterator[tuple[str, FieldDescriptor]]:
    seen: dict[str, str] = {}
    for member in message.fields:
        path = f"{prefix}{member.name}"
        try:
            if dropped(member):
                continue
            inner = record_of(member)
        except ValueError as error:
            raise refusal(root, path, str(error)) from None
        reason = _name_refusal(member, seen) or (_record_refusal(inner, above) if inner is not None else "")
        if reason:
            raise refusal(root, path, reason)
        yield path, member
        if inner is not None:
            yield from _walk(root, inner, f"{path}.", (*above, inner))


def _name_refusal(member: FieldDescriptor, seen: dict[str, str]) -> str:
    name = column_name(member)
    other = seen.setdefault(name.lower(), member.name)
    if other != member.name:
        return f"column {name} differs at most in case from the column of field {other}; rename one"
    for prefix in RESERVED_PREFIXES:
        if name.upper().startswith(prefix):
            return f"BigQuery reserves column names that begin with {prefix}; rename {name}"
    if not (name.isascii() and name.isidentifier() and len(name) <= MAX_NAME_LENGTH):
        return f"{name!r} is no column name (up to {MAX_NAME_LENGTH} letters, digits and _); change the option `name`"
    return ""


def _record_refusal(inner: Descriptor, above: tuple[Descriptor, ...]) -> str:
    if inner in above:
        loop = " → ".join(each.full_name for each in (*above[above.index(inner) :], inner))
        advice = 'send this part as JSON text with type_override = "JSON"'
        return f"the message contains itself ({loop}) and a table can't; {advice}"
    if len(above) > MAX_RECORD_DEPTH:
        return f"nested deeper than the {MAX_RECORD_DEPTH} levels BigQuery allows; flatten the message"
    return ""


@dataclass(slots=True)
class _Normalization:
    """One pass over a message. `taken` are names that a type may not have: within a scope, fields hide types."""

    root: DescriptorProto
    taken: set[str]
    names: dict[str, str] = field(default_factory=dict)

    def fill(self, target: DescriptorProto, message: Descriptor) -> None:
        written = DescriptorProto()
        message.CopyToProto(written)
        defaults = {each.number: each.default_value for each in written.field if each.HasField("default_value")}
        for member in sorted(message.fields, key=lambda each: each.number):
            target.field.append(self._field(member, defaults.get(member.number)))

    def _field(self, member: FieldDescriptor, written_default: str | None) -> FieldDescriptorProto:
        result = FieldDescriptorProto(name=column_name(member), number=member.number, label=_label(member))
        result.type = FieldDescriptorProto.Type.ValueType(member.type)
        if written_default is not None:
            result.default_value = written_default
        elif _needs_default(member):
            result.default_value = _default(member)
        if member.is_repeated and member.is_packed:
            result.options.packed = True
        if member.message_type is not None:
            result.type_name = self._message(member.message_type)
        elif member.enum_type is not None:
            result.type_name = self._enum(member.enum_type)
        return result

    def _message(self, message: Descriptor) -> str:
        if message.full_name not in self.names:
            inlined = DescriptorProto(name=self._name(message.full_name, _short(message.full_name)))
            self.fill(inlined, message)
            self.root.nested_type.append(inlined)
        return self.names[message.full_name]

    def _enum(self, enum: EnumDescriptor) -> str:
        if enum.full_name not in self.names:
            wrapper = DescriptorProto(name=self._name(enum.full_name, f"{_short(enum.full_name)}_E"))
            wrapper.enum_type.append(_plain_enum(enum))
            self.root.nested_type.append(wrapper)
        return f"{self.names[enum.full_name]}.{enum.name}"

    def _name(self, full_name: str, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.taken:
            count += 1
            name = f"{wanted}_{count}"
        self.taken.add(name)
        self.names[full_name] = name
        return name


def _short(full_name: str) -> str:
    return full_name.replace(".", "_")


def _plain_enum(enum: EnumDescriptor) -> EnumDescriptorProto:
    plain = EnumDescriptorProto(name=enum.name)
    for value in enum.values:
        plain.value.add(name=value.name, number=value.number)
    if enum.GetOptions().allow_alias:
        plain.options.allow_alias = True
    return plain


def _label(member: FieldDescriptor) -> FieldDescriptorProto.Label.ValueType:
    if member.is_repeated:
        return FieldDescriptorProto.LABEL_REPEATED
    return FieldDescriptorProto.LABEL_REQUIRED if member.is_required else FieldDescriptorProto.LABEL_OPTIONAL


def _needs_default(member: FieldDescriptor) -> bool:
    """Whether an unset field means zero and not NULL: no presence, or a key or value of a map."""
    if member.is_repeated or member.message_type is not None:
        return False
    holder = member.containing_type
    return not member.has_presence or (holder is not None and holder.GetOptions().map_entry)


def _default(member: FieldDescriptor) -> str:
    if member.enum_type is not None:
        return next(value.name for value in member.enum_type.values if value.number == member.default_value)
    return _DEFAULTS.get(member.cpp_type, "0")


def _metadata_field(name: str, number: int) -> FieldDescriptorProto:
    text = name == "_ingest_batch_id"
    kind = FieldDescriptorProto.TYPE_STRING if text else FieldDescriptorProto.TYPE_INT64
    return FieldDescriptorProto(name=name, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL)
