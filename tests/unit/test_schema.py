"""What differs between a message and a table, what adding mends, and what must be refused."""

from typing import Any

import pytest

from ingestor.columns import Column, Mode, Table
from ingestor.schema_compare import compare
from ingestor.table_fields import merged

A = Column("a", "INT64")
FORBIDDEN_CHANGE = "change the field, or give it another name and number"


def record(*fields: Column, mode: Mode = "NULLABLE") -> Column:
    return Column("r", "RECORD", mode, fields=fields)


FITS: dict[str, tuple[tuple[Column, ...], tuple[Column, ...]]] = {
    "the same": ((A,), (A,)),
    "names in other case": ((Column("Name", "STRING"),), (Column("name", "STRING"),)),
    "a nullable column that the message lacks": ((A,), (A, Column("old", "STRING"))),
    "a list that the message lacks": ((A,), (A, Column("old", "STRING", "REPEATED"))),
    "the message requires what the table doesn't": ((Column("a", "INT64", "REQUIRED"),), (A,)),
    "another description": ((Column("a", "INT64", description="x"),), (A,)),
    "a nested column that the message lacks": ((record(A),), (record(A, Column("old", "STRING")),)),
}

DIFFERS: dict[str, tuple[tuple[Column, ...], tuple[Column, ...], str, str]] = {
    "a missing column": ((A,), (), "additive", "column a: table has none, message wants INT64; add the column"),
    "a missing column that is required": (
        (Column("a", "INT64", "REQUIRED"),),
        (),
        "additive",
        (
            "column a: table has none, message wants REQUIRED INT64; add the column (NULLABLE, because BigQuery "
            "adds no other; records without a value are rejected all the same)"
        ),
    ),
    "another type inside": (
        (record(A),),
        (record(Column("a", "STRING")),),
        "incompatible",
        f"column r.a: table has STRING, message wants INT64; {FORBIDDEN_CHANGE}",
    ),
    "one value where the message has a list": (
        (record(A, mode="REPEATED"),),
        (record(A),),
        "incompatible",
        f"column r: table has it NULLABLE, message wants it REPEATED; {FORBIDDEN_CHANGE}",
    ),
    "required where the message may leave it out": (
        (A,),
        (Column("a", "INT64", "REQUIRED"),),
        "additive",
        (
            "column a: table has it REQUIRED, message may leave it NULL; let the column be NULL, or set `require` "
            "on the field"
        ),
    ),
    "a required column that the message lacks": (
        (A,),
        (A, Column("old", "STRING", "REQUIRED")),
        "additive",
        "column old: table has it REQUIRED, message has no such field; let the column be NULL, or add the field",
    ),
}


@pytest.mark.parametrize("case", FITS)
def test_it_fits_when_rows_can_be_written(case: str) -> None:
    wanted, present = FITS[case]
    assert compare(wanted, Table("t", present)).verdict == "fits"


@pytest.mark.parametrize("case", DIFFERS)
def test_a_difference_says_where_what_and_how_to_mend_it(case: str) -> None:
    wanted, present, verdict, text = DIFFERS[case]
    comparison = compare(wanted, Table("t", present))
    assert comparison.verdict == verdict
    assert [each.text for each in comparison.differences] == [f"table t, {text}"]


def test_one_incompatible_difference_outweighs_what_could_be_added() -> None:
    comparison = compare((A, Column("b", "STRING")), Table("t", (Column("b", "BYTES"),)))
    assert comparison.verdict == "incompatible"
    assert [each.mendable for each in comparison.differences] == [True, False]


def test_changed_columns_leave_what_the_service_says_of_the_others_untouched() -> None:
    present: list[dict[str, Any]] = [
        {"name": "A", "type": "INTEGER", "mode": "REQUIRED", "policyTags": {"names": ["x"]}, "maxLength": "9"},
        {"name": "b", "type": "STRING", "mode": "REQUIRED", "description": "mine", "collation": "und:ci"},
        {"name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "old", "type": "STRING"}]},
        {"name": "gone", "type": "STRING", "mode": "REQUIRED"},
    ]
    required = Column("a", "INT64", "REQUIRED", policy_tag="y")
    new = Column("new", "STRING", "REQUIRED", "n", default="'x'")
    wanted = (new, required, Column("b", "STRING"), record(A, Column("old", "STRING"), mode="REPEATED"))
    fields = merged(present, wanted)
    assert fields[0] == present[0]
    assert fields[1] == {**present[1], "mode": "NULLABLE"}
    assert fields[2] == {
        **present[2],
        "fields": [{"name": "old", "type": "STRING"}, {"name": "a", "type": "INT64", "mode": "NULLABLE"}],
    }
    assert fields[3] == {**present[3], "mode": "NULLABLE"}
    assert fields[4] == {"name": "new", "type": "STRING", "mode": "NULLABLE", "description": "n"}
    again = merged(fields, wanted)
    assert again[4] == {**fields[4], "defaultValueExpression": "'x'"}
    assert merged(again, wanted) == again
