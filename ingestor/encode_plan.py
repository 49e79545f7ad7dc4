"""The generator of encoder plans: Python source that turns one message's records into rows. Pure.

A plan is a module of one function a message: `fill_…(record, message)` takes each field's value from the record, looks
that it is exactly of the type that the field wants, and assigns it; a value with a conversion goes through it first.
`encode(record)` fills a new row message and serializes it. What a plan cannot be sure of raises, whatever it is: then
the whole record goes to the reference encoder (`ingestor.encode`), so a plan decides nothing about rejections. What it
does accept must be the reference's bytes. Hence:

- Types are compared exactly (`type(value) is int`): True is no number and 1.5 no whole one. The few other forms taken
  (`"12"`, `12.0`) are in `ingestor.encode_values`, with what Python would take beyond them.
- A record's keys are compared as one set with the names of the fields. A camelCase key, or one that the message lacks,
  goes through `tidied`: it renames the one, counts the other, and is unsure about two spellings of one field.
- Null is left out, as `ParseDict` does; in a list, and under a required field, it is unsure.
- A second member of a oneof that has a value is unsure.

Everything that is known beforehand (names, types, tables of enum labels) is written into the source or bound to a name
of its own in the plan's namespace. `ingestor schema encoder` prints the source.
"""

import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ingestor import encode_values as quick
from ingestor.binding import Binding, binding, is_map
from ingestor.encode_values import Unsure
from ingestor.messages import field_options
from ingestor.wire import wire_class, wire_message

_INT, _FLOAT, _STR, _BOOL = "int", "float", "str", "bool"
_TYPES: Mapping[int, str] = {
    **dict.fromkeys(
        (
            FieldDescriptor.CPPTYPE_INT32,
            FieldDescriptor.CPPTYPE_INT64,
            FieldDescriptor.CPPTYPE_UINT32,
            FieldDescriptor.CPPTYPE_UINT64,
        ),
        _INT,
    ),
    FieldDescriptor.CPPTYPE_BOOL: _BOOL,
    FieldDescriptor.CPPTYPE_DOUBLE: _FLOAT,
    FieldDescriptor.CPPTYPE_FLOAT: "float32",
    FieldDescriptor.CPPTYPE_STRING: _STR,
}
_ONE: Mapping[str, str] = {
    _INT: "{0} if type({0}) is int else whole({0})",
    _STR: "{0} if type({0}) is str else text({0})",
    _BOOL: "{0} if type({0}) is bool else flag({0})",
    _FLOAT: "{0} if type({0}) is float and {0} - {0} == 0.0 else real({0})",
    "float32": "real32({0})",
}
"""A value without a conversion, by its type on the wire. The difference is NaN for NaN and infinities."""
_ALL: Mapping[str, str] = {_INT: "INT", _STR: "STR", _BOOL: "BOOL"}
"""Sets that hold one type: a list of nothing else is taken as a whole."""
_NULL = "google.protobuf.NullValue"


class NoPlan(Exception):  # noqa: N818 - a verdict, answered by using the reference for every record
    """The message has something whose meaning to `ParseDict` depends on more than values; one line says what."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a message: its source, and what the names in it stand for beside Python's own."""

    source: str
    names: Mapping[str, object]
    row: type[Message]


def plan_of(message: Descriptor) -> Plan:
    """Write the plan of a message that can be a table.

    Raises:
        NoPlan: the message has something that only the reference encoder knows; says what.
    """
    writing = _Writing()
    body = writing.body(message, wire_message(message))
    keyed = "deterministic=True" if writing.has_maps else ""
    lines = [
        f'"""Encoder plan of {message.full_name}; written by ingestor.encode_plan, not to be changed."""',
        *writing.lines,
        *("", "", "def encode(record):", "    message = Row()"),
        *body,
        f"    return message.SerializeToString({keyed})",
    ]
    return Plan("\n".join(lines) + "\n", {**_names(), **writing.names}, wire_class(message))


def _names() -> dict[str, object]:
    return {
        "INT": frozenset((int,)),
        "STR": frozenset((str,)),
        "BOOL": frozenset((bool,)),
        "Unsure": Unsure,
        "key_of_integers": quick.key_of_integers,
        "KEY_OF_BOOLS": quick.KEY_OF_BOOLS,
        "whole": quick.whole,
        "real": quick.real,
        "real32": quick.real32,
        "text": quick.text,
        "flag": quick.flag,
    }


@dataclass(slots=True)
class _Writing:
    """The plan as far as it is written. A level is written after those below it."""

    lines: list[str] = field(default_factory=list)
    names: dict[str, object] = field(default_factory=dict)
    levels: dict[Descriptor, str] = field(default_factory=dict)
    suffixes: dict[str, str] = field(default_factory=dict)
    has_maps: bool = False

    def level(self, message: Descriptor | None, wire: Descriptor) -> str:
        """Write the function of one message and return its name; `message` is None for one that is ours, a range."""
        if wire in self.levels:
            return self.levels[wire]
        self.levels[wire] = f"fill_{self._suffix(wire.full_name)}"
        body = self.body(message, wire)
        self.lines += ["", "", f"def {self.levels[wire]}(record, message):", *body]
        return self.levels[wire]

    def body(self, message: Descriptor | None, wire: Descriptor) -> list[str]:
        """Write the lines that fill `message` from `record`."""
        suffix = self._suffix(wire.full_name)
        keys, aliases = f"KEYS_{suffix}", f"ALIASES_{suffix}"
        self.names[keys] = keys_of(message or wire, wire)
        self.names[aliases] = _aliases(message or wire, wire)
        members = message.fields_by_number if message is not None else {}
        return [
            *("    if type(record) is not dict:", "        raise Unsure"),
            *(f"    if not {keys}.issuperset(record):", f"        record = tidied(record, {keys}, {aliases})"),
            "    get = record.get",
            *(f"    {_taken(each.name)} = False" for each in wire.oneofs if len(each.fields) > 1),
            *(line for each in wire.fields for line in self._field(each, members.get(each.number))),
        ]

    def _field(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> Iterator[str]:
        yield f"    value = get({wire.name!r})"
        yield "    if value is not None:"
        oneof = wire.containing_oneof
        if oneof is not None and len(oneof.fields) > 1:
            yield from (f"        if {_taken(oneof.name)}:", "            raise Unsure")
            yield f"        {_taken(oneof.name)} = True"
        yield from (f"        {line}" for line in self._value(wire, member))
        if member is not None and wire.has_presence and (field_options(member).require or wire.is_required):
            yield from ("    else:", "        raise Unsure")

    def _value(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> Iterator[str]:
        """Lines that put `value`, which is not None, into the field."""
        if is_map(wire):
            yield from self._map(wire, member)
        elif wire.is_repeated:
            yield from ("if type(value) is not list:", "    raise Unsure")
            yield from self._list(wire, member)
        elif wire.message_type is not None:
            convert = self._conversion(wire, member)
            if convert:
                yield f"value = {convert}(value)"
            yield f"part = {_attribute(wire.name)}"
            yield "part.SetInParent()"
            yield f"{self._below(wire, member)}(value, part)"
        else:
            yield _assignment(wire.name, self._one(wire, member, "value"))

    def _list(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> Iterator[str]:
        if wire.message_type is not None:
            convert = self._conversion(wire, member)
            yield f"add = {_attribute(wire.name)}.add"
            yield "for each in value:"
            yield f"    {self._below(wire, member)}({f'{convert}(each)' if convert else 'each'}, add())"
            return
        one = self._one(wire, member, "each")
        of_one_type = None if self._conversion(wire, member) else _ALL.get(_type(wire))
        if of_one_type:
            yield f"if not {of_one_type}.issuperset(map(type, value)):"
            yield f"    value = [{one} for each in value]"
            yield f"{_attribute(wire.name)}.extend(value)"
        else:
            yield f"{_attribute(wire.name)}.extend([{one} for each in value])"

    def _map(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> Iterator[str]:
        self.has_maps = True
        assert wire.message_type is not None  # noqa: S101 - a map is a message of its entries
        entry = wire.message_type.fields_by_name
        inner = None if member is None or member.message_type is None else member.message_type.fields_by_name["value"]
        key = {_STR: "key", _INT: "key_of_integers(key)", _BOOL: "KEY_OF_BOOLS[key]"}[_type(entry["key"])]
        yield from ("if type(value) is not dict:", "    raise Unsure")
        yield f"entries = {_attribute(wire.name)}"
        yield "for key, each in value.items():"
        if entry["value"].message_type is not None:
            convert = self._conversion(entry["value"], inner)
            below = self._below(entry["value"], inner)
            yield f"    {below}({f'{convert}(each)' if convert else 'each'}, entries[{key}])"
        else:
            yield f"    entries[{key}] = {self._one(entry['value'], inner, 'each')}"

    def _one(self, wire: FieldDescriptor, member: FieldDescriptor | None, name: str) -> str:
        """The expression for one value that is no message."""
        convert = self._conversion(wire, member)
        return f"{convert}({name})" if convert else _ONE[_type(wire)].format(name)

    def _below(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> str:
        assert wire.message_type is not None  # noqa: S101 - the caller's condition, said to the type checker
        is_record = member is not None and binding(member).type == "RECORD"
        return self.level(member.message_type if is_record and member is not None else None, wire.message_type)

    def _conversion(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> str:
        """The name of the conversion of a field's values, nothing where there is none."""
        bound = binding(member) if member is not None and not is_map(wire) else None
        if bound is None or member is None or bound.convert is None:
            return ""
        name = f"to_{self._suffix(_conversion_name(member, bound))}"
        if name not in self.names:
            unit = field_options(member).time_unit
            enum = member.enum_type
            self.names[name] = (
                quick.quick(bound.type, unit, bound.convert) if enum is None else quick.quick_enum(enum, bound.convert)
            )
        return name

    def _suffix(self, full_name: str) -> str:
        """Return the identifier that stands for a name, another one for each."""
        if full_name not in self.suffixes:
            wanted = "".join(letter if letter.isalnum() else "_" for letter in full_name).strip("_")
            suffix, count = wanted, 1
            while suffix in self.suffixes.values():
                count += 1
                suffix = f"{wanted}_{count}"
            self.suffixes[full_name] = suffix
        return self.suffixes[full_name]


def keys_of(message: Descriptor, wire: Descriptor) -> frozenset[str]:
    """Keys that need no look: the names of the fields on the wire, and every spelling of those that are left out."""
    left_out = [each for each in message.fields if each.number not in wire.fields_by_number]
    return frozenset(each.name for each in wire.fields) | {key for f in left_out for key in (f.name, f.json_name)}


def _aliases(message: Descriptor, wire: Descriptor) -> dict[str, str]:
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


def _conversion_name(member: FieldDescriptor, bound: Binding) -> str:
    if member.enum_type is not None:
        return f"enum {member.enum_type.full_name}"
    options = field_options(member)
    words = (bound.type.lower(), options.time_unit.lower(), options.json_text.lower())
    return " ".join(word for word in words if word)


def _type(wire: FieldDescriptor) -> str:
    return _TYPES[wire.cpp_type]


def _taken(oneof: str) -> str:
    return f"taken_{oneof}"


def _attribute(name: str) -> str:
    return f"getattr(message, {name!r})" if keyword.iskeyword(name) else f"message.{name}"


def _assignment(name: str, value: str) -> str:
    return f"setattr(message, {name!r}, {value})" if keyword.iskeyword(name) else f"message.{name} = {value}"
