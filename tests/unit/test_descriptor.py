"""The writer schema is self-contained, and what BigQuery can't hold is refused with its path and the way out."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from ingestor.descriptor import METADATA_FIELDS, fingerprint, normalized, writer_schema
from ingestor.errors import SchemaMismatch
from ingestor.messages import descriptor_of, message_class
from tests.protos.samples import described

SAMPLES = ["shop.Order", "shop.Scalars", "legacy.Event", "modern.Reading"]


def levels(schema: DescriptorProto) -> Iterator[DescriptorProto]:
    yield schema
    for nested in schema.nested_type:
        yield from levels(nested)


def fields(schema: DescriptorProto) -> dict[str, FieldDescriptorProto]:
    return {field.name: field for field in schema.field}


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_of_oneofs_options_or_absolute_names_is_left_at_any_level(name: str) -> None:
    for level in levels(writer_schema(described(name))):
        assert not level.oneof_decl
        assert not level.options.ListFields()
        assert [field.number for field in level.field] == sorted(field.number for field in level.field)
        for field in level.field:
            assert not field.HasField("oneof_index")
            assert not field.HasField("proto3_optional")
            assert not field.type_name.startswith(".")
            assert [option.name for option, _ in field.options.ListFields()] in ([], ["packed"])


def test_each_type_is_inlined_once_under_the_root_and_each_enum_in_a_message_of_its_own() -> None:
    schema = normalized(described("shop.Order"))
    assert schema.name == "samples_shop_Order"
    assert sorted(nested.name for nested in schema.nested_type) == [
        "samples_common_Grade_E",
        "samples_common_Money_2",  # the plain name is a field's
        "samples_shop_Order_FeesEntry",
        "samples_shop_Order_GradesEntry",
        "samples_shop_Order_Line",
        "samples_shop_Order_Line_Discount",
        "samples_shop_Order_Status_E",
    ]
    assert not any(level.nested_type for level in schema.nested_type)
    assert fields(schema)["total"].type_name == fields(schema)["shipping"].type_name == "samples_common_Money_2"
    assert fields(schema)["status"].type_name == "samples_shop_Order_Status_E.Status"


def test_fields_without_presence_get_their_zero_as_default_and_the_others_none() -> None:
    defaults = {
        field.name: field.default_value if field.HasField("default_value") else None
        for field in normalized(described("shop.Scalars")).field
    }
    numbers = ("double", "float", "int32", "int64", "uint32", "sint32", "sint64", "fixed32", "sfixed32", "sfixed64")
    assert defaults == {
        **{f"f_{name}": "0" for name in numbers},
        "f_bool": "false",
        "f_string": "",
        "f_bytes": "",
        "f_grade": "GRADE_UNSPECIFIED",
        **dict.fromkeys(("o_double", "o_bool", "o_string", "o_bytes", "o_grade")),
    }


def test_written_defaults_and_labels_of_proto2_are_kept() -> None:
    event = fields(normalized(described("legacy.Event")))
    assert event["retries"].default_value == "5"
    assert event["raw"].default_value == '\\001\\"x'
    assert event["other"].default_value == "KIND_B"
    assert not event["kind"].HasField("default_value")
    assert event["id"].label == FieldDescriptorProto.LABEL_REQUIRED


def test_fields_are_in_the_order_of_their_numbers_whatever_the_file_says() -> None:
    numbers = [field.number for field in normalized(described("shop.Order")).field]
    assert numbers == list(range(1, 19))


def test_an_enum_keeps_its_aliases_and_says_so() -> None:
    wrapper = next(each for each in normalized(described("shop.Scalars")).nested_type if each.enum_type)
    (enum,) = wrapper.enum_type
    assert [value.number for value in enum.value] == [0, 0, 7, -3]
    assert enum.options.allow_alias


@pytest.mark.parametrize(
    ("message", "field", "packed"),
    [
        ("shop.Order", "packed", True),
        ("shop.Order", "unpacked", False),
        ("shop.Order", "history", True),
        ("shop.Order", "tags", False),
        ("legacy.Event", "plain", False),
        ("legacy.Event", "packed", True),
        ("modern.Reading", "expanded", False),
        ("modern.Reading", "packed", True),
    ],
)
def test_lists_stay_packed_as_they_were(message: str, field: str, packed: bool) -> None:  # noqa: FBT001 (a case)
    assert fields(normalized(described(message)))[field].options.packed is packed


def test_a_renamed_field_has_its_column_s_name() -> None:
    schema = fields(normalized(described("shop.Order")))
    assert schema["Remark"].number == 17
    assert "note" not in schema


def test_the_metadata_fields_have_the_numbers_that_stored_rows_rely_on() -> None:
    assert dict(METADATA_FIELDS) == {
        "_ingest_batch_id": 100_001,
        "_ingest_row_index": 100_002,
        "_ingest_time": 100_003,
    }
    added = writer_schema(described("shop.Order")).field[-3:]
    assert [(field.name, field.number) for field in added] == list(METADATA_FIELDS.items())
    assert [field.type for field in added] == [
        FieldDescriptorProto.TYPE_STRING,
        FieldDescriptorProto.TYPE_INT64,
        FieldDescriptorProto.TYPE_INT64,
    ]


def test_the_fingerprint_of_the_demo_s_schema_is_what_it_was() -> None:
    # It names schemas in stored dead letters: a change here is a change of their meaning.
    flight = descriptor_of(message_class("flights.Flight"))
    assert fingerprint(writer_schema(flight)) == "33b5d897353a90e4a4deaddc6c600064"


REFUSED = {
    "refused.Itself": r"field children: .*contains itself \(samples.refused.Itself → samples.refused.Itself\).*JSON",
    "refused.Ring": r"field link.back: .*samples.refused.Ring → samples.refused.Ring.Link → samples.refused.Ring\)",
    "refused.ByCase": r"field name: column name differs at most in case from the column of field Name; rename",
    "refused.ByRenaming": r"field title: column Name differs at most in case from the column of field name",
    "refused.Reserved": r"field _partition_date: .*begin with _PARTITION; rename _partition_date",
    "refused.NestedReserved": r"field inner._Table_x: .*begin with _TABLE_",
    "refused.BadName": r"field name: 'first-name' is no column name",
    "refused.Anything": r"field any: google.protobuf.Any can.t be a column; declare a message of your own",
    "refused.NoType": r"field day: type_override DAY is no type of BigQuery; write one such as DATE",
    "refused.RangeOfNothing": r"field days: type_override RANGE<TIME> is no type of BigQuery",
    "refused.BoolDate": r"field day: a bool can't be a DATE; declare the field integer or string",
    "refused.BytesNumeric": r"field amount: a bytes can't be a NUMERIC; declare the field string or integer or float",
    "refused.UnitOfText": r"field at: the option `time_unit` is for times; add type_override",
    "refused.TextOfNumber": r"field at: the option `json_text` is for JSON; add type_override",
    "refused.MetadataName": r"field _Ingest_Time: the name _ingest_time belongs to a metadata column",
    "refused.MetadataNumber": r"field text: the number 100001 belongs to a metadata column",
    "deep.Level1": r"field next(\.next){14}\.next: nested deeper than the 15 levels",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_bigquery_cannot_hold_is_refused_with_its_path_and_the_way_out(name: str) -> None:
    with pytest.raises(SchemaMismatch, match=REFUSED[name]) as refused:
        writer_schema(described(name))
    assert str(refused.value).startswith(f"message samples.{name}, field ")
    assert "\n" not in str(refused.value)


def test_fifteen_levels_of_records_are_accepted() -> None:
    assert len(normalized(described("deep.Level2")).nested_type) == 15
