"""What a run needs from outside, and what it is told to do. `ingestor.bootstrap` builds both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ingestor.append import Answer, AppendPort, Ended
from ingestor.batch import Encode, Limits
from ingestor.deadletters import RejectStore
from ingestor.lognames import LogName
from ingestor.pages import Source
from ingestor.progress import Progress
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
class Ports:
    """The outside of a run. `preflight` raises an `IngestorError` when table, view or bucket are not as they must."""

    ledger: LaneLedger
    source: Source
    open_connection: Callable[[Callable[[Answer | Ended], None]], AppendPort]
    rejects: RejectStore
    publish: Callable[[Sequence[Statement]], None]
    preflight: Callable[[], None]
    note_skip: Callable[[str, LaneState], None]
    clock: Clock
    log: Log
    observe: Callable[[Progress], None] = lambda _: None
    close: Callable[[], None] = lambda: None
    """Releases the clients behind the ports; called once, when the run is over, however it ended."""


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
    source_start: str | None = None
