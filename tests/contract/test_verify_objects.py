"""Every dead letter that the ledger names is asked for in a real bucket, by its generation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.cloud import storage  # type: ignore[attr-defined]  # a namespace package without types

from ingestor.batch import Batch
from ingestor.bucket import Bucket, storage_client
from ingestor.dead_batches import DeadBatches
from ingestor.envelope import DeadBatch, Origin
from ingestor.errors import DeadLetterError
from ingestor.rejected_records import RejectedRecords
from ingestor.verify_objects import verify_objects
from ops.local.process import free_port
from state.memory import MemoryJournal
from tests.conftest import PROJECT
from tests.dead import INGEST_US, PIPELINE, Desk, Lane, batch_of, flight

LATER_US = INGEST_US + 10**15


@dataclass
class RealStores:
    """The bucket of a real protocol."""

    client: storage.Client
    bucket: str

    def store_batch(self, origin: Origin, dead: DeadBatch) -> tuple[str, int]:
        return DeadBatches(self.client, self.bucket).store(origin, dead)

    def store_records(self, batch: Batch) -> tuple[str, int]:
        return RejectedRecords(self.client, self.bucket, PIPELINE, "0", "run-1").store(batch)


@dataclass
class World:
    """One open dead batch with a rejected record, one committed batch with one, one discarded batch."""

    journal: MemoryJournal
    bucket: storage.Bucket
    open_id: str
    committed_id: str
    discarded_id: str

    def verify(self, since_us: int = 0) -> list[str]:
        return verify_objects(self.journal, Bucket(self.bucket.client, self.bucket.name).exists, since_us=since_us)

    def names(self, batch_id: str) -> list[str]:
        return [blob.name for blob in self.bucket.list_blobs() if batch_id in blob.name]


@pytest.fixture
def world(gcs_url: str, bucket: str) -> Iterator[World]:
    client = storage_client(PROJECT, gcs_url)
    desk = Desk()
    lane = Lane(desk.journal, RealStores(client, bucket))
    mixed = [flight(1), {"flight": "many"}]
    open_id = lane.dead(batch_of(mixed, start="a"))
    committed_id = lane.committed(batch_of([flight(2), {"flight": "few"}], start="b"))
    discarded_id = lane.dead(batch_of([flight(3)], start="c"))
    desk.replayer().discard(discarded_id, actor="ann", reason="not wanted")
    yield World(desk.journal, client.bucket(bucket), open_id, committed_id, discarded_id)
    client.close()


def test_what_is_there_is_no_difference(world: World) -> None:
    assert world.verify() == []
    assert len(world.names(world.open_id)) == 2


def _delete(blob: Any) -> None:
    blob.delete()


def _overwrite(blob: Any) -> None:
    blob.upload_from_string(b"something else")


HARM = pytest.mark.parametrize("harm", [_delete, _overwrite])


@HARM
def test_an_open_dead_letter_that_is_not_there_as_it_was_is_found(world: World, harm: Callable[[Any], None]) -> None:
    for name in world.names(world.open_id):
        harm(world.bucket.blob(name))
    lines = sorted(world.verify(since_us=LATER_US))
    assert [line.split(":")[1].split(",")[0].strip() for line in lines] == ["dead batch", "records rejected at encode"]
    assert all(world.open_id in line and "is not in the bucket" in line for line in lines)


@HARM
def test_rejected_records_of_a_committed_batch_are_asked_for(world: World, harm: Callable[[Any], None]) -> None:
    harm(world.bucket.blob(world.names(world.committed_id)[0]))
    (line,) = world.verify(since_us=LATER_US)
    assert world.committed_id in line


@HARM
def test_a_closed_dead_letter_is_asked_for_while_it_is_young(world: World, harm: Callable[[Any], None]) -> None:
    harm(world.bucket.blob(world.names(world.discarded_id)[0]))
    (line,) = world.verify(since_us=INGEST_US)
    assert world.discarded_id in line
    assert world.verify(since_us=LATER_US) == []


def test_a_bucket_that_does_not_answer_is_no_verdict(world: World) -> None:
    client = storage_client(PROJECT, f"http://127.0.0.1:{free_port()}")
    dead = Bucket(client, "gone", retry_budget_s=0.1)
    with pytest.raises(DeadLetterError, match="did not tell whether it holds"):
        verify_objects(world.journal, dead.exists, since_us=0)
