"""The rows of a dead batch: which of them a replay sends, and what is in them. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from ingestor_protos.ingestor_pb2 import DeadLetterBatch

from ingestor.batch import Batch, RejectedRecord, metadata_prefix
from ingestor.encode import Rejection
from ingestor.envelope import descriptor_of, position_of, rows_of
from ingestor.unencode import Unencode
from state.events import BatchAttempted

AS_SENT = "; the record is the row as it was sent, in a list: today's message has none that gives this row"
"""Said where a refused row cannot be turned back into a record: a list is refused until a person makes it a record."""


def rows_to_send(envelope: DeadLetterBatch, rejected: Collection[int]) -> dict[int, bytes]:
    """Return the stored rows by row index, without those that the journal says were rejected.

    The ledger decides and not the envelope: an object keeps what its first writer knew, a later one may know more.
    """
    left_out = frozenset(rejected)
    pairs = zip(envelope.row_indexes, rows_of(envelope), strict=True)
    return {index: row for index, row in pairs if index not in left_out}


def rejected_rows(
    envelope: DeadLetterBatch, rows: Mapping[int, bytes], why: Mapping[int, str], unencode: Unencode
) -> Batch:
    """Return the batch with the rows at the indexes of `why` as its rejected records, and nothing else in it.

    The source's own records are not kept with a dead batch: `unencode` finds one that gives the same row.
    """
    prefix = metadata_prefix(envelope.batch_id, envelope.ingest_time_us)

    def rejected(index: int) -> RejectedRecord:
        record = unencode(rows[index].rpartition(prefix)[0])
        if record is not None:
            return RejectedRecord(index, record, Rejection(why[index], stage="append"))
        as_sent = decoded(descriptor_of(envelope), [rows[index]])
        return RejectedRecord(index, as_sent, Rejection(f"{why[index]}{AS_SENT}", stage="append"))

    attempted = BatchAttempted(
        batch_id=envelope.batch_id,
        epoch=envelope.epoch,
        start=position_of(envelope.start),
        end=position_of(envelope.end),
        rows=len(envelope.row_indexes),
        rejected=len(why),
        bytes=0,
        ingest_time_us=envelope.ingest_time_us,
        tail=b"",
    )
    return Batch(attempted, (), tuple(map(rejected, sorted(why))), b"")


def row_class(descriptor: DescriptorProto) -> type[Message]:
    """Return the class of a self-contained descriptor's rows; rows are read by proto2 rules, as BigQuery does."""
    pool = DescriptorPool()
    pool.Add(FileDescriptorProto(name="dead_batch.proto", syntax="proto2", message_type=[descriptor]))
    return GetMessageClass(pool.FindMessageTypeByName(descriptor.name))


def decoded(descriptor: DescriptorProto, rows: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return the rows as JSON objects by column name, metadata columns included; whole numbers of 64 bits are text."""
    kind = row_class(descriptor)
    return [json_format.MessageToDict(kind.FromString(row), preserving_proto_field_name=True) for row in rows]


def with_index(prefix: bytes, row: bytes, index: int) -> bytes:
    """Return the row with its metadata columns, `prefix` being `batch.metadata_prefix` of its batch."""
    encoded = bytearray()
    while index > 0x7F:  # noqa: PLR2004 - seven bits a byte, the wire format's varint
        encoded.append(index & 0x7F | 0x80)
        index >>= 7
    return row + prefix + bytes((*encoded, index))
