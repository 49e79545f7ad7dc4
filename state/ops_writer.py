"""How lane `ops` is written: read, decide, write, and again when somebody else wrote in between."""

from collections.abc import Callable, Mapping, Sequence

from state.errors import LedgerUnavailable, Refused, VersionConflict
from state.events import OPS_LANE, BatchesPublished, Event
from state.fold import Statement
from state.journal import Document, Journal, Token
from state.ledger import LaneLedger
from state.ops_index import AskedEvent, Held
from state.transitions import refusal

MAX_CONFLICTS = 20
"""Times one call decides anew because others wrote; somebody gets on each time, so this many operators may race."""
MAX_OWED = 2_000
"""Statements that `ops` may owe: about 170 bytes each of its snapshot, whose limit is 1 MiB."""
_PAUSE_S = 0.05


class OpsWriter:
    """The lane's writer under `OpsLedger`, which says what the arguments are. Opens the lane by itself."""

    def __init__(  # noqa: PLR0913 - clock, randomness and sleep are passed in
        self,
        journal: Journal,
        pipeline: str,
        *,
        now_us: Callable[[], int],
        nonce: Callable[[], str],
        sleep: Callable[[float], None],
        retention_days: int,
        run_id: str = "",
    ) -> None:
        self._journal, self._sleep, self._run_id = journal, sleep, run_id
        self._ledger = LaneLedger(
            journal, pipeline, OPS_LANE, now_us=now_us, nonce=nonce, sleep=sleep, retention_days=retention_days
        )
        self._is_fresh = False

    def outbox(self) -> tuple[Statement, ...]:
        """Return the statements that `ops` owes the ledger table now, by version."""
        self._ledger.open()
        self._is_fresh = True
        return self._ledger.state.outbox

    def published(self, through: int) -> None:
        """Say that the ledger table acknowledged every statement of `ops` up to this version."""

        def decide(_: Held) -> Sequence[Event]:
            is_owed = any(statement.version <= through for statement in self._ledger.state.outbox)
            return (BatchesPublished(through=through),) if is_owed else ()

        self._write(decide)

    def _require_room(self) -> None:
        if len(self._ledger.state.outbox) >= MAX_OWED:
            raise Refused(f"lane {OPS_LANE} owes the ledger table {MAX_OWED} statements; publish them first")

    def _write(self, decide: Callable[[Held], Sequence[Event]], batch_id: str = "", receipt: str = "") -> Document:
        """Read, decide and write, again after each conflict. Return the batch's document with what was decided."""
        for turn in range(MAX_CONFLICTS):
            try:
                return self._write_once(decide, batch_id, receipt)
            except VersionConflict:
                self._sleep(min(_PAUSE_S * turn, 1.0))
        raise LedgerUnavailable(f"lane {OPS_LANE}: others wrote {MAX_CONFLICTS} times in a row; try again")

    def _write_once(self, decide: Callable[[Held], Sequence[Event]], batch_id: str, receipt: str) -> Document:
        if not self._is_fresh or len(self._ledger.state.outbox) >= MAX_OWED:
            self._ledger.open()
        held, tokens = self._read(batch_id, receipt)
        events = decide(held)
        batch = held.batches.get(batch_id, {})
        if not events:
            return batch
        self._is_fresh = False
        landed = self._ledger.append(events, run_id=self._run_id, held=held, tokens=tokens)
        self._is_fresh = True
        return {**batch, **landed.batches.get(batch_id, {})}

    def _read(self, batch_id: str, receipt: str) -> tuple[Held, Mapping[str, Token]]:
        """Read after the lane was opened: what others write from here on meets the version as a conflict."""
        found = self._journal.read_batch_for_update(batch_id) if batch_id else None
        asked = self._journal.read_receipt(receipt) if receipt else None
        batches = {batch_id: found[0]} if found else {}
        receipts = {receipt: asked} if asked else {}
        return Held(batches, receipts), {batch_id: found[1]} if found else {}


def allowed(held: Held, event: AskedEvent) -> AskedEvent:
    """Return the event, or raise `Refused` when it may not happen to what is held."""
    if why := refusal(held.batches.get(event.batch_id), event):
        raise Refused(why)
    return event
