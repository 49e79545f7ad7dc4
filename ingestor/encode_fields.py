"""What an encoder plan knows of one field: its kind on the wire, its keys, and how it is named in the source. Pure."""

import keyword
from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ingestor.binding import Binding
from ingestor.messages import field_options

INT, FLOAT, STR, BOOL = "int", "float", "str", "bool"
_TYPES: Mapping[int, str] = {
    **dict.fromkeys(
        (
            FieldDescriptor.CPPTYPE_INT32,
            FieldDescriptor.CPPTYPE_INT64,
            FieldDescriptor.CPPTYPE_UINT32,
            FieldDescriptor.CPPTYPE_UINT64,
        ),
        INT,
    ),
    FieldDescriptor.CPPTYPE_BOOL: BOOL,
    FieldDescriptor.CPPTYPE_DOUBLE: FLOAT,
    FieldDescriptor.CPPTYPE_FLOAT: "float32",
    FieldDescriptor.CPPTYPE_STRING: STR,
}
SURE: Mapping[str, tuple[str, str]] = {
    INT: ("type({0}) is int", "whole({0})"),
    STR: ("type({0}) is str", "text({0})"),
    BOOL: ("type({0}) is bool", "flag({0})"),
    FLOAT: ("type({0}) is float and {0} - {0} == 0.0", "real({0})"),
}
"""By its type on the wire: when a value is taken as it is, and what takes it else. The difference is NaN for NaN and
infinities."""
ONE: Mapping[str, str] = {
    **{kind: f"{{0}} if {sure} else {other}" for kind, (sure, other) in SURE.items()},
    "float32": "real32({0})",
}
"""A value without a conversion, by its type on the wire."""
ALL: Mapping[str, str] = {INT: "INT", STR: "STR", BOOL: "BOOL"}
"""Sets that hold one type: a list of nothing else is taken as a whole."""
_NULL = "google.protobuf.NullValue"


class NoPlan(Exception):  # noqa: N818 - a verdict, answered by using the reference for every record
    """The message has something whose meaning to `ParseDict` depends on more than values; one line says what."""


def keys_of(message: Descriptor, wire: Descriptor) -> frozenset[str]:
    """Keys that need no look: the names of the fields on the wire, and every spelling of those that are left out."""
    left_out = [each for each in message.fields if each.number not in wire.fields_by_number]
    return frozenset(each.name for each in wire.fields) | {key for f in left_out for key in (f.name, f.json_name)}


def aliases_of(message: Descriptor, wire: Descriptor) -> dict[str, str]:
    """Other keys of a field, with its name.

    Raises:
        NoPlan: a key could mean two things.
    """
    owners: dict[str, str] = {}
    for each in message.fields:
        for key in {each.name, each.json_name}:
            if owners.setdefault(key, each.name) != each.name:
                raise NoPlan(f"{message.full_name}: the key {key} could mean two fields")
    for oneof in wire.oneofs:
        if oneof.name in owners:
            raise NoPlan(f"{message.full_name}: the oneof {oneof.name} is called as a field's key is")
    for each in wire.fields:
        if hasattr(Message, each.name):
            raise NoPlan(f"{message.full_name}: the field {each.name} hides a method of messages")
        if each.enum_type is not None and each.enum_type.full_name == _NULL:
            raise NoPlan(f"{message.full_name}: null is a value of the field {each.name}")
    return {key: name for key, name in owners.items() if key != name}


def is_only_unknown(key: str) -> bool:
    """Whether a key that is no field's is passed over: not one that could be meant for an extension, and not one with a
    lone surrogate, which stops `ParseDict` even in a name that it has no use for.
    """
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return not key.startswith("[")


def conversion_name(member: FieldDescriptor, bound: Binding) -> str:
    """Return what a conversion is known by: equal names mean the same conversion."""
    if member.enum_type is not None:
        return f"enum {member.enum_type.full_name}"
    options = field_options(member)
    words = (bound.type.lower(), options.time_unit.lower(), options.json_text.lower())
    return " ".join(word for word in words if word)


def required(wire: FieldDescriptor, member: FieldDescriptor | None) -> bool:
    """Whether a record without a value for the field is no row; `member` is the field of the user's message."""
    return member is not None and wire.has_presence and (field_options(member).require or wire.is_required)


def wire_type(wire: FieldDescriptor) -> str:
    """Return the Python type of a value on the wire."""
    return _TYPES[wire.cpp_type]


def taken(oneof: str) -> str:
    """Return the variable that tells whether a member of the oneof has a value."""
    return f"taken_{oneof}"


def attribute(name: str) -> str:
    """Return the expression for a field of `message`; some names are words of Python."""
    return f"getattr(message, {name!r})" if keyword.iskeyword(name) else f"message.{name}"


def assignment(name: str, value: str) -> str:
    """Return the statement that gives a field of `message` a value."""
    return f"setattr(message, {name!r}, {value})" if keyword.iskeyword(name) else f"message.{name} = {value}"
