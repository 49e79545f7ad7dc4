"""What a field of the `.proto` is in BigQuery: its type, its type on the wire, and the conversion of its values. Pure.

A field's type follows from its declaration, or from the option `type_override`; the documented types are those of
GoogleCloudPlatform/protoc-gen-bq-schema. Where the declared type can't carry the column's (a DATE declared as string, a
`google.protobuf.Timestamp`), the row on the wire has another type than the declaration: `ingestor.wire` writes it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from ingestor import convert as values
from ingestor.convert import Convert
from ingestor.convert_time import TIMES, to_range
from ingestor.messages import FieldOptions, field_options

_INTEGERS = (
    *(FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64),
    *(FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_FIXED32),
    *(FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED32, FieldDescriptor.TYPE_SFIXED64),
)
_KINDS: Mapping[int, str] = MappingProxyType(
    {
        **dict.fromkeys(_INTEGERS, "integer"),
        FieldDescriptor.TYPE_BOOL: "bool",
        FieldDescriptor.TYPE_BYTES: "bytes",
        FieldDescriptor.TYPE_DOUBLE: "float",
        FieldDescriptor.TYPE_ENUM: "enum",
        FieldDescriptor.TYPE_FLOAT: "float",
        FieldDescriptor.TYPE_GROUP: "message",
        FieldDescriptor.TYPE_MESSAGE: "message",
        FieldDescriptor.TYPE_STRING: "string",
    }
)
_NATURAL: Mapping[str, str] = MappingProxyType(
    {
        "bool": "BOOL",
        "bytes": "BYTES",
        "enum": "INT64",
        "float": "FLOAT64",
        "integer": "INT64",
        "message": "RECORD",
        "string": "STRING",
    }
)
_WELL_KNOWN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "BoolValue": ("bool", "BOOL"),
        "BytesValue": ("bytes", "BYTES"),
        "DoubleValue": ("float", "FLOAT64"),
        "Duration": ("duration", "INTERVAL"),
        "FloatValue": ("float", "FLOAT64"),
        "Int32Value": ("integer", "INT64"),
        "Int64Value": ("integer", "INT64"),
        "ListValue": ("value", "JSON"),
        "StringValue": ("string", "STRING"),
        "Struct": ("value", "JSON"),
        "Timestamp": ("timestamp", "TIMESTAMP"),
        "UInt32Value": ("integer", "INT64"),
        "UInt64Value": ("integer", "INT64"),
        "Value": ("value", "JSON"),
    }
)
"""Messages of google.protobuf that are one value: kind and type."""

_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "BIGDECIMAL": "BIGNUMERIC",
        "BOOLEAN": "BOOL",
        "DECIMAL": "NUMERIC",
        "FLOAT": "FLOAT64",
        "INTEGER": "INT64",
        "STRUCT": "RECORD",
    }
)
"""Other names of a type, legacy SQL's among them; the service's REST answers are in these."""

_WIRE: Mapping[str, int] = MappingProxyType(
    {
        "BIGNUMERIC": FieldDescriptor.TYPE_STRING,
        "BOOL": FieldDescriptor.TYPE_BOOL,
        "BYTES": FieldDescriptor.TYPE_BYTES,
        "DATE": FieldDescriptor.TYPE_INT32,
        "DATETIME": FieldDescriptor.TYPE_STRING,
        "FLOAT64": FieldDescriptor.TYPE_DOUBLE,
        "GEOGRAPHY": FieldDescriptor.TYPE_STRING,
        "INT64": FieldDescriptor.TYPE_INT64,
        "INTERVAL": FieldDescriptor.TYPE_STRING,
        "JSON": FieldDescriptor.TYPE_STRING,
        "NUMERIC": FieldDescriptor.TYPE_STRING,
        "STRING": FieldDescriptor.TYPE_STRING,
        "TIME": FieldDescriptor.TYPE_STRING,
        "TIMESTAMP": FieldDescriptor.TYPE_INT64,
    }
)
"""The wire type of each type: BigQuery's preferred one ("Supported protocol buffer data types")."""

_DECLARED_AS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "BIGNUMERIC": ("string", "integer", "float"),
        "BOOL": ("bool", "integer", "string"),
        "BYTES": ("bytes", "string"),
        "DATE": ("integer", "string"),
        "DATETIME": ("string", "integer"),
        "FLOAT64": ("float", "integer", "string"),
        "GEOGRAPHY": ("string", "value"),
        "INT64": ("integer", "enum", "string"),
        "INTERVAL": ("string", "integer", "float", "duration"),
        "JSON": ("string", "value", "message"),
        "NUMERIC": ("string", "integer", "float"),
        "RANGE": ("string", "message"),
        "RECORD": ("message",),
        "STRING": ("string", "enum", "integer", "float", "bool"),
        "TIME": ("string", "integer"),
        "TIMESTAMP": ("integer", "string", "float", "timestamp"),
    }
)
"""How a field of a type may be declared."""

RANGES = ("DATE", "DATETIME", "TIMESTAMP")
"""What a RANGE may be of."""

_CONVERT: Mapping[str, Convert] = MappingProxyType(
    {
        "BIGNUMERIC": values.to_bignumeric,
        "BOOL": values.to_bool,
        "BYTES": values.to_base64,
        "GEOGRAPHY": values.to_geography,
        "NUMERIC": values.to_numeric,
        "STRING": values.to_text,
    }
)
_JSON: Mapping[str, Convert] = MappingProxyType(
    {"": values.to_json, "PARSED": values.json_text, "STRING": values.json_string}
)
_AS_PARSE_DICT_TAKES_THEM = frozenset({"FLOAT64", "INT64", "RECORD"})
_ZERO_IS_A_VALUE = frozenset({"BOOL", "BYTES", "FLOAT64", "INT64", "STRING", "RECORD"})


@dataclass(frozen=True, slots=True)
class Binding:
    """What a field is in BigQuery.

    Attributes:
        type: standard SQL name, RECORD for a structure, `RANGE<T>` for a range.
        wire: field type of the row on the wire (`FieldDescriptorProto.Type`), None where it is the declared one.
        convert: what is done to each value before `ParseDict`, None where that takes it as it is.
        nullable: absent is NULL even where the `.proto` gives the field no presence.
        fits: types of an existing column that the field's wire type can fill as well.
    """

    type: str
    wire: FieldDescriptorProto.Type.ValueType | None = None
    convert: Convert | None = None
    nullable: bool = False
    fits: tuple[str, ...] = ()


def binding(member: FieldDescriptor) -> Binding:
    """Return what a field that is not `dropped` is in BigQuery.

    Raises:
        ValueError: its options contradict its declaration; says how to mend it.
    """
    options = field_options(member)
    kind, natural = _kind(member)
    wanted = column_type(options.type_override) or natural
    base = wanted.partition("<")[0]
    if not is_type(wanted):
        raise ValueError(f"type_override {options.type_override} is no type of BigQuery; write one such as DATE")
    if kind not in _DECLARED_AS[base]:
        declared = " or ".join(each for each in _DECLARED_AS[base] if each in _NATURAL)
        raise ValueError(f"a {kind} can't be a {wanted}; declare the field {declared}")
    _require_options_used(options, base)
    if wanted == "RECORD":
        return Binding(wanted)
    wire = _wire(member, base, kind)
    convert = _conversion(member, options, wanted)
    if kind == "enum":
        return Binding(wanted, None, convert, fits=() if options.type_override else ("STRING",))
    plain = wanted == natural == "INT64"
    nullable = base not in _ZERO_IS_A_VALUE or member.message_type is not None
    return Binding(wanted, wire, convert, nullable, ("NUMERIC", "BIGNUMERIC") if plain else ())


def dropped(member: FieldDescriptor) -> str:
    """Return why a field is in neither table nor rows: the option `ignore`, or nothing in it to store; else nothing."""
    if field_options(member).ignore:
        return "the option `ignore`"
    inner = member.message_type
    if inner is not None and _kind(member)[0] == "message" and _is_left_out(member, ()):
        return f"message {inner.full_name} has no fields"
    return ""


def record_of(member: FieldDescriptor) -> Descriptor | None:
    """Return the message whose fields are columns below this field's column; None where the column has no parts.

    Raises:
        ValueError: as `binding`.
    """
    return member.message_type if not dropped(member) and binding(member).type == "RECORD" else None


def column_type(spelled: str) -> str:
    """Return the standard name of a type in capitals, from any of its spellings; empty stays empty."""
    name = "".join(spelled.upper().split())
    return _SPELLINGS.get(name, name)


def is_type(name: str) -> bool:
    """Whether this is the standard name of a type of BigQuery; a RANGE is one of something."""
    return name in _WIRE or name == "RECORD" or name in [f"RANGE<{each}>" for each in RANGES]


def well_known_type(message: Descriptor) -> str:
    """Return the type of a message of google.protobuf that is one value; empty for any other message."""
    return _WELL_KNOWN.get(message.name, ("", ""))[1]


def can_be(member: FieldDescriptor, type_: str) -> bool:
    """Whether the field, declared as it is, can have a `type_override` to this type."""
    return type_ != "RECORD" and is_type(type_) and _kind(member)[0] in _DECLARED_AS[type_.partition("<")[0]]


def is_map(member: FieldDescriptor) -> bool:
    """Whether the field is declared `map<K, V>`."""
    inner = member.message_type
    return inner is not None and bool(inner.GetOptions().map_entry)


def _kind(member: FieldDescriptor) -> tuple[str, str]:
    inner = member.message_type
    if inner is not None and inner.file.package == "google.protobuf":
        if inner.name not in _WELL_KNOWN:
            raise ValueError(f"{inner.full_name} can't be a column; declare a message of your own")
        return _WELL_KNOWN[inner.name]
    kind = _KINDS[member.type]
    return kind, _NATURAL[kind]


def _is_empty(message: Descriptor, above: tuple[Descriptor, ...]) -> bool:
    if message in above:
        return False  # recursion is refused elsewhere
    return all(_is_left_out(each, (*above, message)) for each in message.fields)


def _is_left_out(member: FieldDescriptor, above: tuple[Descriptor, ...]) -> bool:
    options = field_options(member)
    inner = member.message_type
    if options.ignore or inner is None or options.type_override or inner.file.package == "google.protobuf":
        return options.ignore
    return _is_empty(inner, above)


def _require_options_used(options: FieldOptions, base: str) -> None:
    if options.time_unit and base not in (*TIMES, "RANGE"):
        raise ValueError(f'the option `time_unit` is for times; add type_override = "TIMESTAMP" (it is {base})')
    if options.json_text and base != "JSON":
        raise ValueError(f'the option `json_text` is for JSON; add type_override = "JSON" (it is {base})')


def _wire(member: FieldDescriptor, base: str, kind: str) -> FieldDescriptorProto.Type.ValueType | None:
    if base == "RANGE":
        return FieldDescriptorProto.TYPE_MESSAGE
    if member.message_type is None:
        if member.type == FieldDescriptor.TYPE_UINT64:
            unsigned = FieldDescriptor.TYPE_INT64
        elif member.type == FieldDescriptor.TYPE_FIXED64:
            unsigned = FieldDescriptor.TYPE_SFIXED64
        else:
            unsigned = member.type
        kept = unsigned if _NATURAL[kind] == base else _WIRE[base]
        return None if kept == member.type else FieldDescriptorProto.Type.ValueType(kept)
    return FieldDescriptorProto.Type.ValueType(_WIRE[base])


def _conversion(member: FieldDescriptor, options: FieldOptions, wanted: str) -> Convert | None:
    if member.enum_type is not None:
        return values.enum_number(member.enum_type)
    if wanted.startswith("RANGE"):
        return to_range(_of_time(wanted[6:-1], options.time_unit))
    if wanted in TIMES:
        return _of_time(wanted, options.time_unit)
    if wanted == "JSON":
        return _JSON[options.json_text]
    if wanted in _AS_PARSE_DICT_TAKES_THEM or (wanted in ("BOOL", "STRING") and not options.type_override):
        return None
    return _CONVERT[wanted]


def _of_time(type_: str, unit: str) -> Callable[[Any], Any]:
    convert = TIMES[type_]
    return lambda value: convert(value, unit)
