"""Receipts: what is handed to a person for an action, and can be asked for again as long as the ledger keeps it.

Two kinds. A bulk replay's is the ledger's own (`replay-…`), with what became of each batch. Any other action's is the
entry that holds it, of lane `ops` (`ops-…`) or of the lane it was done to (`lane-…`), the number being its version:
who, what, why and when, as the hash-chained journal has it and not as somebody remembers it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ingestor.replay import ReceiptReport
from ops.service import service
from state.codec import decode_entry
from state.errors import Refused
from state.events import (
    OPS_LANE,
    BatchDiscarded,
    BatchReopened,
    Event,
    Paused,
    RecordDiscarded,
    RecordReplayed,
    RecordsRejected,
    ReplayFailed,
    ReplayStarted,
    ReplaySucceeded,
    Resumed,
)
from state.journal import Entry

OF_ENTRY = re.compile(r"ops-([0-9]{1,12})")
OF_LANE = re.compile(r"lane-([0-9A-Za-z_.:-]{1,200})-([0-9]{1,12})")
LOOKED_BACK = 20
"""Entries before an action's end among which its claim is looked for: what others wrote while it was under way."""
SHOWN = 100
"""Batches of a bulk replay that an answer tells of, unless asked for others."""
_ACTIONS: Mapping[type[Any], str] = {
    BatchDiscarded: "discard",
    BatchReopened: "reopen",
    RecordDiscarded: "discard_records",
    RecordReplayed: "replay_records",
    ReplayFailed: "replay",
    ReplaySucceeded: "replay",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Who did what to which batch, and what came of it.

    Attributes:
        receipt: its name; empty when nothing had to be written.
        action: replay, replay_all, discard, reopen, replay_records, discard_records, pause, resume.
        status: done, failed (not what was wanted; `outcome` says why), or of a bulk replay open or stopped.
        at_us: when, microseconds since 1970.
        batch_id: the batch; None of a bulk replay.
        counts: of a bulk replay: pending, succeeded, failed, skipped.
        outcome: what came of it, by action.
    """

    receipt: str
    action: str
    status: str
    actor: str
    reason: str
    at_us: int
    batch_id: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    outcome: Mapping[str, Any] = field(default_factory=dict)


def of_entry(version: int) -> Receipt:
    """Return the receipt of the action that this entry of lane `ops` holds.

    Raises:
        Refused: there is no such entry, it aged out, or it ends no action of a person.
    """
    stored = service().journal.read_entry(OPS_LANE, version) if version else None
    events = decode_entry(stored.entry) if stored else ()
    rejected = sum(len(event.indexes) for event in events if isinstance(event, RecordsRejected))
    for event in events:
        if type(event) in _ACTIONS and stored is not None:
            found = _of_event(event, version, stored.entry.at_us, _reason(event, version))
            return replace(found, outcome={**found.outcome, "rejected": rejected}) if rejected else found
    raise Refused(f"receipt ops-{version} is not known, or has aged out; the batch's history tells what happened")


def of_report(report: ReceiptReport, *, shown: int = SHOWN, first: int = 0) -> Receipt:
    """Return a bulk replay's receipt."""
    items = [
        {"batch_id": item.batch_id, "outcome": item.outcome, "status": item.status, "answer": item.answer}
        for item in report.items[:shown]
    ]
    return Receipt(
        receipt=report.receipt,
        action="replay_all",
        status=report.status,
        actor=report.actor,
        reason=report.reason,
        at_us=report.opened_at_us,
        counts=report.counts,
        outcome={"filter": dict(report.filter), "updated_at_us": report.updated_at_us, "first": first, "items": items},
    )


def newest_of_lane(lane: str, version: int, actor: str) -> Receipt | None:
    """Return what this person did to a lane last, at this version or just before it (publishing comes after it)."""
    journal = service().journal
    for stored in reversed(journal.read_entries(lane, max(1, version - LOOKED_BACK), LOOKED_BACK + 1)):
        found = _of_lane_entry(lane, stored.entry) if stored.entry.version <= version else None
        if found is not None and found.actor == actor:
            return found
    return None


def of_lane(lane: str, version: int) -> Receipt:
    """Return the receipt of what was done to a lane in this entry. Raises `Refused` as `of_entry` does."""
    stored = service().journal.read_entry(lane, version)
    found = _of_lane_entry(lane, stored.entry) if stored else None
    if found is None:
        raise Refused(f"receipt lane-{lane}-{version} is not known, or has aged out")
    return found


def _of_lane_entry(lane: str, entry: Entry) -> Receipt | None:
    for event in decode_entry(entry):
        if isinstance(event, Paused | Resumed):
            return Receipt(
                receipt=f"lane-{lane}-{entry.version}",
                action="pause" if isinstance(event, Paused) else "resume",
                status="done",
                actor=event.actor,
                reason=getattr(event, "reason", ""),
                at_us=entry.at_us,
                outcome={"lane": lane},
            )
    return None


def read(receipt: str, *, first: int = 0, limit: int = SHOWN) -> Receipt:
    """Return a receipt by its name; of a bulk replay `limit` batches from the place `first` on. Raises `Refused`."""
    if found := OF_ENTRY.fullmatch(receipt):
        return of_entry(int(found[1]))
    if found := OF_LANE.fullmatch(receipt):
        return of_lane(found[1], int(found[2]))
    return of_report(service().replayer.receipt(receipt, first=first, limit=limit), shown=limit, first=first)


def _reason(event: Any, version: int) -> str:  # noqa: ANN401 - any event of a batch
    """The event's own, or that of the claim which it ends: the last before it with its token."""
    if hasattr(event, "reason"):
        return str(event.reason)
    before = service().journal.read_entries(OPS_LANE, max(1, version - LOOKED_BACK), LOOKED_BACK)
    claims = [
        claim
        for stored in before
        if stored.entry.version < version
        for claim in decode_entry(stored.entry)
        if isinstance(claim, ReplayStarted) and claim.token == event.token
    ]
    return claims[-1].reason if claims else ""


def _of_event(event: Event, version: int, at_us: int, reason: str) -> Receipt:
    said: Any = event
    failed = isinstance(event, ReplayFailed)
    records = {"indexes": list(said.indexes)} if getattr(event, "indexes", ()) else {}
    outcome = {name: getattr(event, name) for name in ("rows", "attempts", "code", "error") if hasattr(event, name)}
    return Receipt(
        receipt=f"ops-{version}",
        action="replay_records" if failed and records else _ACTIONS[type(event)],
        status="failed" if failed else "done",
        actor=said.actor,
        reason=reason,
        at_us=at_us,
        batch_id=said.batch_id,
        outcome={**outcome, **records},
    )
