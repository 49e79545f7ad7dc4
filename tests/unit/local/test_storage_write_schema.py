"""The writer schema: it stands alone, and its fields are the table's columns."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from ingestor.columns import Column
from ops.local.storage_write import StorageWriteServer
from tests.unit.local.storage_write_client import (
    COLUMNS,
    TABLE,
    batches,
    call,
    descriptor,
    row_class,
)

OPTIONAL = FieldDescriptorProto.LABEL_OPTIONAL
STRING, MESSAGE = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_MESSAGE


@pytest.fixture(scope="module")
def _server() -> Iterator[StorageWriteServer]:
    with StorageWriteServer(max_request_bytes=2000) as server:
        yield server


@pytest.fixture
def server(_server: StorageWriteServer) -> StorageWriteServer:
    _server.drop(TABLE)
    _server.declare(TABLE, COLUMNS)
    _server.play([])
    _server.clear()
    return _server


def names(server: StorageWriteServer) -> list[str]:
    return [row["name"] for row in server.rows(TABLE)]


def nested(type_name: str, *, outside: bool = False) -> DescriptorProto:
    proto = DescriptorProto(name="Row")
    proto.field.add(name="part", number=1, label=OPTIONAL, type=MESSAGE, type_name=type_name)
    if not outside:
        proto.nested_type.add(name="Part").field.add(name="label", number=1, label=OPTIONAL, type=STRING)
    return proto


def proto3_optional() -> DescriptorProto:
    proto = nested("Part")
    proto.nested_type[0].field[0].proto3_optional = True
    proto.nested_type[0].field[0].oneof_index = 0
    proto.nested_type[0].oneof_decl.add(name="_label")
    return proto


def empty_oneof() -> DescriptorProto:
    proto = nested("Part")
    proto.oneof_decl.add(name="nothing")
    return proto


@pytest.mark.parametrize(
    "schema",
    [
        nested(".shop.Part"),
        nested("Part", outside=True),
        nested(".google.protobuf.Timestamp"),
        nested("shop.Row.Part"),
        proto3_optional(),
        empty_oneof(),
        DescriptorProto(name=""),
    ],
    ids=["package", "sibling", "well-known", "package path", "proto3_optional", "empty oneof", "no name"],
)
def test_a_descriptor_that_does_not_stand_alone_ends_the_call(
    server: StorageWriteServer, schema: DescriptorProto
) -> None:
    server.declare(TABLE, [{"name": "part", "type": "RECORD", "fields": [{"name": "label", "type": "STRING"}]}])
    heard = call(server.host, batches([b""], schema=schema))
    assert (heard.end, server.rows(TABLE)) == ("INVALID_ARGUMENT", [])
    assert heard.error.details().startswith("Invalid proto schema: BqMessage.proto: ")


@pytest.mark.parametrize("type_name", ["Part", "Row.Part", ".Row.Part"])
def test_a_type_nested_under_the_root_is_found_by_any_of_its_names(server: StorageWriteServer, type_name: str) -> None:
    server.declare(TABLE, [{"name": "part", "type": "RECORD", "fields": [{"name": "label", "type": "STRING"}]}])
    schema = nested(type_name)
    row = row_class(schema)(part={"label": "x"}).SerializeToString()
    assert call(server.host, batches([row], schema=schema)).codes == [0]
    assert server.rows(TABLE) == [{"part": {"label": "x"}}]


def test_fields_that_the_table_does_not_have_are_named_at_every_level(server: StorageWriteServer) -> None:
    server.declare(TABLE, [{"name": "part", "type": "RECORD", "fields": [{"name": "id", "type": "STRING"}]}])
    schema = nested("Part")
    schema.field.add(name="colour", number=2, label=OPTIONAL, type=STRING)
    heard = call(server.host, batches([b""], schema=schema))
    assert (heard.end, heard.detail.code) == ("INVALID_ARGUMENT", 7)
    assert "extra fields: 'part.label', 'colour'" in heard.detail.error_message


def test_two_fields_for_one_column_are_refused(server: StorageWriteServer) -> None:
    heard = call(server.host, batches([b""], schema=descriptor({"name": "string", "NAME": "string"})))
    assert (heard.end, "two fields" in heard.error.details()) == ("INVALID_ARGUMENT", True)


def test_a_column_takes_a_field_whose_name_differs_in_case(server: StorageWriteServer) -> None:
    schema = descriptor({"NAME": "string"})
    row = row_class(schema)(NAME="x").SerializeToString()
    assert call(server.host, batches([row], schema=schema)).codes == [0]
    assert server.rows(TABLE) == [{"name": "x", "size": None}]


def test_required_is_checked_per_row_and_nothing_of_the_request_is_written(server: StorageWriteServer) -> None:
    part = Column("part", "RECORD", fields=(Column("label", "STRING", "REQUIRED"),))
    server.declare(TABLE, [Column("name", "STRING", "REQUIRED"), part])
    schema = nested("Part")
    schema.field.add(name="name", number=2, label=OPTIONAL, type=STRING)
    row = row_class(schema)
    sent = [row(name="a"), row(), row(name="c", part={"label": "x"}), row(name="d", part={})]
    heard = call(server.host, batches([each.SerializeToString() for each in sent], schema=schema))
    (answer,) = heard.answers
    assert [(e.index, e.code, e.message) for e in answer.row_errors] == [
        (1, 1, "Field name: required field is missing or null"),
        (3, 1, "Field part.label: required field is missing or null"),
    ]
    assert (answer.error.code, heard.end, server.rows(TABLE)) == (3, "OK", [])
