"""Pages of rejected records: read, repaired in place, tried, replayed; or many at once as JSON lines."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Response, abort, redirect, render_template, request

from ingestor.decode import Undecodable, decode
from ingestor.errors import IngestorError
from ingestor.repair import OpenRecord, Repaired
from ops import actions, page_filters
from ops.auth import acting_email, operators, viewers
from ops.masking import masked, reason_shown, unmasked
from ops.pages import LISTED, View, blueprint
from ops.pages_batches import known
from ops.service import service
from state.errors import LedgerError
from state.journal import page_key

SHOWN = 20
OPEN_STATES = frozenset({"open", "claimed"})


@blueprint.get("/records")
@viewers
def record_batches() -> View:
    """List batches that have open rejected records, the most first."""
    journal = service().journal
    try:
        with ThreadPoolExecutor(1) as pool:
            total = pool.submit(journal.count_open_records)
            found = list(journal.list_open_records(limit=LISTED + 1, after=request.args.get("page") or None))
    except ValueError as error:
        abort(400, str(error))
    last = found[LISTED - 1] if len(found) > LISTED else None
    following = page_key(last["open_records"], last["batch_id"]) if last else ""
    return render_template("record_batches.html", batches=found[:LISTED], total=total.result(), following=following)


@blueprint.get("/batches/<batch_id>/records")
@viewers
def records(batch_id: str) -> View:
    """Show a batch's rejected records, each with a form to repair it."""
    return _page(batch_id)


def _page(
    batch_id: str, tried: Repaired | None = None, edited: dict[int, str] | None = None, problem: str = ""
) -> View:
    """Return the page; `tried` is what a try or a refused replay said of each line, `edited` what was typed."""
    found = known(batch_id)
    first = int(text) if (text := request.args.get("first", "")).isdecimal() else 0
    only_open = request.values.get("show", "open") == "open"
    every = [each for each in service().replayer.records(batch_id) if not only_open or each.state in OPEN_STATES]
    listed = [_shown(each) for each in every[first : first + SHOWN]]
    page = render_template(
        "records.html",
        batch=found,
        records=listed,
        total=len(every),
        first=first,
        shown=SHOWN,
        only_open=only_open,
        tried={line.index: line for line in tried.lines} if tried else {},
        lines=tried.lines if tried and not edited else (),
        edited=edited or {},
        problem=problem,
        problem_at=next((each["index"] for each in listed if each["index"] in (edited or {})), None),
        said=request.args.get("said", ""),
        said_of=request.args.get("of", ""),
        reason=request.form.get("reason", ""),
        typed=request.form.get("lines", ""),
        back=page_filters.local_path(request.values.get("back", ""), f"/batches/{batch_id}"),
        masks=bool(service().config.mask_fields),
    )
    is_refused = bool(problem or (tried and not tried.ok))
    return (page, 409) if is_refused else page


def _shown(each: OpenRecord) -> dict[str, Any]:
    names, rejection = service().config.mask_fields, each.record.rejection
    return {
        "index": each.record.index,
        "state": each.state,
        "stage": rejection.stage,
        "field": rejection.field,
        "reason": reason_shown(rejection.reason, rejection.field, names),
        "record": masked(each.record.record, names),
    }


@blueprint.get("/batches/<batch_id>/records.jsonl")
@viewers
def records_download(batch_id: str) -> Response:
    """Return the open records as JSON lines, ready to be repaired and sent back."""
    known(batch_id)
    found = [_shown(each) for each in service().replayer.records(batch_id) if each.state in OPEN_STATES]
    keys = {"index": "row_index", "stage": "stage", "reason": "reason", "field": "field", "record": "record"}
    lines = (orjson.dumps({new: each[old] for old, new in keys.items()}, default=str) + b"\n" for each in found)
    name = f'attachment; filename="{batch_id}-rejected.jsonl"'
    return Response(b"".join(lines), mimetype="application/x-ndjson", headers={"Content-Disposition": name})


@blueprint.post("/batches/<batch_id>/records/<int:index>")
@operators
def repair(batch_id: str, index: int) -> View:
    """Try, replay or discard one record, as the pressed button says."""
    known(batch_id)
    reason, text = request.form.get("reason", "").strip(), request.form.get("record", "")
    try:
        if request.form.get("do") == "discard":
            actions.discard_records(batch_id, [index], reason=reason)
            return _said(batch_id, "discarded", index)
        line = _line(batch_id, index, text)
        return _tried_or_replayed(batch_id, line, {index: text}, reason)
    except (IngestorError, LedgerError, ValueError) as error:
        return _page(batch_id, edited={index: text}, problem=str(error))


@blueprint.post("/batches/<batch_id>/records")
@operators
def repair_many(batch_id: str) -> View:
    """Try or replay repaired JSON lines, typed or from a file."""
    known(batch_id)
    file = request.files.get("file")
    content = (file.read() if file else b"") or request.form.get("lines", "").encode()
    if not content.strip():
        return _page(batch_id, problem="there are no lines: choose a file of repaired JSON lines, or type them")
    try:
        return _tried_or_replayed(batch_id, _restored(batch_id, content), {}, request.form.get("reason", "").strip())
    except (IngestorError, LedgerError, ValueError) as error:
        return _page(batch_id, problem=str(error))


def _tried_or_replayed(batch_id: str, lines: bytes, edited: dict[int, str], reason: str) -> View:
    replayer, actor = service().replayer, acting_email()
    if request.form.get("do") != "replay":
        tried = replayer.replay_records(batch_id, lines, actor=actor, reason=reason, dry_run=True)
        return _page(batch_id, tried, edited)
    done = replayer.replay_records(batch_id, lines, actor=actor, reason=reason)
    return _said(batch_id, "replayed", next(iter(edited), None)) if done.ok else _page(batch_id, done, edited)


def _said(batch_id: str, said: str, index: int | None) -> View:
    """Go on to the page without what was posted; its address says what was done, and to which record."""
    place = {name: value for name in ("back", "show") if (value := request.form.get(name, ""))}
    told = {"said": said, **({} if index is None else {"of": index}), **place}
    # The form's address ends in the record's place on the page, which a browser would keep.
    return redirect(f"/batches/{batch_id}/records?{urlencode(told)}#top", 303)


def _line(batch_id: str, index: int, text: str) -> bytes:
    try:
        record = decode(text.encode())
    except Undecodable:
        raise ValueError(f"record {index}: what was typed is no JSON{_where(text)}; nothing was sent") from None
    original = {each.record.index: each.record.record for each in service().replayer.records(batch_id)}
    whole = unmasked(record, original.get(index), service().config.mask_fields)
    return orjson.dumps({"row_index": index, "record": whole})


def _where(text: str) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f" at line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        pass
    return ""


def _restored(batch_id: str, content: bytes) -> bytes:
    """Put back what is masked. A line that is none goes on as it is: the repair says what is wrong with it."""
    names = service().config.mask_fields
    if not names:
        return content
    original = {each.record.index: each.record.record for each in service().replayer.records(batch_id)}
    return b"\n".join(_restored_line(line, original, names) for line in content.split(b"\n"))


def _restored_line(line: bytes, original: dict[int, Any], names: tuple[str, ...]) -> bytes:
    try:
        value = decode(line)
        whole = unmasked(value["record"], original[value["row_index"]], names)
    except (Undecodable, KeyError, TypeError):
        return line
    return orjson.dumps({**value, "record": whole})
