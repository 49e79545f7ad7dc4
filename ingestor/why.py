"""Where one row came from and why a reader does or does not see it: the ledger's story, checked against BigQuery.

Reads only. What has aged out of the journal is not told; the batch's own document still is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingestor.ddl import dedup_id
from ingestor.reconcile import Books
from ingestor.replay_views import Happened, history
from state.errors import Refused
from state.events import DIGEST_SIZE
from state.journal import Document

_BATCH_ID = re.compile(r"[\w-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One row's story.

    Attributes:
        visible: how many times the dedup view shows it: 1 or 0.
        verdict: why, in one sentence.
        record: `row`, `rejected` (with `stage`, `object`, and `state`: open, claimed, landed, discarded) or `unknown`.
        source: `page_cursor` and `record` of that page, when the ledger can tell; always from where to where the batch
            goes (`start`, `end`: a page's cursor and the records of it already taken).
        runs: which run attempted the batch and which settled it.
        batch: the batch's document without digests.
        row_digest: of what was sent, in hex; empty for a rejected record or where it is not known.
        statements: what the ledger table says of the batch, the one that counts first.
        table_rows: rows of this index in the table, doubles included.
        history: what the journals tell of the batch, in order: attempts, answers, operators' acts.
    """

    batch_id: str
    row_index: int
    visible: int
    verdict: str
    record: Mapping[str, Any]
    source: Mapping[str, Any]
    runs: Mapping[str, Any]
    batch: Mapping[str, Any]
    row_digest: str
    statements: tuple[Mapping[str, Any], ...]
    table_rows: int
    history: tuple[Happened, ...]


def why(books: Books, batch_id: str, row_index: int) -> Why:
    """Return the story of one row.

    Raises:
        Refused: this can be no batch's id, or the batch has no such record.
        LedgerError, BigQueryUnavailable, SchemaMismatch: ledger or table cannot be asked.
    """
    if not _BATCH_ID.fullmatch(batch_id):
        raise Refused(f"{batch_id!r} is no batch id; take it from `_ingest_batch_id`")
    batch = dict(books.journal.read_batch(batch_id) or {})
    digests = batch.pop("row_digests", b"") or b""
    _require_record(batch, batch_id, row_index)
    record = _record(batch, row_index)
    rows, visible, statements = _asked(books, batch, batch_id, row_index)
    owed = any(statement.batch_id == batch_id for statement in books.owed())
    return Why(
        batch_id=batch_id,
        row_index=row_index,
        visible=visible,
        verdict=_verdict(batch, record, rows, visible, is_owed=owed),
        record=record,
        source=_source(batch, row_index),
        runs={name: batch.get(f"{name}_run") for name in ("attempted", "settled")},
        batch=batch,
        row_digest=_digest(batch, digests, row_index),
        statements=tuple(statements),
        table_rows=rows,
        history=tuple(history(books.journal, batch)) if batch else (),
    )


def _require_record(batch: Document, batch_id: str, row_index: int) -> None:
    records = batch["rows"] + batch["rejected"] if batch else None
    if row_index < 0 or (records is not None and row_index >= records):
        raise Refused(f"batch {batch_id} has no record {row_index}: its {records or 'records'} are numbered from 0")


def _record(batch: Document, row_index: int) -> dict[str, Any]:
    if not batch:
        return {"kind": "unknown"}
    if row_index not in batch.get("rejected_indexes", ()):
        return {"kind": "row"}
    repair = batch.get("repairs", {}).get(str(row_index), {}).get("state", "open")
    state = "discarded" if row_index in batch.get("discarded_indexes", ()) else repair
    mine: Mapping[str, Any] = next((each for each in batch.get("rejections", ()) if row_index in each["indexes"]), {})
    return {"kind": "rejected", "stage": mine.get("stage"), "object": mine.get("object"), "state": state}


def _asked(books: Books, batch: Document, batch_id: str, row_index: int) -> tuple[int, int, list[dict[str, Any]]]:
    """Return the row's count in the table and in the view, and the statements about its batch, the newest first."""
    at_us = batch.get("ingest_time_us")
    partition = "" if at_us is None else f"`_ingest_time` = TIMESTAMP_MICROS({at_us}) AND "
    mine = f"{partition}`_ingest_batch_id` = '{batch_id}' AND `_ingest_row_index` = {row_index}"
    counts = [
        int(books.query(f"SELECT COUNT(*) AS n FROM `{name}` WHERE {mine}")[0]["n"])  # noqa: S608 - an id of ours
        for name in (books.table, dedup_id(books.table))
    ]
    statements = books.query(
        "SELECT `status`, `lane`, `version`, `run_id`, UNIX_MICROS(`at`) AS at_us "  # noqa: S608 - an id of ours
        f"FROM `{books.ledger_table}` WHERE `batch_id` = '{batch_id}' "
        "ORDER BY CASE WHEN `lane` = 'ops' THEN 1 ELSE 0 END DESC, `version` DESC"
    )
    return counts[0], counts[1], statements


def _source(batch: Document, row_index: int) -> dict[str, Any]:
    """Return the page where the ledger can tell it: that of a batch's first record, or that which its end is on."""
    if not batch:
        return {}
    start, end, records = batch["start"], batch["end"], batch["rows"] + batch["rejected"]
    source = {"start": start, "end": end, "page_cursor": None, "record": None}
    from_end = end["taken"] - (records - row_index)
    if start["cursor"] == end["cursor"]:
        return {**source, "page_cursor": start["cursor"], "record": start["taken"] + row_index}
    if from_end >= 0:
        return {**source, "page_cursor": end["cursor"], "record": from_end}
    if row_index == 0:
        return {**source, "page_cursor": start["cursor"], "record": start["taken"] + row_index}
    return source


def _digest(batch: Document, packed: bytes, row_index: int) -> str:
    """The digests are those of the rows that were encoded, in order; records rejected by BigQuery are among them."""
    unencoded = {at for each in batch.get("rejections", ()) if each["stage"] == "encode" for at in each["indexes"]}
    if row_index in unencoded:
        return ""
    place = row_index - sum(1 for at in unencoded if at < row_index)
    return packed[place * DIGEST_SIZE : (place + 1) * DIGEST_SIZE].hex()


def _verdict(  # noqa: PLR0911 - one sentence a case
    batch: Document, record: Mapping[str, Any], rows: int, visible: int, *, is_owed: bool
) -> str:
    if not batch:
        return f"the ledger does not know this batch: its {rows} row(s) in the table stay invisible"
    is_repaired = record.get("state") == "landed"
    if visible:
        as_what = "a repaired record" if is_repaired else "a row"
        return f"visible: {as_what} of a {batch['status']} batch" + (f", stored {rows} times" if rows > 1 else "")
    if record["kind"] == "rejected" and not is_repaired:
        return f"invisible: the record was rejected ({record['stage']}), it is {record['state']} in {record['object']}"
    match batch["status"]:
        case "COMMITTED" if is_owed:
            return "invisible for now: the batch is committed, its statement is still to be published by the next run"
        case "COMMITTED" if rows == 0:
            return "missing: the ledger counts it, the table does not hold it; run `ingestor reconcile`"
        case "COMMITTED":
            return "hidden: the ledger table lacks the batch's statement; run `ingestor reconcile`"
        case "ATTEMPTED":
            return "invisible for now: the batch is in doubt, the next run settles it"
        case "DEAD_LETTERED" | "REPLAYING":
            said = f"{batch.get('error_code')}: {batch.get('error')}"
            return f"invisible: the batch is set aside ({said}); replay or discard it"
        case _:
            return f"invisible: the batch is {batch['status']}"
