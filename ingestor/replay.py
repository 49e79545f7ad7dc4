"""Dead letters sent again: what the command `ingestor batches`, the operators' service and a run's probe call.

Every method that changes something first publishes what lane `ops` owes the ledger table, so a call that was killed
after its append is made visible by the next one, whatever that is about. A `Replayer` may be used by several threads:
each call opens the lane for itself.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from ingestor.lognames import LogName
from ingestor.plan_replay import Planner, ReplayPlan
from ingestor.repair import OpenRecord, Repaired, Repairs
from ingestor.replay_append import KeepAlive
from ingestor.replay_bulk import MAX_PER_S, BulkReplay, OnProgress, ReceiptReport, Selection
from ingestor.replay_one import Asked, BatchReplay, Pace, Replayed
from ingestor.replay_ports import ReplayPorts
from ingestor.replay_probe import Healed, Healing, Probed
from state.journal import Document, Journal

__all__ = ["Healed", "Probed", "ReceiptReport", "Repaired", "Replayed", "Replayer", "Selection"]


def _nothing(*_: object) -> None:
    pass


class Replayer:
    """Replays, plans, repairs and closes dead letters of one pipeline.

    Beside what each method says, all raise `LedgerError` (`Refused` when the ledger's rules do not allow it, with what
    can be done in its message) and those that change something `AppendError` when the ledger table takes no statements.
    """

    def __init__(self, ports: ReplayPorts) -> None:
        self._ports = ports
        self._one = BatchReplay(ports)
        self._healing, self._bulk = Healing(ports, self._one), BulkReplay(ports, self._one)
        self._repairs, self._planner = Repairs(ports, self._one), Planner(ports)

    @property
    def ports(self) -> ReplayPorts:
        """What it stands on, for those who only read."""
        return self._ports

    @property
    def journal(self) -> Journal:
        """The pipeline's journal, for lists."""
        return self._ports.journal

    def replay(self, batch_id: str, *, actor: str, reason: str, forced: bool = False, token: str = "") -> Replayed:
        """Replay one dead batch and make it visible. A batch that a replay committed before is left alone.

        Rows that BigQuery refuses become rejected records and the others are committed; when it refuses the batch
        itself, that is dead-lettered again, whole, with the reason. Beyond `MAX_REPLAYS` by people it takes
        `forced` and a reason. The same call again with the same `token` does not send again what has ended.
        """
        ops = self._ports.open_ops("")
        self._one.publish(ops)
        return self._one.published(ops, self._one.replay(ops, batch_id, Asked(actor, reason, forced, token=token)))

    def plan(self, batch_ids: Sequence[str] = (), selection: Selection | None = None, *, actor: str) -> ReplayPlan:
        """Say what a replay of these batches, or of those selected, would do; change nothing.

        Raises:
            BigQueryUnavailable: the table could not be asked.
        """
        chosen = self._bulk.select(selection) if selection is not None else batch_ids
        return self._planner.plan(chosen, actor=actor)

    def replay_all(self, selection: Selection, *, actor: str, reason: str, receipt: str = "") -> str:
        """Freeze which batches a bulk replay is about; return its receipt for `continue_receipt`, empty for none.

        `receipt` names it: asked for twice it is opened once. Empty: each is a new one.
        """
        return self._bulk.open(selection, actor=actor, reason=reason, receipt=receipt)

    def continue_receipt(  # noqa: PLR0913 - who, how fast, and who hears of it
        self,
        receipt: str,
        *,
        actor: str,
        reason: str = "",
        forced: bool = False,
        max_per_s: float | None = MAX_PER_S,
        budget_s: float | None = None,
        shown: int | None = None,
        on_progress: OnProgress = _nothing,
    ) -> ReceiptReport:
        """Replay what a receipt has pending until it is done, stopped, or meets three failures in a row.

        With `budget_s` it begins no batch after that many seconds; the receipt stays open. `shown` is how many batches
        the answer tells of, all by default.
        """
        pace = Pace(max_per_s, self._ports.monotonic, self._ports.sleep, budget_s)
        self._bulk.go_on(receipt, Asked(actor, reason, forced), pace, on_progress)
        return self._bulk.report(receipt, limit=shown)

    def stop_receipt(self, receipt: str, *, actor: str, shown: int | None = None) -> ReceiptReport:
        """Stop a bulk replay after the batch it is at; `continue_receipt` goes on with it."""
        self._bulk.stop(receipt, actor=actor)
        return self._bulk.report(receipt, limit=shown)

    def receipt(self, receipt: str, *, first: int = 0, limit: int | None = None) -> ReceiptReport:
        """Say what became of each batch of a receipt, or of up to `limit` from the place `first` on, from 0."""
        return self._bulk.report(receipt, first, limit)

    def discard(self, batch_id: str, *, actor: str, reason: str) -> Document:
        """Close a dead batch without sending it. Return its document."""
        ops = self._ports.open_ops("")
        self._one.publish(ops)
        batch = ops.discard(batch_id, actor=actor, reason=reason)
        self._ports.log(LogName.BATCH_DISCARDED, batch_id=batch_id, actor=actor)
        self._one.publish(ops)
        return batch

    def reopen(self, batch_id: str, *, actor: str, reason: str = "") -> Document:
        """Take a discard back. Return the batch's document.

        Raises:
            DeadLetterError: its object is gone, so there is nothing to reopen.
        """
        ops = self._ports.open_ops("")
        self._one.publish(ops)
        found = self._ports.journal.read_batch(batch_id)
        if found and found.get("dead_object"):
            self._ports.dead.load(found["dead_object"], found["dead_generation"])
        return ops.reopen(batch_id, actor=actor, reason=reason)

    def probe(self, run_id: str, *, lane: str | None = None, keep_alive: KeepAlive = _nothing) -> Probed:
        """Ask, for a run, whether a systemic failure is over: replay one batch that it left (of `lane`, or of any)."""
        return self._healing.probe(run_id, lane, keep_alive)

    def replay_systemic(
        self,
        run_id: str,
        on_progress: Callable[[Replayed], None] = _nothing,
        *,
        lane: str | None = None,
        keep_alive: KeepAlive = _nothing,
    ) -> Healed:
        """Replay, for a run, the rest of what a systemic failure left."""
        return self._healing.heal(run_id, lane, on_progress, keep_alive)

    def records(self, batch_id: str) -> tuple[OpenRecord, ...]:
        """Return a batch's rejected records. Raises `DeadLetterError` when they cannot be read."""
        return self._repairs.records(batch_id)

    def replay_records(
        self, batch_id: str, lines: bytes | None = None, *, actor: str, reason: str = "", dry_run: bool = False
    ) -> Repaired:
        """Append repaired records (JSON lines), or without any those that are open, as the bucket has them."""
        return self._repairs.replay(batch_id, lines, actor=actor, reason=reason, dry_run=dry_run)

    def discard_records(self, batch_id: str, indexes: Sequence[int], *, actor: str, reason: str) -> Document:
        """Close rejected records. Return the batch's document; `open_records` says how many are left."""
        return self._repairs.discard(batch_id, indexes, actor=actor, reason=reason)

    def publish_owed(self, run_id: str = "") -> None:
        """Publish what the operators' lane still owes. Raises `AppendError` when the ledger table does not take it."""
        self._one.publish(self._ports.open_ops(run_id))

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._ports.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
