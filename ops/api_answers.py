"""What the API answers. Times are microseconds since 1970 and end in `_at_us`; sizes are bytes; unknown is null."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = Any
_DOCUMENT = ConfigDict(extra="ignore")


class Problem(BaseModel):
    """An error (RFC 9457). `detail` says what, where, and what to do next."""

    type: str = Field(json_schema_extra={"example": "about:blank"})
    title: str = Field(json_schema_extra={"example": "Conflict"})
    status: int = Field(json_schema_extra={"example": 409})
    detail: str = Field(json_schema_extra={"example": "batch 0… is COMMITTED; its rows are visible"})


class Position(BaseModel):
    """A place in the source: records taken of a page."""

    model_config = _DOCUMENT

    cursor: str | None = None
    taken: int


class Batch(BaseModel):
    """A batch as the ledger has it."""

    model_config = _DOCUMENT

    batch_id: str
    lane: str
    status: Literal["ATTEMPTED", "COMMITTED", "DEAD_LETTERED", "SUPERSEDED", "REPLAYING", "DISCARDED"]
    rows: int
    rejected: int
    bytes: int
    epoch: int
    start: Position
    end: Position
    ingest_time_us: int
    attempted_run: str
    attempted_at_us: int
    settled_at_us: int | None = None
    attempts: int = 0
    latency_ms: int | None = None
    error_code: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    dead_kind: str | None = None
    dead_object: str | None = None
    dead_at_us: int | None = None
    replays: int = 0
    open_records: int = 0
    last_actor: str | None = None
    last_reason: str | None = None
    last_answer: str | None = None


class Batches(BaseModel):
    """A page of batches, newest first. `next` is the next page's `page`, null on the last."""

    items: list[Batch]
    next: str | None


class Happened(BaseModel):
    """One event of a batch's history."""

    at_us: int
    lane: str
    version: int
    run_id: str
    event: str
    details: dict[str, Json]


class StoredBatch(BaseModel):
    """What lies in the bucket."""

    object: str
    message_type: str
    schema_fingerprint: str
    code_version: str
    rows: int
    source_url: str


class BatchShown(BaseModel):
    """A batch with its history. `problem` says why its dead letter cannot be read; empty when there is no problem."""

    batch: Batch
    history: list[Happened]
    stored: StoredBatch | None
    problem: str


class Rows(BaseModel):
    """Rows of a dead batch by column name, fields of MASK_FIELDS hidden."""

    items: list[dict[str, Json]]
    next: str | None


class Record(BaseModel):
    """A rejected record. `state`: open, claimed (a repair is under way or in doubt), landed, discarded."""

    row_index: int
    state: str
    stage: str
    reason: str
    field: str | None
    record: Json = None


class Records(BaseModel):
    """Rejected records of a batch."""

    items: list[Record]
    next: str | None


class Run(BaseModel):
    """A run."""

    model_config = _DOCUMENT

    run_id: str
    lane: str
    status: str
    trigger: str | None = None
    started_at_us: int | None = None
    finished_at_us: int | None = None
    records: int | None = None
    rows_committed: int | None = None
    rows_rejected: int | None = None
    rows_dead_lettered: int | None = None
    rows_known: int | None = None
    rows_in_doubt: int | None = None
    rows_superseded: int | None = None
    rows_replayed: int | None = None
    batches_committed: int | None = None
    batches_dead_lettered: int | None = None
    batches_superseded: int | None = None
    balanced: bool | None = None
    error: str | None = None


class Runs(BaseModel):
    """A page of runs, newest first."""

    items: list[Run]
    next: str | None


class RunShown(BaseModel):
    """A run and the first batches that it attempted."""

    run: Run
    batches: list[Batch]
    more_batches: bool


class LaneStatus(BaseModel):
    """A lane now."""

    model_config = _DOCUMENT

    lane: str
    checkpoint: Json = None
    lag_s: float | None
    live_run: str | None
    in_doubt: int
    oldest_in_doubt_s: float | None
    unpublished: int
    paused: str | None
    systemic: dict[str, Json] | None


class Count(BaseModel):
    """How many."""

    batches: int


class Status(BaseModel):
    """Is data flowing, what is in doubt, dead, failed. `refused` counts this process's refused requests."""

    pipeline: str
    lanes: list[LaneStatus]
    dead_letters: dict[str, Count]
    last_runs: list[Run]
    refused: dict[str, int]


class Receipt(BaseModel):
    """Who did what, and what came of it. Its name can be asked for again: `GET /api/receipts/{receipt}`."""

    receipt: str = Field(json_schema_extra={"example": "ops-17"})
    action: Literal["replay", "replay_all", "discard", "reopen", "replay_records", "discard_records", "pause", "resume"]
    status: Literal["open", "done", "failed", "stopped"]
    actor: str
    reason: str
    at_us: int
    batch_id: str | None = None
    counts: dict[str, int]
    outcome: dict[str, Json]


class ReceiptLine(BaseModel):
    """A bulk replay in a list."""

    model_config = _DOCUMENT

    receipt: str
    actor: str
    reason: str
    status: str
    opened_at_us: int
    updated_at_us: int
    counts: dict[str, int]
    filter: dict[str, str]


class ReceiptLines(BaseModel):
    """Bulk replays, newest first."""

    items: list[ReceiptLine]
    next: str | None


class PlannedBatch(BaseModel):
    """What a replay of one batch would do. `problem`: why it is not sent; `refused_by`: why the table would refuse it
    whole; `rejects`: why it would refuse some of its rows, which become rejected records.
    """

    batch_id: str
    status: str
    rows: int
    size_bytes: int
    present: int
    refused_by: list[str]
    rejects: list[str]
    problem: str
    dead_at_us: int
    fingerprint: str
    error: str


class ReplayPlan(BaseModel):
    """What a replay would do. Nothing was changed. `matching` is how many batches the filters leave in all."""

    matching: int
    sendable: int
    rows: int
    size_bytes: int
    present: int
    refused: int
    oldest_us: int | None
    cost_usd: float
    fingerprints: dict[str, int]
    items: list[PlannedBatch]


class BatchBooks(BaseModel):
    """One batch: what the ledger says and what the table holds. `problems` is empty when its books balance."""

    batch_id: str
    lane: str
    status: str
    ingest_time_us: int | None
    rows: int
    table_rows: int
    table_distinct: int
    missing: int
    doubled: int
    unexpected: int
    rejected_present: int
    problems: list[str]


class Reconciliation(BaseModel):
    """Ledger against table. `items` are up to 200 batches that differ, have doubles or rows that no reader sees."""

    since_us: int
    balanced: bool
    differences: int
    totals: dict[str, int]
    items: list[BatchBooks]
    next: str | None
