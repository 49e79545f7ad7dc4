"""The dead-letter queue's parts under one name: the bucket, the rejected records and the dead batches in it."""

from ingestor.bucket import Bucket, ObjectGone, storage_client
from ingestor.dead_batches import DeadBatches
from ingestor.envelope import DeadBatch, Failure, Origin, rows_of
from ingestor.pages import SourceRequest
from ingestor.rejected_records import RejectedRecords, RejectStore

__all__ = [
    "Bucket",
    "DeadBatch",
    "DeadBatches",
    "Failure",
    "ObjectGone",
    "Origin",
    "RejectStore",
    "RejectedRecords",
    "SourceRequest",
    "rows_of",
    "storage_client",
]
