"""What operators press: each form carries its reason and the page to come back to, and ends on a page that can be
loaded again without doing it twice.
"""

from urllib.parse import urlencode

from flask import redirect, request

from ingestor.errors import IngestorError
from ops import actions, page_filters
from ops.auth import acting_email, operators
from ops.masking import error_shown
from ops.pages import View, blueprint
from ops.pages_batches import batch_page, known
from ops.pages_replays import plan_page, receipt_page
from ops.service import service
from state.errors import LedgerError, Refused

SLICE_S = 3.0
"""How long one request works on a bulk replay when a script asks for the next by itself, so that the bar moves."""
DISCARDED_AT_ONCE = 25
"""Batches of a group that one request discards; the page then says how many are left."""
REASON_WANTED = "a reason is needed: it is what the next person reads"


@blueprint.post("/batches/<batch_id>/<any(replay, discard, reopen):action>")
@operators
def act(batch_id: str, action: str) -> View:
    """Replay, discard or reopen one batch."""
    known(batch_id)
    reason, key = request.form.get("reason", "").strip(), request.form.get("key", "")
    if action == "discard" and not reason:
        return batch_page(batch_id, REASON_WANTED), 400
    try:
        if action == "replay":
            done = actions.replay(batch_id, reason=reason, forced="force" in request.form, key=key)
            if done.status != "done":
                said = error_shown(str(done.outcome.get("error", "")), service().config.mask_fields)
                return batch_page(batch_id, f"BigQuery refused it again: {said}"), 409
        else:
            {"discard": actions.discard, "reopen": actions.reopen}[action](batch_id, reason=reason, key=key)
    except (IngestorError, LedgerError) as error:
        return batch_page(batch_id, str(error)), 409
    return _to(f"/batches/{batch_id}", said=action, back=page_filters.local_path(request.form.get("back", ""), ""))


@blueprint.post("/replay")
@operators
def replay_all() -> View:
    """Freeze what the filters find as a bulk replay, if it is still what the plan said, and go to its receipt."""
    filters = page_filters.read(request.form, "DEAD_LETTERED")
    if not filters.is_replayable:
        return plan_page(filters)
    now, seen = service().journal.count_batches(filters.query()), request.form.get("seen", "")
    if seen != str(now):
        return plan_page(filters, f"The plan was of {seen or 'no'} batches, now there are {now}. Look at it again.")
    limit = int(text) if (text := request.form.get("limit", "")).isdecimal() and int(text) else None
    reason, key = request.form.get("reason", "").strip(), request.form.get("key", "")
    try:
        receipt = actions.replay_all(filters.selection(limit), reason=reason, key=key)
    except Refused as error:
        return plan_page(filters, str(error))
    if receipt is None:
        return plan_page(filters, "No batch fits any more; nothing was replayed.")
    return _to(f"/receipts/{receipt.receipt}", go="1")


@blueprint.post("/receipts/<receipt>/<any(continue, stop):action>")
@operators
def on_receipt(receipt: str, action: str) -> View:
    """Work on a bulk replay for a few seconds, or stop it."""
    try:
        if action == "stop":
            actions.stop(receipt)
            return _to(f"/receipts/{receipt}")
        budget_s = SLICE_S if "HX-Request" in request.headers else actions.REQUEST_BUDGET_S
        actions.go_on(receipt, reason=request.form.get("reason", "").strip(), budget_s=budget_s)
    except (IngestorError, LedgerError) as error:
        return receipt_page(receipt, str(error))
    return _to(f"/receipts/{receipt}", go="1")


@blueprint.post("/discard")
@operators
def discard_all() -> View:
    """Discard some batches of a group, the newest first, and say how many are left."""
    filters, reason = page_filters.read(request.form, "DEAD_LETTERED"), request.form.get("reason", "").strip()
    if not filters.is_replayable or not reason:
        return plan_page(filters, REASON_WANTED)
    now, seen = service().journal.count_batches(filters.query()), request.form.get("seen", "")
    if seen != str(now):
        return plan_page(filters, f"The page was of {seen or 'no'} batches, now there are {now}. Look at it again.")
    for batch in service().journal.list_batches(filters.query(), limit=DISCARDED_AT_ONCE):
        service().replayer.discard(str(batch["batch_id"]), actor=acting_email(), reason=reason)
    return redirect(filters.url("/plan", said="discarded"), 303)


@blueprint.post("/lanes/<lane>/<any(pause, resume):action>")
@operators
def on_lane(lane: str, action: str) -> View:
    """Pause a lane, with a reason, or let it go on."""
    back, reason = page_filters.local_path(request.form.get("back", ""), "/"), request.form.get("reason", "").strip()
    if action == "pause":
        actions.pause(lane, reason=reason)
    else:
        actions.resume(lane, reason=reason)
    return redirect(back, 303)


def _to(path: str, **asked: str) -> View:
    given = {name: value for name, value in asked.items() if value}
    return redirect(f"{path}?{urlencode(given)}" if given else path, 303)
