"""Pages of batches: the list with its filters in the address, and one batch in full."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from flask import Response, abort, render_template, request

from ingestor.envelope import UnreadableEnvelope, descriptor_of
from ingestor.errors import DeadLetterError
from ingestor.replay_one import loaded
from ingestor.replay_rows import decoded, rows_to_send
from ops import newest, page_filters
from ops.auth import viewers
from ops.masking import masked
from ops.pages import LISTED, View, blueprint, following_key
from ops.service import service
from ops.timeline import timeline
from state.journal import Document
from state.transitions import MAX_REPLAYS

SHOWN_ROWS = 20
"""Rows of a dead letter on a page of them."""


@blueprint.get("/batches")
@viewers
def batches() -> View:
    """List batches by the filters of the address."""
    filters = page_filters.read(request.args)
    if filters.problem:
        return render_template(
            "batches.html", filters=filters, statuses=page_filters.STATUSES, batches=[], total=None
        ), 400
    page = request.args.get("page", "")
    journal, is_counted = service().journal, filters.status in page_filters.WAS_DEAD
    try:
        with ThreadPoolExecutor(1) as pool:
            total = pool.submit(journal.count_batches, filters.query()) if is_counted else None
            found = list(newest.listed(journal, filters.query(page), LISTED + 1))
    except ValueError as error:
        abort(400, str(error))
    return render_template(
        "batches.html",
        filters=filters,
        statuses=page_filters.STATUSES,
        batches=found[:LISTED],
        total=total.result() if total else None,
        following=following_key(found, LISTED, filters.by),
        is_first=not page,
    )


@blueprint.get("/batches/<batch_id>")
@viewers
def batch(batch_id: str) -> View:
    """Show one batch in full."""
    return batch_page(batch_id)


def batch_page(batch_id: str, problem: str = "") -> str:
    """Return a batch's page; `problem` is why an action on it was refused."""
    found = known(batch_id)
    before = request.args.get("before", "")
    first = int(text) if (text := request.args.get("row", "")).isdecimal() else 0
    letter = _letter(found, first) if found.get("dead_object") else None
    return render_template(
        "batch.html",
        batch=found,
        digests=len(found.get("row_digests") or b"") // 16,
        timeline=timeline(service().journal, found, int(before) if before.isdecimal() else None),
        letter=letter,
        first=first,
        shown_rows=SHOWN_ROWS,
        back=page_filters.local_path(request.values.get("back", ""), "/batches"),
        max_replays=MAX_REPLAYS,
        problem=problem,
        said=request.args.get("said", ""),
        bucket=service().config.dead_letter_bucket,
    )


def known(batch_id: str) -> dict[str, Any]:
    """Return a batch's document, or answer that there is none."""
    found = service().journal.read_batch(batch_id)
    if found is None:
        abort(404, f"batch {batch_id} is not known; it may have aged out of the ledger")
    return dict(found)


@blueprint.get("/batches/<batch_id>/rows.jsonl")
@viewers
def download(batch_id: str) -> Response:
    """Return all rows of a dead letter as JSON lines, masked as on the page."""
    found = known(batch_id)
    if not found.get("dead_object"):
        abort(404, f"batch {batch_id} was never set aside; its rows are in the table")
    names = service().config.mask_fields
    lines = b"".join(orjson.dumps(masked(row, names), default=str) + b"\n" for row in _rows(found))
    name = f'attachment; filename="{batch_id}.jsonl"'
    return Response(lines, mimetype="application/x-ndjson", headers={"Content-Disposition": name})


def _letter(found: Document, first: int) -> dict[str, Any]:
    """Return what the page tells of a dead letter: its columns and rows, or why it cannot be read."""
    try:
        envelope = loaded(service().replayer.ports, found)
        every = list(rows_to_send(envelope, found.get("rejected_indexes", ())).values())
        rows = [_masked(row) for row in decoded(descriptor_of(envelope), every[first : first + SHOWN_ROWS])]
    except (DeadLetterError, UnreadableEnvelope) as error:
        return {"problem": str(error)}
    names = list(dict.fromkeys(name for row in rows for name in row if not name.startswith("_ingest_")))
    return {
        "problem": "",
        "answer": envelope.failure.message,
        "message_type": envelope.message_type,
        "schema_fingerprint": envelope.schema_fingerprint,
        "code_version": envelope.code_version,
        "total": len(every),
        "names": names,
        "rows": rows,
    }


def _rows(found: Document) -> list[Mapping[str, Any]]:
    envelope = loaded(service().replayer.ports, found)
    every = list(rows_to_send(envelope, found.get("rejected_indexes", ())).values())
    return list(decoded(descriptor_of(envelope), every))


def _masked(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(masked(row, service().config.mask_fields))
