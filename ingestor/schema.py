"""Does the message fit the dataset, and what would make it fit: check, preflight, plan, apply.

Changes are additive and made only by `ingestor schema apply`, never by a run. What can't be mended by adding (a type, a
list, the partitioning) is refused with the way out. Two applies at once are safe: tables change under their ETag, and
each apply looks again until there is nothing left to do.
"""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial

from google.protobuf.descriptor import Descriptor

from ingestor import ddl
from ingestor.columns import METADATA_COLUMNS, Column, Table, columns_of, warnings_of
from ingestor.descriptor import fingerprint, writer_schema
from ingestor.errors import SchemaMismatch
from ingestor.messages import message_options
from ingestor.schema_compare import Comparison, Difference, compare, layout
from ingestor.schema_views import View, key_columns, view_ids
from ingestor.tables import Tables

MAX_PASSES = 6
"""How often `apply` looks again; more means that others change the dataset all the time."""

Fitted = MutableMapping[tuple[str, str, str, str], Table]
"""What `preflight` remembers between runs of a process: the table that fitted, by project, dataset, table and
fingerprint of the writer schema with the business key."""


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

    def __init__(self, tables: Tables, table_id: str, message: Descriptor, dedup_key: Sequence[str] = ()) -> None:
        columns = columns_of(message)
        writer_schema(message)  # refuses a message whose fields take the metadata's names or numbers
        self.tables = tables
        self.wanted = (
            _wanted(table_id, columns),
            _Wanted(ddl.ledger_id(table_id), ddl.ledger_columns(), "", ddl.LEDGER_CLUSTER_COLUMN),
        )
        key = key_columns(columns, dedup_key)
        self.found = [tables.read(each.table_id) for each in self.wanted]
        self.views = list(self._views(table_id, columns, key))
        if not any(self.found) and not any(view.found for view in self.views):
            tables.require_dataset()

    def _views(self, table_id: str, columns: Sequence[Column], key: tuple[str, ...]) -> Iterator[View]:
        others = _others(self.found[0], columns)
        shown = None if self.found[0] is None else frozenset(column.name for column in columns) | set(others)
        where = (self.tables.project, self.tables.dataset, table_id, columns)
        texts: dict[str, tuple[str, Callable[[Sequence[str]], str]]] = {
            ddl.dedup_id(table_id): ("dedup view", lambda names: ddl.dedup_query(*where, names)),
            ddl.latest_id(table_id): ("view of the newest rows", lambda names: ddl.latest_query(*where, key, names)),
        }
        for view_id in view_ids(table_id, key):
            what, text = texts[view_id]
            yield View(view_id, what, text(()), text(others), self.tables.read(view_id), shown)

    def comparison(self) -> Comparison:
        pairs = zip(self.wanted, self.found, strict=True)
        of_tables = [each for wanted, found in pairs for each in self._table_differences(wanted, found)]
        return Comparison((*of_tables, *(each for view in self.views for each in view.differences())))

    def steps(self) -> list[_Step]:
        differences = self.comparison().differences
        fatal = [each for each in differences if each.blocking and not each.mendable]
        if fatal:
            raise self.mismatch(fatal)
        pairs = zip(self.wanted, self.found, strict=True)
        return [*(step for wanted, found in pairs for step in self._table_steps(wanted, found)), *self._view_steps()]

    def mismatch(self, differences: Sequence[Difference]) -> SchemaMismatch:
        where = f"{self.tables.project}.{self.tables.dataset}.{self.wanted[0].table_id}"
        lines = "; ".join(each.text for each in differences)
        hint = "; run `ingestor schema apply`" if all(each.mendable for each in differences) else ""
        return SchemaMismatch(f"{where} doesn't fit the message: {lines}{hint}")

    def _table_differences(self, wanted: _Wanted, found: Table | None) -> Iterator[Difference]:
        name = ddl.quoted(self.tables.project, self.tables.dataset, wanted.table_id)
        if found is None:
            yield Difference(f"table {wanted.table_id} doesn't exist", mendable=True)
        else:
            yield from _of_table(wanted, found, name)

    def _table_steps(self, wanted: _Wanted, found: Table | None) -> Iterator[_Step]:
        if found is None:
            days = f", partitioned by day on {wanted.partition}" if wanted.partition else ""
            size = f"{len(wanted.columns)} columns"
            text = f"create table {wanted.table_id}: {size}{days}, clustered by {wanted.cluster}"
            yield _Step(text, lambda: self._create(wanted))
        elif changes := [each.change for each in compare(wanted.columns, found).differences if each.change]:
            text = f"change table {wanted.table_id}: {', '.join(changes)}"
            yield _Step(text, lambda: self.tables.update_columns(wanted.table_id, wanted.columns))

    def _create(self, wanted: _Wanted) -> None:
        self.tables.create_table(
            wanted.table_id, wanted.columns, partition_column=wanted.partition, cluster_columns=(wanted.cluster,)
        )

    def _view_steps(self) -> Iterator[_Step]:
        for view in self.views:
            if any(view.differences()):
                text = f"{'create' if view.found is None else 'replace'} view {view.view_id}"
                yield _Step(text, partial(self.tables.create_view, view.view_id, view.full_query))


def check(tables: Tables, table_id: str, message: Descriptor, dedup_key: Sequence[str] = ()) -> Comparison:
    """Return how what is in the dataset relates to what a run of this message needs. With a `dedup_key` the view of the
    newest rows is looked at too.

    A table or view with more columns than the message has is fine: a deployment may be rolled back after an apply.

    Raises:
        SchemaMismatch: the message can't be a table at all.
        BigQueryUnavailable: BigQuery's metadata could not be read.
    """
    return _Dataset(tables, table_id, message, dedup_key).comparison()


def check_recorded(table: Table, message: Descriptor) -> Comparison:
    """Return how a recorded table relates to the message; ledger table and view are not looked at.

    Raises:
        SchemaMismatch: the message can't be a table at all.
    """
    writer_schema(message)
    return Comparison(tuple(_of_table(_wanted(table.table_id, columns_of(message)), table, f"`{table.table_id}`")))


def warnings(table_id: str, message: Descriptor) -> list[str]:
    """Return what may surprise in a message that can be a table, a line each."""
    named = message_options(message).table_name
    other = [f"the option `table_name` says {named}; rows go to BQ_TABLE_ID, {table_id}"] if named else []
    return [*(other if named != table_id else []), *warnings_of(message)]


def preflight(
    tables: Tables, table_id: str, message: Descriptor, fitted: Fitted | None = None, dedup_key: Sequence[str] = ()
) -> None:
    """Return when rows of this message can be written and read.

    With `fitted`, kept from run to run, a table that fitted this writer schema costs one metadata read while it stays
    as it was; ledger table and view are not looked at again then.

    Raises:
        SchemaMismatch: they can't; every difference with its fix, and `schema apply` when that mends them all.
        BigQueryUnavailable: BigQuery's metadata could not be read.
    """
    key = (tables.project, tables.dataset, table_id, f"{fingerprint(writer_schema(message))} {','.join(dedup_key)}")
    known = None if fitted is None else fitted.get(key)
    if known is not None and tables.read(table_id) == known:
        return
    dataset = _Dataset(tables, table_id, message, dedup_key)
    blocking = dataset.comparison().blocking
    if blocking:
        raise dataset.mismatch(blocking)
    if fitted is not None and dataset.found[0] is not None:
        fitted[key] = dataset.found[0]


def plan(tables: Tables, table_id: str, message: Descriptor, dedup_key: Sequence[str] = ()) -> list[str]:
    """Return what `apply` would do, one line a change; empty when there is nothing to do.

    Raises:
        SchemaMismatch: something is not mended by adding; nothing would be done.
        BigQueryUnavailable: BigQuery's metadata could not be read.
    """
    return [step.text for step in _Dataset(tables, table_id, message, dedup_key).steps()]


def apply(
    tables: Tables,
    table_id: str,
    message: Descriptor,
    show: Callable[[str], None] = lambda _: None,
    dedup_key: Sequence[str] = (),
) -> list[str]:
    """Make the dataset fit: create, add, relax, describe, replace the view; return what was done.

    Each pass is shown as a whole before any of it is done. Doing it twice does nothing more. Stopped half-way, the next
    call goes on.

    Raises:
        SchemaMismatch: something is not mended by adding (nothing is done), or BigQuery refuses a change.
        BigQueryUnavailable: BigQuery could not be reached.
    """
    done: list[str] = []
    for _ in range(MAX_PASSES):
        steps = _Dataset(tables, table_id, message, dedup_key).steps()
        if not steps:
            return done
        for step in steps:
            show(step.text)
        for step in steps:
            step.do()
            done.append(step.text)
    raise SchemaMismatch(f"{steps[0].text}: done and not there, again and again; do others change the dataset?")


def _wanted(table_id: str, columns: tuple[Column, ...]) -> _Wanted:
    return _Wanted(table_id, columns, ddl.PARTITION_COLUMN, ddl.CLUSTER_COLUMN)


def _of_table(wanted: _Wanted, found: Table, name: str) -> Iterator[Difference]:
    if found.is_view:
        yield Difference(f"{wanted.table_id} is a view, not a table; choose another BQ_TABLE_ID or drop the view")
        return
    yield from compare(wanted.columns, found, name).differences
    yield from layout(found, wanted.partition, wanted.cluster)


def _others(table: Table | None, columns: Sequence[Column]) -> list[str]:
    """Names of the table's columns that the message lacks."""
    if table is None or table.is_view:
        return []
    own = {column.name.lower() for column in (*columns, *METADATA_COLUMNS)}
    return [column.name for column in table.columns if column.name.lower() not in own]
