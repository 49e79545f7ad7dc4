"""Every option of protoc-gen-bq-schema, and ours: what it makes of table, writer schema and rows, and what it warns."""

from typing import Any

import pytest

from ingestor.columns import Column, columns_of, declaration, warnings_of
from ingestor.descriptor import normalized, writer_schema
from ingestor.encode import Encoder, Rejection
from tests.protos.samples import alone, described, sample

TYPES = {
    "bq_schema_examples.Bar": {
        "a": "REQUIRED INT64",
        "b": "RECORD",
        "b.a": "REPEATED INT64",
        "c": "REPEATED STRING",
        "e": "REQUIRED TIMESTAMP",
    },
    "bq_schema_examples.Tagged": {
        "a": "REQUIRED INT64",
        "b": "STRING",
        # That tool says REQUIRED RECORD, which would be one nested value and no list.
        "nested": "REPEATED RECORD",
        "nested.a": "REQUIRED INT64",
        "nested.b": "STRING",
    },
    "bq_schema_examples.Types": {
        **dict.fromkeys(("i32", "i64", "ui32", "ui64", "si32", "si64", "ufi32", "ufi64", "sfi32", "sfi64"), "INT64"),
        "d": "FLOAT64",
        "f": "FLOAT64",
        "str": "STRING",
        "bytes": "BYTES",
        "kind": "INT64",
        "bool": "BOOL",
        "grp": "RECORD",
        "grp.i1": "INT64",
        "msg": "RECORD",
        "msg.i1": "INT64",
        "imported": "RECORD",
        "imported.currency": "STRING",
        "imported.units": "INT64",
        "imported.nanos": "INT64",
    },
    "annotated.Wrapped": {
        **dict.fromkeys(("w_int32", "w_int64", "w_uint32", "w_uint64"), "INT64"),
        "w_double": "FLOAT64",
        "w_float": "FLOAT64",
        "w_bool": "BOOL",
        "w_string": "STRING",
        "w_bytes": "BYTES",
        "w_duration": "INTERVAL",
        "w_timestamp": "TIMESTAMP",
        "w_struct": "JSON",
        "w_value": "JSON",
        "w_list": "JSON",
        "w_timestamps": "REPEATED TIMESTAMP",
        "w_map": "REPEATED RECORD",
        "w_map.key": "STRING",
        "w_map.value": "TIMESTAMP",
        "w_one": "STRING",
        "w_other": "TIMESTAMP",
        "w_at": "TIMESTAMP",
    },
    "annotated.LeftOut": {
        "keep": "STRING",
        "kept_one": "STRING",
        "kept_two": "INT64",
        "last": "STRING",
        "tree": "JSON",
        "labels": "JSON",
    },
    "annotated.JsonNames": {
        "twoWords": "STRING",
        "three_words": "STRING",
        "innerPart": "RECORD",
        "innerPart.two_words": "STRING",
    },
    "annotated.Extra": {
        "first": "STRING",
        "second": "STRING",
        "e_int": "INT64",
        "e_list": "REPEATED STRING",
        "e_at": "TIMESTAMP",
        "e_money": "RECORD",
        "e_money.currency": "STRING",
        "e_money.units": "INT64",
        "e_money.nanos": "INT64",
        "e_double": "FLOAT64",
    },
}


def flat(columns: tuple[Column, ...], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for each in columns:
        found[f"{prefix}{each.name}"] = each.type if each.mode == "NULLABLE" else f"{each.mode} {each.type}"
        found |= flat(each.fields, f"{prefix}{each.name}.")
    return found


@pytest.mark.parametrize("name", TYPES)
def test_columns_have_the_documented_types_and_order(name: str) -> None:
    found = flat(columns_of(described(name), metadata=False))
    assert found == TYPES[name]
    if name != "bq_schema_examples.Types":
        assert list(found) == list(TYPES[name])


@pytest.mark.parametrize("name", TYPES)
def test_the_writer_schema_has_the_columns_that_a_field_fills(name: str) -> None:
    alone(writer_schema(described(name)))
    fields = {field.name for field in normalized(described(name)).field}
    extra = {column for column in TYPES[name] if column.startswith("e_")}
    assert fields == {column for column in TYPES[name] if "." not in column} - extra


def decoded(name: str, record: dict[str, Any]) -> Any:
    row = Encoder(sample(name)).encode(record)
    assert isinstance(row, bytes), row
    return alone(normalized(described(name))).FromString(row)


def test_what_is_left_out_leaves_the_row_and_the_record_may_have_it() -> None:
    record = {"keep": "a", "skip": 1, "skipOptional": [], "skip_one": "x", "kept_two": 5, "nothing": {}, "hidden": [{}]}
    row = decoded("annotated.LeftOut", {**record, "skip_tree": {"children": 3}})
    assert [(field.name, value) for field, value in row.ListFields()] == [("keep", "a"), ("kept_two", 5)]


def test_a_part_that_contains_itself_and_a_map_can_be_json() -> None:
    row = decoded("annotated.LeftOut", {"tree": {"children": [{"children": []}]}, "labels": {"a": "b"}})
    assert row.tree == '{"children":[{"children":[]}]}'
    assert row.labels == '{"a":"b"}'


def test_keys_of_the_record_are_names_of_fields_and_not_of_columns() -> None:
    for key in ("three_more_words", "threeMoreWords"):
        assert decoded("annotated.JsonNames", {key: "x"}).three_words == "x"
    assert decoded("annotated.JsonNames", {"three_words": "x"}).three_words == ""


WRAPPED = {
    "w_int32": (5, 5),
    "w_int64": ("5", 5),
    "w_uint32": (5, 5),
    "w_uint64": (2**63 - 1, 2**63 - 1),
    "w_double": (0.5, 0.5),
    "w_float": (0.5, 0.5),
    "w_bool": (True, True),
    "w_string": ("", ""),
    "w_bytes": ("_w==", b"\xff"),
    "w_duration": ("-1.5s", "0-0 0 -0:0:1.500000"),
    "w_timestamp": ("1970-01-01T00:00:01+00:00", 1_000_000),
    "w_struct": ({"a": [None]}, '{"a":[null]}'),
    "w_value": ("a", '"a"'),
    "w_list": ([1], "[1]"),
    "w_at": (1_357_034_400, 1_357_034_400_000_000),
    "w_one": ("x", "x"),
    "w_other": ("1970-01-01T00:00:01Z", 1_000_000),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_message_of_google_protobuf_that_is_one_value_is_that_value_or_null(name: str) -> None:
    written, value = WRAPPED[name]
    row = decoded("annotated.Wrapped", {name: written})
    assert getattr(row, name) == value
    for absent in ({}, {name: None}):
        assert not decoded("annotated.Wrapped", absent).HasField(name)


def test_values_in_lists_and_maps_are_converted() -> None:
    at = "1970-01-01T00:00:01Z"
    row = decoded("annotated.Wrapped", {"w_timestamps": [at], "w_map": {"a": at}})
    assert list(row.w_timestamps) == [1_000_000]
    assert [(entry.key, entry.value) for entry in row.w_map] == [("a", 1_000_000)]


def test_two_members_of_a_oneof_are_rejected() -> None:
    both = {"w_one": "x", "w_other": "1970-01-01T00:00:01Z"}
    assert isinstance(Encoder(sample("annotated.Wrapped")).encode(both), Rejection)


def test_a_group_is_a_record() -> None:
    assert decoded("bq_schema_examples.Types", {"grp": {"i1": 3}}).grp.i1 == 3


def test_options_of_the_declared_type_do_not_follow_to_another_type_on_the_wire() -> None:
    packed, amount = normalized(described("bq_schema_examples.Retyped")).field
    assert not packed.options.ListFields()
    assert not amount.HasField("default_value")
    row = decoded("bq_schema_examples.Retyped", {"packed": ["2013-01-01", "2013-01-02T10:00:00"]})
    assert list(row.packed) == ["2013-01-01 00:00:00", "2013-01-02 10:00:00"]
    assert not row.HasField("amount")


def test_editions_say_the_same_in_their_words() -> None:
    row = decoded("modern.Retyped", {"packed": ["2013-01-01"], "needed": "", "part": {"x": 1}})
    assert list(row.packed) == ["2013-01-01 00:00:00"]
    assert (row.HasField("at"), row.HasField("needed"), row.part.x) == (False, True, 1)
    assert decoded("modern.Retyped", {"at": 0, "needed": ""}).HasField("at")
    assert isinstance(Encoder(sample("modern.Retyped")).encode({}), Rejection)


UNITS = {
    "seconds": (10**12, 10**18),
    "milliseconds": (5, 5_000),
    "microseconds": (5, 5),
    "nanoseconds": (-1, -1),
    "day": (86_400_000 * 3 - 1, 2),
    "civil": (1_500, "1970-01-01 00:00:01.500000"),
    "clock": (3_600, "01:00:00"),
    "lasted": (1_500, "0-0 0 0:0:1.500000"),
    "parsed": ("1", "1"),
    "quoted": ("[]", '"[]"'),
}


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_that_the_proto_names_wins_over_the_magnitude(name: str) -> None:
    written, value = UNITS[name]
    if name == "seconds":
        assert isinstance(Encoder(sample("annotated.Units")).encode({name: written}), Rejection)
        written, value = 100_000_000_000, 10**17
    assert getattr(decoded("annotated.Units", {name: written}), name) == value


OUT_OF_RANGE = {
    "clock": [-1, 86_400],
    "day": [-62_135_596_800_001, 253_402_300_800_000],
    "civil": [-62_135_596_800_001, 253_402_300_800_000],
    "milliseconds": [-62_135_596_800_001, 253_402_300_800_000],
    "lasted": [316_224_000_000_001, -316_224_000_000_001],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, many in OUT_OF_RANGE.items() for value in many])
def test_a_number_of_a_unit_beyond_what_the_column_holds_is_rejected(name: str, value: int) -> None:
    encoder = Encoder(sample("annotated.Units"))
    refused = encoder.encode({name: value})
    assert isinstance(refused, Rejection)
    assert refused.field == name
    assert isinstance(encoder.encode({name: value - (1 if value > 0 else -1)}), bytes)


def test_the_unit_of_a_range_is_that_of_its_bounds() -> None:
    row = decoded("annotated.Units", {"span": {"start": 1, "end": 2}})
    assert (row.span.start, row.span.end) == (1_000, 2_000)


SAID = {column.name: column for column in columns_of(described("annotated.Said"))}


def test_descriptions_tags_and_defaults_reach_the_columns() -> None:
    assert SAID["described"].description == "What it is"
    assert SAID["tagged"].policy_tag == "projects/p/locations/l/taxonomies/1/policyTags/2"
    assert SAID["defaulted"].default == "'none'"
    assert (SAID["needed"].mode, SAID["needed"].fields[0].mode) == ("REPEATED", "REQUIRED")
    assert SAID["needed"].fields[0].policy_tag == "private"


def test_unsigned_numbers_beyond_int64_are_rejected() -> None:
    encoder = Encoder(sample("annotated.Said"))
    for name in ("unsigned", "unsigned_fixed"):
        assert isinstance(encoder.encode({name: 2**63 - 1}), bytes)
        refused = encoder.encode({name: 2**63})
        assert isinstance(refused, Rejection)
        assert refused.field == name


def test_what_must_be_there_is_looked_for_in_lists_and_maps_too() -> None:
    encoder = Encoder(sample("annotated.Said"))
    assert isinstance(encoder.encode({"needed": [], "mapped": {}}), bytes)
    for record, path in (
        ({"needed": [{"number": 0}, {}]}, "needed.number"),
        ({"mapped": {"a": {"number": None}}}, "mapped.number"),
    ):
        refused = encoder.encode(record)
        assert isinstance(refused, Rejection)
        assert (refused.field, refused.reason) == (path, f"{path} is required and has no value")


WARNED = {
    "annotated.Every": [],
    "annotated.LeftOut": [
        (
            "field keep: proto3 can't tell absent from empty text, so absent and null land as empty text, not as NULL; "
            "write `optional`"
        ),
        "field nothing: left out of table and rows, because message samples.annotated.LeftOut.Nothing has no fields",
        "field hidden: left out of table and rows, because message samples.annotated.LeftOut.Hidden has no fields",
    ],
    "annotated.Extra": [
        "extra_fields 'e_at:TIMESTAMP:REQUIRED': no field fills the column, so it can't be REQUIRED and is NULLABLE",
        (
            "extra_fields 'e_double:RECORD:.google.protobuf.DoubleValue:REQUIRED': no field fills the column, so it "
            "can't be REQUIRED and is NULLABLE"
        ),
    ],
    "bq_schema_examples.Bar": [],
}


@pytest.mark.parametrize("name", WARNED)
def test_what_may_surprise_is_warned_of(name: str) -> None:
    assert list(warnings_of(described(name))) == WARNED[name]


def test_each_field_without_presence_is_warned_of_with_its_zero() -> None:
    said = {text.partition(":")[0]: text for text in warnings_of(described("shop.Scalars"))}
    implicit = [each.name for each in described("shop.Scalars").fields if not each.has_presence]
    assert sorted(said) == sorted(f"field {name}" for name in implicit)
    zeros = {"f_bool": "false", "f_int64": "0", "f_bytes": "no bytes", "f_string": "empty text", "f_grade": "0"}
    for name, zero in zeros.items():
        assert f"land as {zero}, not as NULL" in said[f"field {name}"]


def test_a_default_that_never_applies_and_a_list_that_is_required_are_warned_of() -> None:
    said = warnings_of(described("annotated.Said"))
    assert "field never_defaulted: its default never applies, because it always has a value; write `optional`" in said
    assert [text for text in said if "`require` says nothing of a list" in text] != []
    assert not any("defaulted: its default" in text for text in said if "never_" not in text)


def test_a_field_s_line_is_what_the_proto_says() -> None:
    fields = described("annotated.Every").fields_by_name
    assert declaration(fields["c_int64"]) == "optional int64 c_int64 = 1;"
    assert declaration(fields["c_struct"]) == "optional samples.annotated.Every.Part c_struct = 20;"
    assert declaration(fields["c_map"]) == "map<string, samples.annotated.Every.Part> c_map = 27;"
    assert declaration(fields["c_enums"]) == "repeated samples.common.Grade c_enums = 28;"
    line = 'int32 c_date = 8 [(gen_bq_schema.bigquery).type_override = "DATE"];'
    assert declaration(fields["c_date"]) == line
    assert declaration(fields["c_int64"], "NUMERIC").endswith('[(gen_bq_schema.bigquery).type_override = "NUMERIC"];')


def test_long_descriptions_are_cut_to_what_bigquery_takes() -> None:
    from ingestor.columns import MAX_DESCRIPTION, _described  # noqa: PLC0415 - nothing else here needs it

    assert _described("x" * MAX_DESCRIPTION) == "x" * MAX_DESCRIPTION
    assert _described("x" * 2000) == "x" * (MAX_DESCRIPTION - 3) + "..."
