"""What the generated class writes, the normalized descriptor alone reads to the same values, NULLs included."""

import struct
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.columns import columns_of
from ingestor.descriptor import METADATA_FIELDS, fingerprint, normalized, writer_schema
from ingestor.messages import descriptor_of, message_class
from ingestor.wire import wire_class
from tests.protos.samples import alone, sample

CLASSES = [
    wire_class(descriptor_of(sample("shop.Order"))),
    sample("shop.Scalars"),
    sample("legacy.Event"),
    sample("modern.Reading"),
    wire_class(descriptor_of(sample("annotated.Every"))),
    wire_class(descriptor_of(sample("annotated.Wrapped"))),
    wire_class(descriptor_of(sample("annotated.LeftOut"))),
    wire_class(descriptor_of(sample("bq_schema_examples.Bar"))),
    wire_class(descriptor_of(sample("bq_schema_examples.Types"))),
    wire_class(descriptor_of(sample("grouped.Old"))),
    message_class("flights.Flight"),
    message_class("ingestor.LedgerStatement"),
]

NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.cpp_type in NUMBERS:
        return st.integers(*NUMBERS[field.cpp_type])
    if field.enum_type is not None:
        return st.sampled_from(sorted({value.number for value in field.enum_type.values}))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    by_type: dict[int, st.SearchStrategy[Any]] = {
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
        FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
        FieldDescriptor.CPPTYPE_STRING: st.text(max_size=8),
    }
    return by_type[field.cpp_type]


def singles(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    return scalars(field) if field.message_type is None else messages(field.message_type)


def entry(field: FieldDescriptor) -> dict[str, FieldDescriptor]:
    """Key and value of a map field, empty for any other."""
    inner = field.message_type
    return dict(inner.fields_by_name) if inner is not None and inner.GetOptions().map_entry else {}


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if parts := entry(field):
        return st.dictionaries(singles(parts["key"]), singles(parts["value"]), max_size=3)
    return st.lists(singles(field), max_size=3) if field.is_repeated else singles(field)


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor) -> Message:
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.is_required or draw(st.booleans()):
            assign(message, field, draw(values(field)))
    return message


def assign(message: Message, field: FieldDescriptor, value: Any) -> None:
    if parts := entry(field):
        entries = getattr(message, field.name)
        for key, item in value.items():
            if parts["value"].message_type is None:
                entries[key] = item
            else:
                entries[key].CopyFrom(item)
    elif field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def reading(message: Message) -> dict[int, Any]:
    """What a reader by this message's descriptor sees, by field number: None is NULL."""
    return {field.number: seen(message, field) for field in descriptor_of(type(message)).fields}


def seen(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if entry(field):
        entries = [{1: plain(key), 2: plain(item)} for key, item in value.items()]
        return sorted(entries, key=repr)
    if field.is_repeated:
        listed = [plain(item) for item in value]
        return sorted(listed, key=repr) if field.name in {"fees", "grades", "counts", "c_map", "w_map"} else listed
    if field.has_presence and not message.HasField(field.name):
        return plain(field.default_value) if field.has_default_value else None
    return plain(value)


def plain(value: Any) -> Any:
    if isinstance(value, Message):
        return reading(value)
    return struct.pack("<d", value) if isinstance(value, float) else value


def labels(descriptor: Descriptor) -> dict[int, list[tuple[str, int]]]:
    enums: list[tuple[int, EnumDescriptor]] = [
        (field.number, field.enum_type) for field in descriptor.fields if field.enum_type is not None
    ]
    return {number: [(value.name, value.number) for value in enum.values] for number, enum in enums}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.DESCRIPTOR.full_name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_row_reads_the_same_by_the_normalized_descriptor_alone(cls: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(descriptor_of(cls)))
    decoded = alone(normalized(descriptor_of(cls))).FromString(message.SerializeToString())
    assert reading(decoded) == reading(message)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.DESCRIPTOR.full_name)
@settings(max_examples=30, deadline=None)
@given(data=st.data(), index=st.integers(0, 39_999), at_us=st.integers(0, 2**62))
def test_a_row_with_the_metadata_behind_it_reads_as_both(
    cls: type[Message], data: st.DataObject, index: int, at_us: int
) -> None:
    message = data.draw(messages(descriptor_of(cls)))
    reader: Any = alone(writer_schema(descriptor_of(cls)))
    suffix = reader(_ingest_batch_id="ab" * 16, _ingest_row_index=index, _ingest_time=at_us)
    decoded = reader.FromString(message.SerializeToString() + suffix.SerializePartialToString())
    metadata = dict(zip(METADATA_FIELDS.values(), ("ab" * 16, index, at_us), strict=True))
    assert reading(decoded) == {**reading(message), **metadata}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.DESCRIPTOR.full_name)
def test_names_and_labels_of_enums_survive_normalization(cls: type[Message]) -> None:
    reader = alone(normalized(descriptor_of(cls)))
    assert labels(descriptor_of(reader)) == labels(descriptor_of(cls))
    assert {field.name for field in descriptor_of(reader).fields} == {
        each.name for each in columns_of(descriptor_of(cls), metadata=False)
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.DESCRIPTOR.full_name)
def test_the_same_message_has_the_same_fingerprint_and_another_has_another(cls: type[Message]) -> None:
    prints = [fingerprint(writer_schema(descriptor_of(each))) for each in CLASSES]
    assert prints.count(fingerprint(writer_schema(descriptor_of(cls)))) == 1
