"""Real runs in this process: real adapters, loop and ledger, a source made of lists, pauses of milliseconds.

What came of them is read from outside: the dedup view's rows, the objects of the bucket, the ledger's index.
"""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ingestor import schema
from ingestor.batch import RejectedRecord
from ingestor.bootstrap import RunBuilder, SystemClock, open_journal
from ingestor.bucket import storage_client
from ingestor.config import load
from ingestor.dead_batches import DeadBatches
from ingestor.envelope import descriptor_of as stored_descriptor
from ingestor.envelope import rows_of
from ingestor.logs import Log, configure
from ingestor.messages import descriptor_of, message_class
from ingestor.pages import Page
from ingestor.ports import Plan
from ingestor.rejected_records import RejectedRecords
from ingestor.run import Result
from ingestor.tables import Tables
from ops.local.storage_write_server import StorageWriteServer
from state.journal import BatchQuery, Document, Journal
from state.verify import verify_pipeline
from tests.protos.samples import alone

PAUSE_S = 0.004
LANE = "0"


def flight(number: int, tailnum: str) -> dict[str, Any]:
    """Return a small record. `tailnum` keeps apart what shares a table."""
    return {"year": 2013, "flight": number, "tailnum": tailnum, "carrier": "UA", "time_hour": "2013-01-01T10:00:00Z"}


class ListSource:
    """Pages from memory; a page's cursor is its number. A page is made anew each time it is fetched."""

    def __init__(self, pages: Sequence[Iterable[Any]]) -> None:
        self._pages = pages

    def fetch(self, cursor: str | None) -> Page:
        """Return the page."""
        number = int(cursor or 0)
        following = str(number + 1) if number + 1 < len(self._pages) else None
        return Page(cursor, following, list(self._pages[number]))

    def close(self) -> None:
        """Hold nothing."""


class LeapingClock(SystemClock):
    """The machine's clocks, and time that passes when a test says so."""

    def __init__(self) -> None:
        self.leapt_s = 0.0

    def monotonic(self) -> float:
        """Return the machine's seconds and those that were leapt over."""
        return super().monotonic() + self.leapt_s


class LiveRun(RunBuilder):
    """The composition root with another source, and with limits that no environment variable goes down to.

    `leap_s` seconds pass each time the run asks whether the table is there.
    """

    def __init__(self, pipeline: "LivePipeline", *, append_timeout_s: float | None, leap_s: float) -> None:
        super().__init__(load(pipeline.env), pipeline.journal, pipeline.log())
        self._source_pages, self._append_timeout_s, self._leap_s = pipeline.pages, append_timeout_s, leap_s
        self._leaping = self._clock = LeapingClock()

    def _source(self, read: Any = None) -> ListSource:
        del read
        return ListSource(self._source_pages)

    def _plan(self, *, takeover: bool, trigger: str) -> Plan:
        plan = super()._plan(takeover=takeover, trigger=trigger)
        return plan if self._append_timeout_s is None else replace(plan, append_timeout_s=self._append_timeout_s)

    def _table_exists(self) -> bool:
        self._leaping.leapt_s += self._leap_s
        return super()._table_exists()


@dataclass
class LivePipeline:
    """One pipeline and the world around it; `server` stands between it and BigQuery."""

    env: Mapping[str, str]
    tables: Tables
    server: StorageWriteServer
    pages: Sequence[Iterable[Any]]
    journal: Journal = field(init=False)
    pipeline_id: str = field(init=False)
    lines: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        config = load(self.env)
        self.pipeline_id = config.pipeline_id
        self.journal = open_journal(config)

    @property
    def stream(self) -> str:
        """A pattern of the table's stream, for scripts."""
        return f"*/tables/{self.env['BQ_TABLE_ID']}/*"

    def log(self) -> Log:
        """Return a log that this process's other tests do not see."""
        return configure("test", self.pipeline_id, "INFO", self.lines)

    def apply_schema(self) -> None:
        """Create table, ledger table and view."""
        schema.apply(self.tables, self.env["BQ_TABLE_ID"], descriptor_of(message_class(self.env["MESSAGE_TYPE"])))

    def run(self, *, append_timeout_s: float | None = None, leap_s: float = 0.0) -> Result:
        """Run once; the books must balance and the ledger must be whole, whatever happened."""
        result = LiveRun(self, append_timeout_s=append_timeout_s, leap_s=leap_s).build(trigger="test").execute()
        assert result.summary["balanced"], result.summary
        assert verify_pipeline(self.journal, self.pipeline_id) == []
        return result

    def visible(self, tailnum: str) -> Counter[int]:
        """Return the flight numbers that a reader of the dedup view sees."""
        name = f"{self.tables.project}.{self.tables.dataset}.{self.env['BQ_TABLE_ID']}_dedup"
        rows = self.tables.query(f"SELECT flight FROM `{name}` WHERE tailnum = '{tailnum}'")  # noqa: S608 - names of ours
        return Counter(row["flight"] for row in rows)

    def batches(self, status: str | None = None) -> list[Document]:
        """Return what the ledger's index says of the batches."""
        return list(self.journal.list_batches(BatchQuery(status=status), limit=10_000))

    def dead(self) -> Counter[int]:
        """Return the flight numbers of the rows that are set aside with their batch, read from the bucket."""
        return Counter(row.flight for document in self.batches("DEAD_LETTERED") for row in self.dead_rows(document))

    def dead_rows(self, document: Document) -> Iterable[Any]:
        """Yield the rows of a dead batch that are not rejected by themselves, read by their own descriptor."""
        store = DeadBatches(self._client(), self.env["DEAD_LETTER_BUCKET"])
        envelope = store.load(document["dead_object"], document["dead_generation"])
        row_class = alone(stored_descriptor(envelope))
        for index, row in zip(envelope.row_indexes, rows_of(envelope), strict=True):
            if index not in envelope.rejected_indexes:
                yield row_class.FromString(row)

    def rejected(self) -> list[tuple[str, RejectedRecord]]:
        """Return every rejected record with its batch's id, read from the bucket."""
        store = RejectedRecords(self._client(), self.env["DEAD_LETTER_BUCKET"], self.pipeline_id, LANE, "reader")
        return [
            (document["batch_id"], record)
            for document in self.batches()
            for rejection in document["rejections"]
            for record in store.read(rejection["object"], rejection["generation"])
        ]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        lines = [orjson.loads(line) for line in self.lines.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]

    def close(self) -> None:
        """Close the ledger."""
        self.journal.close()

    def _client(self) -> Any:
        return storage_client(self.tables.project, self.env["STORAGE_EMULATOR_HOST"])


def live_env(tables: Tables, grpc_host: str, gcs_url: str, bucket: str, ledger: Path) -> dict[str, str]:
    """Return the environment of a pipeline of flights whose fuse never blows."""
    return {
        "GCP_PROJECT_ID": tables.project,
        "BQ_DATASET_ID": tables.dataset,
        "BQ_TABLE_ID": "flights",
        "PIPELINE_ID": "live",
        "MESSAGE_TYPE": "flights.Flight",
        "SOURCE_URL": "http://127.0.0.1/unused",
        "DEAD_LETTER_BUCKET": bucket,
        "LEDGER": f"sqlite:///{ledger}",
        "FUSE_CONSECUTIVE": "1000000",
        "FUSE_RATIO": "1",
        "RUN_DEADLINE_S": "100000",
        "STORAGE_EMULATOR_HOST": gcs_url,
        "BIGQUERY_STORAGE_EMULATOR_HOST": grpc_host,
    }
