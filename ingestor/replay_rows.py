"""The rows of a dead batch: which of them a replay sends, and what is in them by their own descriptor. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from ingestor_protos.ingestor_pb2 import DeadLetterBatch

from ingestor.envelope import rows_of


def rows_to_send(envelope: DeadLetterBatch, rejected: Collection[int]) -> dict[int, bytes]:
    """Return the stored rows by row index, without those that the journal says were rejected.

    The ledger decides and not the envelope: an object keeps what its first writer knew, a later one may know more.
    """
    left_out = frozenset(rejected)
    pairs = zip(envelope.row_indexes, rows_of(envelope), strict=True)
    return {index: row for index, row in pairs if index not in left_out}


def row_class(descriptor: DescriptorProto) -> type[Message]:
    """Return the class of a self-contained descriptor's rows; rows are read by proto2 rules, as BigQuery does."""
    pool = DescriptorPool()
    pool.Add(FileDescriptorProto(name="dead_batch.proto", syntax="proto2", message_type=[descriptor]))
    return GetMessageClass(pool.FindMessageTypeByName(descriptor.name))


def decoded(descriptor: DescriptorProto, rows: Sequence[bytes]) -> list[Mapping[str, Any]]:
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
