"""One dead batch sent again: claim, load, append, say how it ended.

The stored bytes go out under their own ids and ingest time, so however often this happens, whoever does it and wherever
it is killed, a reader sees each row once. A batch whose replayer died stays REPLAYING and the next one takes it over.
Rows that BigQuery refuses are rejected as a run rejects them: durable in the bucket, then journaled in the entry that
commits the others. A replay that fails says nothing of them; the next one meets them again.
What it cannot promise: that rows of a replay which failed are not in the table; they stay invisible.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ingestor_protos.ingestor_pb2 import DeadLetterBatch

from ingestor.envelope import UnreadableEnvelope, descriptor_of
from ingestor.errors import AppendError, DeadLetterError
from ingestor.lognames import LogName
from ingestor.outcome import Action, fingerprint, fingerprint_of, normalised
from ingestor.replay_append import Appended, KeepAlive
from ingestor.replay_ports import ReplayPorts
from ingestor.replay_rows import rejected_rows, rows_to_send
from state.errors import Refused
from state.events import RecordsRejected
from state.journal import Document
from state.ops import OpsLedger

NOT_LOADED = "NOT_LOADED"
"""Stands where a gRPC status would, when the stored batch could not be read."""
NOT_STORED = "NOT_STORED"
"""Likewise, when the bucket did not take the rows that BigQuery refused."""
REFUSED = "REFUSED"
"""Likewise, when the ledger's rules did not allow it."""
_SHOWN_ERROR = 500


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a batch.

    Attributes:
        status: the batch's, after this.
        rows: rows that BigQuery acknowledged in this replay.
        rejected: rows that it refused: rejected records of the batch now.
        already: nothing was sent: it was COMMITTED by a replay before, or this same replay ended before.
        action: what the last answer meant, None when nothing was sent.
        code: the last answer's gRPC status, `NOT_LOADED`, or `REFUSED` by the ledger's rules; empty when it succeeded.
        error: one line; empty when the rows are committed and visible.
        version: of lane `ops`, where its end is written; 0 when nothing was written.
    """

    batch_id: str
    status: str
    rows: int = 0
    rejected: int = 0
    already: bool = False
    attempts: int = 0
    action: Action | None = None
    code: str = ""
    error: str = ""
    version: int = 0

    @property
    def ok(self) -> bool:
        """Whether the batch is where the replay wanted it."""
        return self.status == "COMMITTED" and not self.error


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants a replay, and why. `receipt` is empty outside a bulk replay.

    `token` names this replay: asked for twice it is done once. Empty: each is a new one.
    """

    actor: str
    reason: str
    forced: bool = False
    receipt: str = ""
    token: str = ""


class BatchReplay:
    """Replays batches one at a time, with a writer of lane `ops` that the caller opened."""

    def __init__(self, ports: ReplayPorts) -> None:
        self._ports = ports

    def publish(self, ops: OpsLedger) -> None:
        """Tell the ledger table what lane `ops` owes it.

        Raises:
            AppendError: it was not told; the next command or run does it.
        """
        statements = ops.outbox()
        if statements:
            self._ports.publish(statements)
            ops.published(statements[-1].version)

    def published(self, ops: OpsLedger, replayed: Replayed) -> Replayed:
        """Publish, and return what the batch is to a reader of the view."""
        try:
            self.publish(ops)
        except AppendError as error:
            return replace(replayed, error=replayed.error or str(error))
        return replayed

    def replay(self, ops: OpsLedger, batch_id: str, asked: Asked, keep_alive: KeepAlive = lambda: None) -> Replayed:
        """Replay one batch; its statement is owed afterwards (`publish`).

        Raises:
            Refused: the ledger's rules do not allow it; nothing was changed.
            LedgerUnavailable: it is not known how far it came; the same call again makes it good.
        """
        before = self._ports.journal.read_batch(batch_id) or {}
        if before.get("status") == "COMMITTED" and before.get("dead_version"):
            return Replayed(batch_id, "COMMITTED", already=True, version=before.get("ops_version") or 0)
        if asked.token and before.get("replay_token") == asked.token and before["status"] == "DEAD_LETTERED":
            return _ended_before(before)
        token = asked.token or self._ports.token()
        claimed = ops.claim(
            batch_id, token=token, actor=asked.actor, reason=asked.reason, receipt=asked.receipt, forced=asked.forced
        ).document
        self._ports.log(LogName.REPLAY_STARTED, batch_id=batch_id, actor=asked.actor)
        replayed = self._send(claimed, batch_id, keep_alive)
        said = self._end(ops, replayed, token, asked)
        self._log_end(said, asked)
        return said

    def _log_end(self, said: Replayed, asked: Asked) -> None:
        failed, log, batch_id = not said.ok, self._ports.log, said.batch_id
        if said.rejected:
            log(LogName.RECORD_REJECTED, "WARNING", batch_id=batch_id, rows_rejected=said.rejected, stage="append")
        log(
            LogName.REPLAY_FAILED if failed else LogName.REPLAY_SUCCEEDED,
            "WARNING" if failed else "INFO",
            batch_id=batch_id,
            actor=asked.actor,
            rows=said.rows,
            attempts=said.attempts,
            **({"code": said.code, "error": normalised(said.error)} if failed else {}),
        )

    def _send(self, claimed: Document, batch_id: str, keep_alive: KeepAlive) -> "_Sent":
        """Load the rows that were not rejected, append them, and set aside those refused when the others landed."""
        try:
            envelope = loaded(self._ports, claimed)
            rows, descriptor = rows_to_send(envelope, claimed.get("rejected_indexes", ())), descriptor_of(envelope)
        except (DeadLetterError, UnreadableEnvelope) as error:
            return _Sent(batch_id, error=str(error), code=NOT_LOADED)
        keep_alive()
        appended = self._ports.append(tuple(rows.values()), descriptor, keep_alive)
        sent = _Sent(batch_id, appended=appended, code=appended.outcome.code)
        if not appended.landed:
            return replace(sent, error=error_text(appended))
        try:
            rejected = self._reject(envelope, rows, appended)
        except DeadLetterError as error:
            self._ports.log(LogName.DEADLETTER_FAILED, "ERROR", batch_id=batch_id, error=str(error))
            return replace(sent, error=str(error), code=NOT_STORED)
        return replace(sent, rows=len(rows) - len(appended.refused), rejected=rejected)

    def _reject(
        self, envelope: DeadLetterBatch, rows: Mapping[int, bytes], appended: Appended
    ) -> RecordsRejected | None:
        """Make the refused rows durable as rejected records. Raises `DeadLetterError`."""
        if not appended.refused:
            return None
        indexes = tuple(rows)
        why = {indexes[at]: " ".join(text.split()) for at, text in appended.refused.items()}
        stored = rejected_rows(envelope, rows, why, self._ports.unencode)
        name, generation = self._ports.rejected.store(stored)
        gone = tuple(item.index for item in stored.rejected)
        return RecordsRejected(
            batch_id=envelope.batch_id, stage="append", indexes=gone, object=name, generation=generation
        )

    def _end(self, ops: OpsLedger, sent: "_Sent", token: str, asked: Asked) -> Replayed:
        batch_id, who = sent.batch_id, {"token": token, "actor": asked.actor, "receipt": asked.receipt}
        try:
            if sent.appended is not None and not sent.error:
                end = ops.succeeded(
                    batch_id, rows=sent.rows, attempts=sent.appended.attempts, rejected=sent.rejected, **who
                )
                return sent.replayed("COMMITTED", end)
            end = ops.failed(batch_id, code=sent.code, error=sent.error, fingerprint=sent.fingerprint, **who)
        except Refused as lost:
            return self._taken_over(sent, str(lost))
        return sent.replayed("DEAD_LETTERED", end)

    def _taken_over(self, sent: "_Sent", error: str) -> Replayed:
        """Another replayer took the batch, or it was discarded: what was sent are the same rows, or stay invisible."""
        status = str((self._ports.journal.read_batch(sent.batch_id) or {}).get("status"))
        if status == "COMMITTED":
            return Replayed(sent.batch_id, status, already=True)
        action = sent.appended.action if sent.appended else None
        return Replayed(sent.batch_id, status, action=action, code=REFUSED, error=error)


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of the rows: all but the `rejected` landed, or `error` says in one line why the batch stays dead."""

    batch_id: str
    rows: int = 0
    rejected: RecordsRejected | None = None
    appended: Appended | None = None
    error: str = ""
    code: str = ""

    @property
    def fingerprint(self) -> str:
        if self.appended is None or self.appended.landed:
            return fingerprint_of(self.code.lower(), self.code, 0, self.error)
        return fingerprint(self.appended.outcome)

    def replayed(self, status: str, end: Document) -> Replayed:
        sent = self.appended
        attempts, action = (sent.attempts, sent.action) if sent else (0, None)
        failed = bool(self.error)
        return Replayed(
            self.batch_id,
            status,
            self.rows,
            len(self.rejected.indexes) if self.rejected else 0,
            attempts=attempts,
            action=action,
            code=self.code if failed else "",
            error=self.error,
            version=end.get("ops_version") or 0,
        )


def _ended_before(batch: Document) -> Replayed:
    """The answer that this replay got when it was asked for first."""
    return Replayed(
        batch["batch_id"],
        "DEAD_LETTERED",
        already=True,
        code=batch["error_code"] or "",
        error=batch["error"] or "",
        version=batch.get("ops_version") or 0,
    )


def loaded(ports: ReplayPorts, batch: Document) -> DeadLetterBatch:
    """Return the stored batch of an index document.

    Raises:
        DeadLetterError: it cannot be read, or the object holds another batch.
    """
    envelope = ports.dead.load(batch["dead_object"], batch["dead_generation"])
    if envelope.batch_id != batch["batch_id"]:
        raise DeadLetterError(f"{batch['dead_object']} holds batch {envelope.batch_id}, not {batch['batch_id']}")
    return envelope


def error_text(appended: Appended) -> str:
    """Return why rows were not taken, in one line."""
    return " ".join(appended.outcome.message.split())[:_SHOWN_ERROR] or appended.outcome.code


class Pace:
    """At most so many replays a second, spread evenly, and none after `budget_s` seconds. None is no limit."""

    def __init__(
        self,
        per_s: float | None,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        budget_s: float | None = None,
    ) -> None:
        self._pause_s = 1 / per_s if per_s else 0.0
        self._monotonic, self._sleep = monotonic, sleep
        self._next_at = 0.0
        self._ends_at = None if budget_s is None else monotonic() + budget_s

    def wait(self) -> bool:
        """Return True when the next replay may start, False when none may any more."""
        now = self._monotonic()
        starts_at = max(now, self._next_at)
        if self._ends_at is not None and starts_at >= self._ends_at:
            return False
        if now < starts_at:
            self._sleep(starts_at - now)
        self._next_at = starts_at + self._pause_s
        return True
