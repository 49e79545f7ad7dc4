"""The books against the table: for each batch of the ledger, what BigQuery holds of it. Reads only.

Law 5: a committed batch has as many *distinct* rows in the table, at indexes that were not rejected, as the ledger
counts. What breaks it is a difference: rows missing or too many, a row that was rejected and landed all the same, rows
of a batch that the ledger does not know, a batch whose statement in the ledger table is not the ledger's. Doubles and
rows of batches that are not committed are normal for `_default`, invisible in the dedup view, and only counted.

The ledger is read before the table, so a run at work shows no difference; what seems one is looked up again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingestor.reconcile_sql import Indexes, present_queries, rows_query, statements_query
from state.fold import Statement
from state.journal import BatchQuery, Document, Journal

CLOCKS_APART_US = 86_400 * 1_000_000
"""Ingest times, entries and statements carry their writers' wall clocks; a search by one starts so much earlier."""
_PAGE_BATCHES = 300

Query = Callable[[str], list[dict[str, Any]]]
"""Puts a question to BigQuery; rows by column name."""


@dataclass(frozen=True, slots=True)
class Books:
    """Where to look: the journal, BigQuery, and the full names of the two tables.

    `owed` reads the statements that the lanes have yet to publish, whenever it is called.
    """

    journal: Journal
    pipeline: str
    query: Query
    table: str
    ledger_table: str
    owed: Callable[[], Iterable[Statement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBooks:
    """One batch: what the ledger says and what the table holds.

    Attributes:
        status: as the ledger has it; empty for a batch that it does not know.
        rows: the ledger's count, repaired records included; 0 unless the batch is committed.
        table_rows: rows of it in the table, doubles included.
        table_distinct: distinct row indexes among those that were not rejected.
        missing: rows that the table lacks.
        doubled: rows beyond the first of their index.
        unexpected: rows that the ledger does not account for, such as those under another ingest time.
        rejected_present: open rejected records whose row is in the table.
        problems: what is wrong in words; none when the books balance.
    """

    batch_id: str
    lane: str = ""
    status: str = ""
    ingest_time_us: int | None = None
    rows: int = 0
    table_rows: int = 0
    table_distinct: int = 0
    missing: int = 0
    doubled: int = 0
    unexpected: int = 0
    rejected_present: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every batch of the ledger since `since_us`, and those in the table that the ledger does not know."""

    since_us: int
    batches: tuple[BatchBooks, ...]
    of_other_pipelines: int = 0

    @property
    def differences(self) -> tuple[BatchBooks, ...]:
        """The batches whose books do not balance."""
        return tuple(each for each in self.batches if each.problems)

    def totals(self) -> dict[str, int]:
        """Return counts over all batches."""
        known = [each for each in self.batches if each.status]
        shown = [each for each in known if each.status == "COMMITTED"]
        return {
            "batches": len(known),
            "rows": sum(each.rows for each in shown),
            "table_distinct": sum(each.table_distinct for each in shown),
            "missing": sum(each.missing for each in shown),
            "doubled": sum(each.doubled for each in shown),
            "unexpected": sum(each.unexpected for each in shown),
            "rejected_present": sum(each.rejected_present for each in shown),
            "invisible": sum(each.table_rows for each in known if each.status != "COMMITTED"),
            "unknown": sum(each.table_rows for each in self.batches if not each.status),
            "unknown_batches": len(self.batches) - len(known),
            "of_other_pipelines": self.of_other_pipelines,
        }


@dataclass(slots=True)
class _Found:
    """What the table holds of one batch: by ingest time, and of the indexes asked about."""

    groups: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    present: set[int] = field(default_factory=set)


def reconcile(books: Books, since_us: int) -> Reconciliation:
    """Compare ledger and table for the batches whose ingest time is `since_us` (microseconds since 1970) or later.

    Asks BigQuery one question about rows, one about statements, and one for some two hundred batches that rejected
    records. Memory grows with the number of batches, not of rows.

    Raises:
        LedgerError, BigQueryUnavailable, SchemaMismatch: ledger or table cannot be asked.
    """
    ledger = {batch["batch_id"]: batch for batch in _since(books.journal, since_us)}
    owed = {statement.batch_id: statement.status for statement in books.owed()}
    found = _rows(books, since_us)
    _look_up_rejected(books, ledger, found)
    asked = books.query(statements_query(books.ledger_table, since_us - CLOCKS_APART_US))
    said = {row["batch_id"]: row for row in asked}
    reports = [_report(batch, found.pop(key, None), said.get(key), owed) for key, batch in ledger.items()]
    reports = [_settled(books, each) for each in reports]
    strange, others = _strange(books, found, said, since_us)
    return Reconciliation(since_us, (*reports, *strange), others)


def _since(journal: Journal, since_us: int) -> Iterator[Document]:
    """Yield the ledger's batches by ingest time, which is chosen before the attempt is written."""
    query = BatchQuery(since_us=max(since_us - CLOCKS_APART_US, 0))
    while page := journal.list_batches(query, limit=_PAGE_BATCHES):
        yield from (batch for batch in page if batch["ingest_time_us"] >= since_us)
        query = query.following(page[-1])


def _rows(books: Books, since_us: int) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for row in books.query(rows_query(books.table, since_us)):
        found.setdefault(row["batch_id"] or "", _Found()).groups[row["ingest_time_us"]] = row
    return found


def _look_up_rejected(books: Books, ledger: Mapping[str, Document], found: Mapping[str, _Found]) -> None:
    asked = [
        Indexes(key, batch["ingest_time_us"], tuple(batch["rejected_indexes"]))
        for key, batch in ledger.items()
        if key in found and batch["status"] == "COMMITTED" and batch.get("rejected_indexes")
    ]
    for question in present_queries(books.table, asked):
        for row in books.query(question):
            found[row["batch_id"]].present.add(row["row_index"])


def _report(
    batch: Document, found: _Found | None, said: Mapping[str, Any] | None, owed: Mapping[str, str]
) -> BatchBooks:
    """Return a batch's books. Of one that is not committed only the rows are counted."""
    found = found or _Found()
    rows = sum(group["row_count"] for group in found.groups.values())
    shown = said["status"] == "COMMITTED" if said else False
    known = {"batch_id": batch["batch_id"], "lane": batch["lane"], "status": batch["status"]}
    report = BatchBooks(**known, ingest_time_us=batch["ingest_time_us"], table_rows=rows)
    if batch["status"] == "COMMITTED":
        return _committed(batch, found, report, is_shown=shown or owed.get(batch["batch_id"]) == "COMMITTED")
    wrong = shown and owed.get(batch["batch_id"]) in {None, "COMMITTED"}
    problems = (f"the view shows it though the ledger says {batch['status']}",) if wrong else ()
    return replace(report, problems=problems)


def _committed(batch: Document, found: _Found, report: BatchBooks, *, is_shown: bool) -> BatchBooks:
    mine: Mapping[str, Any] = found.groups.get(batch["ingest_time_us"]) or _NONE
    elsewhere = report.table_rows - mine["row_count"]
    rejected, landed = set(batch.get("rejected_indexes", ())), _repaired(batch, "landed")
    stray = found.present & rejected - landed
    open_stray = stray - _repaired(batch, "claimed") - set(batch.get("discarded_indexes", ()))
    expected, distinct = batch["rows"] + len(landed), mine["distinct_rows"] - len(stray)
    missing, surplus = max(expected - distinct, 0), max(distinct - expected, 0)
    beyond = mine["last_index"] >= batch["rows"] + len(rejected) or mine["first_index"] < 0
    texts = (
        (missing, f"{missing} of {expected} rows are missing"),
        (surplus, f"{surplus} more rows than the ledger counts"),
        (beyond, "a row index that the batch does not have"),
        (elsewhere, f"{elsewhere} rows under another ingest time: the view shows them too"),
        (open_stray, f"{len(open_stray)} rejected records landed after all; discard the records"),
        (not is_shown, "its statement is not in the ledger table: the view hides it"),
    )
    return replace(
        report,
        rows=expected,
        table_distinct=distinct,
        missing=missing,
        doubled=mine["row_count"] - mine["distinct_rows"],
        unexpected=surplus + elsewhere,
        rejected_present=len(open_stray),
        problems=tuple(text for is_so, text in texts if is_so),
    )


_NONE: Mapping[str, Any] = {"row_count": 0, "distinct_rows": 0, "first_index": 0, "last_index": -1}


def _repaired(batch: Document, state: str) -> set[int]:
    return {int(index) for index, repair in batch.get("repairs", {}).items() if repair["state"] == state}


def _settled(books: Books, report: BatchBooks) -> BatchBooks:
    """Take back what is no difference any more because somebody acted on the batch meanwhile."""
    if not report.problems:
        return report
    now = books.journal.read_batch(report.batch_id)
    is_same = now is not None and now["status"] == report.status and not _moved(report, now)
    return report if is_same else replace(report, problems=(), missing=0, unexpected=0, rejected_present=0)


def _moved(report: BatchBooks, now: Document) -> bool:
    return report.status == "COMMITTED" and now["rows"] + len(_repaired(now, "landed")) != report.rows


def _strange(
    books: Books, found: Mapping[str, _Found], said: Mapping[str, Mapping[str, Any]], since_us: int
) -> tuple[list[BatchBooks], int]:
    """Return the rows that no batch of the ledger since then accounts for, and how many are another pipeline's."""
    strange, others = list[BatchBooks](), 0
    for key, each in found.items():
        rows = sum(group["row_count"] for group in each.groups.values())
        if said.get(key, {}).get("pipeline_id", books.pipeline) != books.pipeline:
            others += rows
            continue
        batch = books.journal.read_batch(key) if key else None
        if batch is None:
            problem = f"{rows} rows of a batch that the ledger does not know"
        elif batch["ingest_time_us"] < since_us:
            problem = f"{rows} rows under another ingest time: the view shows them too"
        else:  # it was attempted after the ledger was read
            continue
        status = str(batch["status"]) if batch else ""
        strange.append(BatchBooks(batch_id=key, status=status, table_rows=rows, unexpected=rows, problems=(problem,)))
    return strange, others


def worth_showing(found: Reconciliation) -> Sequence[BatchBooks]:
    """Return the batches that differ, and those that have doubles or rows that no reader sees."""
    return [each for each in found.batches if each.problems or each.doubled or (each.table_rows and not each.rows)]
