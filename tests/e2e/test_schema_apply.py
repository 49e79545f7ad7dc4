"""`schema plan` and `schema apply` against the BigQuery emulator, and what the dedup view shows of real rows."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from ingestor import ddl, schema
from ingestor.columns import Column, Table, columns_of
from ingestor.errors import BigQueryUnavailable, SchemaMismatch
from ingestor.messages import descriptor_of, message_class
from ingestor.schema_compare import Difference
from ingestor.tables import Tables
from tests.conftest import PROJECT, BigQueryHosts
from tests.protos.samples import described

FLIGHT = descriptor_of(message_class("flights.Flight"))
# The emulator doesn't report the partitioning of a table that SQL made; everything else must agree.
PARTITIONING_IS_NOT_SHOWN = Difference(
    "table written: table is partitioned not by time, wanted is by DAY on _ingest_time; "
    "BigQuery can't change that: choose another BQ_TABLE_ID, or copy the rows into a new table"
)
TIME = "TIMESTAMP '2026-01-02 03:04:05.000006+00'"


@pytest.fixture
def tables(bigquery: BigQueryHosts, dataset: str) -> Iterator[Tables]:
    with Tables(PROJECT, dataset, bigquery.rest_host) as opened:
        yield opened


def existing(tables: Tables, table_id: str) -> Table:
    table = tables.read(table_id)
    assert table is not None
    return table


def shape(columns: tuple[Column, ...]) -> Any:
    return [(each.name, each.type, each.mode, shape(each.fields)) for each in columns]


def test_apply_makes_what_plan_says_and_a_run_may_start(tables: Tables) -> None:
    with pytest.raises(SchemaMismatch, match=r"table flights doesn't exist; .*run `ingestor schema apply`"):
        schema.preflight(tables, "flights", FLIGHT)
    planned = schema.plan(tables, "flights", FLIGHT)
    assert [line.split(":")[0] for line in planned] == [
        "create table flights",
        "create table flights_ledger",
        "create view flights_dedup",
    ]
    assert schema.apply(tables, "flights", FLIGHT) == planned
    schema.preflight(tables, "flights", FLIGHT)
    table = existing(tables, "flights")
    assert shape(table.columns) == shape(columns_of(FLIGHT))
    assert (table.partition_column, table.partition_unit) == ("_ingest_time", "DAY")
    assert table.cluster_columns == ("_ingest_batch_id",)


def test_apply_is_idempotent(tables: Tables) -> None:
    schema.apply(tables, "flights", FLIGHT)
    assert schema.plan(tables, "flights", FLIGHT) == []
    assert schema.apply(tables, "flights", FLIGHT) == []


def test_nested_repeated_and_required_columns_come_back_as_they_were_asked_for(tables: Tables) -> None:
    order = described("shop.Order")
    schema.apply(tables, "orders", order)
    assert shape(existing(tables, "orders").columns) == shape(columns_of(order))
    assert schema.plan(tables, "orders", order) == []


def test_the_ddl_makes_the_same_objects_as_apply(tables: Tables) -> None:
    order = described("shop.Order")
    schema.apply(tables, "applied", order)
    for statement in ddl.statements(PROJECT, tables.dataset, "written", columns_of(order)).values():
        tables.query(statement)
    for applied, written in zip(ddl.object_ids("applied"), ddl.object_ids("written"), strict=True):
        assert shape(existing(tables, written).columns) == shape(existing(tables, applied).columns)
    assert schema.check(tables, "written", order).blocking == (PARTITIONING_IS_NOT_SHOWN,)


def narrow(columns: tuple[Column, ...], *dropped: str) -> tuple[Column, ...]:
    """The columns without those at the dotted paths."""
    return tuple(
        Column(each.name, each.type, each.mode, each.description, inner)
        for each in columns
        if each.name not in dropped
        for inner in [narrow(each.fields, *(path.removeprefix(f"{each.name}.") for path in dropped))]
    )


def test_missing_columns_are_added_at_every_level_and_the_view_shows_them(tables: Tables) -> None:
    order = described("shop.Order")
    older = narrow(columns_of(order), "last_status", "part", "lines.packed_at", "lines.price.currency")
    tables.create_table("orders", older, partition_column="_ingest_time", cluster_columns=["_ingest_batch_id"])
    tables.create_table("orders_ledger", ddl.ledger_columns())
    tables.create_view("orders_dedup", ddl.dedup_query(PROJECT, tables.dataset, "orders", older))
    done = schema.apply(tables, "orders", order)
    assert done == [
        (
            "change table orders: add last_status INT64, add lines.price.currency STRING, "
            "add lines.packed_at TIMESTAMP, add part RECORD"
        ),
        "replace view orders_dedup",
    ]
    assert sorted(flat(existing(tables, "orders").columns)) == sorted(flat(columns_of(order)))
    schema.preflight(tables, "orders", order)
    assert "last_status" in existing(tables, "orders_dedup").query
    # Rows take the new fields, whatever level they are at.
    price = f"STRUCT('EUR' AS currency, 5 AS units, 0 AS nanos) AS price, {TIME} AS packed_at"
    tables.query(
        f"INSERT INTO {ddl.quoted(PROJECT, tables.dataset, 'orders')} (id, last_status, lines) SELECT 'a', 1, "
        f"[STRUCT('s' AS sku, 1 AS quantity, {price})]"
    )
    name = ddl.quoted(PROJECT, tables.dataset, "orders")
    (row,) = tables.query(f"SELECT last_status, lines FROM {name}")  # noqa: S608 (our own names)
    assert row["last_status"] == 1
    assert row["lines"][0]["price"]["currency"] == "EUR"
    assert row["lines"][0]["packed_at"].isoformat() == "2026-01-02T03:04:05.000006+00:00"


def flat(columns: tuple[Column, ...], prefix: str = "") -> Iterator[str]:
    for each in columns:
        yield f"{prefix}{each.name} {each.type} {each.mode}"
        yield from flat(each.fields, f"{prefix}{each.name}.")


def test_what_adding_does_not_mend_is_refused_and_nothing_is_done(tables: Tables) -> None:
    other = (Column("year", "STRING"), *columns_of(FLIGHT)[1:])
    tables.create_table("flights", other, partition_column="_ingest_time", cluster_columns=["_ingest_batch_id"])
    with pytest.raises(SchemaMismatch, match=r"column year: table has STRING, message wants INT64"):
        schema.apply(tables, "flights", FLIGHT)
    assert tables.read("flights_ledger") is None


def test_a_view_of_a_later_message_still_serves_after_a_rollback(tables: Tables) -> None:
    order = described("shop.Order")
    schema.apply(tables, "orders", order)
    wider = (Column("later", "STRING"), *columns_of(order))
    tables.update_columns("orders", wider)
    tables.create_view("orders_dedup", ddl.dedup_query(PROJECT, tables.dataset, "orders", wider))
    schema.preflight(tables, "orders", order)


def test_a_view_with_other_rules_is_refused_by_a_run_and_replaced_by_apply(tables: Tables) -> None:
    schema.apply(tables, "flights", FLIGHT)
    wanted = ddl.dedup_query(PROJECT, tables.dataset, "flights", columns_of(FLIGHT))
    oldest_first = wanted.replace("`version` DESC", "`version`")
    assert oldest_first != wanted
    tables.create_view("flights_dedup", oldest_first)
    with pytest.raises(SchemaMismatch, match=r"view flights_dedup is not the one .*run `ingestor schema apply`"):
        schema.preflight(tables, "flights", FLIGHT)
    assert schema.apply(tables, "flights", FLIGHT) == ["replace view flights_dedup"]
    schema.preflight(tables, "flights", FLIGHT)


@pytest.mark.parametrize(
    ("name", "said"),
    [("flights_dedup", "flights_dedup is a table, not"), ("flights", "flights is a view, not a table")],
)
def test_an_object_of_the_other_kind_is_refused(tables: Tables, name: str, said: str) -> None:
    tables.create_table("other", columns_of(FLIGHT))
    if name == "flights":
        tables.create_view(name, f"SELECT * FROM {ddl.quoted(PROJECT, tables.dataset, 'other')}")  # noqa: S608 (our names)
    else:
        tables.create_table(name, columns_of(FLIGHT))
    with pytest.raises(SchemaMismatch, match=said):
        schema.apply(tables, "flights", FLIGHT)


def test_a_statement_that_bigquery_refuses_is_one_line(tables: Tables) -> None:
    with pytest.raises(SchemaMismatch, match=r"refuses what was asked of test-project\.") as refused:
        tables.query("SELECT FROM WHERE")
    assert "\n" not in str(refused.value)


def test_a_missing_dataset_is_named_with_the_command_that_makes_it(bigquery: BigQueryHosts) -> None:
    with (
        Tables(PROJECT, "nowhere", bigquery.rest_host) as tables,
        pytest.raises(
            SchemaMismatch, match=r"dataset test-project.nowhere doesn't exist.*bq mk --dataset test-project:nowhere"
        ),
    ):
        schema.apply(tables, "flights", FLIGHT)


def test_a_bigquery_that_cannot_be_reached_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestor.tables.RETRY_S", 0.01)
    with (
        Tables(PROJECT, "any", "127.0.0.1:1") as tables,
        pytest.raises(BigQueryUnavailable, match=r"could not be asked about test-project.any.flights") as raised,
    ):
        schema.preflight(tables, "flights", FLIGHT)
    assert "\n" not in str(raised.value)


COMMITTED, SUPERSEDED, DISCARDED = "COMMITTED", "SUPERSEDED", "DISCARDED"

STATED: dict[str, tuple[list[tuple[str, int, str]], bool]] = {
    "never stated": ([], False),
    "committed": ([("0", 3, COMMITTED)], True),
    "committed, published twice": ([("0", 3, COMMITTED), ("0", 3, COMMITTED)], True),
    "superseded": ([("0", 3, SUPERSEDED)], False),
    "a later version wins": ([("0", 9, COMMITTED), ("0", 10, SUPERSEDED)], False),
    "a later version wins, written first": ([("0", 10, SUPERSEDED), ("0", 9, COMMITTED)], False),
    "operators win with a lower version": ([("0", 50, SUPERSEDED), ("ops", 2, COMMITTED)], True),
    "operators' highest version wins": ([("ops", 2, COMMITTED), ("ops", 7, DISCARDED), ("0", 50, COMMITTED)], False),
    "a backfill's lane is a source's": ([("z-backfill", 1, COMMITTED), ("ops", 1, DISCARDED)], False),
}


def insert(tables: Tables, table_id: str, columns: str, rows: list[str]) -> None:
    if rows:
        name = ddl.quoted(PROJECT, tables.dataset, table_id)
        tables.query(f"INSERT INTO {name} ({columns}) VALUES {', '.join(rows)}")  # noqa: S608 (our own values)


def test_the_view_shows_every_row_of_every_committed_batch_once(tables: Tables) -> None:
    schema.apply(tables, "flights", FLIGHT)
    ids = {case: f"{number:032x}" for number, case in enumerate(STATED)}
    # Two rows a batch; row 1 landed three times, as after two lost answers. Every row of a batch has its own values.
    rows = [
        f"({number * 10 + index}, '{batch}', {index}, {TIME})"
        for number, batch in enumerate(ids.values())
        for index in (0, 1, 1, 1)
    ]
    insert(tables, "flights", "flight, _ingest_batch_id, _ingest_row_index, _ingest_time", rows)
    said = [
        f"('flights', '{lane}', {version}, 'r', '{ids[case]}', '{status}', 2, {TIME})"
        for case, (statements, _) in STATED.items()
        for lane, version, status in statements
    ]
    insert(tables, "flights_ledger", "pipeline_id, lane, version, run_id, batch_id, status, row_count, `at`", said)
    wanted = [
        (number * 10 + index, ids[case], index)
        for number, (case, (_, visible)) in enumerate(STATED.items())
        if visible
        for index in (0, 1)
    ]
    assert shown(tables, "flights") == wanted
    filtered = shown(tables, "flights", "WHERE _ingest_time >= TIMESTAMP '2026-01-02' AND _ingest_time < '2026-01-03'")
    assert filtered == wanted
    assert shown(tables, "flights", "WHERE _ingest_time >= TIMESTAMP '2026-01-03'") == []


def shown(tables: Tables, table_id: str, where: str = "") -> list[tuple[int, str, int]]:
    view = ddl.quoted(PROJECT, tables.dataset, ddl.dedup_id(table_id))
    columns = "flight, _ingest_batch_id, _ingest_row_index"
    rows = tables.query(f"SELECT {columns} FROM {view} {where} ORDER BY 2, 3")  # noqa: S608 (our own values)
    return [(row["flight"], row["_ingest_batch_id"], row["_ingest_row_index"]) for row in rows]


@pytest.mark.parametrize("message", [FLIGHT, described("shop.Order")], ids=["flight", "order"])
def test_the_view_has_the_message_s_columns_first_and_the_metadata_last(tables: Tables, message: Descriptor) -> None:
    schema.apply(tables, "rows", message)
    view = ddl.quoted(PROJECT, tables.dataset, "rows_dedup")
    assert tables.query(f"SELECT * FROM {view}") == []  # noqa: S608 (our own names)
    columns = [column.name for column in existing(tables, "rows_dedup").columns]
    assert columns == [column.name for column in columns_of(message)]


# The view of the newest rows


KEY = ("carrier", "flight")
VERSIONS: list[tuple[str | None, int, int, str, int, int]] = [
    ("UA", 1, 10, "b1", 0, 2),
    ("UA", 1, 11, "b1", 1, 2),
    ("UA", 1, 12, "b2", 0, 3),
    ("UA", 1, 12, "b2", 0, 3),
    ("UA", 1, 13, "b3", 0, 4),
    ("UA", 2, 20, "b1", 2, 2),
    ("UA", 2, 21, "b1", 3, 2),
    ("AA", 1, 30, "b1", 4, 2),
    (None, 1, 40, "b1", 5, 2),
    (None, 1, 41, "b2", 1, 3),
]
"""carrier, flight, dep_time, batch, index, day of the ingest time. A double among them, and a superseded batch."""
STATEMENTS = """INSERT INTO `{0}_ledger` (pipeline_id, lane, version, batch_id, status) VALUES
    ('p', '0', 1, 'b1', 'COMMITTED'), ('p', '0', 2, 'b2', 'COMMITTED'), ('p', '0', 3, 'b3', 'SUPERSEDED')"""


def test_the_latest_view_shows_the_newest_visible_row_of_each_key(tables: Tables) -> None:
    schema.apply(tables, "flights", FLIGHT, dedup_key=KEY)
    where = f"{PROJECT}.{tables.dataset}.flights"
    columns = "carrier, flight, dep_time, _ingest_batch_id, _ingest_row_index, _ingest_time"
    rows_sql = ", ".join(
        f"({'NULL' if carrier is None else repr(carrier)}, {numbers}, '{batch}', {index}, TIMESTAMP '2026-01-0{day}')"
        for carrier, flight, dep_time, batch, index, day in VERSIONS
        for numbers in (f"{flight}, {dep_time}",)
    )
    tables.query(f"INSERT INTO `{where}` ({columns}) VALUES {rows_sql}")  # noqa: S608 - ours
    tables.query(STATEMENTS.format(where))
    rows = tables.query(f"SELECT carrier, flight, dep_time FROM `{where}_latest`")  # noqa: S608 - ours
    shown = {(row["carrier"], row["flight"]): row["dep_time"] for row in rows}
    assert len(rows) == len(shown)
    assert shown == {("UA", 1): 12, ("UA", 2): 21, ("AA", 1): 30, (None, 1): 41}


def test_with_a_key_the_latest_view_belongs_to_what_a_run_needs(tables: Tables) -> None:
    schema.apply(tables, "flights", FLIGHT)
    schema.preflight(tables, "flights", FLIGHT)
    with pytest.raises(SchemaMismatch, match=r"view flights_latest doesn't exist; run `ingestor schema apply`"):
        schema.preflight(tables, "flights", FLIGHT, dedup_key=KEY)
    assert schema.plan(tables, "flights", FLIGHT, KEY) == ["create view flights_latest"]
    schema.apply(tables, "flights", FLIGHT, dedup_key=KEY)
    schema.preflight(tables, "flights", FLIGHT, dedup_key=("Carrier", "FLIGHT"))
    assert schema.plan(tables, "flights", FLIGHT, ("flight",)) == ["replace view flights_latest"]
    schema.apply(tables, "flights", FLIGHT, dedup_key=("flight",))
    assert schema.check(tables, "flights", FLIGHT, ("flight",)).differences == ()
    assert schema.check(tables, "flights", FLIGHT).differences == ()
