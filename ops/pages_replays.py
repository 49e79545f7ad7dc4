"""Pages of replays: what one would do before it does it, and a bulk replay as it goes on.

A bulk replay works inside requests, a few seconds each: the page asks for the next slice while it is open (with a
script by itself, without one by a button), and whoever opens the receipt later may go on with it.
"""

from concurrent.futures import ThreadPoolExecutor

from flask import abort, render_template, request

from ingestor.plan_replay import ReplayPlan
from ops import page_filters, receipts
from ops.auth import acting_email, viewers
from ops.pages import LISTED, View, blueprint
from ops.pages_batches import known
from ops.service import service
from state.errors import Refused
from state.journal import page_key
from state.receipts import MAX_BATCH_IDS, counts

EXAMINED = 20
"""Dead letters that a plan of many opens; the page says of how many. A sample: the oldest, which are replayed first."""
SHOWN_ITEMS = 100


@blueprint.get("/plan")
@viewers
def plan() -> View:
    """Say what a replay of the batches of these filters would do, and offer exactly that."""
    filters = page_filters.read(request.args, "DEAD_LETTERED")
    return plan_page(filters)


def plan_page(filters: page_filters.Filters, problem: str = "") -> View:
    """Return the page of a plan; `problem` is why the replay that was asked for was refused."""
    if not filters.is_replayable:
        abort(400, filters.problem or "a replay is chosen by status, lane, fingerprint and since; leave the others out")
    journal = service().journal
    with ThreadPoolExecutor(1) as pool:
        total = pool.submit(journal.count_batches, filters.query())
        newest = journal.list_batches(filters.query(), limit=EXAMINED)
    page = render_template(
        "plan.html",
        filters=filters,
        total=total.result(),
        plan=_planned([str(batch["batch_id"]) for batch in newest]),
        examined=len(newest),
        most=MAX_BATCH_IDS,
        problem=problem,
        back=page_filters.local_path(request.values.get("back", ""), "/failures"),
    )
    return (page, 409) if problem else page


@blueprint.get("/batches/<batch_id>/plan")
@viewers
def plan_one(batch_id: str) -> View:
    """Say what a replay of one batch would do."""
    found = known(batch_id)
    back = page_filters.local_path(request.args.get("back", ""), "/batches")
    return render_template("plan_one.html", batch=found, plan=_planned([batch_id]), back=back)


def _planned(ids: list[str]) -> ReplayPlan:
    return service().replayer.plan(ids, actor=acting_email())


@blueprint.get("/receipts")
@viewers
def all_receipts() -> View:
    """List bulk replays, newest first."""
    try:
        found = service().journal.list_receipts(limit=LISTED + 1, after=request.args.get("after") or None)
    except ValueError as error:
        abort(400, str(error))
    shown = [{**each, "counts": counts(each)} for each in found[:LISTED]]
    last = shown[-1] if len(found) > LISTED else None
    following = page_key(last["opened_at_us"], last["receipt"]) if last else ""
    return render_template("receipts.html", receipts=shown, following=following)


@blueprint.get("/receipts/<receipt>")
@viewers
def receipt(receipt: str) -> View:
    """Show a bulk replay: how far it is, what became of each batch."""
    return receipt_page(receipt)


def receipt_page(name: str, problem: str = "") -> View:
    """Return a receipt's page; `problem` is why what was asked of it was refused."""
    first = int(text) if (text := request.args.get("first", "")).isdecimal() else 0
    try:
        found = receipts.read(name, first=first)
    except Refused as error:
        abort(404, str(error))
    total = sum(found.counts.values())
    page = render_template(
        "receipt.html",
        receipt=found,
        total=total,
        done=total - found.counts.get("pending", 0),
        first=first,
        shown_items=SHOWN_ITEMS,
        goes_on="go" in request.args,
        problem=problem,
    )
    return (page, 409) if problem else page
