"""Does the message fit the dataset, and what would make it fit: compare, check, plan, apply.

Changes are additive and made only by `ingestor schema apply`, never by a run. What can't be mended by adding (a type, a
mode, the partitioning) is refused with the way out.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from google.protobuf.descriptor import Descriptor

from ingestor import ddl
from ingestor.columns import Column, columns_of
from ingestor.descriptor import writer_schema
from ingestor.errors import SchemaMismatch
from ingestor.tables import Table, Tables

Verdict = Literal["fits", "additive", "incompatible"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that keeps rows from fitting: a line with place, what the table has, what the message wants, fix.

    `mendable` says whether `ingestor schema apply` mends it.
    """

    text: str
    mendable: bool = False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a message's columns relate to a table's."""

    differences: tuple[Difference, ...]

    @property
    def verdict(self) -> Verdict:
        """`fits`: rows can be written now; `additive`: after adding columns; `incompatible`: neither."""
        if not self.differences:
            return "fits"
        return "additive" if all(each.mendable for each in self.differences) else "incompatible"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A table as it should be."""

    table_id: str
    columns: tuple[Column, ...]
    partition: str
    cluster: str


@dataclass(frozen=True, slots=True)
class _Step:
    """One change: what a person reads, and what makes it so."""

    text: str
    do: Callable[[], None]


class _Dataset:
    """What the message wants of the dataset, beside what is there now."""

    def __init__(self, tables: Tables, table_id: str, message: Descriptor) -> None:
        columns = columns_of(message)
        writer_schema(message)  # refuses a message whose fields take the metadata's names or numbers
        self.tables = tables
        self.wanted = (
            _Wanted(table_id, columns, ddl.PARTITION_COLUMN, ddl.CLUSTER_COLUMN),
            _Wanted(ddl.ledger_id(table_id), ddl.ledger_columns(), "", ddl.LEDGER_CLUSTER_COLUMN),
        )
        self.view_id = ddl.dedup_id(table_id)
        self.query = ddl.dedup_query(tables.project, tables.dataset, table_id, columns)
        self.found = [tables.read(each.table_id) for each in self.wanted]
        self.view = tables.read(self.view_id)
        if self.view is None and not any(self.found):
            tables.require_dataset()

    def differences(self) -> list[Difference]:
        pairs = zip(self.wanted, self.found, strict=True)
        of_tables = [each for wanted, found in pairs for each in _table_differences(wanted, found)]
        return [*of_tables, *_view_differences(self.view_id, self.query, self.view)]

    def steps(self) -> list[_Step]:
        fatal = [each for each in self.differences() if not each.mendable]
        if fatal:
            raise self.mismatch(fatal)
        pairs = zip(self.wanted, self.found, strict=True)
        return [*(step for wanted, found in pairs for step in self._table_steps(wanted, found)), *self._view_steps()]

    def mismatch(self, differences: Sequence[Difference]) -> SchemaMismatch:
        where = f"{self.tables.project}.{self.tables.dataset}.{self.wanted[0].table_id}"
        lines = "; ".join(each.text for each in differences)
        hint = "; run `ingestor schema apply`" if all(each.mendable for each in differences) else ""
        return SchemaMismatch(f"{where} doesn't fit the message: {lines}{hint}")

    def _table_steps(self, wanted: _Wanted, found: Table | None) -> Iterator[_Step]:
        if found is None:
            days = f", partitioned by day on {wanted.partition}" if wanted.partition else ""
            size = f"{len(wanted.columns)} columns"
            text = f"create table {wanted.table_id}: {size}{days}, clustered by {wanted.cluster}"
            yield _Step(text, lambda: self._create(wanted))
        elif missing := list(_missing("", wanted.columns, found.columns)):
            text = f"add to table {wanted.table_id}: {', '.join(missing)}"
            yield _Step(text, lambda: self.tables.add_columns(wanted.table_id, wanted.columns))

    def _create(self, wanted: _Wanted) -> None:
        self.tables.create_table(
            wanted.table_id, wanted.columns, partition_column=wanted.partition, cluster_columns=(wanted.cluster,)
        )

    def _view_steps(self) -> Iterator[_Step]:
        if self.view is None or _squeezed(self.view.query) != _squeezed(self.query):
            text = f"{'create' if self.view is None else 'replace'} view {self.view_id}"
            yield _Step(text, lambda: self.tables.create_view(self.view_id, self.query))


def compare(columns: Sequence[Column], table: Table) -> Comparison:
    """Compare what a message needs with what a table has; columns the message lacks must only not be REQUIRED."""
    return Comparison(tuple(_differences(table.table_id, "", columns, table.columns)))


def check(tables: Tables, table_id: str, message: Descriptor) -> list[Difference]:
    """Return everything in the dataset that keeps a run of this message from starting; empty when it may.

    A view that shows more columns than the message has is fine: a deployment may be rolled back after `schema apply`.

    Raises:
        SchemaMismatch: the message can't be a table at all.
        BigQueryUnavailable: BigQuery's metadata could not be read.
    """
    return _Dataset(tables, table_id, message).differences()


def preflight(tables: Tables, table_id: str, message: Descriptor) -> None:
    """Return when rows of this message can be written and read.

    Raises:
        SchemaMismatch: they can't; every difference with its fix, and `schema apply` when that mends them all.
        BigQueryUnavailable: BigQuery's metadata could not be read.
    """
    dataset = _Dataset(tables, table_id, message)
    differences = dataset.differences()
    if differences:
        raise dataset.mismatch(differences)


def plan(tables: Tables, table_id: str, message: Descriptor) -> list[str]:
    """Return what `apply` would do, one line a change; empty when there is nothing to do.

    Raises:
        SchemaMismatch: something is not mended by adding; nothing would be done.
        BigQueryUnavailable: BigQuery's metadata could not be read.
    """
    return [step.text for step in _Dataset(tables, table_id, message).steps()]


def apply(tables: Tables, table_id: str, message: Descriptor) -> list[str]:
    """Create what is missing, add missing columns, replace the view when its text differs; return what was done.

    Doing it twice does nothing more. Stopped half-way, the next call goes on.

    Raises:
        SchemaMismatch: something is not mended by adding (nothing is done), or BigQuery refuses a change.
        BigQueryUnavailable: BigQuery could not be reached.
    """
    done = []
    for step in _Dataset(tables, table_id, message).steps():
        step.do()
        done.append(step.text)
    return done


def _missing(prefix: str, columns: Sequence[Column], present: Sequence[Column]) -> Iterator[str]:
    by_name = {column.name.lower(): column for column in present}
    for column in columns:
        found = by_name.get(column.name.lower())
        if found is None:
            yield f"{prefix}{column.name} {_shown(column)}"
        else:
            yield from _missing(f"{prefix}{column.name}.", column.fields, found.fields)


def _table_differences(wanted: _Wanted, found: Table | None) -> Iterator[Difference]:
    where = f"table {wanted.table_id}"
    if found is None:
        yield Difference(f"{where} doesn't exist", mendable=True)
        return
    if found.is_view:
        yield Difference(f"{wanted.table_id} is a view, not a table; choose another BQ_TABLE_ID or drop the view")
        return
    yield from compare(wanted.columns, found).differences
    # Clustering is not looked at: it is a matter of cost, and a table clustered in another way is as right.
    if wanted.partition and (found.partition_column, found.partition_unit) != (wanted.partition, "DAY"):
        has = f"by {found.partition_unit} on {found.partition_column}" if found.partition_unit else "not by time"
        fix = "BigQuery can't change that: choose another BQ_TABLE_ID, or copy the rows into a new table"
        yield Difference(f"{where}: table is partitioned {has}, wanted is by DAY on {wanted.partition}; {fix}")


def _view_differences(name: str, query: str, view: Table | None) -> Iterator[Difference]:
    if view is None:
        yield Difference(f"view {name} doesn't exist", mendable=True)
    elif not view.is_view:
        yield Difference(f"{name} is a table, not the dedup view; rename or drop it")
    elif not _shows(view.query, query):
        yield Difference(f"view {name} is not the one this version writes; replace it", mendable=True)


def _shows(text: str, query: str) -> bool:
    """Whether a view's text shows the wanted query's columns, perhaps among others, by the same rules."""
    has, _, has_rules = _squeezed(text).removeprefix("SELECT").partition("FROM`")
    wanted, _, rules = _squeezed(query).removeprefix("SELECT").partition("FROM`")
    return has_rules == rules and set(wanted.split(",")) <= set(has.split(","))


def _squeezed(text: str) -> str:
    """The text without white space, which the service may set anew, and quotes, which the emulator's answer lacks."""
    return re.sub(r"[\s']", "", text)


def _differences(
    table_id: str, prefix: str, columns: Sequence[Column], present: Sequence[Column]
) -> Iterator[Difference]:
    by_name = {column.name.lower(): column for column in present}
    for column in columns:
        where = f"table {table_id}, column {prefix}{column.name}"
        found = by_name.pop(column.name.lower(), None)
        if found is None:
            yield _absent(where, column)
        elif (clash := _clash(column, found)) is not None:
            yield Difference(f"{where}: {clash}")
        else:
            yield from _differences(table_id, f"{prefix}{column.name}.", column.fields, found.fields)
    for extra in by_name.values():
        if extra.mode == "REQUIRED":
            fix = "add the field, or drop NOT NULL from the column"
            text = f"table has it REQUIRED, message has no such field; {fix}"
            yield Difference(f"table {table_id}, column {prefix}{extra.name}: {text}")


def _absent(where: str, column: Column) -> Difference:
    wants = f"{where}: table has none, message wants {_shown(column)}"
    if column.mode == "REQUIRED":
        return Difference(f"{wants}; BigQuery can't add a REQUIRED column to a table: take `require` off the field")
    return Difference(f"{wants}; add the column", mendable=True)


def _clash(column: Column, found: Column) -> str | None:
    rename = "change the field, or give it another name and number"
    if found.type != column.type:
        return f"table has {found.type}, message wants {column.type}; {rename}"
    if found.mode != column.mode and "REPEATED" in (found.mode, column.mode):
        return f"table has it {found.mode}, message wants it {column.mode}; {rename}"
    if found.mode == "REQUIRED" and column.mode == "NULLABLE":
        fix = "set `require` on the field, or drop NOT NULL from the column"
        return f"table has it REQUIRED, message may leave it NULL; {fix}"
    return None


def _shown(column: Column) -> str:
    return column.type if column.mode == "NULLABLE" else f"{column.mode} {column.type}"
