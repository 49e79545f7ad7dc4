"""One run over one lane: open it, check, publish what is owed, then let the loop decide until it is over.

The loop (`ingestor.loop`) is pure; this module gives it clocks, threads and ports. How a run can end:

- `complete`: everything the source had is settled and published;
- `partial`: the deadline, a stop, a person's pause or checkpoint came first; the next run goes on;
- `skipped`: another run is alive on the lane, or a person paused it; nothing was read;
- `failed`: the summary's `error` says why; what is in doubt is settled by the next run.

A run that loses the lane (another run wrote the next version) writes nothing more and fails. What it cannot take back
is what it has sent: those rows carry ids that the journal does not commit, and the view does not show them.
"""

import queue
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ingestor.append import Answer, AppendPort, Ended
from ingestor.errors import AppendError, IngestorError, LedgerRefused
from ingestor.isolating import isolating
from ingestor.lognames import LogName
from ingestor.loop import begin, step, wake_after
from ingestor.ports import Plan, Ports
from ingestor.progress import Phase, Progress, Settings
from ingestor.run_end import log_cause, log_end
from ingestor.signals import (
    Answered,
    AskTable,
    Command,
    ConnectionEnded,
    Continue,
    CutConnection,
    GrantPage,
    Instant,
    Note,
    PublishStatements,
    SendBatch,
    Signal,
    StartReading,
    StopAsked,
    StoreDead,
    StoreRejects,
    Ticked,
    WriteEntry,
)
from ingestor.summary import run_summary, skipped_summary, storable
from ingestor.taking import Left, Taken, take_lane
from ingestor.workers import Signals, Thread, Worker, Workers
from state.errors import LedgerError
from state.events import RunFailed, RunHeartbeat
from state.fold import LaneState

COMMIT_TIMEOUT_S = 10.0
"""One ledger commit; the lease leaves room for it."""
HEARTBEATS = 6
"""Heartbeats within the time after which a run is taken for dead."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0
"""Pauses before a batch is sent again: doubled each time, full jitter."""


@dataclass(frozen=True, slots=True)
class Result:
    """The contract's summary, and the error that ended the run, for its exit code."""

    summary: dict[str, Any]
    error: IngestorError | LedgerError | None = None


class Run:
    """One execution. `execute` blocks until it is over; `stop` may come from a signal handler or another thread.

    `signals` and `start_worker` are what waits and what works beside the loop; an explorer brings its own of both.
    """

    def __init__(
        self,
        ports: Ports,
        plan: Plan,
        *,
        signals: Signals | None = None,
        start_worker: Callable[[str], Worker] = Thread,
    ) -> None:
        self._ports, self._plan = ports, plan
        self._signals: Signals = queue.SimpleQueue() if signals is None else signals
        self._start_worker = start_worker
        self._connection: AppendPort | None = None
        self._start_writes = 0
        self._rows_replayed = 0
        self._entry_at = 0.0

    def stop(self, reason: str, grace_s: float) -> None:
        """Ask the run to settle what is in flight within `grace_s` and to end as partial."""
        self._signals.put(StopAsked(reason, grace_s))

    def execute(self) -> Result:
        """Run, and return what came of it.

        Raises:
            LedgerError: the ledger could not be opened, or refuses; nothing was done.
            ConfigurationError: the configuration is not that of the pipeline's lanes; nothing was done.
            AppendError: a paused lane's statements were not taken.
        """
        try:
            return self._execute(self._ports.clock.monotonic())
        finally:
            self._ports.close()

    def _execute(self, started_at: float) -> Result:
        taken = self._take()
        if isinstance(taken, Left):
            return self._skip(taken)
        self._start_writes, self._entry_at = taken.writes, taken.at_s
        self._ports.log(LogName.RUN_STARTED, trigger=self._plan.trigger)
        self._ports, self._plan = isolating(self._ports, self._plan, taken.lane.deaths)
        try:
            self._prepare(taken.lane)
        except (IngestorError, LedgerError) as error:
            return self._failed_before_reading(error, started_at)
        return self._result(self._loop(self._ports.ledger.state, started_at), started_at)

    def _take(self) -> Taken | Left:
        try:
            return take_lane(self._ports, self._plan)
        except (IngestorError, LedgerError) as error:
            self._ports.log(LogName.RUN_FAILED, "ERROR", status="failed", error=str(error))
            raise

    def _prepare(self, lane: LaneState) -> None:
        """Check, publish what is owed, and heal what an earlier run left open. Nothing is fetched before all of it."""
        self._ports.preflight()
        self._ports.publish(lane.outbox)
        self._ports.publish_operators()
        if lane.systemic is None:
            return
        healing = self._ports.heal(self._keep_alive)
        self._rows_replayed = healing.rows
        if healing.error is not None:
            raise AppendError(f"BigQuery still takes no batch: {healing.error}; nothing was read")

    def _keep_alive(self) -> None:
        """Write a heartbeat when the run's newest entry grows old."""
        now_s = self._ports.clock.monotonic()
        if now_s - self._entry_at > self._plan.stale_s / HEARTBEATS:
            self._ports.ledger.append([RunHeartbeat(run_id=self._plan.run_id)], run_id=self._plan.run_id)
            self._entry_at = now_s

    def _skip(self, left: Left) -> Result:
        self._ports.note_skip(self._plan.run_id, left.lane)
        self._ports.log(LogName.RUN_SKIPPED, reason=left.reason)
        return Result(skipped_summary(self._plan.run_id, self._plan.lane, left.lane.checkpoint, left.reason))

    def _failed_before_reading(self, error: IngestorError | LedgerError, started_at: float) -> Result:
        event = RunFailed(run_id=self._plan.run_id, error=storable(str(error)))
        log_cause(self._ports.log, error)
        try:
            lane = self._ports.ledger.append([event], run_id=self._plan.run_id).state
        except LedgerError as lost:
            lane = self._ports.ledger.state
            error = LedgerRefused(f"{error}; and the ledger did not take the run's end: {lost}")
        carried = frozenset(batch.batch_id for batch in lane.unsettled)  # an earlier run's: not in this one's books
        settings = self._settings(started_at)
        state = Progress(settings=settings, lane=lane, carried_ids=carried, failure=str(error), status="failed")
        return self._result(state, started_at, error)

    def _result(self, state: Progress, started_at: float, error: IngestorError | LedgerError | None = None) -> Result:
        """Say how the run ended, in the log and to the caller."""
        summary = run_summary(state, self._ports.clock.monotonic() - started_at)
        summary["unknown_fields"] = dict(self._plan.unknown_fields())
        log_end(self._ports, state, summary)
        if state.failure and error is None:
            error = IngestorError(state.failure)
        return Result(summary, error)

    def _settings(self, started_at: float) -> Settings:
        plan = self._plan
        return Settings(
            pipeline=plan.pipeline,
            lane=plan.lane,
            run_id=plan.run_id,
            encode=plan.encode,
            limits=plan.limits,
            max_in_flight=plan.max_in_flight,
            max_attempts=plan.max_attempts,
            append_timeout_s=plan.append_timeout_s,
            stale_s=plan.stale_s,
            commit_timeout_s=COMMIT_TIMEOUT_S,
            deadline_at=started_at + plan.deadline_s,
            fuse_consecutive=plan.fuse_consecutive,
            fuse_ratio=plan.fuse_ratio,
            backoff=_backoff,
            source_start=plan.source_start,
            request_rows=plan.request_rows,
            isolate_next=plan.isolate_next,
        )

    def _loop(self, lane: LaneState, started_at: float) -> Progress:
        workers = Workers(self._ports, self._signals.put, self._start_worker)
        try:
            state, commands = begin(self._settings(started_at), lane, self._instant(), self._entry_at)
            state = state.count(ledger_writes=self._start_writes, rows_replayed=self._rows_replayed)
            self._carry_out(commands, workers)
            eager = any(isinstance(c, Continue) for c in commands)
            while state.phase is not Phase.OVER:
                signal = self._next_signal(0.0 if eager else wake_after(state, self._instant()))
                if isinstance(signal, ConnectionEnded):
                    self._drop_connection()
                state, commands = step(state, signal, self._instant())
                self._carry_out(commands, workers)
                self._ports.observe(state)
                eager = any(isinstance(c, Continue) for c in commands)
        finally:
            self._drop_connection()
            workers.close()
        return state

    def _next_signal(self, timeout_s: float) -> Signal:
        try:
            return self._signals.get(True, timeout_s) if timeout_s > 0 else self._signals.get(False)
        except queue.Empty:
            return Ticked()

    def _instant(self) -> Instant:
        return Instant(self._ports.clock.monotonic(), self._ports.clock.now_us())

    def _carry_out(self, commands: Sequence[Command], workers: Workers) -> None:  # noqa: C901, PLR0912 - a case per command
        for command in commands:
            match command:
                case SendBatch():
                    self._append_port().send(command.batch.batch_id, command.rows)
                case CutConnection():
                    if self._connection is not None:
                        self._connection.cancel()
                case WriteEntry():
                    workers.write(command.events, command.digests, self._plan.run_id)
                case StoreRejects():
                    workers.store(command.batch, command.stage)
                case StoreDead():
                    workers.store_dead(command)
                case AskTable():
                    workers.ask_table(command.batch_id)
                case PublishStatements():
                    workers.publish(command.statements)
                case StartReading():
                    workers.prefetcher.start(command.reading, command.cursor)
                case GrantPage():
                    workers.prefetcher.grant()
                case Note():
                    self._ports.log(command.name, command.severity, **command.fields)
                case Continue():
                    pass

    def _append_port(self) -> AppendPort:
        """Return the connection, opened with the first batch and opened anew after it ended."""
        if self._connection is None:
            self._connection = self._ports.open_connection(self._hear_append)
        return self._connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _hear_append(self, report: Answer | Ended) -> None:
        match report:
            case Answer():
                self._signals.put(Answered(report.key, report.outcome))
            case Ended():
                self._signals.put(ConnectionEnded(report.outcome))


def _backoff(attempts: int) -> float:
    """Return a pause in seconds, full jitter: independent runs and batches do not come back in step."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempts)
    return random.uniform(0, longest)  # noqa: S311 - spreads load, guards nothing
