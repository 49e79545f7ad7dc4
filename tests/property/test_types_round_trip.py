"""A column of every type: what the source writes, in any of its forms, is the value that the table holds."""

import json
from collections.abc import Iterator
from datetime import UTC, date, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestor.columns import columns_of
from ops.local.storage_write import StorageWriteServer
from ops.local.storage_write_values import Interval
from tests.property.value_forms import COLUMNS, EPOCH, FIRST_CIVIL, LAST_CIVIL, LISTS, Form, optional
from tests.protos.appending import Appending, appending
from tests.protos.samples import described

NAME = "p.d.every"


class Table:
    """A table of the scripted server, and a connection to it."""

    def __init__(self, server: StorageWriteServer, connection: Appending) -> None:
        self._server, self._connection = server, connection

    def row(self, record: dict[str, Any]) -> dict[str, Any]:
        """Append the record and return what the table holds of it."""
        self._connection.append([json.loads(json.dumps(record))])
        return dict(self._server.rows(NAME)[-1])


@pytest.fixture(scope="module")
def every() -> Iterator[Table]:
    message = described("annotated.Every")
    with StorageWriteServer({NAME: columns_of(message)}) as server, appending(server.host, NAME, message) as connection:
        yield Table(server, connection)


def test_there_is_a_column_of_every_type_and_a_strategy_for_each() -> None:
    columns = columns_of(described("annotated.Every"), metadata=False)
    assert {column.name for column in columns} == {*COLUMNS, *LISTS}
    assert {column.type for column in columns} == {
        *("INT64", "FLOAT64", "BOOL", "STRING", "BYTES", "NUMERIC", "BIGNUMERIC", "DATE", "DATETIME", "TIME"),
        *("TIMESTAMP", "JSON", "GEOGRAPHY", "INTERVAL", "RANGE<DATE>", "RANGE<DATETIME>", "RANGE<TIMESTAMP>", "RECORD"),
    }


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_the_source_writes_is_what_the_table_holds(every: Table, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from([*COLUMNS, *LISTS]), min_size=1, max_size=6, unique=True))
    record, wanted = dict[str, Any](), dict[str, Any]()
    for name in names:
        written, value = data.draw(optional({**COLUMNS, **LISTS}[name]), label=name)
        if written != "absent":
            record[name] = written
        wanted[name] = [] if name in LISTS and value is None else value
    row = every.row(record)
    row["c_map"] = sorted(row["c_map"], key=lambda entry: str(entry["key"]))
    assert {name: row[name] for name in names} == wanted
    assert [name for name in COLUMNS if name not in names and row[name] is not None] == []


EXTREMES: dict[str, list[Form]] = {
    "c_int64": [(-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1), (str(2**63 - 1), 2**63 - 1), (0, 0)],
    "c_float64": [(1.7976931348623157e308, 1.7976931348623157e308), (5e-324, 5e-324), ("Infinity", float("inf"))],
    "c_string": [("", ""), ("\u0000", "\u0000"), ("𝄞é", "𝄞é")],
    "c_bytes": [("", b""), ("_-8", b"\xff\xef"), ("/+8=", b"\xff\xef")],
    "c_numeric": [
        ("99999999999999999999999999999.999999999", Decimal("99999999999999999999999999999.999999999")),
        ("-99999999999999999999999999999.999999999", Decimal("-99999999999999999999999999999.999999999")),
        ("0.000000001", Decimal("0.000000001")),
        ("1.100000000000000", Decimal("1.1")),
        ("-0", Decimal(0)),
        ("1e28", Decimal(10**28)),
        (9_007_199_254_740_993, Decimal(9_007_199_254_740_993)),
    ],
    "c_bignumeric": [
        (f"{2**255 - 1}e-38", Decimal(f"{2**255 - 1}e-38")),
        (f"-{2**255 - 1}e-38", Decimal(f"-{2**255 - 1}e-38")),
        ("1e-38", Decimal("1e-38")),
    ],
    "c_date": [("0001-01-01", date.min), ("9999-12-31", date.max), (-719_162, date.min), (2_932_896, date.max)],
    "c_datetime": [("0001-01-01T00:00:00", FIRST_CIVIL), ("9999-12-31 23:59:59.999999", LAST_CIVIL)],
    "c_time": [("00:00:00", time.min), ("23:59:59.999999999", time.max), ("7:05", time(7, 5))],
    "c_timestamp": [
        ("0001-01-01T00:00:00Z", FIRST_CIVIL.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", LAST_CIVIL.replace(tzinfo=UTC)),
        ("0001-01-01T12:00:00+12:00", FIRST_CIVIL.replace(tzinfo=UTC)),
        (0, EPOCH),
    ],
    "c_interval": [
        ("10000-0 3660000 87840000:0:0", Interval(120_000, 3_660_000, 316_224_000_000 * 10**6)),
        ("-10000-0 -3660000 -87840000:0:0", Interval(-120_000, -3_660_000, -316_224_000_000 * 10**6)),
        ("PT-0.000001S", Interval(0, 0, -1)),
        ("0s", Interval()),
    ],
    "c_jsons": [([None, "null", {"a": None}], [None, "null", {"a": None}])],
    "c_json": [({}, {}), ([], []), ("", ""), ("{", "{"), ("null", "null"), (False, False), (2**64 - 1, 2**64 - 1)],
}


@pytest.mark.parametrize(("column", "form"), [(name, form) for name, forms in EXTREMES.items() for form in forms])
def test_the_extremes_of_a_type_come_through(every: Table, column: str, form: Form) -> None:
    assert every.row({column: form[0]})[column] == form[1]
