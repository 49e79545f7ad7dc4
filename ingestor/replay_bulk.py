"""Replays of many batches under a receipt: which ones is frozen in the ledger first, so any later call can go on.

The ledger holds the receipt's state; this module only works through it. Stopped by anybody, or by failures in a row
(`state.receipts.MAX_FAILURES_IN_ROW`), it takes no further batch. Killed anywhere it stays open.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ingestor.replay_one import REFUSED, Asked, BatchReplay, Pace, Replayed
from ingestor.replay_ports import ReplayPorts
from ingestor.replay_probe import PUBLISH_EVERY, listed
from state.errors import Refused
from state.journal import BatchQuery, Document
from state.ops import OpsLedger
from state.receipts import MAX_BATCH_IDS, MAX_FAILURES_IN_ROW, PENDING, counts, outcome_of

REPLAYABLE = ("DEAD_LETTERED", "REPLAYING")
MAX_PER_S = 2.0
"""Replays a second by default. Each replaces the document of lane `ops` twice, and Firestore sustains about one write a
second to a document and bursts above it (Firestore, "Best practices").
"""
_LETTERS: Mapping[str, str] = {".": "pending", "S": "succeeded", "F": "failed", "K": "skipped"}

OnProgress = Callable[[int, int, Replayed], None]
"""Told after each batch: how many are done, of how many, and what became of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead batches a bulk replay or a plan is about; `since_us` bounds when they were dead-lettered."""

    status: str = "DEAD_LETTERED"
    since_us: int | None = None
    lane: str | None = None
    fingerprint: str | None = None
    limit: int | None = None

    @property
    def as_text(self) -> dict[str, str]:
        """The filter as the receipt keeps it, for people."""
        fields = {"status": self.status, "since_us": self.since_us, "lane": self.lane}
        more = {"fingerprint": self.fingerprint, "limit": self.limit}
        return {name: str(value) for name, value in {**fields, **more}.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ReceiptItem:
    """What became of a batch of a receipt: `outcome` is pending, succeeded, failed or skipped; `status` is today's."""

    batch_id: str
    outcome: str
    status: str
    answer: str


@dataclass(frozen=True, slots=True)
class ReceiptReport:
    """A receipt as it stands: `status` is open, stopped, failed or done. `items` may be a part of its batches."""

    receipt: str
    status: str
    actor: str
    reason: str
    filter: Mapping[str, str]
    counts: Mapping[str, int]
    items: tuple[ReceiptItem, ...]
    opened_at_us: int = 0
    updated_at_us: int = 0

    @property
    def ok(self) -> bool:
        """Whether every batch was replayed."""
        return self.status == "done" and self.counts["succeeded"] == sum(self.counts.values())


class BulkReplay:
    """Opens receipts and works through them."""

    def __init__(self, ports: ReplayPorts, one: BatchReplay) -> None:
        self._ports, self._one = ports, one

    def open(self, selection: Selection, *, actor: str, reason: str, receipt: str = "") -> str:
        """Freeze the list of batches, oldest first; return the receipt's name, empty when there is no batch.

        A receipt that exists under the given name is left as it is, if it is of this actor and this filter.

        Raises:
            Refused: there are more than one receipt takes, and no limit was asked for.
        """
        if receipt and (found := self._ports.journal.read_receipt(receipt)) is not None:
            if (found["actor"], dict(found["filter"])) != (actor, selection.as_text):
                raise Refused(f"receipt {receipt} exists and is about something else; take another key")
            return receipt
        ids = self.select(selection)
        if not ids:
            return ""
        receipt = receipt or f"replay-{self._ports.token()[:16]}"
        ops = self._ports.open_ops("")
        ops.open_receipt(receipt, actor=actor, reason=reason, selection=selection.as_text, batch_ids=ids)
        return receipt

    def select(self, selection: Selection) -> list[str]:
        """Return the ids of the batches, oldest first. Raises as `open`."""
        if selection.status not in REPLAYABLE:
            raise Refused(f"batches that are {selection.status} are not replayed; choose {' or '.join(REPLAYABLE)}")
        query = BatchQuery(
            status=selection.status,
            lane=selection.lane,
            fingerprint=selection.fingerprint,
            since_us=selection.since_us,
            by="dead_at_us",
        )
        oldest_first = [str(batch["batch_id"]) for batch in listed(self._ports.journal, query)][::-1]
        chosen = oldest_first[: selection.limit]
        if len(chosen) > MAX_BATCH_IDS:
            raise Refused(f"{len(chosen)} batches fit, a receipt takes {MAX_BATCH_IDS}; choose fewer with --limit")
        return chosen

    def go_on(self, receipt: str, asked: Asked, pace: Pace, on_progress: OnProgress) -> None:
        """Replay what the receipt has pending. Raises `Refused` when it is not known, `LedgerError`."""
        ops, asked = self._ports.open_ops(""), replace(asked, receipt=receipt)
        self._one.publish(ops)
        found = self._read(receipt)
        if found["status"] == "done":
            return
        ops.resume_receipt(receipt, actor=asked.actor, reason=asked.reason)
        try:
            self._work(ops, found, asked, pace, on_progress)
        finally:
            self._one.publish(ops)

    def stop(self, receipt: str, *, actor: str) -> None:
        """Let nobody take a further batch of it until it is continued."""
        self._ports.open_ops("").close_receipt(receipt, actor=actor, status="stopped")

    def report(self, receipt: str, first: int = 0, limit: int | None = None) -> ReceiptReport:
        """Say what became of each batch, or of some. Raises `Refused` when there is no such receipt."""
        found = self._read(receipt)
        asked = slice(first, None if limit is None else first + limit)
        items = tuple(map(self._item, found["batch_ids"][asked], found["outcomes"][asked]))
        head = (found["status"], found["actor"], found["reason"], dict(found["filter"]))
        return ReceiptReport(receipt, *head, counts(found), items, found["opened_at_us"], found["updated_at_us"])

    def _work(self, ops: OpsLedger, found: Document, asked: Asked, pace: Pace, on_progress: OnProgress) -> None:
        ids: Sequence[str] = found["batch_ids"]
        pending = [each for each, letter in zip(ids, found["outcomes"], strict=True) if letter == PENDING]
        for number, batch_id in enumerate(pending, 1):
            if not pace.wait():
                return
            replayed = self._one_of(ops, batch_id, asked)
            if replayed is not None:
                on_progress(len(ids) - len(pending) + number, len(ids), replayed)
            if replayed is None or not replayed.ok:
                now = self._read(asked.receipt)
                if now["failures_in_row"] >= MAX_FAILURES_IN_ROW:
                    ops.close_receipt(asked.receipt, actor=asked.actor, status="failed")
                if now["status"] != "open" or now["failures_in_row"] >= MAX_FAILURES_IN_ROW:
                    return
            if number % PUBLISH_EVERY == 0:
                self._one.publish(ops)
        ops.close_receipt(asked.receipt, actor=asked.actor, status="done")

    def _one_of(self, ops: OpsLedger, batch_id: str, asked: Asked) -> Replayed | None:
        """Replay one; None when the receipt was stopped meanwhile. What the rules refuse for one batch is skipped."""
        try:
            return self._one.replay(ops, batch_id, asked)
        except Refused as refused:
            found = self._read(asked.receipt)
            if found["status"] != "open" or found["failures_in_row"] >= MAX_FAILURES_IN_ROW:
                return None
            status = str((self._ports.journal.read_batch(batch_id) or {}).get("status"))
            already = outcome_of(found, batch_id) != PENDING
            return Replayed(batch_id, status, already=already, code=REFUSED, error="" if already else str(refused))

    def _item(self, batch_id: str, letter: str) -> ReceiptItem:
        batch = self._ports.journal.read_batch(batch_id) or {}
        answer = str(batch.get("last_answer") or batch.get("error") or "")
        if left := batch.get("open_records"):
            answer = f"{answer}; {left} rejected record(s) open"
        return ReceiptItem(batch_id, _LETTERS[letter], str(batch.get("status", "")), answer)

    def _read(self, receipt: str) -> Document:
        found = self._ports.journal.read_receipt(receipt)
        if found is None:
            raise Refused(f"receipt {receipt} is not known; `ingestor batches replay --all` opens one and names it")
        return found
