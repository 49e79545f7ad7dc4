"""Ledger and table compared on BigQuery's own SQL: what breaks the books is named, what is normal is not."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from ingestor import schema
from ingestor.batch import Batch
from ingestor.ddl import ledger_id
from ingestor.messages import descriptor_of
from ingestor.reconcile import BatchBooks, Books, Reconciliation, reconcile, worth_showing
from ingestor.reconcile_sql import Indexes, present_queries
from ingestor.tables import Tables
from state.fold import Statement
from tests.conftest import PROJECT, BigQueryHosts, fresh_dataset
from tests.dead import FLIGHT, INGEST_US, PIPELINE, Desk, Lane, batch_of, flight

BAD = {"flight": "many"}
HOUR_US = 3_600_000_000


@dataclass
class World:
    """Three batches of one lane, their rows in the table, their statements in the ledger table.

    `plain` has three rows; `mixed` has rows 0 and 2, record 1 was rejected; `dead` has two rows and is set aside.
    """

    tables: Tables
    desk: Desk = field(default_factory=Desk)
    owed: list[Statement] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        self.table = f"{self.tables.project}.{self.tables.dataset}.flights"
        self.lane = Lane(self.desk.journal, self.desk.stores)
        batches = {
            "plain": batch_of([flight(number) for number in range(3)], start="a"),
            "mixed": batch_of([flight(1), BAD, flight(2)], start="b"),
            "dead": batch_of([flight(7), flight(8)], start="c"),
        }
        self.ids = {name: batch.batch_id for name, batch in batches.items()}
        self.lane.committed(batches["plain"])
        self.lane.committed(batches["mixed"])
        self.lane.dead(batches["dead"])
        for table in (self.table, ledger_id(self.table)):
            self.sql(f"DELETE FROM `{table}` WHERE TRUE")  # noqa: S608 - a table of ours
        self.insert("plain", 0, 1, 2)
        self.insert("mixed", 0, 2)
        self.state(*self.lane.finish())

    def insert(self, name: str, *indexes: int, at_us: int = INGEST_US) -> "World":
        """Add rows, by the name or the id of their batch."""
        key = self.ids.get(name, name)
        rows = ", ".join(f"({at}, '{key}', {at}, TIMESTAMP_MICROS({at_us}))" for at in indexes)
        return self.add(self.table, "flight, _ingest_batch_id, _ingest_row_index, _ingest_time", rows)

    def state(self, *statements: Statement, pipeline: str = PIPELINE, lane: str = "0") -> "World":
        """Add statements to the ledger table."""
        rows = ", ".join(
            f"('{pipeline}', '{lane}', {each.version}, '{each.run_id}', '{each.batch_id}', "
            f"'{each.status}', {each.rows}, TIMESTAMP_MICROS({each.at_us}))"
            for each in statements
        )
        names = "pipeline_id, lane, version, run_id, batch_id, status, row_count, `at`"
        return self.add(ledger_id(self.table), names, rows)

    def add(self, table: str, columns: str, rows: str) -> "World":
        """Add rows of these values."""
        return self.sql(f"INSERT INTO `{table}` ({columns}) VALUES {rows}")  # noqa: S608 - values of these tests

    def delete(self, name: str, index: int) -> "World":
        """Take a row out."""
        where = f"_ingest_batch_id = '{self.ids[name]}' AND _ingest_row_index = {index}"
        return self.sql(f"DELETE FROM `{self.table}` WHERE {where}")  # noqa: S608 - likewise

    def unsay(self, name: str) -> "World":
        """Take a batch's statement out."""
        table = ledger_id(self.table)
        return self.sql(f"DELETE FROM `{table}` WHERE batch_id = '{self.ids[name]}'")  # noqa: S608 - likewise

    def sql(self, statement: str) -> "World":
        self.tables.query(statement)
        return self

    def query(self, sql: str) -> list[dict[str, Any]]:
        self.queries.append(sql)
        self.meanwhile()
        return self.tables.query(sql)

    def reconcile(self, since_us: int = 0) -> Reconciliation:
        books = Books(
            self.desk.journal, PIPELINE, self.query, self.table, ledger_id(self.table), owed=lambda: self.owed
        )
        return reconcile(books, since_us)

    def of(self, name: str, found: Reconciliation | None = None) -> BatchBooks:
        """The books of one batch."""
        found = found or self.reconcile()
        return next(each for each in found.batches if each.batch_id == self.ids.get(name, name))


@pytest.fixture(scope="module")
def tables(bigquery: BigQueryHosts) -> Iterator[Tables]:
    """A dataset with the flights' tables, shared: each world empties them first."""
    with Tables(PROJECT, fresh_dataset(bigquery), bigquery.rest_host) as tables:
        schema.apply(tables, "flights", descriptor_of(FLIGHT))
        yield tables


@pytest.fixture
def world(tables: Tables) -> World:
    return World(tables)


def test_books_that_balance_show_no_difference(world: World) -> None:
    found = world.reconcile()
    assert found.differences == ()
    assert worth_showing(found) == []
    expected = {"batches": 3, "rows": 5, "table_distinct": 5}
    assert {name: count for name, count in found.totals().items() if count} == expected
    mixed = world.of("mixed", found)
    assert (mixed.rows, mixed.table_rows, mixed.table_distinct, mixed.lane) == (2, 2, 2, "0")


def test_it_asks_three_questions_whatever_the_number_of_batches(world: World) -> None:
    for number in range(10):
        world.lane.now_us = INGEST_US
        world.lane.committed(batch_of([flight(number), BAD], start=f"m{number}"))
    world.reconcile()
    assert len(world.queries) == 3


def test_questions_about_many_rejected_records_are_bounded() -> None:
    many = [Indexes(f"{number:032x}", number, tuple(range(50))) for number in range(450)]
    asked = list(present_queries("p.d.t", many))
    assert len(asked) == 3
    assert "BETWEEN TIMESTAMP_MICROS(200) AND TIMESTAMP_MICROS(399)" in asked[1]
    wide = [Indexes(f"{number:032x}", number, tuple(range(30_000))) for number in range(3)]
    assert len(list(present_queries("p.d.t", wide))) == 3
    assert list(present_queries("p.d.t", [])) == []


# What breaks the books. A harm of the world, the batch whose books it breaks, what they say then.

Harm = tuple[Callable[[World], object], str, dict[str, Any], str]


def _committed_statement(batch_id: str, version: int = 99) -> Statement:
    return Statement(batch_id, "COMMITTED", 2, version, "run-1", INGEST_US)


HARM: Mapping[str, Harm] = {
    "a row is gone": (lambda w: w.delete("plain", 1), "plain", {"missing": 1}, "1 of 3 rows are missing"),
    "a batch is gone": (
        lambda w: w.delete("mixed", 0).delete("mixed", 2),
        "mixed",
        {"missing": 2, "table_distinct": 0},
        "2 of 2 rows are missing",
    ),
    "a row is gone and another doubled": (
        lambda w: w.delete("plain", 1).insert("plain", 0),
        "plain",
        {"missing": 1, "doubled": 1, "table_rows": 3},
        "1 of 3 rows are missing",
    ),
    "a rejected row landed": (
        lambda w: w.insert("mixed", 1),
        "mixed",
        {"rejected_present": 1, "missing": 0, "table_distinct": 2},
        "1 rejected records landed after all",
    ),
    "a rejected row landed and a good one is gone": (
        lambda w: w.insert("mixed", 1).delete("mixed", 2),
        "mixed",
        {"rejected_present": 1, "missing": 1},
        "1 of 2 rows are missing",
    ),
    "rows of nobody's batch": (
        lambda w: w.insert("f" * 32, 0, 1),
        "f" * 32,
        {"unexpected": 2, "status": ""},
        "2 rows of a batch that the ledger does not know",
    ),
    "rows of no batch": (
        lambda w: w.add(w.table, "flight, _ingest_time", f"(1, TIMESTAMP_MICROS({INGEST_US}))"),
        "",
        {"unexpected": 1},
        "1 rows of a batch that the ledger does not know",
    ),
    "a row too many": (
        lambda w: w.insert("plain", 3),
        "plain",
        {"unexpected": 1},
        "1 more rows than the ledger counts; a row index that the batch does not have",
    ),
    "a row for another": (
        lambda w: w.insert("plain", 7).delete("plain", 2),
        "plain",
        {"missing": 0},
        "a row index that the batch does not have",
    ),
    "a row under another ingest time": (
        lambda w: w.insert("plain", 1, at_us=INGEST_US + 1),
        "plain",
        {"unexpected": 1, "missing": 0},
        "1 rows under another ingest time: the view shows them too",
    ),
    "a statement is gone": (
        lambda w: w.unsay("plain"),
        "plain",
        {"missing": 0},
        "its statement is not in the ledger table: the view hides it",
    ),
    "a dead batch is shown": (
        lambda w: w.state(_committed_statement(w.ids["dead"])),
        "dead",
        {"rows": 0},
        "the view shows it though the ledger says DEAD_LETTERED",
    ),
}


@pytest.mark.parametrize(("harm", "name", "fields", "text"), HARM.values(), ids=HARM.keys())
def test_what_breaks_the_books_is_named(
    world: World, harm: Callable[[World], object], name: str, fields: dict[str, Any], text: str
) -> None:
    harm(world)
    found = world.reconcile()
    books = world.of(name, found)
    assert {field: getattr(books, field) for field in fields} == fields
    assert text in "; ".join(books.problems)
    assert [each.batch_id for each in found.differences] == [books.batch_id]
    assert books in worth_showing(found)


# What is normal.


def test_doubles_are_counted_and_no_difference(world: World) -> None:
    world.insert("plain", 0, 1)
    found = world.reconcile()
    assert (found.differences, found.totals()["doubled"]) == ((), 2)
    assert [each.batch_id for each in worth_showing(found)] == [world.ids["plain"]]


def test_rows_of_a_batch_that_is_not_committed_are_counted_and_no_difference(world: World) -> None:
    world.insert("dead", 0, 1)
    found = world.reconcile()
    assert (found.differences, found.totals()["invisible"]) == ((), 2)


def test_rows_of_another_pipeline_in_the_table_are_counted_and_no_difference(world: World) -> None:
    world.insert("e" * 32, 0)
    world.state(_committed_statement("e" * 32), pipeline="another")
    found = world.reconcile()
    assert (found.differences, found.totals()["of_other_pipelines"]) == ((), 1)


def test_a_repaired_record_is_a_row_and_a_discarded_one_is_accounted_for(world: World) -> None:
    ops, mine = world.desk.ops(), cast("dict[str, Any]", {"token": "t", "actor": "ann"})
    ops.claim_records(world.ids["mixed"], {1: b"d" * 16}, reason="r", **mine)
    assert world.of("mixed").problems == ()
    world.insert("mixed", 1)
    assert world.of("mixed").problems == ()
    ops.records_landed(world.ids["mixed"], {1: b"d" * 16}, **mine)
    repaired = world.of("mixed")
    assert (repaired.problems, repaired.rows, repaired.table_distinct) == ((), 3, 3)
    world.delete("mixed", 1)
    assert world.of("mixed").missing == 1


def test_a_discarded_record_that_landed_is_closed(world: World) -> None:
    world.insert("mixed", 1)
    world.desk.ops().discard_records(world.ids["mixed"], [1], actor="ann", reason="it landed")
    assert world.of("mixed").problems == ()


def test_a_statement_that_is_still_owed_is_no_difference(world: World) -> None:
    world.unsay("plain")
    world.owed = [_committed_statement(world.ids["plain"])]
    assert world.reconcile().differences == ()


def _attempted_meanwhile(world: World) -> None:
    batch: Batch = batch_of([flight(5)], start="z")
    world.lane.committed(batch)
    world.insert(batch.batch_id, 0)
    world.meanwhile = lambda: None


def test_what_a_run_does_meanwhile_is_no_difference(world: World) -> None:
    world.meanwhile = lambda: _attempted_meanwhile(world)
    found = world.reconcile()
    assert found.differences == ()
    assert len(found.batches) == 3


def _replayed_meanwhile(world: World) -> None:
    world.meanwhile = lambda: None
    ops, mine = world.desk.ops(), cast("dict[str, Any]", {"token": "t", "actor": "ann"})
    ops.claim(world.ids["dead"], reason="r", **mine)
    ops.succeeded(world.ids["dead"], rows=2, attempts=1, **mine)
    world.insert("dead", 0, 1)
    world.state(_committed_statement(world.ids["dead"]), lane="ops")


def test_what_an_operator_does_meanwhile_is_no_difference(world: World) -> None:
    world.meanwhile = lambda: _replayed_meanwhile(world)
    assert world.reconcile().differences == ()
    assert world.reconcile().totals()["rows"] == 7


def test_since_bounds_batches_and_partitions_alike(world: World) -> None:
    world.delete("plain", 1)
    world.insert("f" * 32, 0, at_us=INGEST_US - HOUR_US)
    assert len(world.reconcile(INGEST_US - 2 * HOUR_US).differences) == 2
    world.queries.clear()
    later = world.reconcile(INGEST_US + 1)
    assert (later.batches, later.differences) == ((), ())
    assert f"`_ingest_time` >= TIMESTAMP_MICROS({INGEST_US + 1})" in world.queries[0]
    assert len(world.reconcile(INGEST_US).differences) == 1


def test_a_row_of_an_older_batch_under_a_newer_ingest_time_is_found(world: World) -> None:
    world.insert("plain", 1, at_us=INGEST_US + HOUR_US)
    (only,) = world.reconcile(INGEST_US + 1).differences
    assert only.problems == ("1 rows under another ingest time: the view shows them too",)
    assert replace(only, problems=()).status == "COMMITTED"
