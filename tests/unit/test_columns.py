"""Which columns a message asks for, and what is refused because this version can't do it right."""

import pytest

from ingestor.columns import METADATA_COLUMNS, Column, columns_of
from ingestor.descriptor import METADATA_FIELDS
from ingestor.errors import SchemaMismatch
from tests.protos.samples import described

MONEY = (Column("currency", "STRING"), Column("units", "INT64"), Column("nanos", "INT64"))


def by_name(message: str) -> dict[str, Column]:
    return {column.name: column for column in columns_of(described(message))}


def test_scalars_become_the_documented_types() -> None:
    types = {name: column.type for name, column in by_name("shop.Scalars").items() if name.startswith("f_")}
    integers = ("int32", "int64", "uint32", "sint32", "sint64", "fixed32", "sfixed32", "sfixed64")
    assert types == {
        **{f"f_{name}": "INT64" for name in integers},
        "f_double": "FLOAT64",
        "f_float": "FLOAT64",
        "f_bool": "BOOL",
        "f_string": "STRING",
        "f_bytes": "BYTES",
        "f_grade": "INT64",
    }


def test_records_lists_maps_and_annotations_become_columns() -> None:
    order = by_name("shop.Order")
    assert order["total"] == Column("total", "RECORD", fields=MONEY)
    assert order["id"] == Column("id", "STRING", "REQUIRED")
    assert order["history"] == Column("history", "INT64", "REPEATED")
    assert order["seen_at"] == Column("seen_at", "TIMESTAMP", "REPEATED")
    assert order["Remark"] == Column("Remark", "STRING")
    entry = (Column("key", "STRING"), Column("value", "RECORD", fields=MONEY))
    assert order["fees"] == Column("fees", "RECORD", "REPEATED", fields=entry)
    assert order["lines"].fields[0] == Column("sku", "STRING", description="Stock keeping unit")
    assert order["lines"].fields[4] == Column("packed_at", "TIMESTAMP")
    assert order["customer"] == Column("customer", "STRING")


@pytest.mark.parametrize(("message", "field"), [("legacy.Event", "id"), ("modern.Reading", "needed")])
def test_a_required_field_is_a_required_column(message: str, field: str) -> None:
    assert by_name(message)[field].mode == "REQUIRED"


def test_columns_stand_in_the_order_of_the_file_and_the_metadata_last() -> None:
    order = described("shop.Order")
    assert [column.name for column in columns_of(order)[:3]] == ["total", "id", "status"]
    assert columns_of(order)[-3:] == METADATA_COLUMNS
    assert columns_of(order, metadata=False) == columns_of(order)[:-3]


def test_the_metadata_columns_are_those_of_the_writer_schema() -> None:
    assert [(each.name, each.type, each.mode) for each in METADATA_COLUMNS] == [
        ("_ingest_batch_id", "STRING", "NULLABLE"),
        ("_ingest_row_index", "INT64", "NULLABLE"),
        ("_ingest_time", "TIMESTAMP", "NULLABLE"),
    ]
    assert [each.name for each in METADATA_COLUMNS] == list(METADATA_FIELDS)


REFUSED = {
    "refused.Empty": r"^message samples.refused.Empty has no fields",
    "refused.AllIgnored": r"^message samples.refused.AllIgnored has no fields",
    "refused.Itself": r"field children: .*contains itself",
    "refused.NestedDefault": r"field inner.text: BigQuery has defaults for columns only",
    "refused.ExtraForm": r"ExtraForm: extra_fields has 'a STRING'; write it as NAME:TYPE\[:MODE\]",
    "refused.ExtraMode": r"ExtraMode: extra_fields has 'a:STRING:SOMETIMES'; write it as",
    "refused.ExtraMessage": r"extra_fields names the message 'samples.refused.Nowhere', which no imported file defines",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused(name: str) -> None:
    with pytest.raises(SchemaMismatch, match=REFUSED[name]) as refused:
        columns_of(described(name))
    assert "\n" not in str(refused.value)
