"""What a run needs from outside, and what it is told to do. `ingestor.bootstrap` builds both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ingestor.append import Answer, AppendPort, Ended
from ingestor.batch import Encode, Limits
from ingestor.envelope import DeadBatch
from ingestor.lognames import LogName
from ingestor.pages import Source
from ingestor.progress import Progress
from ingestor.rejected_records import RejectStore
from state.fold import LaneState, Statement
from state.ledger import LaneLedger


class Clock(Protocol):
    """Both clocks of a run."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""

    def now_us(self) -> int:
        """Return microseconds since the epoch."""


class Log(Protocol):
    """Where a run says what it does."""

    def __call__(self, name: LogName, severity: str = "INFO", **fields: Any) -> None:  # noqa: ANN401 - plain JSON values
        """Write one line."""


@dataclass(frozen=True, slots=True)
class Healing:
    """What became of the batches that an earlier run set aside because BigQuery took none.

    `rows` were replayed. `error` is one line when BigQuery still takes none, else None: the run may read.
    """

    rows: int = 0
    error: str | None = None


KeepAlive = Callable[[], None]
"""Called now and then by what takes long before the loop begins; writes the run's heartbeat when one is due."""


@dataclass(frozen=True, slots=True)
class Isolated:
    """What takes the place of a run's ports and encoder while it isolates: see `ingestor.isolation`. Batches are cut,
    and requests sent, with at most `rows` rows. `isolate_next` tells at the end whether the next run must isolate, too.
    """

    source: Source
    open_connection: Callable[[Callable[[Answer | Ended], None]], AppendPort]
    encode: Encode
    rows: int
    isolate_next: Callable[[], bool]
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside of a run.

    `preflight` raises an `IngestorError` when table, view or bucket are not as they must be. `store_dead` returns an
    object's name and generation once a batch is durable there, or raises `DeadLetterError`. `table_exists` asks the
    metadata. `publish_operators` publishes what the operators' lane still owes. `heal` is asked only while a systemic
    failure is open: it replays one batch that was set aside for it and, when that is taken, the others.
    `partitions_of_others` is asked by a lane's first run: SOURCE_PARTITIONS of the pipeline's other lanes, 0 if none.
    `isolate` is asked, with the run's own encoder, when so many runs in a row (`STALLED_RUNS` or more) ended without a
    word at the lane's checkpoint.
    """

    ledger: LaneLedger
    source: Source
    open_connection: Callable[[Callable[[Answer | Ended], None]], AppendPort]
    rejects: RejectStore
    store_dead: Callable[[DeadBatch], tuple[str, int]]
    table_exists: Callable[[], bool]
    publish: Callable[[Sequence[Statement]], None]
    preflight: Callable[[], None]
    publish_operators: Callable[[], None]
    heal: Callable[[KeepAlive], Healing]
    note_skip: Callable[[str, LaneState], None]
    clock: Clock
    log: Log
    partitions_of_others: Callable[[], int] = lambda: 0
    isolate: Callable[[int, Encode], Isolated] | None = None
    observe: Callable[[Progress], None] = lambda _: None
    standing: Callable[[], Mapping[str, Any]] = dict
    """`lag_s` and `dead_lettered_open` for the run's last log line; asked once, when the run is over; never raises."""
    close: Callable[[], None] = lambda: None
    """Releases the clients behind the ports; called once, when the run is over, however it ended."""


@dataclass(frozen=True, slots=True)
class Range:
    """What a backfill reads: from the page at cursor `start` to where cursor `to` is reached, of one partition."""

    start: str = ""
    to: str = ""
    partition: int = 0


FOLLOWS = Range()
"""No range: the lane follows its source."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What this run is to do: names, limits and budgets, from the configuration."""

    pipeline: str
    lane: str
    run_id: str
    trigger: str
    code_version: str
    partitions: int
    takeover: bool
    encode: Encode
    limits: Limits
    max_in_flight: int
    max_attempts: int
    append_timeout_s: float
    stale_s: float
    deadline_s: float
    fuse_consecutive: int
    fuse_ratio: float
    source_start: str | None = None
    request_rows: int | None = None
    isolate_next: Callable[[], bool] = lambda: False
    range: Range = FOLLOWS
    unknown_fields: Callable[[], Mapping[str, int]] = dict
    """Fields of the source that the message lacks, and how many records had each: so far, in this run."""
