"""What differs between a message and a table, what adding mends, and what must be refused."""

from typing import Any

import pytest

from ingestor.columns import Column, Mode
from ingestor.schema import compare
from ingestor.tables import Table, _merged

A = Column("a", "INT64")
FORBIDDEN_CHANGE = "change the field, or give it another name and number"


def record(*fields: Column, mode: Mode = "NULLABLE") -> Column:
    return Column("r", "RECORD", mode, fields=fields)


FITS: dict[str, tuple[tuple[Column, ...], tuple[Column, ...]]] = {
    "the same": ((A,), (A,)),
    "names in other case": ((Column("Name", "STRING"),), (Column("name", "STRING"),)),
    "another order": ((A, Column("b", "STRING")), (Column("b", "STRING"), A)),
    "a nullable column that the message lacks": ((A,), (A, Column("old", "STRING"))),
    "a list that the message lacks": ((A,), (A, Column("old", "STRING", "REPEATED"))),
    "the message requires what the table doesn't": ((Column("a", "INT64", "REQUIRED"),), (A,)),
    "another description": ((Column("a", "INT64", description="x"),), (A,)),
    "a nested column that the message lacks": ((record(A),), (record(A, Column("old", "STRING")),)),
}

DIFFERS: dict[str, tuple[tuple[Column, ...], tuple[Column, ...], str, str]] = {
    "a missing column": ((A,), (), "additive", "column a: table has none, message wants INT64; add the column"),
    "a missing list": (
        (Column("a", "INT64", "REPEATED"),),
        (),
        "additive",
        "column a: table has none, message wants REPEATED INT64; add the column",
    ),
    "a missing nested column": (
        (record(A),),
        (record(),),
        "additive",
        "column r.a: table has none, message wants INT64; add the column",
    ),
    "a missing column that is required": (
        (Column("a", "INT64", "REQUIRED"),),
        (),
        "incompatible",
        (
            "column a: table has none, message wants REQUIRED INT64; BigQuery can't add a REQUIRED column to a table: "
            "take `require` off the field"
        ),
    ),
    "another type": (
        (A,),
        (Column("a", "STRING"),),
        "incompatible",
        f"column a: table has STRING, message wants INT64; {FORBIDDEN_CHANGE}",
    ),
    "another type inside": (
        (record(A),),
        (record(Column("a", "STRING")),),
        "incompatible",
        f"column r.a: table has STRING, message wants INT64; {FORBIDDEN_CHANGE}",
    ),
    "a list where the message has one value": (
        (A,),
        (Column("a", "INT64", "REPEATED"),),
        "incompatible",
        f"column a: table has it REPEATED, message wants it NULLABLE; {FORBIDDEN_CHANGE}",
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
        "incompatible",
        (
            "column a: table has it REQUIRED, message may leave it NULL; set `require` on the field, or drop NOT NULL "
            "from the column"
        ),
    ),
    "a required column that the message lacks": (
        (A,),
        (A, Column("old", "STRING", "REQUIRED")),
        "incompatible",
        "column old: table has it REQUIRED, message has no such field; add the field, or drop NOT NULL from the column",
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
    assert len(comparison.differences) == 2


def test_added_columns_leave_what_the_service_says_of_the_others_untouched() -> None:
    present: list[dict[str, Any]] = [
        {"name": "A", "type": "INTEGER", "mode": "REQUIRED", "policyTags": {"names": ["x"]}},
        {"name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "old", "type": "STRING"}]},
    ]
    wanted = (Column("new", "STRING", description="n"), A, record(A, Column("old", "STRING"), mode="REPEATED"))
    merged = _merged(present, wanted)
    assert merged[0] == present[0]
    assert merged[1] == {
        **present[1],
        "fields": [{"name": "old", "type": "STRING"}, {"name": "a", "type": "INT64", "mode": "NULLABLE"}],
    }
    assert [(field["name"], field["mode"], field["description"]) for field in merged[2:]] == [("new", "NULLABLE", "n")]
