"""The pages that only look: health, failures, runs, audit. Every page works without a script; `app.js` adds comfort.

Views read the ledger through the read models beside this file (`flow`, `failure_groups`, `timeline`, `strip`), which
say what they cost.
"""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Blueprint, Flask, abort, g, render_template, request
from werkzeug.wrappers import Response as Answer

from ingestor.reconcile import worth_showing
from ingestor.runs import shown as run_shown
from ops import charts, failure_groups, page_filters, page_words
from ops.auth import viewers
from ops.flow import health, source_lanes
from ops.masking import error_shown, errors_shown, reason_shown
from ops.service import service
from ops.strip import counted
from ops.timeline import audit
from state.events import OPS_LANE
from state.journal import Document, page_key

LISTED = 50
"""Lines of a list; the next page is a link, never a limit that nobody sees."""
SHOWN_DIFFERENCES = 200
blueprint = Blueprint("pages", __name__)
View = str | Answer | tuple[str, int]


def install(app: Flask) -> None:
    """Register the pages and the words they use."""
    from ops import pages_acting, pages_batches, pages_records, pages_replays  # noqa: PLC0415 - they need `blueprint`

    del pages_acting, pages_batches, pages_records, pages_replays
    app.register_blueprint(blueprint)
    app.jinja_env.filters.update(page_words.FILTERS)
    app.jinja_env.filters["error"] = lambda message: error_shown(message or "", service().config.mask_fields)
    app.jinja_env.filters["errors"] = lambda told: errors_shown(told, service().config.mask_fields)
    app.jinja_env.filters["reason_of"] = lambda why, field: reason_shown(why, field, service().config.mask_fields)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.context_processor(_everywhere)


def now_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


def _everywhere() -> dict[str, Any]:
    pipeline = service().config.pipeline_id if "caller" in g else "Operators"  # a stranger is told no names
    names = {"pipeline": pipeline, "now_us": now_us(), "here": _here()}
    return {**names, "form_key": lambda: secrets.token_hex(16)}


def _here() -> str:
    """This page's address, for forms to come back to: filters and all."""
    return request.full_path.rstrip("?")


@blueprint.get("/")
@viewers
def home() -> View:
    """Say whether data is flowing, what failed, and what waits for a person."""
    journal = service().journal
    with ThreadPoolExecutor(1) as pool:
        groups = pool.submit(failure_groups.newest, journal, limit=5)
        found = health(journal, now_us(), service().config.ledger_stale_s, request.args.get("lane"))
    drawn = charts.charts(found.runs)
    return render_template(
        "health.html",
        health=found,
        counted=counted(found.strip),
        charts=[(chart, charts.as_json(chart)) for chart in drawn],
        groups=groups.result(),
    )


@blueprint.get("/live")
@viewers
def live() -> View:
    """Return the part of the first page that is asked for again and again."""
    found = health(service().journal, now_us(), service().config.ledger_stale_s, request.args.get("lane"), cells=0)
    return render_template("_live.html", health=found)


@blueprint.get("/failures")
@viewers
def failures() -> View:
    """Group dead batches by why they failed."""
    after = request.args.get("after", "")
    try:
        found = failure_groups.groups(service().journal, after=after)
    except ValueError as error:
        abort(400, str(error))
    return render_template("failures.html", groups=found, is_first=not after)


@blueprint.get("/runs")
@viewers
def runs() -> View:
    """List runs, newest first."""
    asked = {name: request.args.get(name, "").strip() for name in ("lane", "status")}
    before, journal = request.args.get("before") or None, service().journal
    with ThreadPoolExecutor(1) as pool:
        lanes = pool.submit(source_lanes, journal)
        found = journal.list_runs(
            limit=LISTED + 1, before=before, lane=asked["lane"] or None, status=asked["status"] or None
        )
    shown = [_with_duration(run) for run in found[:LISTED]]
    following = shown[-1]["run_id"] if len(found) > LISTED else ""
    return render_template("runs.html", runs=shown, asked=asked, following=following, lanes=lanes.result())


@blueprint.get("/runs/<run_id>")
@viewers
def run(run_id: str) -> View:
    """Show one run: its balance, how it ended, its batches."""
    found = run_shown(service().journal, run_id, limit=LISTED)
    if found is None:
        abort(404, f"run {run_id} is not known; it may have aged out of the ledger")
    return render_template(
        "run.html", run=_with_duration(found["run"]), batches=found["batches"], more=found["more_batches"]
    )


@blueprint.get("/reconcile")
@viewers
def reconciled() -> View:
    """Compare ledger and table, when asked to: it costs a query of BigQuery."""
    since = request.args.get("since", "").strip()
    try:
        since_us = page_filters.instant(since)
    except ValueError as error:
        return render_template("reconcile.html", since=since, problem=str(error)), 400
    if since_us is None:
        return render_template("reconcile.html", since=since or "24h")
    found = service().reconcile(since_us)
    worth = sorted(worth_showing(found), key=lambda each: not each.problems)
    return render_template(
        "reconcile.html", since=since, found=found, shown=worth[:SHOWN_DIFFERENCES], worth=len(worth)
    )


@blueprint.get("/audit")
@viewers
def audited() -> View:
    """List what people did, newest first."""
    journal = service().journal
    lanes = [OPS_LANE, *source_lanes(journal)]
    lane = request.args.get("lane", OPS_LANE)
    if lane not in lanes:
        abort(404, f"there is no lane {lane}")
    before = request.args.get("before", "")
    found = audit(journal, lane, int(before) if before.isdecimal() else None)
    return render_template("audit.html", audit=found, lane=lane, lanes=lanes)


def following_key(batches: list[Document], limit: int, by: str) -> str:
    """Return the key of the page after this one, given one document more than it shows; empty on the last page."""
    last = batches[limit - 1] if len(batches) > limit else None
    return page_key(last[by], last["batch_id"]) if last else ""


def _with_duration(found: Document) -> dict[str, Any]:
    return {**found, "duration": charts.duration_s(found)}
