"""The operators' lane: the only writer of what becomes of a dead-lettered batch and of rejected records.

Each call is one atomic commit of an entry, the batch's document under the token it was read with, and the receipt.
Two operators at once do no harm: whoever loses the race reads again and decides again, and a replay whose batch was
taken over is refused its end. Taking over is always allowed, because a replay repeats the same bytes under the same
ids. What this cannot promise: that a replay which lost its batch stops appending; its rows are the same rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from state.events import (
    BatchDiscarded,
    BatchReopened,
    Event,
    RecordDiscarded,
    RecordReplayed,
    RecordsRejected,
    ReplayFailed,
    ReplayStarted,
    ReplaySucceeded,
)
from state.journal import Document
from state.ops_index import AskedEvent, Held
from state.ops_receipts import OpsReceipts, require_pending
from state.ops_writer import allowed


@dataclass(frozen=True, slots=True)
class Claimed:
    """What may be appended now: the batch, as its document says after the claim, and of repaired records those
    `indexes` that had not landed before (empty for a whole batch).
    """

    document: Document
    indexes: tuple[int, ...] = ()


class OpsLedger(OpsReceipts):
    """The writer of lane `ops`. Used by one thread at a time; opens the lane by itself.

    `now_us`, `nonce`, `sleep` and `retention_days` are those of `LaneLedger`; `run_id` is empty when a person writes.

    Every method that writes raises `Refused` when the ledger's rules do not allow it (the message is for people), and
    `LedgerUnavailable` when it is not known whether it was written: the same call again finds out.
    """

    def claim(  # noqa: PLR0913 - who, what and why
        self, batch_id: str, *, token: str, actor: str, reason: str, receipt: str = "", forced: bool = False
    ) -> Claimed:
        """Claim a dead batch for a replay, or take over one that is being replayed.

        `token` is new for each replay: the same call again with the same token changes nothing more.
        """
        event = ReplayStarted(
            batch_id=batch_id,
            token=token,
            actor=actor,
            reason=reason,
            receipt=receipt,
            forced=forced,
            indexes=(),
            digests=b"",
        )

        def decide(held: Held) -> Sequence[Event]:
            batch = held.batches.get(batch_id, {})
            if batch.get("status") == "REPLAYING" and batch.get("replay_token") == token:
                return ()
            self._require_room()
            if receipt:
                require_pending(held.receipts.get(receipt), receipt, batch_id)
            return (allowed(held, event),)

        return Claimed(self._write(decide, batch_id, receipt))

    def succeeded(  # noqa: PLR0913 - what the answer was
        self,
        batch_id: str,
        *,
        token: str,
        actor: str,
        rows: int,
        attempts: int,
        receipt: str = "",
        rejected: RecordsRejected | None = None,
    ) -> Document:
        """Say that BigQuery acknowledged the replay of this token: all rows, or all but those `rejected`, which are
        durable and open records of the batch from this entry on. Return the batch's document.
        """
        event = ReplaySucceeded(
            batch_id=batch_id, token=token, actor=actor, rows=rows, attempts=attempts, receipt=receipt
        )
        return self._end(event, "COMMITTED", rejected)

    def failed(  # noqa: PLR0913 - what the answer was
        self, batch_id: str, *, token: str, actor: str, code: str, error: str, fingerprint: str, receipt: str = ""
    ) -> Document:
        """Say that BigQuery refused the replay of this token. Return the batch's document."""
        event = ReplayFailed(
            batch_id=batch_id,
            token=token,
            actor=actor,
            code=code,
            error=error,
            fingerprint=fingerprint,
            receipt=receipt,
            indexes=(),
        )
        return self._end(event, "DEAD_LETTERED")

    def discard(self, batch_id: str, *, actor: str, reason: str, recovered: bool = False) -> Document:
        """Close a dead batch, or one whose replay died, without sending it. Return its document.

        `recovered` is for the recovery of its lane, which reads its records again: it closes what a replay committed
        too, and what is closed so already stays as it is.
        """

        def decide(held: Held) -> Sequence[Event]:
            if recovered and held.batches.get(batch_id, {}).get("recovered"):
                return ()
            self._require_room()
            event = BatchDiscarded(batch_id=batch_id, actor=actor, reason=reason, recovered=recovered)
            return (allowed(held, event),)

        return self._write(decide, batch_id)

    def reopen(self, batch_id: str, *, actor: str, reason: str) -> Document:
        """Take a discard back. Return the batch's document."""
        return self._one(BatchReopened(batch_id=batch_id, actor=actor, reason=reason))

    def claim_records(
        self, batch_id: str, digests: Mapping[int, bytes], *, token: str, actor: str, reason: str
    ) -> Claimed:
        """Claim rejected records, by index, for the repairs of these row digests (16 bytes each).

        Those that landed already as the same repair are left out of what comes back; a different repair is refused.
        """

        def decide(held: Held) -> Sequence[Event]:
            claim = _claim_of_records(batch_id, digests, token=token, actor=actor, reason=reason)
            allowed(held, claim)
            left = _not_landed(held.batches[batch_id], digests)
            return (_claim_of_records(batch_id, left, token=token, actor=actor, reason=reason),) if left else ()

        before = self._write(decide, batch_id)
        return Claimed(before, tuple(sorted(_not_landed(before, digests))))

    def records_landed(self, batch_id: str, digests: Mapping[int, bytes], *, token: str, actor: str) -> Document:
        """Say that BigQuery acknowledged the repaired records. Return the batch's document."""

        def decide(held: Held) -> Sequence[Event]:
            indexes = tuple(sorted(digests))
            packed = b"".join(digests[index] for index in indexes)
            event = RecordReplayed(batch_id=batch_id, token=token, actor=actor, indexes=indexes, digests=packed)
            allowed(held, event)
            return (event,) if _not_landed(held.batches[batch_id], digests) else ()

        return self._write(decide, batch_id)

    def records_failed(  # noqa: PLR0913 - what the answer was
        self,
        batch_id: str,
        indexes: Iterable[int],
        *,
        token: str,
        actor: str,
        code: str,
        error: str,
        fingerprint: str,
    ) -> Document:
        """Say that BigQuery refused the repaired records for good, so that another repair may be tried.

        Only for a refusal: what may have landed yet stays claimed. Return the batch's document.
        """
        return self._one(
            ReplayFailed(
                batch_id=batch_id,
                token=token,
                actor=actor,
                code=code,
                error=error,
                fingerprint=fingerprint,
                receipt="",
                indexes=tuple(sorted(indexes)),
            )
        )

    def discard_records(self, batch_id: str, indexes: Iterable[int], *, actor: str, reason: str) -> Document:
        """Close rejected records without repairing them. Return the batch's document."""
        event = RecordDiscarded(batch_id=batch_id, actor=actor, reason=reason, indexes=tuple(sorted(set(indexes))))
        return self._one(event)

    def _one(self, event: AskedEvent) -> Document:
        return self._write(lambda held: (allowed(held, event),), event.batch_id)

    def _end(
        self, event: ReplaySucceeded | ReplayFailed, status: str, rejected: RecordsRejected | None = None
    ) -> Document:
        def decide(held: Held) -> Sequence[Event]:
            batch = held.batches.get(event.batch_id, {})
            is_said = (batch.get("status"), batch.get("replay_token")) == (status, event.token)
            first = (rejected,) if rejected else ()
            return () if is_said else (*first, allowed(held, event))

        return self._write(decide, event.batch_id, event.receipt)


def _claim_of_records(
    batch_id: str, digests: Mapping[int, bytes], *, token: str, actor: str, reason: str
) -> ReplayStarted:
    indexes = tuple(sorted(digests))
    return ReplayStarted(
        batch_id=batch_id,
        token=token,
        actor=actor,
        reason=reason,
        receipt="",
        forced=False,
        indexes=indexes,
        digests=b"".join(digests[index] for index in indexes),
    )


def _not_landed(batch: Document, digests: Mapping[int, bytes]) -> dict[int, bytes]:
    repairs = batch.get("repairs", {})
    return {index: digest for index, digest in digests.items() if repairs.get(str(index), {}).get("state") != "landed"}
