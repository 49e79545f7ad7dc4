"""Receipts of bulk replays on lane `ops`: what is asked is frozen first, so that any later call can go on with it."""

from collections.abc import Mapping, Sequence

from state.errors import Refused
from state.events import Event, ReceiptClosed, ReceiptOpened
from state.journal import Document
from state.ops_index import Held
from state.ops_writer import OpsWriter
from state.receipts import MAX_BATCH_IDS, MAX_FAILURES_IN_ROW, PENDING, outcome_of


class OpsReceipts(OpsWriter):
    """The part of `OpsLedger` that is about receipts."""

    def open_receipt(
        self, receipt: str, *, actor: str, reason: str, selection: Mapping[str, str], batch_ids: Sequence[str]
    ) -> None:
        """Freeze which batches a bulk replay is about, in order. `selection` is the filter that found them, for people.

        The same call again changes nothing.
        """
        ids = tuple(dict.fromkeys(batch_ids))
        opened = ReceiptOpened(receipt=receipt, actor=actor, reason=reason, filter=selection, batch_ids=ids)

        def decide(held: Held) -> Sequence[Event]:
            found = held.receipts.get(receipt)
            if found is not None and (list(found["batch_ids"]), found["actor"]) == (list(ids), actor):
                return ()
            if found is not None:
                raise Refused(f"receipt {receipt} exists and is about other batches; take another name")
            if not 1 <= len(ids) <= MAX_BATCH_IDS:
                raise Refused(f"receipt {receipt} is about {len(ids)} batches, 1 to {MAX_BATCH_IDS} are one receipt")
            return (opened,)

        self._write(decide, receipt=receipt)

    def resume_receipt(self, receipt: str, *, actor: str, reason: str) -> None:
        """Let a receipt go on that was stopped, failed, or met too many failures in a row."""
        going_on = ReceiptOpened(receipt=receipt, actor=actor, reason=reason, filter={}, batch_ids=())

        def decide(held: Held) -> Sequence[Event]:
            found = _known(held, receipt)
            if found["status"] == "done":
                raise Refused(f"receipt {receipt} is done; open another for what it did not replay")
            is_going = found["status"] == "open" and found["failures_in_row"] < MAX_FAILURES_IN_ROW
            return () if is_going else (going_on,)

        self._write(decide, receipt=receipt)

    def close_receipt(self, receipt: str, *, actor: str, status: str) -> None:
        """End a receipt as `done` (what is pending counts as skipped), `stopped` or `failed`."""

        def decide(held: Held) -> Sequence[Event]:
            found = _known(held, receipt)
            if status not in {"done", "stopped", "failed"}:
                raise ValueError(f"receipt {receipt} cannot end as {status}")
            if found["status"] == "done" and status != "done":
                raise Refused(f"receipt {receipt} is done; nothing is left of it to end")
            is_same = found["status"] == status
            return () if is_same else (ReceiptClosed(receipt=receipt, actor=actor, status=status),)

        self._write(decide, receipt=receipt)


def _known(held: Held, receipt: str) -> Document:
    if receipt not in held.receipts:
        raise Refused(f"receipt {receipt} is not known; open it first")
    return held.receipts[receipt]


def require_pending(found: Document | None, receipt: str, batch_id: str) -> None:
    """Raise `Refused` unless the receipt goes on and has this batch still to do."""
    if found is None:
        raise Refused(f"receipt {receipt} is not known; open it first")
    if found["status"] != "open":
        raise Refused(f"receipt {receipt} was {found['status']} by {found['last_actor']}; let it go on first")
    if found["failures_in_row"] >= MAX_FAILURES_IN_ROW:
        raise Refused(f"receipt {receipt} met {MAX_FAILURES_IN_ROW} failures in a row; look, then let it go on")
    if outcome_of(found, batch_id) != PENDING:
        raise Refused(f"receipt {receipt} has nothing left to do with batch {batch_id}")
