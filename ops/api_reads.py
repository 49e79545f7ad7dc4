"""The API's questions: status, runs, batches, rows, rejected records, receipts. Each reads what its page holds."""

import time
from typing import Any

from flask import Response
from pydantic import BaseModel

from ingestor import replay_views, runs, views
from ingestor.envelope import UnreadableEnvelope, descriptor_of
from ingestor.replay_one import loaded
from ingestor.replay_rows import decoded, rows_to_send
from ops import api_answers as answers
from ops import newest, receipts
from ops.api import answered, reads
from ops.api_requests import (
    MOST_A_PAGE,
    BatchesQuery,
    BatchPath,
    PageQuery,
    PlaceQuery,
    ReceiptPath,
    ReconcileQuery,
    RunPath,
    RunsQuery,
)
from ops.auth import refusals
from ops.masking import errors_shown, masked, reason_shown
from ops.problems import Problem
from ops.service import service
from state.errors import Refused
from state.journal import BatchQuery, Document, page_key
from state.receipts import counts

DEAD = frozenset({"DEAD_LETTERED", "REPLAYING", "DISCARDED"})
SCANNED_RUNS = 1_000
"""Runs that one page of a filtered list looks at: a page may be short of its limit, or empty, and have a `next`."""
NOTHING = 404
DAY_US = 86_400 * 1_000_000


class OpenApi(BaseModel):
    """This document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


@reads("/status", answers.Status)
def api_status() -> Response:
    """Is data flowing, what is in doubt, what is dead, what failed."""
    here = service()
    found = views.status_of(here.config, here.journal)
    told = _shown({name: found[name] for name in ("lanes", "dead_letters", "last_runs")})
    return answered(answers.Status(pipeline=here.config.pipeline_id, refused=refusals(), **told))


@reads("/reconcile", answers.Reconciliation)
def api_reconcile(query: ReconcileQuery) -> Response:
    """Compare ledger and table, batch by batch, for batches of this ingest time and later; a day without `since`."""
    here = service()
    since_us = query.since if query.since is not None else time.time_ns() // 1000 - DAY_US
    found = views.reconciliation_json(views.reconciliation_of(here.config, here.journal, here.log, since_us))
    items = found.pop("items")
    told = [answers.BatchBooks.model_validate(each) for each in items[:MOST_A_PAGE]]
    return answered(answers.Reconciliation(**found, balanced=not found["differences"], items=told, next=None))


@reads("/runs", answers.Runs)
def api_runs(query: RunsQuery) -> Response:
    """List runs, newest first."""
    before, kept, seen = query.page, list[Document](), 0
    while len(kept) < query.limit and seen < SCANNED_RUNS:
        page = service().journal.list_runs(
            limit=query.limit, before=before, lane=query.lane or None, status=query.status or None
        )
        kept += [run for run in page if _is_within(run, query)][: query.limit - len(kept)]
        seen += len(page)
        before = str(page[-1]["run_id"]) if page else None
        if len(page) < query.limit or _is_older(page[-1], query):
            before = None
            break
    if len(kept) == query.limit:
        before = before and str(kept[-1]["run_id"])
    return answered(answers.Runs(items=[answers.Run.model_validate(_shown(run)) for run in kept], next=before))


def _is_within(run: Document, query: RunsQuery) -> bool:
    at_us = run.get("started_at_us") or 0
    return (query.since or 0) <= at_us and (query.until is None or at_us < query.until)


def _is_older(run: Document, query: RunsQuery) -> bool:
    return (run.get("started_at_us") or 0) < (query.since or 0)


@reads("/runs/<run_id>", answers.RunShown, may_miss=True)
def api_run(path: RunPath) -> Response:
    """Show a run and the batches that it attempted."""
    found = runs.shown(service().journal, path.run_id)
    if found is None:
        raise Problem(NOTHING, f"run {path.run_id} is not known, or has aged out; GET /api/runs lists them")
    batches = [_batch(each) for each in found["batches"]]
    run = answers.Run.model_validate(_shown(found["run"]))
    return answered(answers.RunShown(run=run, batches=batches, more_batches=found["more_batches"]))


@reads("/batches", answers.Batches)
def api_batches(query: BatchesQuery) -> Response:
    """List batches, newest first: dead ones by when they were set aside, the others by when they were attempted."""
    asked = BatchQuery(
        status=query.status or None,
        lane=query.lane or None,
        run=query.run or None,
        fingerprint=query.fingerprint or None,
        by="dead_at_us" if query.status in DEAD else "attempted_at_us",
        since_us=query.since,
        until_us=query.until,
        after=query.page,
    )
    found = newest.listed(service().journal, asked, query.limit + 1)
    last = found[query.limit - 1] if len(found) > query.limit else None
    following = page_key(last[asked.by], last["batch_id"]) if last else None
    return answered(answers.Batches(items=[_batch(each) for each in found[: query.limit]], next=following))


@reads("/batches/<batch_id>", answers.BatchShown, may_miss=True)
def api_batch(path: BatchPath) -> Response:
    """Show a batch: what the ledger says of it, its history, what lies in the bucket."""
    found = replay_views.shown(service().replayer.ports, known(path.batch_id), rows=0)
    return answered(
        answers.BatchShown(
            batch=_batch(found.batch),
            history=[_happened(each) for each in found.history],
            stored=answers.StoredBatch.model_validate(dict(found.stored)) if found.stored else None,
            problem=found.problem,
        )
    )


@reads("/batches/<batch_id>/rows", answers.Rows, may_miss=True)
def api_rows(path: BatchPath, query: PlaceQuery) -> Response:
    """Decode the rows that a replay of a dead batch would send."""
    batch, first = known(path.batch_id), _place(query.page)
    if not batch.get("dead_object"):
        raise Problem(NOTHING, f"batch {path.batch_id} was never set aside: its rows are not in the bucket")
    ports = service().replayer.ports
    try:
        envelope = loaded(ports, batch)
        rows = list(rows_to_send(envelope, batch.get("rejected_indexes", ())).values())
        items = decoded(descriptor_of(envelope), rows[first : first + query.limit])
    except UnreadableEnvelope as error:
        raise Problem(409, str(error)) from error
    shown = [masked(dict(row), service().config.mask_fields) for row in items]
    return answered(answers.Rows(items=shown, next=_following(first, query.limit, len(rows))))


@reads("/batches/<batch_id>/records", answers.Records, may_miss=True)
def api_records(path: BatchPath, query: PlaceQuery) -> Response:
    """List a batch's rejected records with their reasons."""
    known(path.batch_id)
    found, first = service().replayer.records(path.batch_id), _place(query.page)
    names = service().config.mask_fields
    items = [
        answers.Record(
            row_index=each.record.index,
            state=each.state,
            stage=each.record.rejection.stage,
            reason=reason_shown(each.record.rejection.reason, each.record.rejection.field, names),
            field=each.record.rejection.field,
            record=masked(each.record.record, names),
        )
        for each in found[first : first + query.limit]
    ]
    return answered(answers.Records(items=items, next=_following(first, query.limit, len(found))))


@reads("/receipts", answers.ReceiptLines)
def api_receipts(query: PageQuery) -> Response:
    """List bulk replays, newest first."""
    found = service().journal.list_receipts(limit=query.limit + 1, after=query.page)
    last = found[query.limit - 1] if len(found) > query.limit else None
    following = page_key(last["opened_at_us"], last["receipt"]) if last else None
    items = [answers.ReceiptLine.model_validate({**each, "counts": counts(each)}) for each in found[: query.limit]]
    return answered(answers.ReceiptLines(items=items, next=following))


@reads("/receipts/<receipt>", answers.Receipt, may_miss=True)
def api_receipt(path: ReceiptPath, query: PlaceQuery) -> Response:
    """Show what became of an action; of a bulk replay `outcome.items` has each batch, a page at a time."""
    require_receipt(path.receipt)
    try:
        found = receipts.read(path.receipt, first=_place(query.page), limit=query.limit)
    except Refused as unknown:
        raise Problem(NOTHING, str(unknown)) from unknown
    return answered(receipt_model(found))


def known(batch_id: str) -> Document:
    """Return a batch's document.

    Raises:
        Problem: there is no such batch.
    """
    found = service().journal.read_batch(batch_id)
    if found is None:
        raise Problem(NOTHING, f"batch {batch_id} is not known, or has aged out; GET /api/batches lists them")
    return found


def require_receipt(receipt: str) -> None:
    """Raise `Problem` when there is no such receipt."""
    is_of_entry = receipts.OF_ENTRY.fullmatch(receipt) or receipts.OF_LANE.fullmatch(receipt)
    if not is_of_entry and service().journal.read_receipt(receipt) is None:
        raise Problem(NOTHING, f"receipt {receipt} is not known, or has aged out; GET /api/receipts lists bulk replays")


def receipt_model(receipt: receipts.Receipt) -> answers.Receipt:
    """Return a receipt as the API tells it."""
    told = {name: getattr(receipt, name) for name in answers.Receipt.model_fields}
    return answers.Receipt.model_validate({**told, "outcome": _shown(told["outcome"])})


def _batch(document: Any) -> answers.Batch:  # noqa: ANN401 - a mapping of the ledger's
    return answers.Batch.model_validate(_shown(document))


def _shown(document: Any) -> Any:  # noqa: ANN401 - a mapping of the ledger's
    """With hidden fields, errors are told without the values that BigQuery or a source may have quoted."""
    return errors_shown(dict(document), service().config.mask_fields)


def _happened(event: replay_views.Happened) -> answers.Happened:
    details = {
        name: value.hex() if isinstance(value, bytes) else dict(value) if isinstance(value, dict) else value
        for name, value in event.details.items()
    }
    return answers.Happened(
        at_us=event.at_us,
        lane=event.lane,
        version=event.version,
        run_id=event.run_id,
        event=event.event,
        details=_shown(details),
    )


def _place(page: str | None) -> int:
    return int(page) if page else 0


def _following(first: int, limit: int, count: int) -> str | None:
    return str(first + limit) if first + limit < count else None
