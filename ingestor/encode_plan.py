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

A plan may be written for one *order* of a record's keys, as a source sends them in record after record: it takes all
values at once instead of looking each up by its key, and trusts the keys without comparing their set. Who calls it has
compared the order (`ingestor.encode_fast`). Records below the first level are looked up by key all the same.

Everything that is known beforehand (names, types, tables of enum labels) is written into the source or bound to a name
of its own in the plan's namespace. `ingestor schema encoder` prints the source.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ingestor import encode_values as quick
from ingestor.binding import binding, is_map
from ingestor.convert import Convert
from ingestor.encode_fields import (
    ALL,
    BOOL,
    INT,
    ONE,
    STR,
    SURE,
    NoPlan,
    aliases_of,
    assignment,
    attribute,
    conversion_name,
    is_only_unknown,
    keys_of,
    required,
    taken,
    wire_type,
)
from ingestor.encode_values import Unsure
from ingestor.messages import field_options
from ingestor.wire import wire_class, wire_message


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a message: its source, and what the names in it stand for beside Python's own."""

    source: str
    names: Mapping[str, object]
    row: type[Message]


def plan_of(
    message: Descriptor, order: tuple[str, ...] | None = None, conversions: dict[str, Convert] | None = None
) -> Plan:
    """Write the plan of a message that can be a table.

    Args:
        message: the user's message.
        order: the keys of every record that the plan will be given, in their order; None: any record.
        conversions: those of earlier plans, which remember what they converted, to use again; new ones are added.

    Raises:
        NoPlan: the message has something that only the reference encoder knows, or the order a key that is no field's
            or a field twice; says what.
    """
    writing, wire = _Writing({} if conversions is None else conversions), wire_message(message)
    body = writing.body(message, wire) if order is None else writing.ordered(message, wire, order)
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

    conversions: dict[str, Convert]
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
        self.names[aliases] = aliases_of(message or wire, wire)
        return [
            *("    if type(record) is not dict:", "        raise Unsure"),
            *(f"    if not {keys}.issuperset(record):", f"        record = tidied(record, {keys}, {aliases})"),
            "    get = record.get",
            *self._fields(message, wire, None),
        ]

    def ordered(self, message: Descriptor, wire: Descriptor, order: tuple[str, ...]) -> list[str]:
        """Write the lines that fill `message` from a `record` whose keys are those of `order`.

        Raises:
            NoPlan: two keys are the same field's, a required field has none, or a key has a meaning that is no field's.
        """
        known, aliases = keys_of(message, wire), aliases_of(message, wire)
        variables, places = [f"value_{place}" for place in range(len(order))], dict[str, str]()
        for key, variable in zip(order, variables, strict=True):
            name = aliases.get(key, key)
            if name in places or (name not in known and not is_only_unknown(key)):
                raise NoPlan(f"{message.full_name}: the key {key!r} is a second one of its field, or no field's name")
            places[name] = variable
        lines = [f"    {', '.join(variables)}, = record.values()"] if order else []
        if not known.issuperset(places):
            lines.append("    strange.append(True)")
        return [*lines, *self._fields(message, wire, places)]

    def _fields(self, message: Descriptor | None, wire: Descriptor, places: Mapping[str, str] | None) -> Iterator[str]:
        """Write the lines that fill fields: those whose variable `places` names; None: all, looked up by their keys."""
        members = message.fields_by_number if message is not None else {}
        yield from (f"    {taken(each.name)} = False" for each in wire.oneofs if len(each.fields) > 1)
        for each in wire.fields:
            member = members.get(each.number)
            if places is None:
                yield f"    value = get({each.name!r})"
                yield from self._field(each, member, "value")
            elif each.name in places:
                yield from self._field(each, member, places[each.name])
            elif required(each, member):
                raise NoPlan(f"{wire.full_name}: {each.name} is required and has no value")

    def _field(self, wire: FieldDescriptor, member: FieldDescriptor | None, value: str) -> Iterator[str]:
        oneof = wire.containing_oneof
        one_of_many = oneof is not None and len(oneof.fields) > 1
        sure = None if one_of_many or self._is_compound(wire, member) else SURE.get(wire_type(wire))
        if sure is not None:
            yield f"    if {sure[0].format(value)}:"
            yield f"        {assignment(wire.name, value)}"
            yield f"    elif {value} is not None:"
            yield f"        {assignment(wire.name, sure[1].format(value))}"
        else:
            yield f"    if {value} is not None:"
            if oneof is not None and one_of_many:
                yield from (f"        if {taken(oneof.name)}:", "            raise Unsure")
                yield f"        {taken(oneof.name)} = True"
            yield from (f"        {line}" for line in self._value(wire, member, value))
        if required(wire, member):
            yield from ("    else:", "        raise Unsure")

    def _is_compound(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> bool:
        return wire.is_repeated or wire.message_type is not None or bool(self._conversion(wire, member))

    def _value(self, wire: FieldDescriptor, member: FieldDescriptor | None, value: str) -> Iterator[str]:
        """Lines that put the value of that name, which is not None, into the field."""
        if is_map(wire):
            yield from self._map(wire, member, value)
        elif wire.is_repeated:
            yield from (f"if type({value}) is not list:", "    raise Unsure")
            yield from self._list(wire, member, value)
        elif wire.message_type is not None:
            convert = self._conversion(wire, member)
            if convert:
                yield f"{value} = {convert}({value})"
            yield f"part = {attribute(wire.name)}"
            yield "part.SetInParent()"
            yield f"{self._below(wire, member)}({value}, part)"
        else:
            yield assignment(wire.name, self._one(wire, member, value))

    def _list(self, wire: FieldDescriptor, member: FieldDescriptor | None, value: str) -> Iterator[str]:
        if wire.message_type is not None:
            convert = self._conversion(wire, member)
            yield f"add = {attribute(wire.name)}.add"
            yield f"for each in {value}:"
            yield f"    {self._below(wire, member)}({f'{convert}(each)' if convert else 'each'}, add())"
            return
        one = self._one(wire, member, "each")
        of_one_type = None if self._conversion(wire, member) else ALL.get(wire_type(wire))
        if of_one_type:
            yield f"if not {of_one_type}.issuperset(map(type, {value})):"
            yield f"    {value} = [{one} for each in {value}]"
            yield f"{attribute(wire.name)}.extend({value})"
        else:
            yield f"{attribute(wire.name)}.extend([{one} for each in {value}])"

    def _map(self, wire: FieldDescriptor, member: FieldDescriptor | None, value: str) -> Iterator[str]:
        self.has_maps = True
        assert wire.message_type is not None  # noqa: S101 - a map is a message of its entries
        entry = wire.message_type.fields_by_name
        inner = None if member is None or member.message_type is None else member.message_type.fields_by_name["value"]
        key = {STR: "key", INT: "key_of_integers(key)", BOOL: "KEY_OF_BOOLS[key]"}[wire_type(entry["key"])]
        yield from (f"if type({value}) is not dict:", "    raise Unsure")
        yield f"entries = {attribute(wire.name)}"
        yield f"for key, each in {value}.items():"
        if entry["value"].message_type is not None:
            convert = self._conversion(entry["value"], inner)
            below = self._below(entry["value"], inner)
            yield f"    {below}({f'{convert}(each)' if convert else 'each'}, entries[{key}])"
        else:
            yield f"    entries[{key}] = {self._one(entry['value'], inner, 'each')}"

    def _one(self, wire: FieldDescriptor, member: FieldDescriptor | None, name: str) -> str:
        """The expression for one value that is no message."""
        convert = self._conversion(wire, member)
        return f"{convert}({name})" if convert else ONE[wire_type(wire)].format(name)

    def _below(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> str:
        assert wire.message_type is not None  # noqa: S101 - the caller's condition, said to the type checker
        is_record = member is not None and binding(member).type == "RECORD"
        return self.level(member.message_type if is_record and member is not None else None, wire.message_type)

    def _conversion(self, wire: FieldDescriptor, member: FieldDescriptor | None) -> str:
        """The name of the conversion of a field's values, nothing where there is none."""
        bound = binding(member) if member is not None and not is_map(wire) else None
        if bound is None or member is None or bound.convert is None:
            return ""
        known_as = conversion_name(member, bound)
        if known_as not in self.conversions:
            unit = field_options(member).time_unit
            enum = member.enum_type
            self.conversions[known_as] = (
                quick.quick(bound.type, unit, bound.convert) if enum is None else quick.quick_enum(enum, bound.convert)
            )
        name = f"to_{self._suffix(known_as)}"
        self.names[name] = self.conversions[known_as]
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
