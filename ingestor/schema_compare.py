"""How a message's columns relate to a table's: each difference with its place, its fix, the DDL and the `.proto` line.

Pure. A difference is *mendable* when `ingestor schema apply` mends it: adding a column, letting one be NULL, saying
more about one. It is *blocking* when rows of the message can't be written, or not be read, before it is mended.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ingestor import ddl
from ingestor.binding import can_be
from ingestor.columns import Column, Table, declaration

Verdict = Literal["fits", "additive", "incompatible"]

_WIDER = {"INT64": ("NUMERIC", "BIGNUMERIC", "FLOAT64"), "NUMERIC": ("BIGNUMERIC", "FLOAT64")}
"""What ALTER COLUMN SET DATA TYPE makes of a column (BigQuery, "Change a column's data type")."""

_RENAME = "change the field, or give it another name and number"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a table is not as the message wants it.

    Attributes:
        text: one line: place, what the table has, what the message wants, fix.
        mendable: `ingestor schema apply` mends it.
        blocking: no run may start before it is mended.
        ddl: the statement that mends it, for tables that are managed elsewhere; empty where SQL has none.
        proto: the line of the `.proto` that it is about, as it would fit the table where it can.
        change: what `schema apply` does about a column, in a few words; empty where it does nothing to columns.
    """

    text: str
    mendable: bool = False
    blocking: bool = True
    ddl: str = ""
    proto: str = ""
    change: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Comparison:
    """How what a message wants relates to what is there."""

    differences: tuple[Difference, ...]

    @property
    def blocking(self) -> tuple[Difference, ...]:
        """The differences that no run may start with."""
        return tuple(each for each in self.differences if each.blocking)

    @property
    def verdict(self) -> Verdict:
        """`fits`: rows can be written now; `additive`: after `schema apply`; `incompatible`: neither."""
        if not self.blocking:
            return "fits"
        return "additive" if all(each.mendable for each in self.blocking) else "incompatible"


def compare(columns: Sequence[Column], table: Table, full_name: str = "") -> Comparison:
    """Compare what a message needs with what a table has. `full_name` is the table's in backticks, for the DDL."""
    place = _Place(table.table_id, full_name or f"`{table.table_id}`")
    return Comparison((*_differences(place, columns, table.columns), *_order(place, columns, table.columns)))


def layout(table: Table, partition: str, cluster: str) -> Iterator[Difference]:
    """Yield how a table is laid out otherwise than by day on `partition` and by `cluster`."""
    where = f"table {table.table_id}"
    if partition and (table.partition_column, table.partition_unit) != (partition, "DAY"):
        has = f"by {table.partition_unit} on {table.partition_column}" if table.partition_unit else "not by time"
        fix = "BigQuery can't change that: choose another BQ_TABLE_ID, or copy the rows into a new table"
        yield Difference(f"{where}: table is partitioned {has}, wanted is by DAY on {partition}; {fix}")
    if cluster and table.cluster_columns[:1] != (cluster,):
        has = f"by {', '.join(table.cluster_columns)}" if table.cluster_columns else "not"
        fix = f"queries of the view cost more; `bq update --clustering_fields={cluster} {table.table_id}` changes that"
        yield Difference(f"{where}: table is clustered {has}, wanted is by {cluster}; {fix}", blocking=False)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a table a comparison is."""

    table_id: str
    full_name: str
    prefix: str = ""

    def column(self, name: str) -> str:
        return f"table {self.table_id}, column {self.prefix}{name}"

    def below(self, name: str) -> "_Place":
        return _Place(self.table_id, self.full_name, f"{self.prefix}{name}.")

    def ddl(self, statement: str) -> str:
        """The statement, or nothing inside a RECORD: SQL has no words for its parts."""
        return "" if self.prefix else statement


def _differences(place: _Place, columns: Sequence[Column], present: Sequence[Column]) -> Iterator[Difference]:
    by_name = {column.name.lower(): column for column in present}
    for column in columns:
        found = by_name.pop(column.name.lower(), None)
        if found is None:
            yield _absent(place, column)
        elif (clash := _clash(place, column, found)) is not None:
            yield clash
        else:
            yield from _relaxed(place, column, found)
            yield from _said(place, column, found)
            yield from _differences(place.below(column.name), column.fields, found.fields)
    for extra in by_name.values():
        if extra.mode == "REQUIRED":
            text = "table has it REQUIRED, message has no such field; let the column be NULL, or add the field"
            yield _drop_not_null(place, extra, text, "")


def _absent(place: _Place, column: Column) -> Difference:
    wants = f"{place.column(column.name)}: table has none, message wants {_shown(column)}; add the column"
    if column.mode == "REQUIRED":
        wants += " (NULLABLE, because BigQuery adds no other; records without a value are rejected all the same)"
    statement = place.ddl(ddl.added_column(place.full_name, column))
    change = f"add {place.prefix}{column.name} {_shown(_addable(column))}"
    return Difference(wants, mendable=True, ddl=statement, proto=_line(column), change=change)


def _clash(place: _Place, column: Column, found: Column) -> Difference | None:
    where = place.column(column.name)
    if found.type != column.type and found.type not in column.fits:
        fix, statement, proto = _RENAME, "", _line(column)
        if column.member is not None and can_be(column.member, found.type):
            fix, proto = f'{_RENAME}; or write type_override = "{found.type}"', declaration(column.member, found.type)
        if column.type in _WIDER.get(found.type, ()) and not place.prefix:
            statement = ddl.retyped(place.full_name, column.name, column.type)
            fix += f"; or widen the column by hand: {statement}"
        text = f"{where}: table has {found.type}, message wants {column.type}; {fix}"
        return Difference(text, ddl=statement, proto=proto)
    if found.mode != column.mode and "REPEATED" in (found.mode, column.mode):
        text = f"{where}: table has it {found.mode}, message wants it {column.mode}; {_RENAME}"
        return Difference(text, proto=_line(column))
    return None


def _relaxed(place: _Place, column: Column, found: Column) -> Iterator[Difference]:
    if found.mode == "REQUIRED" and column.mode == "NULLABLE":
        text = "table has it REQUIRED, message may leave it NULL; let the column be NULL, or set `require` on the field"
        yield _drop_not_null(place, column, text, _line(column))


def _drop_not_null(place: _Place, column: Column, text: str, proto: str) -> Difference:
    statement = place.ddl(ddl.relaxed(place.full_name, column.name))
    change = f"let {place.prefix}{column.name} be NULL"
    return Difference(f"{place.column(column.name)}: {text}", mendable=True, ddl=statement, proto=proto, change=change)


def _said(place: _Place, column: Column, found: Column) -> Iterator[Difference]:
    """What the message says of a column beside its type: rows fit without, so nothing here is blocking."""
    where, name = place.column(column.name), f"{place.prefix}{column.name}"
    if column.description not in ("", found.description):
        statement = place.ddl(ddl.set_description(place.full_name, column))
        text = f"{where}: table describes it otherwise; set the description"
        yield _harmless(text, statement, column, f"describe {name}")
    if column.default not in ("", found.default):
        has = f"the default {found.default}" if found.default else "no default"
        statement = place.ddl(ddl.set_default(place.full_name, column))
        text = f"{where}: table has {has}, message wants {column.default}; set the default"
        yield _harmless(text, statement, column, f"set the default of {name} to {column.default}")
    if column.policy_tag and not found.policy_tag:
        text = f"{where}: table has no policy tag, message wants {column.policy_tag}; set the tag"
        yield _harmless(text, "", column, f"tag {name} with {column.policy_tag}")
    elif column.policy_tag not in ("", found.policy_tag):
        fix = "who may read it is changed by hand only: correct the tag in the table or in the message"
        text = f"{where}: table has the policy tag {found.policy_tag}, message wants {column.policy_tag}; {fix}"
        yield Difference(text, blocking=False, proto=_line(column))


def _harmless(text: str, statement: str, column: Column, change: str) -> Difference:
    return Difference(text, mendable=True, blocking=False, ddl=statement, proto=_line(column), change=change)


def _addable(column: Column) -> Column:
    return replace(column, mode="NULLABLE") if column.mode == "REQUIRED" else column


def _order(place: _Place, columns: Sequence[Column], present: Sequence[Column]) -> Iterator[Difference]:
    wanted = [column.name.lower() for column in columns]
    names = [column.name.lower() for column in present if column.name.lower() in set(wanted)]
    if names != [name for name in wanted if name in set(names)]:
        text = f"table {place.table_id}: the columns stand in another order; rows go by name, so it doesn't matter"
        yield Difference(text, blocking=False)


def _line(column: Column) -> str:
    return "" if column.member is None else declaration(column.member)


def _shown(column: Column) -> str:
    return column.type if column.mode == "NULLABLE" else f"{column.mode} {column.type}"
