"""The state of one run between two signals. Pure values; `loop` moves them on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from ingestor.batch import Batch, Draft, Encode, Limits, RejectedRecord
from ingestor.outcome import Action, Outcome
from ingestor.signals import Command, Instant
from ingestor.unread import Unread
from state.events import BatchAttempted, Event, Position
from state.fold import LaneState

WINDOW_BYTES = 32 * 1024 * 1024
"""Bytes in flight at most. One connection takes about 10 MB/s, so this is seconds of it and far from the memory."""


class Stage(Enum):
    """How far a batch of this run has come."""

    CUT = 1
    """Built; nobody else knows of it."""
    ATTEMPTING = 2
    """Its intent is on the way to the journal."""
    READY = 3
    """Its intent is durable: it may be sent."""
    SENT = 4
    """Sent, unanswered: unknown."""
    ANSWERED = 5
    """Every row is acknowledged or refused."""
    DYING = 7
    """BigQuery will not take it: on the way to the bucket."""
    DEAD = 8
    """Durable in the bucket."""
    RECORDING = 6
    """Its outcome is on the way to the journal."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in the bucket that is durable."""

    object: str
    generation: int


@dataclass(frozen=True, slots=True)
class Streak:
    """The same answer in a row: some may come only so often, or for so long."""

    action: Action
    times: int
    since: float


@dataclass(frozen=True, slots=True)
class Held:
    """A batch from its cut until its outcome is durable.

    `left` are the places in `batch.rows` that are neither acknowledged nor refused yet; the next request takes the
    first `part` of them (None: all).
    """

    batch: Batch
    stage: Stage = Stage.CUT
    left: tuple[int, ...] = ()
    part: int | None = None
    refused: tuple[RejectedRecord, ...] = ()
    attempts: int = 0
    """Requests sent of it."""
    failures: int = 0
    """Requests in a row that brought it no further."""
    streak: Streak | None = None
    sent_at: float = 0.0
    not_before: float = 0.0
    latency_ms: int = 0
    asked: frozenset[str] = frozenset()
    """What is on its way to the bucket: the stages of its rejected records, and `dead`."""
    stored: Mapping[str, Stored] = field(default_factory=dict)
    """What is durable there, by the same names."""
    failure: Outcome | None = None
    """Why BigQuery will not take it, or what it is waiting for."""
    kind: str = "batch"
    """Whether only this batch will not be taken (`batch`) or none would be (`systemic`)."""

    @property
    def request(self) -> tuple[int, ...]:
        """The places of the rows of the request that is in flight or next."""
        return self.left if self.part is None else self.left[: self.part]

    def rejected_at(self, stage: str) -> tuple[RejectedRecord, ...]:
        """Return the records rejected at a stage: `encode`, or `append` by BigQuery."""
        return self.batch.rejected if stage == "encode" else self.refused

    @property
    def rejects_durable(self) -> bool:
        """Whether its rejected records, if it has any, are in the bucket."""
        return all(stage in self.stored for stage in STAGES if self.rejected_at(stage))


STAGES = ("encode", "append")
"""Where a record can be rejected."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the run did, in records, batches and bytes."""

    pages: int = 0
    known: int = 0
    changed: int = 0
    taken: int = 0
    rows_committed: int = 0
    rows_rejected: int = 0
    rows_superseded: int = 0
    rows_dead_lettered: int = 0
    batches_dead_lettered: int = 0
    rows_replayed: int = 0
    batches_attempted: int = 0
    batches_committed: int = 0
    batches_superseded: int = 0
    retries: int = 0
    bytes_sent: int = 0
    """Of the rows of every request, repeats included: what the Storage Write API bills."""
    objects: int = 0
    ledger_writes: int = 0


class Phase(Enum):
    """Where the run stands as a whole."""

    READING = 1
    DRAINING = 2
    """Nothing new is taken; what is in flight is settled."""
    CLOSING = 3
    """The run's last entry is being written."""
    OVER = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """What does not change during a run. Times are seconds of the monotonic clock."""

    pipeline: str
    lane: str
    run_id: str
    encode: Encode
    limits: Limits
    max_in_flight: int
    max_attempts: int
    append_timeout_s: float
    stale_s: float
    commit_timeout_s: float
    deadline_at: float
    fuse_consecutive: int
    fuse_ratio: float
    backoff: Callable[[int], float]
    """Attempts made so far to seconds of pause, jitter included."""
    source_start: str | None = None
    request_rows: int | None = None
    """Rows of one request at most, while the run isolates."""
    isolate_next: Callable[[], bool] = lambda: False
    """Whether the next run must isolate, too."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything the loop knows."""

    settings: Settings
    lane: LaneState
    phase: Phase = Phase.READING
    # Reading.
    reading: int = 0
    granted: int = 0
    source_ended: bool = False
    boundary: bytes = b""
    unread: tuple[Unread, ...] = ()
    draft: Draft = field(default_factory=lambda: Draft(Position(None), Position(None)))
    carried: tuple[BatchAttempted, ...] = ()
    carried_ids: frozenset[str] = frozenset()
    diverged: bool = False
    # Batches, in lane order.
    held: tuple[Held, ...] = ()
    # Ledger.
    ready: tuple[Event, ...] = ()
    ready_since: float = 0.0
    writing: tuple[Event, ...] = ()
    write_started_at: float = 0.0
    last_entry_at: float = 0.0
    """When the newest durable entry was begun to be written: the lease counts from here."""
    # Refusals.
    window: int = 1
    """Requests that may be in flight now: `max_in_flight`, less while BigQuery asks to slow down."""
    cutting: bool = False
    """The connection is being ended: nothing is sent on it, and nothing cuts it again, until its end is heard."""
    systemic: Outcome | None = None
    """Why no batch would be taken; what is in flight is set aside and the run ends as failed."""
    refused_in_a_row: int = 0
    """Batches, in lane order, of which nothing was taken."""
    judged_batches: int = 0
    judged: int = 0
    judged_rejected: int = 0
    judged_dead: int = 0
    """Batches and records whose outcome this run knows; those records that were rejected, and those in dead batches:
    what the fuse sees."""
    store_failed: bool = False
    """The bucket does not take anything: nothing may wait for it."""
    # Publication.
    publishing: bool = False
    published: int = 0
    last_published_at: float = 0.0
    publish_failed: bool = False
    # End.
    failure: str | None = None
    sends_halted: bool = False
    stop: str | None = None
    drain_until: float = float("inf")
    status: str = ""
    counts: Counts = field(default_factory=Counts)

    def with_held(self, batch_id: str, change: Callable[[Held], Held]) -> "Progress":
        """Return the state with one batch changed; unchanged when it is not held."""
        return replace(self, held=tuple(change(h) if h.batch.batch_id == batch_id else h for h in self.held))

    def count(self, **more: int) -> "Progress":
        """Return the state with these counts increased."""
        raised = {name: getattr(self.counts, name) + value for name, value in more.items()}
        return replace(self, counts=replace(self.counts, **raised))

    def at_stage(self, *stages: Stage) -> tuple[Held, ...]:
        """Return the batches at any of these stages, in lane order."""
        return tuple(h for h in self.held if h.stage in stages)

    @property
    def rows_in_doubt(self) -> int:
        """Records that this run took into batches whose outcome is not durable (of the fold, not of our counting)."""
        return sum(b.rows + b.rejected for b in self.lane.unsettled if b.batch_id not in self.carried_ids)

    @property
    def balanced(self) -> bool:
        """Law 5 for this run: everything taken is committed, rejected, dead, superseded or in doubt."""
        c = self.counts
        settled = c.rows_committed + c.rows_rejected + c.rows_superseded + c.rows_dead_lettered
        return c.taken == settled + self.rows_in_doubt


Decided = tuple[Progress, tuple[Command, ...]]
"""What every rule returns: the state after it, and what is to be done."""
Rule = Callable[[Progress, Instant], Decided]


def drain(  # noqa: PLR0913 - why, and for how long
    state: Progress,
    now: Instant,
    *,
    failure: str | None = None,
    stop: str | None = None,
    grace_s: float | None = None,
    halt_sends: bool = False,
) -> Progress:
    """Take nothing new from here on. What was cut and never announced is dropped: the next run reads it again.

    The first failure is the run's failure. `grace_s` bounds what is still waited for (default: one append timeout).
    """
    grace = state.settings.append_timeout_s if grace_s is None else grace_s
    return replace(
        state,
        phase=Phase.DRAINING if state.phase is Phase.READING else state.phase,
        failure=state.failure or failure,
        stop=state.stop or stop,
        sends_halted=state.sends_halted or halt_sends,
        drain_until=min(state.drain_until, now.monotonic_s + grace),
        unread=(),
        held=tuple(h for h in state.held if h.stage is not Stage.CUT),
        diverged=False,
    )
