"""The API's actions: each takes a reason and answers with a receipt. `ops.actions` does them, the pages' too."""

import json
from dataclasses import asdict

from flask import Response
from flask_openapi3.types import ResponseDict

from ingestor.plan_replay import ReplayPlan
from ingestor.replay import Selection
from ops import actions
from ops import api_answers as answers
from ops.api import answered, changes
from ops.api_reads import known, receipt_model, require_receipt
from ops.api_requests import (
    PLANNED_MOST,
    BatchPath,
    BulkBody,
    DiscardRecordsBody,
    GoOnBody,
    KeyHeader,
    LanePath,
    ReasonBody,
    ReceiptPath,
    RepairBody,
    ReplayBody,
)
from ops.auth import acting_email
from ops.masking import errors_shown, unmasked
from ops.receipts import Receipt
from ops.service import service
from state.journal import BatchQuery

ACCEPTED = 202
NOTHING_FITS = {"pending": 0, "succeeded": 0, "failed": 0, "skipped": 0}
_RECEIPT: ResponseDict = {200: answers.Receipt}


@changes("/batches/<batch_id>/replay", _RECEIPT)
def api_replay(path: BatchPath, header: KeyHeader, body: ReplayBody) -> Response:
    """Send a dead batch again. `status` is failed when BigQuery refused it; a dry run's outcome is the plan."""
    known(path.batch_id)
    if body.dry_run:
        plan = service().replayer.plan((path.batch_id,), actor=acting_email())
        outcome = _plan(plan, len(plan.batches)).model_dump(mode="json")
        return _told(_unwritten("replay", path.batch_id, body.reason, outcome))
    return _told(actions.replay(path.batch_id, reason=body.reason, forced=body.forced, key=header.key))


@changes("/batches/<batch_id>/discard", _RECEIPT)
def api_discard(path: BatchPath, header: KeyHeader, body: ReasonBody) -> Response:
    """Close a dead batch without sending it."""
    known(path.batch_id)
    return _told(actions.discard(path.batch_id, reason=body.reason, key=header.key))


@changes("/batches/<batch_id>/reopen", _RECEIPT)
def api_reopen(path: BatchPath, header: KeyHeader, body: ReasonBody) -> Response:
    """Take a discard back."""
    known(path.batch_id)
    return _told(actions.reopen(path.batch_id, reason=body.reason, key=header.key))


@changes("/batches/<batch_id>/records/replay", _RECEIPT)
def api_replay_records(path: BatchPath, header: KeyHeader, body: RepairBody) -> Response:
    """Append repaired records, or those that are open as they are. The same repair again is no second row."""
    del header  # documented; a repair is the same by its content
    known(path.batch_id)
    lines = None if body.records is None else _lines(path.batch_id, body)
    if body.dry_run:
        return _told(actions.try_records(path.batch_id, lines, reason=body.reason))
    return _told(actions.replay_records(path.batch_id, lines, reason=body.reason))


@changes("/batches/<batch_id>/records/discard", _RECEIPT)
def api_discard_records(path: BatchPath, header: KeyHeader, body: DiscardRecordsBody) -> Response:
    """Close rejected records without repairing them."""
    known(path.batch_id)
    return _told(actions.discard_records(path.batch_id, body.indexes, reason=body.reason, key=header.key))


@changes("/replay", {200: answers.ReplayPlan, ACCEPTED: answers.Receipt}, may_miss=False)
def api_replay_all(header: KeyHeader, body: BulkBody) -> Response:
    """Freeze which dead batches are replayed. Nothing is sent yet: `POST /api/receipts/{receipt}/continue`, again
    until its status is not open, or `ingestor batches replay --receipt` in a job, does that.
    """
    selection = Selection(
        status=body.status,
        since_us=body.since,
        lane=body.lane or None,
        fingerprint=body.fingerprint or None,
        limit=body.limit,
    )
    if body.dry_run:
        return answered(_bulk_plan(selection))
    found = actions.replay_all(selection, reason=body.reason, key=header.key)
    if found is None:
        nothing = _unwritten("replay_all", None, body.reason, {"filter": selection.as_text, "items": []})
        return _told(nothing, ACCEPTED)
    return _told(found, ACCEPTED, Location=f"/api/receipts/{found.receipt}")


@changes("/lanes/<lane>/pause", _RECEIPT, may_miss=False)
def api_pause(path: LanePath, body: ReasonBody) -> Response:
    """Let runs of a lane answer skipped until it is resumed."""
    return _told(actions.pause(path.lane, reason=body.reason))


@changes("/lanes/<lane>/resume", _RECEIPT, may_miss=False)
def api_resume(path: LanePath, body: GoOnBody) -> Response:
    """Let runs of a paused lane read again."""
    return _told(actions.resume(path.lane, reason=body.reason))


@changes("/receipts/<receipt>/continue", _RECEIPT)
def api_continue(path: ReceiptPath, body: GoOnBody) -> Response:
    """Work on a bulk replay for some seconds, then answer how far it is."""
    require_receipt(path.receipt)
    return _told(actions.go_on(path.receipt, reason=body.reason, forced=body.forced))


@changes("/receipts/<receipt>/stop", _RECEIPT)
def api_stop(path: ReceiptPath, body: GoOnBody) -> Response:
    """Let nobody take a further batch of a bulk replay until it is continued."""
    del body
    require_receipt(path.receipt)
    return _told(actions.stop(path.receipt))


def _told(receipt: Receipt, status: int = 200, **headers: str) -> Response:
    return answered(receipt_model(receipt), status, **headers)


def _unwritten(action: str, batch_id: str | None, reason: str, outcome: dict[str, object]) -> Receipt:
    """Return the receipt of what changed nothing: it has no name."""
    return Receipt(
        receipt="",
        action=action,
        status="done",
        actor=acting_email(),
        reason=reason,
        at_us=0,
        batch_id=batch_id,
        counts={} if batch_id else NOTHING_FITS,
        outcome=outcome,
    )


def _lines(batch_id: str, body: RepairBody) -> bytes:
    """Return the repairs as JSON lines; a hidden field that still holds the mask gets its own value again."""
    names, repaired = service().config.mask_fields, body.records or []
    before = {each.record.index: each.record.record for each in service().replayer.records(batch_id)} if names else {}
    lines = [
        {"row_index": each.row_index, "record": unmasked(each.record, before.get(each.row_index), names)}
        for each in repaired
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _bulk_plan(selection: Selection) -> answers.ReplayPlan:
    limit = min(selection.limit or PLANNED_MOST, PLANNED_MOST)
    asked = Selection(
        status=selection.status,
        since_us=selection.since_us,
        lane=selection.lane,
        fingerprint=selection.fingerprint,
        limit=limit,
    )
    query = BatchQuery(
        status=selection.status,
        lane=selection.lane,
        fingerprint=selection.fingerprint,
        since_us=selection.since_us,
        by="dead_at_us",
    )
    matching = service().journal.count_batches(query)
    return _plan(service().replayer.plan(selection=asked, actor=acting_email()), matching)


def _plan(plan: ReplayPlan, matching: int) -> answers.ReplayPlan:
    names = service().config.mask_fields
    items = [answers.PlannedBatch.model_validate(errors_shown(asdict(each), names)) for each in plan.batches]
    return answers.ReplayPlan(
        matching=matching,
        sendable=len(plan.sendable),
        rows=plan.rows,
        size_bytes=plan.size_bytes,
        present=plan.present,
        refused=len(plan.refused),
        oldest_us=plan.oldest_us,
        cost_usd=plan.cost_usd,
        fingerprints=plan.fingerprints,
        items=items,
    )
