"""What replays and repairs need from outside. `ingestor.replay_wiring` builds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.descriptor_pb2 import DescriptorProto
from ingestor_protos.ingestor_pb2 import DeadLetterBatch

from ingestor.batch import Batch, Encode, RejectedRecord
from ingestor.columns import Table
from ingestor.ports import Log
from ingestor.replay_append import Appended, KeepAlive
from ingestor.unencode import Unencode
from state.fold import Statement
from state.journal import Journal
from state.ops import OpsLedger


class DeadBatchReader(Protocol):
    """Where dead batches lie."""

    def load(self, name: str, generation: int | None = None) -> DeadLetterBatch:
        """Return one, checked. Raises `DeadLetterError`."""


class Rejected(Protocol):
    """Where rejected records lie."""

    def store(self, batch: Batch) -> tuple[str, int]:
        """Make the batch's `rejected` durable; return the object and its generation. Raises `DeadLetterError`."""

    def read(self, name: str, generation: int | None = None) -> tuple[RejectedRecord, ...]:
        """Return those of an object. Raises `DeadLetterError`."""


class Append(Protocol):
    """Appends rows to the table: `replay_append.Appender.append`."""

    def __call__(self, rows: Sequence[bytes], schema: DescriptorProto, keep_alive: KeepAlive, /) -> Appended:
        """Return once all rows are acknowledged, or it is clear that they will not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPorts:
    """The outside of replays and repairs.

    Attributes:
        open_ops: a new writer of lane `ops`; its argument is the run that acts, empty for a person.
        publish: tells the ledger table statements of lane `ops`; raises `AppendError`.
        live_table: the table as it is now, None when there is none; raises `BigQueryUnavailable`.
        query: runs a query and returns its rows by column name; raises `BigQueryUnavailable` or `SchemaMismatch`.
        table_name: `project.dataset.table`.
        message: the encoder and the writer schema of today's message; raises `ConfigurationError` or `SchemaMismatch`.
        unencode: a row without metadata columns back to a record that today's message encodes to it; None for none.
        token: a new random text each time.
        monotonic: seconds that only ever grow.
        sleep: waits so many seconds.
    """

    journal: Journal
    open_ops: Callable[[str], OpsLedger]
    dead: DeadBatchReader
    rejected: Rejected
    append: Append
    publish: Callable[[Sequence[Statement]], None]
    live_table: Callable[[], Table | None]
    query: Callable[[str], list[dict[str, Any]]]
    table_name: str
    message: Callable[[], tuple[Encode, DescriptorProto]]
    unencode: Unencode
    token: Callable[[], str]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    log: Log
    close: Callable[[], None] = lambda: None
