"""Each column type takes the protobuf types that BigQuery documents, and gives back the value that was meant."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from ops.local.storage_write import StorageWriteServer
from ops.local.storage_write_values import CONVERSIONS, Interval
from tests.unit.local.storage_write_client import STREAM, TABLE, Heard, batches, call, descriptor, row_class

OPTIONAL, REPEATED = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
DAY = (datetime(2013, 1, 2, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
MICROS = 1_357_034_400_000_001  # 2013-01-01T10:00:00.000001Z
CLOCK = (10 << 12 | 20 << 6 | 30) << 20 | 40
CIVIL = ((2013 << 26 | 1 << 22 | 2 << 17 | 10 << 12 | 20 << 6 | 30) << 20) | 40
SCALARS = (
    *("bool", "double", "float", "string", "bytes", "int32", "int64", "uint32", "uint64"),
    *("sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"),
)
LIKE = {
    "sint32": "int32",
    "sfixed32": "int32",
    "sint64": "int64",
    "sfixed64": "int64",
    "fixed32": "uint32",
    "fixed64": "uint64",
}


def little_endian(unscaled: int) -> bytes:
    return unscaled.to_bytes(16, "little", signed=True)


TAKEN = [
    ("BOOL", "bool", True, True),
    ("BOOL", "int32", 2, True),
    ("INT64", "int64", -(2**63), -(2**63)),
    ("INT64", "uint32", 2**32 - 1, 2**32 - 1),
    ("INT64", "sint64", -1, -1),
    ("FLOAT64", "double", float("inf"), float("inf")),
    ("FLOAT64", "float", 0.5, 0.5),
    ("STRING", "string", "ä", "ä"),
    ("BYTES", "bytes", b"\xff\x00", b"\xff\x00"),
    ("BYTES", "string", "ä", "ä".encode()),
    ("DATE", "int32", DAY, date(2013, 1, 2)),
    ("DATE", "int64", -719_162, date.min),
    ("DATE", "int32", 2_932_896, date.max),
    ("DATE", "string", "2013-01-02", date(2013, 1, 2)),
    ("TIME", "string", "10:20:30.00004", time(10, 20, 30, 40)),
    ("TIME", "int64", CLOCK, time(10, 20, 30, 40)),
    ("DATETIME", "string", "2013-01-02 10:20:30.00004", datetime(2013, 1, 2, 10, 20, 30, 40)),  # noqa: DTZ001
    ("DATETIME", "string", "2013-1-2", datetime(2013, 1, 2)),  # noqa: DTZ001
    ("DATETIME", "int64", CIVIL, datetime(2013, 1, 2, 10, 20, 30, 40)),  # noqa: DTZ001
    ("TIMESTAMP", "int64", MICROS, datetime(2013, 1, 1, 10, 0, 0, 1, tzinfo=UTC)),
    ("TIMESTAMP", "int64", -1, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ("NUMERIC", "string", "-12.000000001", Decimal("-12.000000001")),
    ("NUMERIC", "string", "9" * 29 + "." + "9" * 9, Decimal("9" * 29 + "." + "9" * 9)),
    ("NUMERIC", "int64", 12, Decimal(12)),
    ("NUMERIC", "double", 0.25, Decimal("0.25")),
    ("NUMERIC", "bytes", little_endian(-12_500_000_000), Decimal("-12.5")),
    ("NUMERIC", "bytes", little_endian(10**38 - 1), Decimal("9" * 29 + "." + "9" * 9)),
    ("BIGNUMERIC", "string", "0." + "1" * 38, Decimal("0." + "1" * 38)),
    ("BIGNUMERIC", "bytes", little_endian(10**38), Decimal(1)),
    ("JSON", "string", '{"a": [1, null]}', {"a": [1, None]}),
    ("GEOGRAPHY", "string", "POINT(1 2)", "POINT(1 2)"),
    ("INTERVAL", "string", "1-2 3 4:5:6.7", Interval(14, 3, 14_706_700_000)),
    ("INTERVAL", "string", "-0-1 -3 -4:0:0", Interval(-1, -3, -14_400_000_000)),
    ("INTERVAL", "string", "P1Y2M3DT-4H5M6.5S", Interval(14, 3, -14_093_500_000)),
    ("INTERVAL", "string", "PT-0.5S", Interval(microseconds=-500_000)),
]

REFUSED = [
    ("DATE", "int32", 2_932_897),
    ("DATE", "int64", -719_163),
    ("DATE", "string", "2013-02-30"),
    ("TIME", "string", "25:00:00"),
    ("TIME", "int64", 24 << 32),
    ("DATETIME", "string", "yesterday"),
    ("DATETIME", "int64", 13 << 42),
    ("TIMESTAMP", "int64", 2**62),
    ("NUMERIC", "string", "a lot"),
    ("NUMERIC", "string", "NaN"),
    ("NUMERIC", "string", "0.0000000001"),
    ("NUMERIC", "string", "1" + "0" * 29),
    ("NUMERIC", "double", float("inf")),
    ("BIGNUMERIC", "string", "6" + "0" * 38),
    ("JSON", "string", "{"),
    ("JSON", "string", "NaN"),
    ("GEOGRAPHY", "string", " "),
    ("INTERVAL", "string", "a while"),
    ("INTERVAL", "string", "P"),
    ("INTERVAL", "string", "10001-0 0 0:0:0"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[StorageWriteServer]:
    with StorageWriteServer() as server:
        yield server


def append(server: StorageWriteServer, column: dict[str, Any], schema: DescriptorProto, *values: Any) -> Heard:
    server.drop(TABLE)
    server.declare(TABLE, [{"name": "value", **column}])
    made = row_class(schema)
    return call(server.host, batches([made(value=value).SerializeToString() for value in values], schema=schema))


def landed(server: StorageWriteServer) -> list[Any]:
    return [row["value"] for row in server.rows(TABLE)]


@pytest.mark.parametrize(("column", "kind", "sent", "kept"), TAKEN, ids=lambda each: str(each)[:20])
def test_a_value_is_kept_as_the_column_means_it(
    server: StorageWriteServer, column: str, kind: str, sent: Any, kept: Any
) -> None:
    heard = append(server, {"type": column}, descriptor({"value": kind}), sent)
    assert heard.codes == [0]
    assert [(type(value), value) for value in landed(server)] == [(type(kept), kept)]


@pytest.mark.parametrize(("column", "kind", "sent"), REFUSED, ids=lambda each: str(each)[:20])
def test_a_value_that_the_column_cannot_hold_is_a_row_error(
    server: StorageWriteServer, column: str, kind: str, sent: Any
) -> None:
    (answer,) = append(server, {"type": column}, descriptor({"value": kind}), sent).answers
    assert [(error.index, error.code) for error in answer.row_errors] == [(0, 1)]
    assert answer.row_errors[0].message.startswith("Field value: ")
    assert landed(server) == []


@pytest.mark.parametrize("column", sorted(CONVERSIONS))
def test_a_field_of_any_other_type_ends_the_call(server: StorageWriteServer, column: str) -> None:
    fitting = set()
    for kind in SCALARS:
        heard = append(server, {"type": column}, descriptor({"value": kind}))
        if heard.end == "OK":
            fitting.add(LIKE.get(kind, kind))
        else:
            assert heard.end == "INVALID_ARGUMENT"
            assert f"mismatched with BigQuery field at root.value, the proto field type {LIKE.get(kind, kind)}" in (
                heard.error.details()
            )
    assert fitting == set(CONVERSIONS[column]) - {"enum", "timestamp", "duration"}


def test_text_that_is_not_utf8_is_a_row_error(server: StorageWriteServer) -> None:
    server.drop(TABLE)
    server.declare(TABLE, [{"name": "value", "type": "STRING"}])
    (answer,) = call(server.host, batches([b"\x0a\x01\xff"], schema=descriptor({"value": "string"}))).answers
    assert answer.row_errors[0].message == "Field value: the text is not UTF-8"


@pytest.mark.parametrize(
    ("kind", "column", "short", "long"), [("string", "STRING", "ää", "äää"), ("bytes", "BYTES", b"xx", b"xxx")]
)
def test_a_column_may_bound_its_length(
    server: StorageWriteServer, kind: str, column: str, short: Any, long: Any
) -> None:
    schema = descriptor({"value": kind})
    assert append(server, {"type": column, "maxLength": "2"}, schema, short).codes == [0]
    assert append(server, {"type": column, "maxLength": "2"}, schema, long).codes == [3]


def with_enum() -> DescriptorProto:
    proto = DescriptorProto(name="Row")
    proto.field.add(
        name="value", number=1, label=OPTIONAL, type=FieldDescriptorProto.TYPE_ENUM, type_name="Size_E.Size"
    )
    size = proto.nested_type.add(name="Size_E").enum_type.add(name="Size")
    size.options.allow_alias = True
    for name, number in (("SMALL", 3), ("LITTLE", 3), ("LARGE", 7)):
        size.value.add(name=name, number=number)
    return proto


@pytest.mark.parametrize(("column", "kept"), [("STRING", ["SMALL", "LARGE"]), ("INT64", [3, 7])])
def test_an_enum_is_its_name_in_a_string_and_its_number_in_an_integer(
    server: StorageWriteServer, column: str, kept: list[Any]
) -> None:
    assert append(server, {"type": column}, with_enum(), 3, 7).codes == [0]
    assert landed(server) == kept


def test_an_enum_number_without_a_name_is_null_by_proto2_rules(server: StorageWriteServer) -> None:
    append(server, {"type": "STRING"}, with_enum())
    assert call(server.host, batches([b"\x08\x09"], schema=with_enum())).codes == [0]
    assert landed(server) == [None]


def structure(name: str, parts: dict[str, str]) -> DescriptorProto:
    proto = DescriptorProto(name="Row")
    kind = FieldDescriptorProto.TYPE_MESSAGE
    proto.field.add(name="value", number=1, label=OPTIONAL, type=kind, type_name=name)
    proto.nested_type.append(descriptor(parts, name))
    return proto


SECONDS = {"seconds": "int64", "nanos": "int32"}


@pytest.mark.parametrize(
    ("column", "schema", "sent", "kept"),
    [
        (
            {"type": "TIMESTAMP"},
            structure("google_protobuf_Timestamp", SECONDS),
            {"seconds": 1, "nanos": 2999},
            datetime(1970, 1, 1, 0, 0, 1, 2, tzinfo=UTC),
        ),
        (
            {"type": "INTERVAL"},
            structure("google_protobuf_Duration", SECONDS),
            {"seconds": -1, "nanos": -2000},
            Interval(microseconds=-1_000_002),
        ),
        (
            {"type": "RANGE<DATE>"},
            structure("Span", {"start": "int32", "end": "int32"}),
            {"start": DAY, "end": DAY + 1},
            {"start": date(2013, 1, 2), "end": date(2013, 1, 3)},
        ),
        (
            {"type": "RANGE", "rangeElementType": {"type": "TIMESTAMP"}},
            structure("Span", {"start": "int64", "end": "int64"}),
            {"end": 0},
            {"start": None, "end": datetime(1970, 1, 1, tzinfo=UTC)},
        ),
        (
            {"type": "STRUCT", "fields": [{"name": "a", "type": "DATE"}, {"name": "b", "type": "STRING"}]},
            structure("Part", {"a": "int32"}),
            {"a": 0},
            {"a": date(1970, 1, 1), "b": None},
        ),
    ],
    ids=["Timestamp", "Duration", "RANGE", "unbounded RANGE", "RECORD"],
)
def test_a_structure_is_kept_as_its_column_means_it(
    server: StorageWriteServer, column: dict[str, Any], schema: DescriptorProto, sent: Any, kept: Any
) -> None:
    heard = append(server, column, schema, sent)
    assert (heard.codes, heard.end) == ([0], "OK")
    assert landed(server) == [kept]


def test_a_range_that_ends_before_it_starts_is_a_row_error(server: StorageWriteServer) -> None:
    schema = structure("Span", {"start": "int32", "end": "int32"})
    assert append(server, {"type": "RANGE<DATE>"}, schema, {"start": 2, "end": 1}).codes == [3]


@pytest.mark.parametrize("column", ["STRING", "INT64", "TIMESTAMP"])
def test_a_wrapper_message_is_no_scalar(server: StorageWriteServer, column: str) -> None:
    schema = structure("google_protobuf_StringValue", {"value": "string"})
    assert append(server, {"type": column}, schema, {}).end == "INVALID_ARGUMENT"


def repeated(kind: str = "TYPE_INT64") -> DescriptorProto:
    proto = structure("Part", {"a": "string"})
    proto.field[0].label = REPEATED
    if kind != "TYPE_MESSAGE":
        proto.field[0].type = FieldDescriptorProto.Type.Value(kind)
        proto.field[0].ClearField("type_name")
    return proto


def test_repeated_values_and_repeated_records_are_lists_and_an_unset_one_is_empty(server: StorageWriteServer) -> None:
    assert append(server, {"type": "INT64", "mode": "REPEATED"}, repeated(), [1, 2], []).codes == [0]
    assert landed(server) == [[1, 2], []]
    column = {"type": "RECORD", "mode": "REPEATED", "fields": [{"name": "a", "type": "STRING"}]}
    assert append(server, column, repeated("TYPE_MESSAGE"), [{"a": "x"}, {}]).codes == [0]
    assert landed(server) == [[{"a": "x"}, {"a": None}]]


@pytest.mark.parametrize(("mode", "schema"), [("NULLABLE", repeated()), ("REPEATED", descriptor({"value": "int64"}))])
def test_a_repeated_field_and_a_repeated_column_belong_together(
    server: StorageWriteServer, mode: str, schema: DescriptorProto
) -> None:
    heard = append(server, {"type": "INT64", "mode": mode}, schema)
    assert (heard.end, "mismatched" in heard.error.details()) == ("INVALID_ARGUMENT", True)


def test_a_message_that_contains_itself_never_fits(server: StorageWriteServer) -> None:
    schema = structure("Part", {"a": "string"})
    kind = FieldDescriptorProto.TYPE_MESSAGE
    schema.nested_type[0].field.add(name="again", number=2, label=OPTIONAL, type=kind, type_name="Part")
    heard = append(server, {"type": "RECORD", "fields": [{"name": "a", "type": "STRING"}]}, schema)
    assert (heard.end, heard.detail.code) == ("INVALID_ARGUMENT", 7)
    assert STREAM in heard.detail.entity
