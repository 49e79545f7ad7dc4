"""What operators do, once for the API and for the pages: each takes a reason, acts as the caller, returns a receipt.

Call them inside a view marked `ops.auth.operators`. They raise `state.errors.Refused` when the ledger's rules do not
allow it (the application answers 409 with the rule's words), and the errors of `ingestor.replay.Replayer`.

`key` makes an action that is asked for twice happen once: the caller's own text for "this is the same request". What
it rests on is in the ledger and not in this process, so it holds across instances and restarts: a replay's token and a
bulk replay's name are made from it, and an action that is the newest thing that happened to its batch, by the same
person for the same reason, is not repeated. Repairs are the same by their content and need none.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

from ingestor.lane_control import Controlled
from ingestor.replay import Repaired, Replayed, Selection
from ingestor.replay_bulk import MAX_PER_S
from ops import receipts
from ops.auth import acting_email
from ops.receipts import SHOWN, Receipt, of_entry, of_report
from ops.service import service
from state.errors import Refused
from state.journal import Document

REQUEST_BUDGET_S = 20.0
"""How long one request works on a bulk replay before it answers; nothing is done after the answer."""


def replay(batch_id: str, *, reason: str, forced: bool = False, key: str = "") -> Receipt:
    """Send a dead batch again. `status` is failed when BigQuery refused it, and `outcome` says how."""
    token = _digest("replay", acting_email(), batch_id, key)[:32] if key else ""
    actor = acting_email()
    done = service().replayer.replay(batch_id, actor=actor, reason=reason, forced=forced, token=token)
    return _of_replay(done, actor, reason)


def _of_replay(done: Replayed, actor: str, reason: str) -> Receipt:
    outcome = {name: value for name, value in asdict(done).items() if name not in {"batch_id", "action", "version"}}
    return Receipt(
        receipt=f"ops-{done.version}" if done.version else "",
        action="replay",
        status="done" if done.ok else "failed",
        actor=actor,
        reason=reason,
        at_us=of_entry(done.version).at_us if done.version else 0,
        batch_id=done.batch_id,
        outcome=outcome,
    )


def discard(batch_id: str, *, reason: str, key: str = "") -> Receipt:
    """Close a dead batch without sending it."""
    return _repeated(batch_id, "discard", reason, key) or _of_document(
        service().replayer.discard(batch_id, actor=acting_email(), reason=reason)
    )


def reopen(batch_id: str, *, reason: str, key: str = "") -> Receipt:
    """Take a discard back."""
    return _repeated(batch_id, "reopen", reason, key) or _of_document(
        service().replayer.reopen(batch_id, actor=acting_email(), reason=reason)
    )


def replay_records(batch_id: str, lines: bytes | None = None, *, reason: str) -> Receipt:
    """Append repaired records (JSON lines), or without any those that are open. `outcome.lines` has each."""
    return _of_repair(service().replayer.replay_records(batch_id, lines, actor=acting_email(), reason=reason), reason)


def try_records(batch_id: str, lines: bytes | None = None, *, reason: str) -> Receipt:
    """Encode repaired records and say what would become of each; change nothing, write nothing: it has no name."""
    done = service().replayer.replay_records(batch_id, lines, actor=acting_email(), reason=reason, dry_run=True)
    return _of_repair(done, reason)


def _of_repair(done: Repaired, reason: str) -> Receipt:
    return Receipt(
        receipt=f"ops-{done.version}" if done.version else "",
        action="replay_records",
        status="done" if done.ok else "failed",
        actor=acting_email(),
        reason=reason,
        at_us=of_entry(done.version).at_us if done.version else 0,
        batch_id=done.batch_id,
        outcome={"lines": [asdict(line) for line in done.lines], "open_records": done.open_records},
    )


def discard_records(batch_id: str, indexes: Sequence[int], *, reason: str, key: str = "") -> Receipt:
    """Close rejected records without repairing them."""
    before = _repeated(batch_id, "discard_records", reason, key)
    if before is not None and before.outcome.get("indexes") == sorted(set(indexes)):
        return before
    return _of_document(service().replayer.discard_records(batch_id, indexes, actor=acting_email(), reason=reason))


def replay_all(selection: Selection, *, reason: str, key: str = "") -> Receipt | None:
    """Freeze which batches a bulk replay is about; None when no batch fits. `go_on` works on it."""
    actor = acting_email()
    name = f"replay-{_digest('replay_all', actor, key)[:16]}" if key else ""
    receipt = service().replayer.replay_all(selection, actor=actor, reason=reason, receipt=name)
    return receipts.read(receipt) if receipt else None


def go_on(receipt: str, *, reason: str = "", forced: bool = False, budget_s: float = REQUEST_BUDGET_S) -> Receipt:
    """Work on a bulk replay for about so many seconds. It is open until its last batch is done."""
    report = service().replayer.continue_receipt(
        receipt,
        actor=acting_email(),
        reason=reason,
        forced=forced,
        max_per_s=MAX_PER_S,
        budget_s=budget_s,
        shown=SHOWN,
    )
    return of_report(report)


def stop(receipt: str) -> Receipt:
    """Let nobody take a further batch of a bulk replay until it is continued."""
    return of_report(service().replayer.stop_receipt(receipt, actor=acting_email(), shown=SHOWN))


def pause(lane: str, *, reason: str) -> Receipt:
    """Let runs of a lane answer skipped until it is resumed. Its name is empty when the lane was paused already."""
    with service().lane_control() as control:
        done = control.pause(lane, actor=acting_email(), reason=reason)
    return _of_lane(done, "pause", reason)


def resume(lane: str, *, reason: str = "") -> Receipt:
    """Let runs of a paused lane read again. The journal keeps who, not why."""
    with service().lane_control() as control:
        done = control.resume(lane, actor=acting_email())
    return _of_lane(done, "resume", reason)


def _of_lane(done: Controlled, action: str, reason: str) -> Receipt:
    written = receipts.newest_of_lane(done.lane, done.state.version, acting_email()) if done.is_changed else None
    return Receipt(
        receipt=written.receipt if written else "",
        action=action,
        status="done",
        actor=acting_email(),
        reason=reason,
        at_us=written.at_us if written else 0,
        outcome={"lane": done.lane, "text": done.text, "unpublished": done.unpublished},
    )


def _of_document(batch: Document) -> Receipt:
    return of_entry(batch["ops_version"])


def _repeated(batch_id: str, action: str, reason: str, key: str) -> Receipt | None:
    """Return the receipt of this very action, when it is the newest thing that happened to the batch."""
    batch = service().journal.read_batch(batch_id) if key else None
    if not batch or not batch.get("ops_version"):
        return None
    try:
        newest = of_entry(batch["ops_version"])
    except Refused:
        return None
    is_same = (newest.action, newest.actor, newest.reason, newest.batch_id) == (
        action,
        acting_email(),
        reason,
        batch_id,
    )
    return newest if is_same else None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
