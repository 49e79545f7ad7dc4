"""Rejected records in the bucket, as JSON lines that a person can read and repair.

A different set of records of one batch (other rows were refused, or newer code words its reasons differently) gets a
name with its own content hash: nothing is overwritten.
"""

import hashlib
from typing import Any, Literal, Protocol

from google.cloud import storage  # type: ignore[attr-defined]  # a namespace package without types

from ingestor.batch import Batch, RejectedRecord
from ingestor.bucket import RETRY_BUDGET_S, Bucket
from ingestor.decode import Undecodable, canonical_json, decode
from ingestor.encode import Rejection
from ingestor.envelope import day
from ingestor.errors import DeadLetterError

CONTENT_TYPE = "application/x-ndjson"
_STAGES: dict[str, Literal["encode", "append"]] = {"encode": "encode", "append": "append"}


class RejectStore(Protocol):
    """Where the rejected records of a batch become durable."""

    def store(self, batch: Batch) -> tuple[str, int]:
        """Return the object's name and generation once it is durable.

        Raises:
            DeadLetterError: it is not; one line says why.
        """


def rejected_name(pipeline: str, batch_id: str, ingest_time_us: int, content_hash: str = "") -> str:
    """Return `{pipeline}/records/{yyyy}/{mm}/{dd}/{batch_id}[.{hash}].jsonl`; the date is the ingest time's, UTC."""
    return f"{pipeline}/records/{day(ingest_time_us)}/{batch_id}{'.' + content_hash if content_hash else ''}.jsonl"


def rejected_lines(rejected: tuple[RejectedRecord, ...]) -> bytes:
    """Return the rejected records as JSON lines: `row_index, stage, reason, field, record`."""
    return b"".join(
        canonical_json(
            {
                "row_index": item.index,
                "stage": item.rejection.stage,
                "reason": item.rejection.reason,
                "field": item.rejection.field,
                "record": item.record,
            }
        )
        + b"\n"
        for item in rejected
    )


def parsed_lines(content: bytes) -> tuple[RejectedRecord, ...]:
    """Return the records of JSON lines, as `rejected_lines` wrote them or as a person repaired them.

    Raises:
        ValueError: a line is no rejected record; the message is one line that names it by number and quotes nothing.
    """
    lines = enumerate(content.split(b"\n"), start=1)
    return tuple(_parsed(line, number) for number, line in lines if line.strip())


class RejectedRecords:
    """The bucket's `records/` of one pipeline, as one run or operator writes them."""

    def __init__(  # noqa: PLR0913 - whose records they are
        self,
        client: storage.Client,
        bucket: str,
        pipeline: str,
        lane: str,
        run_id: str,
        *,
        retry_budget_s: float = RETRY_BUDGET_S,
    ) -> None:
        self._bucket = Bucket(client, bucket, retry_budget_s=retry_budget_s)
        self._pipeline, self._lane, self._run_id = pipeline, lane, run_id

    def check(self) -> None:
        """Look whether the bucket is there.

        Raises:
            DeadLetterError: there is no such bucket, or no answer.
        """
        self._bucket.check()

    def store(self, batch: Batch) -> tuple[str, int]:
        """Make the batch's `rejected` durable, of either stage; storing the same ones twice is the same object."""
        content, attempted = rejected_lines(batch.rejected), batch.attempted
        name = rejected_name(self._pipeline, attempted.batch_id, attempted.ingest_time_us)
        generation = self._create(name, content, batch)
        if generation is None:
            other = hashlib.sha256(content).hexdigest()[:16]
            name = rejected_name(self._pipeline, attempted.batch_id, attempted.ingest_time_us, other)
            generation = self._create(name, content, batch)
        if generation is None:
            raise DeadLetterError(f"object {name} exists with other content than its name says; nothing was changed")
        return name, generation

    def read(self, name: str, generation: int | None = None) -> tuple[RejectedRecord, ...]:
        """Return the rejected records of an object that `store` named.

        Raises:
            ObjectGone: it is not in the bucket any more.
            DeadLetterError: it cannot be read, or is something else.
        """
        content, _ = self._bucket.read(name, generation)
        try:
            return parsed_lines(content)
        except ValueError as error:
            raise DeadLetterError(f"{name} in bucket {self._bucket.name} holds no rejected records: {error}") from None

    def _create(self, name: str, content: bytes, batch: Batch) -> int | None:
        """Create the object and return its generation; None when the name holds something else."""
        metadata = {
            "batch_id": batch.batch_id,
            "pipeline": self._pipeline,
            "lane": self._lane,
            "run_id": self._run_id,
            "row_count": str(len(batch.rejected)),
        }
        generation = self._bucket.create(name, content, CONTENT_TYPE, metadata)
        if generation is not None:
            return generation
        there, generation = self._bucket.read(name)
        return generation if there == content else None


def _parsed(line: bytes, number: int) -> RejectedRecord:
    try:
        value: Any = decode(line)
    except Undecodable:
        raise ValueError(f"line {number} is no JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"line {number} is no object")  # noqa: TRY004 - a verdict on the line, like the others
    index, stage, record = value.get("row_index"), value.get("stage", "encode"), value.get("record")
    if type(index) is not int or index < 0:
        raise ValueError(f"line {number} has no row_index")
    if "record" not in value:
        raise ValueError(f"line {number} has no record")
    if stage not in _STAGES:
        raise ValueError(f"line {number} has a stage that is neither encode nor append")
    field, reason = value.get("field"), value.get("reason", "")
    return RejectedRecord(index, record, Rejection(str(reason), field and str(field), _STAGES[stage]))
