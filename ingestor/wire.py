"""The message as its rows are on the wire: the user's message, changed where BigQuery wants it otherwise. Pure.

Left out are the fields that are no columns. Another type have the fields whose declared one can't carry the column's.
Presence have those whose zero would be no value of the column (the empty text is no NUMERIC) and those that must be
there. All else, names and numbers included, is the user's; a message that needs no change is returned as it is.
"""

from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    Edition,
    FeatureSet,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ingestor.binding import Binding, binding, dropped, is_map, record_of
from ingestor.messages import field_options

_RANGES_FILE = "ingestor/ranges_on_the_wire.proto"
_RANGES_PACKAGE = "ingestor.ranges_on_the_wire"
_BOUNDS = {
    "DATE": FieldDescriptorProto.TYPE_INT32,
    "DATETIME": FieldDescriptorProto.TYPE_STRING,
    "TIMESTAMP": FieldDescriptorProto.TYPE_INT64,
}


@cache
def wire_message(message: Descriptor) -> Descriptor:
    """Return the message that rows of `message` are serialized from.

    Raises:
        ValueError: the options of a field, or of one of a message in the same files, contradict its declaration.
    """
    reached = _reached(message)
    files = [_changed(file, reached) for file in _with_imports(message.file)]
    if not any(changed for _, changed in files):
        return message
    pool = DescriptorPool()
    pool.Add(_ranges())
    for file, _ in files:
        pool.Add(file)
    return pool.FindMessageTypeByName(message.full_name)


def wire_class(message: Descriptor) -> type[Message]:
    """Return the class of `wire_message`."""
    return GetMessageClass(wire_message(message))


def _with_imports(file: FileDescriptor) -> list[FileDescriptor]:
    """The file behind everything it imports, each once."""
    found: dict[str, FileDescriptor] = {}

    def visit(each: FileDescriptor) -> None:
        if each.name not in found:
            for imported in each.dependencies:
                visit(imported)
            found[each.name] = each

    visit(file)
    return list(found.values())


def _reached(message: Descriptor) -> frozenset[str]:
    """Full names of the messages that a row is made of; others in the same files are nobody's business here."""
    found: set[str] = set()
    todo = [message]
    while todo:
        each = todo.pop()
        if each.full_name not in found:
            found.add(each.full_name)
            todo += [inner for inner in map(record_of, each.fields) if inner is not None]
    return frozenset(found)


def _changed(file: FileDescriptor, reached: frozenset[str]) -> tuple[FileDescriptorProto, bool]:
    written = FileDescriptorProto.FromString(file.serialized_pb)
    before = written.SerializeToString()
    for own in written.message_type:
        _Rewriting(written, reached, file.message_types_by_name[own.name], own).apply()
    changed = written.SerializeToString() != before
    if changed:
        written.dependency.append(_RANGES_FILE)
    return written, changed


class _Rewriting:
    """Rewrites one message and those nested in it."""

    def __init__(
        self, file: FileDescriptorProto, reached: frozenset[str], message: Descriptor, written: DescriptorProto
    ) -> None:
        self._proto3 = file.syntax == "proto3"
        self._editions = file.edition != Edition.EDITION_UNKNOWN
        self._file, self._reached, self._message, self._written = file, reached, message, written

    def apply(self) -> None:
        for nested in self._written.nested_type:
            _Rewriting(self._file, self._reached, self._message.nested_types_by_name[nested.name], nested).apply()
        if self._message.full_name in self._reached:
            self._apply()

    def _apply(self) -> None:
        members = self._message.fields_by_number
        gone = {number for number, member in members.items() if dropped(member)}
        kept = [each for each in self._written.field if each.number not in gone]
        del self._written.field[:]
        self._written.field.extend(kept)
        for each in self._written.field:
            self._rewrite(each, members[each.number])
        self._renumber_oneofs()

    def _rewrite(self, each: FieldDescriptorProto, member: FieldDescriptor) -> None:
        bound = binding(member)
        if member.type == FieldDescriptor.TYPE_GROUP:
            each.type = FieldDescriptorProto.TYPE_MESSAGE
            if self._editions:
                each.options.features.message_encoding = FeatureSet.LENGTH_PREFIXED
        if bound.wire is not None:
            self._retype(each, member, bound)
        if bound.nullable or field_options(member).require:
            self._give_presence(each, member)

    def _retype(self, each: FieldDescriptorProto, member: FieldDescriptor, bound: Binding) -> None:
        assert bound.wire is not None  # noqa: S101 - the caller's condition, said to the type checker
        each.type = bound.wire
        each.ClearField("type_name")
        each.ClearField("default_value")
        if bound.type.startswith("RANGE"):
            each.type_name = f".{_RANGES_PACKAGE}.{_range_name(bound.type[6:-1])}"
        if is_map(member):
            each.label = FieldDescriptorProto.LABEL_OPTIONAL

    def _give_presence(self, each: FieldDescriptorProto, member: FieldDescriptor) -> None:
        if each.type == FieldDescriptorProto.TYPE_MESSAGE or each.HasField("oneof_index"):
            return
        if each.label == FieldDescriptorProto.LABEL_REPEATED or self._message.GetOptions().map_entry:
            return
        if self._editions:
            each.options.features.field_presence = FeatureSet.EXPLICIT
        elif self._proto3:
            each.proto3_optional = True
            each.oneof_index = len(self._written.oneof_decl)
            self._written.oneof_decl.add(name=f"_{member.name}")

    def _renumber_oneofs(self) -> None:
        """Oneofs left without members go; those that proto3's `optional` stands for come last, as protoc wants it."""
        members: dict[int, list[FieldDescriptorProto]] = {}
        for each in self._written.field:
            if each.HasField("oneof_index"):
                members.setdefault(each.oneof_index, []).append(each)
        order = sorted(members, key=lambda index: (members[index][0].proto3_optional, index))
        if order == list(range(len(self._written.oneof_decl))):
            return
        declared = [self._written.oneof_decl[index] for index in order]
        for place, index in enumerate(order):
            for each in members[index]:
                each.oneof_index = place
        del self._written.oneof_decl[:]
        self._written.oneof_decl.extend(declared)


def _ranges() -> FileDescriptorProto:
    file = FileDescriptorProto(name=_RANGES_FILE, package=_RANGES_PACKAGE)  # no syntax is proto2: all have presence
    for type_, wire in _BOUNDS.items():
        message = file.message_type.add(name=_range_name(type_))
        for number, name in enumerate(("start", "end"), 1):
            message.field.add(name=name, number=number, type=wire, label=FieldDescriptorProto.LABEL_OPTIONAL)
    return file


def _range_name(type_: str) -> str:
    return f"RangeOf{type_.title()}"
