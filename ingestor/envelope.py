"""A dead batch as an object of the bucket, and back. Pure.

The rows are compressed together, inside the message: the metadata columns repeat in each row, so together they shrink
far more than one by one, and what surrounds them can be read without unpacking. The object itself is not compressed, so
no server or client on the way unpacks it unasked.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.message import DecodeError
from ingestor_protos.ingestor_pb2 import DeadLetterBatch

from ingestor.batch import Batch, metadata_prefix, row_digest
from ingestor.descriptor import fingerprint as schema_fingerprint
from ingestor.outcome import Outcome, fingerprint, storage_error_name
from ingestor.pages import SourceRequest
from ingestor.urls import public_url
from state.events import Position

VERSION = 1
MAX_ROWS_BYTES = 64 * 1024 * 1024
"""More than this, unpacked, is no batch of ours: a batch ends at 15 MiB of rows."""
_SHOWN_ERROR = 300
_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a batch is set aside. `kind` is `batch` or `systemic`; the rest is the last answer's."""

    kind: str
    code: str
    storage_error: int
    message: str
    fingerprint: str
    unknown: bool = False

    @classmethod
    def of(cls, kind: str, outcome: Outcome) -> "Failure":
        """Return the failure that an outcome is."""
        return cls(
            kind, outcome.code, outcome.storage_error, outcome.message, fingerprint(outcome), unknown=outcome.unknown
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What all dead batches of a run have in common. `descriptor` is the writer schema."""

    pipeline: str
    lane: str
    run_id: str
    message_type: str
    descriptor: DescriptorProto
    code_version: str
    cursor_param: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadBatch:
    """A batch to set aside: with all its encoded rows, `rejected_indexes` among them or not."""

    batch: Batch
    failure: Failure
    attempts: int
    rejected_indexes: tuple[int, ...]
    request: SourceRequest | None = None


class UnreadableEnvelope(ValueError):  # noqa: N818 - a verdict on bytes; the store turns it into its own error
    """Bytes are not a dead batch that this version can read; the message says what is wrong with them."""


def object_name(pipeline: str, batch_id: str, ingest_time_us: int) -> str:
    """Return `{pipeline}/batches/{yyyy}/{mm}/{dd}/{batch_id}.binpb`; the date is the ingest time's, UTC."""
    return f"{pipeline}/batches/{day(ingest_time_us)}/{batch_id}.binpb"


def day(ingest_time_us: int) -> str:
    """Return `{yyyy}/{mm}/{dd}` of an ingest time, UTC."""
    return datetime.fromtimestamp(ingest_time_us // 1_000_000, UTC).strftime("%Y/%m/%d")


def sealed(origin: Origin, dead: DeadBatch) -> DeadLetterBatch:
    """Return the message that the bucket keeps."""
    attempted, failure = dead.batch.attempted, dead.failure
    return DeadLetterBatch(
        version=VERSION,
        pipeline=origin.pipeline,
        lane=origin.lane,
        run_id=origin.run_id,
        batch_id=attempted.batch_id,
        epoch=attempted.epoch,
        start=_position(attempted.start),
        end=_position(attempted.end),
        ingest_time_us=attempted.ingest_time_us,
        descriptor=origin.descriptor.SerializeToString(deterministic=True),
        message_type=origin.message_type,
        schema_fingerprint=schema_fingerprint(origin.descriptor),
        rows=_packed(dead.batch.rows),
        row_indexes=[index for _, index in _split(attempted.batch_id, attempted.ingest_time_us, dead.batch.rows)],
        row_digests=dead.batch.digests,
        rejected_indexes=sorted(dead.rejected_indexes),
        failure=DeadLetterBatch.Failure(
            kind=failure.kind,
            code=failure.code,
            storage_error=failure.storage_error,
            storage_error_name=storage_error_name(failure.storage_error),
            message=_text(failure.message),
            fingerprint=failure.fingerprint,
            unknown=failure.unknown,
        ),
        attempts=dead.attempts,
        code_version=origin.code_version,
        source_request=_request(dead.request, origin.cursor_param),
    )


def metadata_of(envelope: DeadLetterBatch) -> dict[str, str]:
    """Return the object's custom metadata: short text that a listing shows; ASCII, because it travels in headers."""
    return {
        "batch_id": envelope.batch_id,
        "pipeline": envelope.pipeline,
        "lane": envelope.lane,
        "run_id": envelope.run_id,
        "row_count": str(len(envelope.row_indexes)),
        "error_code": envelope.failure.code,
        "error": " ".join(envelope.failure.message.split()).encode("ascii", "replace").decode()[:_SHOWN_ERROR],
        "attempts": str(envelope.attempts),
        "schema_fingerprint": envelope.schema_fingerprint,
    }


def opened(content: bytes) -> DeadLetterBatch:
    """Return the dead batch in these bytes, checked: version, rows against indexes and digests, descriptor.

    Raises:
        UnreadableEnvelope: they are none, or not of a version known here.
    """
    envelope = DeadLetterBatch()
    try:
        envelope.ParseFromString(content)
    except DecodeError:
        raise UnreadableEnvelope("it is no DeadLetterBatch") from None
    if envelope.version != VERSION:
        raise UnreadableEnvelope(f"its version is {envelope.version}, this software reads version {VERSION}")
    found = list(_split(envelope.batch_id, envelope.ingest_time_us, rows_of(envelope)))
    if [index for _, index in found] != list(envelope.row_indexes):
        raise UnreadableEnvelope("its rows are not those of its row indexes")
    if b"".join(row_digest(row) for row, _ in found) != envelope.row_digests:
        raise UnreadableEnvelope("its rows do not have its row digests")
    descriptor_of(envelope)
    return envelope


def rows_of(envelope: DeadLetterBatch) -> tuple[bytes, ...]:
    """Return all encoded rows as they were sent.

    Raises:
        UnreadableEnvelope: they cannot be unpacked.
    """
    unpacking, unpacked = zlib.decompressobj(), DeadLetterBatch.Rows()
    try:
        content = unpacking.decompress(envelope.rows, MAX_ROWS_BYTES)
        if not unpacking.eof:
            raise UnreadableEnvelope("its rows are cut off or too large")
        unpacked.ParseFromString(content)
    except (zlib.error, DecodeError):
        raise UnreadableEnvelope("its rows cannot be unpacked") from None
    return tuple(unpacked.rows)


def descriptor_of(envelope: DeadLetterBatch) -> DescriptorProto:
    """Return the writer schema.

    Raises:
        UnreadableEnvelope: it cannot be read.
    """
    try:
        return DescriptorProto.FromString(envelope.descriptor)
    except DecodeError:
        raise UnreadableEnvelope("its descriptor cannot be read") from None


def same_rows(one: DeadLetterBatch, other: DeadLetterBatch) -> bool:
    """Whether two envelopes would append the same bytes."""
    return (one.batch_id, one.ingest_time_us, one.row_digests, list(one.row_indexes)) == (
        other.batch_id,
        other.ingest_time_us,
        other.row_digests,
        list(other.row_indexes),
    )


def position_of(position: DeadLetterBatch.Position) -> Position:
    """Return the position as the ledger has it."""
    cursor = position.cursor.decode("utf-8", "surrogatepass") if position.HasField("cursor") else None
    return Position(cursor, position.taken)


def _position(position: Position) -> DeadLetterBatch.Position:
    cursor = None if position.cursor is None else position.cursor.encode("utf-8", "surrogatepass")
    return DeadLetterBatch.Position(cursor=cursor, taken=position.taken)


def _request(request: SourceRequest | None, cursor_param: str) -> DeadLetterBatch.SourceRequest | None:
    if request is None:
        return None
    return DeadLetterBatch.SourceRequest(
        url=public_url(request.url, cursor_param).encode("utf-8", "surrogatepass"),
        status=request.status,
        request_id=request.request_id if _REQUEST_ID.fullmatch(request.request_id) else "",
        requested_at_us=request.requested_at_us,
    )


def _packed(rows: Sequence[bytes]) -> bytes:
    return zlib.compress(DeadLetterBatch.Rows(rows=rows).SerializeToString(deterministic=True))


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _split(batch_id: str, ingest_time_us: int, rows: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Return each row without its metadata columns, and its row index (-1 when the metadata is not there)."""
    prefix = metadata_prefix(batch_id, ingest_time_us)
    parts = (row.rpartition(prefix) for row in rows)
    return [(row, _varint(index) if found else -1) for row, found, index in parts]


def _varint(encoded: bytes) -> int:
    value = 0
    for place, byte in enumerate(encoded):
        value |= (byte & 0x7F) << (7 * place)
    return value
