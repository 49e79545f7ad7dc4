"""On the BigQuery emulator: additive changes take rows, old and new deployments take turns, values come back."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from ingestor import ddl, schema
from ingestor.columns import columns_of
from ingestor.errors import SchemaMismatch
from ingestor.tables import Tables
from ops.local.services import request_json
from tests.conftest import PROJECT, BigQueryHosts
from tests.protos.appending import appending
from tests.protos.changes import CHANGES, after, before
from tests.protos.samples import described

ADDITIVE = [name for name, change in CHANGES.items() if change.verdict == "additive"]
EACH_KIND = frozenset(
    {
        "a field added",
        "a list added",
        "a record added",
        "a nested field added",
        "a field added in a list of records",
        "a column renamed",
        "an extra column",
        "a required field dropped",
        "no longer required",
        "no longer required inside",
    }
)
"""One for each kind of DDL: CI tries these here, `make test-long` the others. All plans are judged by tests/unit."""


class Warehouse:
    """A dataset of the emulator: tables made for a message, rows appended, rows read."""

    def __init__(self, tables: Tables, host: str) -> None:
        self.tables, self._host = tables, host

    def append(self, table_id: str, message: Descriptor, *records: dict[str, Any]) -> None:
        with appending(self._host, f"{PROJECT}.{self.tables.dataset}.{table_id}", message) as connection:
            connection.append(records)

    def rows(self, table_id: str, order: str = "1") -> list[dict[str, Any]]:
        name = ddl.quoted(PROJECT, self.tables.dataset, table_id)
        return self.tables.query(f"SELECT * FROM {name} ORDER BY {order}")  # noqa: S608 (our own names)


@pytest.fixture(scope="module")
def _tables(bigquery: BigQueryHosts) -> Iterator[Tables]:
    name = f"d{uuid.uuid4().hex[:12]}"
    body = {"datasetReference": {"projectId": PROJECT, "datasetId": name}}
    request_json("POST", f"http://{bigquery.rest_host}/bigquery/v2/projects/{PROJECT}/datasets", body)
    with Tables(PROJECT, name, bigquery.rest_host) as tables:
        yield tables


@pytest.fixture
def warehouse(_tables: Tables, bigquery: BigQueryHosts) -> Warehouse:
    return Warehouse(_tables, bigquery.grpc_host)


def present(value: Any) -> Any:
    """The value without what is NULL or empty, at every level."""
    if isinstance(value, dict):
        return {name: present(part) for name, part in value.items() if part not in (None, [], {})}
    return [present(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name not in EACH_KIND)) for name in ADDITIVE]
)
def test_after_an_additive_change_is_applied_rows_of_before_and_after_are_taken(
    warehouse: Warehouse, name: str
) -> None:
    table_id = f"t{ADDITIVE.index(name)}"
    schema.apply(warehouse.tables, table_id, before(name))
    with pytest.raises(SchemaMismatch, match="run `ingestor schema apply`"):
        schema.preflight(warehouse.tables, table_id, after(name))
    (line, *_) = schema.plan(warehouse.tables, table_id, after(name))
    assert line == f"change table {table_id}: {CHANGES[name].plan}"
    assert schema.apply(warehouse.tables, table_id, after(name))[0] == line
    assert schema.plan(warehouse.tables, table_id, after(name)) == []
    schema.preflight(warehouse.tables, table_id, after(name))
    warehouse.append(table_id, after(name), json.loads(CHANGES[name].record))
    schema.preflight(warehouse.tables, table_id, before(name))
    (row,) = warehouse.rows(table_id)
    known = {column.name for column in columns_of(before(name))}
    new = {column: value for column, value in present(row).items() if column not in known}
    assert bool(new) is (
        CHANGES[name].plan.startswith("add ") and "." not in CHANGES[name].plan and name != "an extra column"
    )


def test_the_kinds_are_changes() -> None:
    assert set(ADDITIVE) >= EACH_KIND


def test_old_and_new_deployments_write_by_turns_and_nothing_is_refused(warehouse: Warehouse) -> None:
    old, new = before("a nested field added"), after("a nested field added")
    schema.apply(warehouse.tables, "turns", old)
    warehouse.append("turns", old, {"r": {"x": 0, "y": "ignored"}})
    schema.apply(warehouse.tables, "turns", new)
    for turn in range(1, 9):
        message = new if turn % 2 else old
        schema.preflight(warehouse.tables, "turns", message)
        warehouse.append("turns", message, {"r": {"x": turn, "y": f"y{turn}"}})
    # Rolled back: the old deployment plans nothing, and takes nothing away.
    assert schema.plan(warehouse.tables, "turns", old) == []
    rows = warehouse.rows("turns", "r.x")
    assert [row["r"] for row in rows] == [{"x": n, "y": f"y{n}" if n % 2 else None} for n in range(9)]


def test_two_branches_that_add_columns_leave_both_and_a_view_of_both(warehouse: Warehouse) -> None:
    schema.apply(warehouse.tables, "branches", before("a date added"))
    schema.apply(warehouse.tables, "branches", after("an enum added"))
    schema.apply(warehouse.tables, "branches", after("a date added"))
    view = warehouse.tables.read("branches_dedup")
    assert view is not None
    assert [column.name for column in view.columns] == [
        *("a", "b", "e", "_ingest_batch_id", "_ingest_row_index", "_ingest_time")
    ]
    for name in ("an enum added", "a date added"):
        assert schema.check(warehouse.tables, "branches", after(name)).verdict == "fits"


# The emulator has no RANGE on its append path, holds INTERVAL and GEOGRAPHY otherwise, and BIGNUMERIC with 38 digits:
# those are proved on the scripted server (tests/property/test_types_round_trip.py).
COMES_BACK: dict[str, tuple[Any, Any]] = {
    "c_int64": ("9223372036854775807", 2**63 - 1),
    "c_float64": (0.1, 0.1),
    "c_bool": (False, False),
    "c_string": ("", ""),
    "c_bytes": ("_-8", b"\xff\xef"),
    "c_numeric": ("-99999999999999999999999999999.999999999", Decimal("-99999999999999999999999999999.999999999")),
    "c_date": ("0001-01-01", date.min),
    "c_datetime": ("9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999)),  # noqa: DTZ001 - civil
    "c_time": ("23:59:59.999999", time.max),
    "c_timestamp": ("0001-01-01T12:00:00+12:00", datetime(1, 1, 1, tzinfo=UTC)),
    "c_json": ({"a": [1, None]}, {"a": [1, None]}),
    "c_enum": ("GRADE_HIGH", 7),
    "c_struct": ({"text": "", "amount": 1.5, "days": ["2013-01-31"]}, None),
    "c_int64s": ([1, "2"], [1, 2]),
    "c_timestamps": ([0], [datetime(1970, 1, 1, tzinfo=UTC)]),
}


def test_values_of_the_types_that_the_emulator_has_come_back_extremes_and_nulls_included(warehouse: Warehouse) -> None:
    message = described("annotated.Emulated")
    schema.apply(warehouse.tables, "types", message)
    names = [column.name for column in columns_of(message, metadata=False) if column.name != "key"]
    assert set(names) == set(COMES_BACK)
    warehouse.append("types", message, {"key": 1, **{name: COMES_BACK[name][0] for name in names}}, {"key": 2})
    full, empty = warehouse.rows("types", "key")
    for name in names:
        if name == "c_struct":
            assert full[name] == {"text": "", "amount": Decimal("1.5"), "days": [date(2013, 1, 31)]}
        else:
            assert full[name] == COMES_BACK[name][1], name
    assert [name for name in names if empty[name] not in (None, [])] == []
