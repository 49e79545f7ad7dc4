"""What the run's loop hears and what it asks for: its whole vocabulary, as values. Pure.

Signals come from adapters (each on threads of its own) through one queue; commands go back to them. Neither carries
behaviour, so a run can be driven by threads, by a test, or by an explorer that chooses every order of events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingestor.batch import Batch
from ingestor.lognames import LogName
from ingestor.outcome import Outcome
from ingestor.pages import Page
from state.events import Event
from state.fold import LaneState, Statement


@dataclass(frozen=True, slots=True)
class Instant:
    """Now, twice: `monotonic_s` measures, `wall_us` (microseconds since the epoch) only labels."""

    monotonic_s: float
    wall_us: int


# Signals: what happened.


@dataclass(frozen=True, slots=True)
class PageArrived:
    """A page asked for by the reading number `reading` is here."""

    reading: int
    page: Page


@dataclass(frozen=True, slots=True)
class PageFailed:
    """The source cannot be read on."""

    reading: int
    error: str


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """A thread of the run has none left. Not an end that a run may write: the next one must know that it died."""


@dataclass(frozen=True, slots=True)
class Answered:
    """BigQuery answered the request of one batch."""

    batch_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """The append call ended; everything sent and unanswered is unknown."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RejectsStored:
    """The records of a batch that were rejected at this stage are durable in the bucket."""

    batch_id: str
    stage: str
    object: str
    generation: int


@dataclass(frozen=True, slots=True)
class DeadStored:
    """A batch that BigQuery will not take is durable in the bucket."""

    batch_id: str
    object: str
    generation: int


@dataclass(frozen=True, slots=True)
class TableAsked:
    """BigQuery's metadata says whether the table is there; a question without an answer counts as yes."""

    batch_id: str
    exists: bool


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The bucket did not take the rejected records of a batch, or the batch itself."""

    batch_id: str
    error: str


@dataclass(frozen=True, slots=True)
class EntryLanded:
    """The entry that was being written is durable; `lane` is the state folded with it."""

    lane: LaneState
    writes: int


@dataclass(frozen=True, slots=True)
class LedgerLost:
    """The ledger cannot be written any more: another run took the lane, or the store is out of reach."""

    error: str


@dataclass(frozen=True, slots=True)
class LaneClosed:
    """A person paused the lane or set its checkpoint: this run may write nothing more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Published:
    """BigQuery acknowledged the statements up to this version in the ledger table."""

    through: int


@dataclass(frozen=True, slots=True)
class PublishFailed:
    """The ledger table did not take the statements; the next run publishes them."""

    error: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The process was asked to end (SIGTERM); `grace_s` is what is left to settle what is in flight."""

    reason: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed, or there is more to cut and nothing else was waiting."""


Signal = (
    PageArrived
    | PageFailed
    | OutOfMemory
    | Answered
    | ConnectionEnded
    | RejectsStored
    | DeadStored
    | TableAsked
    | StoreFailed
    | EntryLanded
    | LedgerLost
    | LaneClosed
    | Published
    | PublishFailed
    | StopAsked
    | Ticked
)


# Commands: what is to be done.


@dataclass(frozen=True, slots=True)
class StartReading:
    """Follow the cursors from here; earlier readings are over."""

    reading: int
    cursor: str | None


@dataclass(frozen=True, slots=True)
class GrantPage:
    """One more page may be fetched. Pages granted and not yet taken bound the memory."""


@dataclass(frozen=True, slots=True)
class StoreRejects:
    """Make the records of a batch that were rejected at this stage durable: they are the `rejected` of `batch`."""

    batch: Batch
    stage: str


@dataclass(frozen=True, slots=True)
class StoreDead:
    """Make a batch that BigQuery will not take durable, all its rows and why. `rejected` are its indexes that are no
    rows or were refused.
    """

    batch: Batch
    kind: str
    outcome: Outcome
    attempts: int
    rejected: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AskTable:
    """Ask BigQuery's metadata whether the table is there."""

    batch_id: str


@dataclass(frozen=True, slots=True)
class WriteEntry:
    """Commit these events as one journal entry; `digests` are the packed row digests of the batches it attempts."""

    events: tuple[Event, ...]
    digests: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Append these rows of a batch: all that are left of it, or a part of them."""

    batch: Batch
    rows: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CutConnection:
    """No answer for too long: end the call, so that what is unanswered can be sent again."""


@dataclass(frozen=True, slots=True)
class PublishStatements:
    """Append these statements to the ledger table."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Say this in the log."""

    name: LogName
    severity: str = "INFO"
    fields: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Continue:
    """There is more to cut: tick at once when no signal is waiting."""


Command = (
    StartReading
    | GrantPage
    | StoreRejects
    | StoreDead
    | AskTable
    | WriteEntry
    | SendBatch
    | CutConnection
    | PublishStatements
    | Note
    | Continue
)
